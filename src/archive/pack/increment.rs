//! Assembles an incremental backup: one entry with the blocks that the backup before does not have, each once.
//!
//! Decides, in the order of the walk, which blocks are new, and gathers them into frames across files. The frames are
//! compressed by the workers; until they are, what the manifest says from their first block on waits here. Where a frame
//! ends depends on the state alone, never on who is faster.

use std::{collections::VecDeque, io, sync::mpsc::Sender};

use crc32fast::Hasher;

use super::{
    BLOCKS, PackError,
    chunk::{Block, Chunk, Job, NewFrame, Part},
    inbox::Inbox,
    index::{At, Index},
    left::{Open, Out},
    output::{Output, len_of},
};
use crate::{
    archive::{
        block::BlockHash,
        manifest::{Frame, Item, Stored},
    },
    domain::{Entry, EntryKind},
};

/// As many things may wait for the frame that is open, before it is closed though it is not full.
const MOST_WAITING: usize = 8192;
/// As many may wait for all frames together.
const MOST_LISTED: usize = 8 * MOST_WAITING;

pub(super) struct Increment<W> {
    out: Output<W>,
    jobs: Sender<Job>,
    /// The new blocks of this backup. Their frames are counted from 0.
    new: Index,
    /// What is gathered.
    open: NewFrame,
    /// How many things wait since it is not empty.
    waiting: usize,
    /// How many frames the workers may have at once.
    most_frames: usize,
    /// How many were handed to them.
    closed: usize,
    /// Those that are written.
    written: Vec<Frame>,
    spare: Vec<NewFrame>,
    crc: Hasher,
    plain: u64,
    listing: VecDeque<Listed>,
    in_file: bool,
}

/// The next thing of the manifest.
enum Listed {
    Entry(Entry, u64),
    Content(Item),
    New { hash: BlockHash, at: At, len: u32 },
}

impl<W: Out> Increment<W> {
    /// The entry of blocks may be `begun` already, by an earlier packer.
    pub(super) fn new(mut out: Output<W>, jobs: Sender<Job>, most_frames: usize, begun: Option<Open>) -> Self {
        if let Some(open) = &begun {
            out.zip.reopen_own(BLOCKS, u64::MAX, open.begun);
        }
        let (crc, plain) = begun.map_or((0, 0), |open| (open.crc, open.plain));
        Self {
            out,
            jobs,
            new: Index::default(),
            open: NewFrame::default(),
            waiting: 0,
            most_frames,
            closed: 0,
            written: Vec::new(),
            spare: Vec::new(),
            crc: Hasher::new_with_initial_len(crc, plain),
            plain,
            listing: VecDeque::new(),
            in_file: false,
        }
    }

    pub(super) fn take(&mut self, chunk: &mut Chunk, inbox: &mut Inbox) -> Result<(), PackError> {
        let mut plain = &chunk.plain[..chunk.used];
        let mut blocks = chunk.blocks.drain(..);
        for part in chunk.parts.drain(..) {
            match part {
                Part::Entry(entry, stamp) | Part::Again(entry, stamp, _) | Part::Begun(entry, stamp) => {
                    self.entry(entry, stamp, inbox)?;
                }
                Part::Kept(item) => self.kept(item, inbox)?,
                Part::Content(content) => {
                    let (these, behind) = plain.split_at(content.len as usize);
                    plain = behind;
                    self.content(these, &mut blocks, inbox)?;
                }
            }
        }
        while let Some(frame) = inbox.ready_frame() {
            self.write(frame)?;
        }
        self.settle()?;
        while self.listing.len() > MOST_LISTED && self.written.len() < self.closed {
            let frame = inbox.frame()?;
            self.write(frame)?;
            self.settle()?;
        }
        Ok(())
    }

    /// Tells where packing could go on, if it is time. What waits for frames is not told of yet.
    pub(super) fn mark(&mut self) -> io::Result<()> {
        if self.out.wants_mark() { self.out.mark(self.crc.clone().finalize(), self.plain) } else { Ok(()) }
    }

    pub(super) fn finish(mut self, inbox: &mut Inbox) -> Result<Output<W>, PackError> {
        self.end_file();
        self.close(inbox)?;
        while self.written.len() < self.closed {
            let frame = inbox.frame()?;
            self.write(frame)?;
        }
        self.settle()?;
        if self.out.zip.begun().is_some() {
            self.out.end_frames(self.crc.finalize(), self.plain).map_err(failed)?;
        }
        Ok(self.out)
    }

