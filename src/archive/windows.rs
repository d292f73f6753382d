//! Plans what is fetched to restore: which frames are read together, and what is done with them.
//!
//! Pure. In a chain a file's blocks alternate between its members, so each region that is being read has a window of its
//! own, open beside the others: interleaving costs no requests. A frame is in the window of every step that needs it, and
//! steps that need it while that window is open share it. A frame that is needed again later is fetched and unpacked
//! again: to remember frames would take memory that grows with the state, and what it costs is bounded, at most one
//! frame for one block.
//!
//! What is open is bounded too: steps, whatever the number of members, and folders, each of which is a descriptor in the
//! end. When there is too much, the window that was opened first goes. So each window that is handed on is fetched as it
//! is, and their order means nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use super::manifest::Frame;

/// The most that is fetched at once, unless a single frame is larger.
pub(super) const MOST: u64 = 4 << 20;
/// Less than this between two frames is fetched along: a second request costs more.
pub(super) const GAP: u64 = 128 << 10;
/// The most plain bytes that are made of one window: it is one thread's work.
const PLAIN: u64 = 16 << 20;
/// How many steps all open windows have together.
const STEPS: usize = 4096;
/// How many folders one window has, and all open windows together.
const FOLDERS: (usize, usize) = (32, 128);

/// A range of one zip that is fetched at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// As [`Frame::member`].
    pub member: u32,
    /// Which bytes of its zip.
    pub range: Range<u64>,
}

impl Window {
    fn of(frame: Frame) -> Self {
        Self { member: frame.member, range: frame.offset..end(frame) }
    }

    /// The frame's part of the bytes that were fetched; none if they are too few.
    pub fn part<'a>(&self, bytes: &'a [u8], frame: Frame) -> Option<&'a [u8]> {
        let start = usize::try_from(frame.offset.checked_sub(self.range.start)?).ok()?;
        bytes.get(start..start.checked_add(frame.len as usize)?)
    }

    /// Where it would end if it held the frame too; none if that is not worth it.
    fn grown(&self, frame: Frame) -> Option<u64> {
        let near = self.member == frame.member
            && (self.range.start..=self.range.end.saturating_add(GAP)).contains(&frame.offset);
        let grown = end(frame).max(self.range.end);
        (near && (grown == self.range.end || grown - self.range.start <= MOST)).then_some(grown)
    }
}

fn end(frame: Frame) -> u64 {
    frame.offset.saturating_add(frame.len.into())
}

/// What is done with a frame once it is there.
pub trait Step {
    /// The frame it needs.
    fn frame(&self) -> Frame;
    /// How many bytes come of it.
    fn plain(&self) -> u64;
    /// Which directory it writes in; steps of one directory follow each other.
    fn folder(&self) -> u64;
}

/// A window, and what is done with its frames.
#[derive(Debug)]
pub struct Batch<S> {
    /// What is fetched.
    pub window: Window,
    /// In the order in which they were planned.
    pub steps: Vec<S>,
    plain: u64,
    /// How many folders, and the last of them.
    folders: (usize, u64),
    /// Which batch it is, counted as they were opened.
    born: u64,
}

/// Groups steps into batches.
pub struct Planner<S> {
    /// By where their windows start.
    open: BTreeMap<(u32, u64), Batch<S>>,
    /// Where they start, in the order in which they were opened.
    ages: BTreeMap<u64, (u32, u64)>,
    ready: VecDeque<Batch<S>>,
    steps: usize,
    folders: usize,
    born: u64,
}

impl<S: Step> Default for Planner<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Step> Planner<S> {
    /// Nothing is planned yet.
    pub fn new() -> Self {
        Self { open: BTreeMap::new(), ages: BTreeMap::new(), ready: VecDeque::new(), steps: 0, folders: 0, born: 0 }
    }

    /// Plans a step.
    pub fn add(&mut self, step: S) {
        match self.nearest(step.frame()) {
            Some(at) => self.join(at, step),
            None => self.open(step),
        }
        while self.steps > STEPS || self.folders > FOLDERS.1 {
            self.close_oldest();
        }
    }

    /// No steps follow: everything is ready.
    pub fn end(&mut self) {
        while !self.open.is_empty() {
            self.close_oldest();
        }
    }

    /// The next batch that is complete.
    pub fn take(&mut self) -> Option<Batch<S>> {
        self.ready.pop_front()
    }

    /// The open window that starts at the frame or closest before it.
    fn nearest(&self, frame: Frame) -> Option<(u32, u64)> {
        let (at, batch) = self.open.range(..=(frame.member, frame.offset)).next_back()?;
        (batch.window.range.end.saturating_add(GAP) >= frame.offset && at.0 == frame.member).then_some(*at)
    }

    /// Adds a step to the window there, or closes that if it would be too much.
    fn join(&mut self, at: (u32, u64), step: S) {
        let Some(batch) = self.open.get_mut(&at) else { return };
        let new = batch.folders.1 != step.folder();
        let fits = batch.plain + step.plain() <= PLAIN && batch.folders.0 + usize::from(new) <= FOLDERS.0;
        let Some(end) = batch.window.grown(step.frame()).filter(|_| fits) else {
            self.close(at);
            return self.open(step);
        };
        batch.window.range.end = end;
        batch.plain += step.plain();
        batch.folders = (batch.folders.0 + usize::from(new), step.folder());
        batch.steps.push(step);
        self.steps += 1;
        self.folders += usize::from(new);
    }

    fn open(&mut self, step: S) {
        let (window, plain, folders, born) = (Window::of(step.frame()), step.plain(), (1, step.folder()), self.born);
        let at = (window.member, window.range.start);
        self.born += 1;
        self.steps += 1;
        self.folders += 1;
        self.ages.insert(born, at);
        self.open.insert(at, Batch { window, steps: vec![step], plain, folders, born });
    }

    fn close_oldest(&mut self) {
        if let Some((_, at)) = self.ages.pop_first() {
            self.close(at);
        }
    }

    fn close(&mut self, at: (u32, u64)) {
        let Some(batch) = self.open.remove(&at) else { return };
        self.ages.remove(&batch.born);
        self.steps -= batch.steps.len();
        self.folders -= batch.folders.0;
        self.ready.push_back(batch);
    }
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
