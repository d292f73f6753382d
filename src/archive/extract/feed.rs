//! The thread that owns the sink: reads the manifest, announces its entries and plans its blocks.
//!
//! Touches no block. Once all blocks are where they belong it completes the directories, which takes a second look at the
//! manifest instead of a memory of them all.

use std::{convert::Infallible, sync::Arc};

use tokio::sync::mpsc;

use super::{Block, ExtractError, Job, Open, Planned, ReadError, Sink, Stage};
use crate::archive::{
    manifest::{Item, Items, Manifest, ManifestError},
    timing::timed,
    windows::Planner,
};
use crate::domain::{Entry, EntryKind};

pub(super) struct Feed<S: Sink> {
    planner: Planner<Block<S::File>>,
    file: Option<Arc<Open<S::File>>>,
    /// Where the file is, and how often that changed.
    folder: (String, u64),
    directories: u64,
    job: Arc<Job>,
    batches: mpsc::Sender<Planned<S::File>>,
    busy: mpsc::Sender<Infallible>,
    idle: mpsc::Receiver<Infallible>,
    sink: S,
}

impl<S: Sink> Feed<S> {
    pub(super) fn new(sink: S, job: Arc<Job>, batches: mpsc::Sender<Planned<S::File>>) -> Self {
        let (planner, folder) = (Planner::new(), (String::new(), 0));
        let (busy, idle) = mpsc::channel(1);
        Self { planner, file: None, folder, directories: 0, job, batches, busy, idle, sink }
    }

    pub(super) fn run(mut self, manifest: &Manifest) -> Result<S, ExtractError<S::Error>> {
        let fed = self.items(manifest).and_then(|items| self.feed(items));
        let Self { planner, file, directories, job, batches, busy, mut idle, mut sink, .. } = self;
        drop((planner, file, batches, busy));
        // Nothing is ever sent: this is the moment when all that was planned is done, or given up.
        idle.blocking_recv();
        fed?;
        if directories > 0 {
            complete(&mut sink, &job, manifest)?;
        }
        Ok(sink)
    }

    fn items(&self, manifest: &Manifest) -> Result<Items, ExtractError<S::Error>> {
        manifest.items().map_err(|source| unusable(&self.job, source))
    }

    fn feed(&mut self, items: Items) -> Result<(), ExtractError<S::Error>> {
        for item in items {
            match item.map_err(|source| unusable(&self.job, source))? {
                Item::Entry(entry) => self.entry(&entry)?,
                Item::Block { offset, len, stored } => {
                    let Some(file) = self.file.clone() else { return Err(ExtractError::Stopped) };
                    self.planner.add(Block { file, folder: self.folder.1, offset, len, stored });
                    self.hand_on()?;
                }
                Item::Hole { len, .. } => self.job.meter.processed(len),
            }
        }
        self.leave_file()?;
        self.planner.end();
        self.hand_on()
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), ExtractError<S::Error>> {
        self.leave_file()?;
        if !self.job.is_wanted() {
            return Err(ExtractError::Stopped);
        }
        match &entry.kind {
            EntryKind::Directory => {
                self.directories += 1;
                self.sink.directory(entry)
            }
            EntryKind::Symlink { .. } => self.sink.symlink(entry),
            EntryKind::File { .. } => self.sink.file(entry).map(|file| self.enter_file(entry, file)),
        }
        .map_err(ExtractError::Sink)
    }

    fn enter_file(&mut self, entry: &Entry, file: S::File) {
        let path = entry.path.as_str();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if folder != self.folder.0 {
            self.folder = (folder.to_owned(), self.folder.1 + 1);
        }
        self.file = Some(Arc::new(Open { path: path.to_owned(), file }));
    }

    /// A file that nothing is written to is finished here.
    fn leave_file(&mut self) -> Result<(), ExtractError<S::Error>> {
        let Some(file) = self.file.take() else { return Ok(()) };
        timed(&self.job.meter, Stage::Write, || self.job.release(file))
    }

    fn hand_on(&mut self) -> Result<(), ExtractError<S::Error>> {
        while let Some(batch) = self.planner.take() {
            let planned = Planned { batch, _busy: self.busy.clone() };
            self.batches.blocking_send(planned).map_err(|_| ExtractError::Stopped)?;
        }
        Ok(())
    }
}

fn complete<S: Sink>(sink: &mut S, job: &Job, manifest: &Manifest) -> Result<(), ExtractError<S::Error>> {
    for item in manifest.items().map_err(|source| unusable(job, source))? {
        let Item::Entry(entry) = item.map_err(|source| unusable(job, source))? else { continue };
        if !job.is_wanted() {
            return Err(ExtractError::Stopped);
        }
        if entry.kind == EntryKind::Directory {
            sink.complete(&entry).map_err(ExtractError::Sink)?;
        }
    }
    Ok(())
}

fn unusable<E: std::error::Error>(job: &Job, source: ManifestError) -> ExtractError<E> {
    ReadError::Manifest { location: job.backups[0].clone(), source }.into()
}