    fn entry(&mut self, entry: Entry, stamp: u64, inbox: &mut Inbox) -> Result<(), PackError> {
        self.end_file();
        self.in_file = matches!(entry.kind, EntryKind::File { .. });
        self.list(Listed::Entry(entry, stamp), inbox)
    }

    fn end_file(&mut self) {
        if std::mem::take(&mut self.in_file) {
            self.out.file();
        }
    }

    fn kept(&mut self, item: Item, inbox: &mut Inbox) -> Result<(), PackError> {
        self.out.processed(len_of(&item));
        self.list(Listed::Content(item), inbox)
    }

    /// Bytes that were read, and what the worker made of their blocks.
    fn content(
        &mut self,
        plain: &[u8],
        blocks: &mut impl Iterator<Item = Block>,
        inbox: &mut Inbox,
    ) -> Result<(), PackError> {
        self.out.processed(plain.len() as u64);
        for (plain, block) in plain.chunks(self.out.block_size.bytes() as usize).zip(blocks) {
            let len = u32::try_from(plain.len()).unwrap_or(u32::MAX);
            let listed = match block {
                Block::Hole => Listed::Content(Item::Hole { offset: 0, len: len.into() }),
                Block::Known(stored) => Listed::Content(Item::Block { offset: 0, len, stored }),
                Block::Other(hash) => Listed::New { hash, at: self.at(hash, plain, inbox)?, len },
            };
            self.list(listed, inbox)?;
        }
        Ok(())
    }

    /// Where the block is, or will be: gathered now if it is met for the first time.
    fn at(&mut self, hash: BlockHash, plain: &[u8], inbox: &mut Inbox) -> Result<At, PackError> {
        if let Some(at) = self.new.get(&hash) {
            return Ok(at);
        }
        if self.open.plain.len() + plain.len() > self.out.block_size.frame() as usize {
            self.close(inbox)?;
        }
        let number = |n: usize| u32::try_from(n).map_err(|error| failed(io::Error::other(error)));
        let at = At { frame: number(self.closed)?, place: number(self.open.plain.len())? };
        self.open.plain.extend_from_slice(plain);
        self.new.add(hash, at);
        Ok(at)
    }

    fn list(&mut self, listed: Listed, inbox: &mut Inbox) -> Result<(), PackError> {
        self.listing.push_back(listed);
        if self.open.plain.is_empty() {
            return Ok(());
        }
        self.waiting += 1;
        if self.waiting > MOST_WAITING { self.close(inbox) } else { Ok(()) }
    }

    /// Hands what is gathered to the workers, and waits if they have enough of it.
    fn close(&mut self, inbox: &mut Inbox) -> Result<(), PackError> {
        if self.open.plain.is_empty() {
            return Ok(());
        }
        if self.closed - self.written.len() >= self.most_frames {
            let frame = inbox.frame()?;
            self.write(frame)?;
        }
        let spare = self.spare.pop().unwrap_or_default();
        let mut frame = std::mem::replace(&mut self.open, spare);
        frame.number = self.closed;
        (self.closed, self.waiting) = (self.closed + 1, 0);
        self.jobs.send(Job::Frame(frame)).map_err(|_| PackError::Stopped)?;
        self.settle()
    }

    /// Writes the next frame.
    fn write(&mut self, mut frame: NewFrame) -> Result<(), PackError> {
        if self.out.zip.begun().is_none() {
            self.out.zip.start_own(BLOCKS, u64::MAX).map_err(failed)?;
        }
        self.written.push(self.out.frame(&frame.packed).map_err(failed)?);
        self.crc.combine(&frame.crc);
        self.plain += frame.plain.len() as u64;
        frame.plain.clear();
        frame.packed.clear();
        frame.crc.reset();
        self.spare.push(frame);
        Ok(())
    }

    /// Moves to the manifest what waits for no frame.
    fn settle(&mut self) -> Result<(), PackError> {
        while let Some(listed) = self.listing.pop_front() {
            match listed {
                Listed::Entry(entry, stamp) => self.out.manifest.entry(&entry, stamp),
                Listed::Content(item) => self.out.content(&item),
                Listed::New { hash, at, len } => {
                    let Some(frame) = self.written.get(at.frame as usize) else {
                        self.listing.push_front(listed);
                        return Ok(());
                    };
                    self.out.manifest.block(&Stored { hash, frame: *frame, place: at.place }, len)
                }
            }
            .map_err(failed)?;
        }
        Ok(())
    }
}

fn failed(source: io::Error) -> PackError {
    PackError::Write { path: BLOCKS.to_owned(), source }
}
