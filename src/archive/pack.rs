//! Packs a state into a backup's zip, in one pass, full or going on from the backup before.
//!
//! Whoever walks the state hands its entries to the [`Packer`], which reads their contents into chunks. Workers hash and
//! compress chunks, a thread of its own assembles them in order. Chunks and frames go round, so the memory of a backup
//! depends on the number of workers. What names each file and block is in spools. Only an incremental backup that reads
//! something has all blocks of the backup before in memory, by some 70 bytes each. What is written does not depend on the
//! number of workers. A thread that fails or dies ends them all: each notices at
//! its next chunk, and the caller of the packer gets the reason. Dropping the packer gives the backup up.

mod background;
mod base;
mod chunk;
mod error;
mod full;
mod inbox;
mod increment;
mod index;
mod left;
mod output;
mod work;

use std::{
    io::{self, Read},
    mem,
    num::NonZeroUsize,
    ops::Range,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
};

pub use base::Base;
pub use error::PackError;
pub use left::{Grown, Left, Mark, Out, Use};

use super::{
    block::BlockSize,
    manifest::{Item, Member},
    order::Order,
    timing::timed,
};
use crate::{
    domain::{Entry, EntryKind},
    job::{Meter, Stage},
    spool::Spools,
};
use base::Follower;
use chunk::{Chunk, Content, Done, Job, Part};
use full::Full;
use inbox::Inbox;
use increment::Increment;
use left::Resumed;
use output::Output;
use work::{Crew, Lookup};

/// The name below which a zip holds what is ours; no state may have it at its root.
const OWN: &str = ".fabric-backup";
const MANIFEST: &str = ".fabric-backup/manifest";
const BLOCKS: &str = ".fabric-backup/blocks";

/// zstd's, if nothing else is said.
pub const COMPRESSION_LEVEL: i32 = 1;
/// More workers than this would not be faster than a disk, and each has its share of memory.
const MOST_WORKERS: usize = 8;

/// How a state is packed.
#[derive(Debug, Clone)]
pub struct Packing {
    /// That of the chain.
    pub block_size: BlockSize,
    /// The backup to go on from; none for a full one.
    pub base: Option<Base>,
    /// What an earlier packer of the same backup left; the zip goes on behind it.
    pub left: Option<Left>,
    /// How hard zstd tries.
    pub level: i32,
    /// How many threads hash and compress.
    pub workers: usize,
    /// Where the manifest and the zip's directory are until they are written.
    pub spools: Spools,
}

impl Packing {
    /// A full backup.
    pub fn full(block_size: BlockSize) -> Self {
        let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MOST_WORKERS);
        Self { block_size, base: None, left: None, level: COMPRESSION_LEVEL, workers, spools: Spools::in_memory() }
    }

    /// A backup of what changed since another one.
    pub fn after(base: Base) -> Self {
        let block_size = base.block_size();
        Self { base: Some(base), ..Self::full(block_size) }
    }

    /// Whether a packer would go on where that one was cut off: it has the same blocks of the same backups before.
    pub fn fits(&self, left: &Left) -> bool {
        let members: &[Member] = self.base.as_ref().map_or(&[], |base| base.members());
        left.block_size() == self.block_size && left.members() == members
    }
}

/// What came of packing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Length of the zip.
    pub zip_len: u64,
    /// Where the compressed manifest starts in it.
    pub manifest_offset: u64,
    /// Its compressed length.
    pub manifest_len: u64,
    /// BLAKE3-256 of the compressed manifest.
    pub manifest_hash: [u8; 32],
    /// The length of all files together.
    pub plain_bytes: u64,
    /// What the frames of this backup take.
    pub stored_bytes: u64,
    /// How many regular files there are.
    pub files: u64,
    /// The chain's block size.
    pub block_size: BlockSize,
}

/// Packs one state.
pub struct Packer<W> {
    order: Order,
    /// What is gathered for the workers.
    chunk: Option<Box<Chunk>>,
    number: u64,
    frame: usize,
    spare: Receiver<Box<Chunk>>,
    jobs: Sender<Job>,
    crew: Crew,
    earlier: Option<Earlier>,
    left: Option<Resumed>,
    assembly: Option<Assembly<W>>,
    _lifeline: Lifeline,
}

type Assembly<W> = JoinHandle<Result<(Packed, W), PackError>>;

/// The backup before, beside the walk.
struct Earlier {
    base: Base,
    files: Follower,
    known: Lookup,
}

impl Earlier {
    fn of(base: &Base) -> Result<Self, PackError> {
        let files = base.follow().map_err(PackError::Base)?;
        Ok(Self { base: base.clone(), files, known: Lookup::default() })
    }
}

/// Tells the assembler that no more chunks come, if it did not get the last one.
struct Lifeline(Sender<Done>);

impl Drop for Lifeline {
    fn drop(&mut self) {
        // Without an assembler there is nobody to tell.
        let _ = self.0.send(Done::Stopped);
    }
}

impl<W: Out + Send + 'static> Packer<W> {
    /// Starts a backup, and the threads that make it.
    pub fn start(out: W, packing: &Packing, meter: Arc<Meter>) -> Result<Self, PackError> {
        let earlier = packing.base.as_ref().map(Earlier::of).transpose()?;
        let is_full = packing.base.is_none();
        let left = packing.left.as_ref().map(|left| left.follow(is_full)).transpose().map_err(PackError::Left)?;
        let begun = packing.left.as_ref().and_then(|left| left.mark.open);
        let ((jobs, todo), (done, results)) = (mpsc::channel(), mpsc::channel());
        let (back, spare) = mpsc::channel();
        let chunks = 2 * packing.workers + 2;
        (0..chunks).try_for_each(|_| back.send(Box::default())).map_err(|_| PackError::Stopped)?;
        let out = Output::new(out, packing, meter.clone())?;
        let body = match &packing.base {
            None => Body::Full(Full::new(out, begun).into()),
            Some(_) => Body::Increment(Increment::new(out, jobs.clone(), chunks, begun).into()),
        };
        let run = move || assemble(body, Inbox::new(results), &back);
        let assembly = background::spawn("pack-assembler", run);
        Ok(Self {
            order: Order::default(),
            chunk: None,
            number: 0,
            frame: packing.block_size.frame() as usize,
            spare,
            jobs,
            crew: Crew {
                packing: packing.clone(),
                known: earlier.as_ref().map(|earlier| earlier.known.clone()),
                meter,
                jobs: Arc::new(Mutex::new(todo)),
                done: done.clone(),
                size: 0,
            },
            earlier,
            left,
            assembly: Some(assembly.map_err(PackError::Start)?),
            _lifeline: Lifeline(done),
        })
    }

    /// Adds the next entry of a depth-first walk. `content` is read only if it is a file, and then to its end.
    pub fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), PackError> {
        self.stamped(entry, 0, content)
    }

    /// The same, for a source that can tell by a stamp, which is not 0, whether a file is still the same.
    pub fn stamped(&mut self, entry: &Entry, stamp: u64, content: &mut dyn Read) -> Result<(), PackError> {
        self.list(entry, stamp)?;
        match entry.kind {
            EntryKind::Directory | EntryKind::Symlink { .. } => Ok(()),
            EntryKind::File { len } => self.content(entry.path.as_str(), 0..len, content),
        }
    }

    /// How many bytes of a file are packed already, if an earlier packer was cut off in the middle of it.
    pub fn begun(&mut self, entry: &Entry, stamp: u64) -> Result<Option<u64>, PackError> {
        let Some(left) = &mut self.left else { return Ok(None) };
        left.begun(entry, stamp).map_err(PackError::Left)
    }

    /// Adds the rest of a file after what [`Self::begun`] said, from `content`.
    pub fn rest(&mut self, entry: &Entry, stamp: u64, done: u64, content: &mut dyn Read) -> Result<(), PackError> {
        self.admit(entry)?;
        self.put(Part::Begun(entry.clone(), stamp), 0)?;
        let mut left = self.left.take().ok_or(PackError::Stopped)?;
        while let Some(item) = left.content().map_err(PackError::Left)?
            && offset_of(&item) < done
        {
            self.put(Part::Kept(item), 0)?;
        }
        let EntryKind::File { len } = entry.kind else { return Ok(()) };
        self.content(entry.path.as_str(), done..len, content)
    }

    /// Adds the next entry as an earlier packer left it, or as the backup before has it if that has a file with that stamp.
    /// If neither, nothing is added.
    pub fn kept(&mut self, entry: &Entry, stamp: u64) -> Result<bool, PackError> {
        Ok(self.left(entry, stamp)? || self.kept_from_base(entry, stamp)?)
    }

    fn left(&mut self, entry: &Entry, stamp: u64) -> Result<bool, PackError> {
        let Some(left) = &mut self.left else { return Ok(false) };
        if !left.has(entry, stamp).map_err(PackError::Left)? {
            return Ok(false);
        }
        let record = left.record().map_err(PackError::Left)?;
        self.admit(entry)?;
        let again = |record| Part::Again(entry.clone(), stamp, record);
        self.put(record.map_or_else(|| Part::Entry(entry.clone(), stamp), again), 0)?;
        while let Some(left) = &mut self.left
            && let Some(content) = left.content().map_err(PackError::Left)?
        {
            self.put(Part::Kept(content), 0)?;
        }
        Ok(true)
    }

    fn kept_from_base(&mut self, entry: &Entry, stamp: u64) -> Result<bool, PackError> {
        let Some(earlier) = &mut self.earlier else { return Ok(false) };
        if !earlier.files.has(entry, stamp).map_err(PackError::Base)? {
            return Ok(false);
        }
        self.list(entry, stamp)?;
        while let Some(earlier) = &mut self.earlier
            && let Some(content) = earlier.files.content().map_err(PackError::Base)?
        {
            self.put(Part::Kept(content), 0)?;
        }
        Ok(true)
    }

    /// Waits until all is written; answers the writer too.
    pub fn finish(mut self) -> Result<(Packed, W), PackError> {
        self.room(0)?.is_last = true;
        self.hand_over()?;
        self.end()
    }

    fn list(&mut self, entry: &Entry, stamp: u64) -> Result<(), PackError> {
        self.admit(entry)?;
        if let Some(left) = &mut self.left {
            left.is_untouched = false;
        }
        self.put(Part::Entry(entry.clone(), stamp), 0)
    }

    fn admit(&mut self, entry: &Entry) -> Result<(), PackError> {
        let path = entry.path.as_str();
        if path.split('/').next() == Some(OWN) {
            return Err(PackError::Reserved(path.to_owned()));
        }
        Ok(self.order.admit(entry)?)
    }

    /// Reads exactly the bytes of this range, which must be all that are left.
    fn content(&mut self, path: &str, range: Range<u64>, content: &mut dyn Read) -> Result<(), PackError> {
        let read = |source| PackError::Read { path: path.to_owned(), source };
        let changed = || PackError::Length { path: path.to_owned(), expected: range.end };
        self.look_up()?;
        let mut left = range.end - range.start;
        while left > 0 {
            let piece = usize::try_from(left).unwrap_or(usize::MAX).min(self.frame);
            let meter = self.crew.meter.clone();
            let room = self.room(piece)?;
            if !timed(&meter, Stage::Read, || fill(room, piece, content)).map_err(read)? {
                return Err(changed());
            }
            left -= piece as u64;
        }
        if content.read(&mut [0]).map_err(read)? > 0 { Err(changed()) } else { Ok(()) }
    }

    /// Before anything is read: whoever reads nothing need not know all blocks of the backup before.
    fn look_up(&self) -> Result<(), PackError> {
        let Some(earlier) = &self.earlier else { return Ok(()) };
        if earlier.known.get().is_none() {
            let mut known = earlier.base.index().map_err(PackError::Base)?;
            if let Some(left) = &self.crew.packing.left {
                left.index(&mut known).map_err(PackError::Left)?;
            }
            // Nobody else sets it.
            let _ = earlier.known.set(known);
        }
        Ok(())
    }

    fn put(&mut self, part: Part, bytes: usize) -> Result<(), PackError> {
        self.room(bytes)?.parts.push(part);
        Ok(())
    }

    /// A chunk that so much fits in.
    fn room(&mut self, bytes: usize) -> Result<&mut Chunk, PackError> {
        if self.chunk.as_ref().is_some_and(|chunk| !chunk.has_room(bytes, self.frame)) {
            self.hand_over()?;
        }
        if self.chunk.is_none() {
            let Ok(chunk) = self.spare.recv() else { return Err(self.failure()) };
            self.chunk = Some(chunk);
        }
        let chunk = self.chunk.as_mut().ok_or(PackError::Stopped)?;
        if bytes > 0 {
            chunk.plain.resize(self.frame, 0);
        }
        Ok(chunk)
    }

    fn hand_over(&mut self) -> Result<(), PackError> {
        let Some(mut chunk) = self.chunk.take() else { return Ok(()) };
        chunk.number = self.number;
        chunk.is_past_left = self.left.as_ref().is_none_or(Resumed::is_over);
        self.number += 1;
        self.crew.grow().map_err(PackError::Start)?;
        self.jobs.send(Job::Chunk(chunk)).map_err(|_| self.failure())
    }

    /// What ended the threads.
    fn failure(&mut self) -> PackError {
        self.end().err().unwrap_or(PackError::Stopped)
    }

    fn end(&mut self) -> Result<(Packed, W), PackError> {
        let assembly = self.assembly.take().ok_or(PackError::Stopped)?;
        assembly.join().unwrap_or(Err(PackError::Stopped))
    }
}

/// Reads so many bytes of a file; false if there are fewer.
fn fill(chunk: &mut Chunk, len: usize, content: &mut dyn Read) -> io::Result<bool> {
    let room = &mut chunk.plain[chunk.used..chunk.used + len];
    match content.read_exact(room) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        read => read?,
    }
    chunk.used += len;
    let len = u32::try_from(len).map_err(io::Error::other)?;
    chunk.parts.push(Part::Content(Content { len, crc: crc32fast::Hasher::new(), packed: 0 }));
    Ok(true)
}

/// Where in its file the content is.
fn offset_of(item: &Item) -> u64 {
    match item {
        Item::Block { offset, .. } | Item::Hole { offset, .. } => *offset,
        Item::Entry(_) => 0,
    }
}

/// What the assembler makes.
enum Body<W> {
    Full(Box<Full<W>>),
    Increment(Box<Increment<W>>),
}

/// Everything that happens on the assembler's thread.
fn assemble<W: Out>(mut body: Body<W>, mut inbox: Inbox, back: &Sender<Box<Chunk>>) -> Result<(Packed, W), PackError> {
    let mut is_last = false;
    while !is_last {
        let mut chunk = inbox.chunk()?;
        match &mut body {
            Body::Full(full) => full.take(&mut chunk)?,
            Body::Increment(increment) => increment.take(&mut chunk, &mut inbox)?,
        }
        is_last = mem::take(&mut chunk.is_last);
        if chunk.is_past_left {
            match &mut body {
                Body::Full(full) => full.mark(),
                Body::Increment(increment) => increment.mark(),
            }
            .map_err(|source| PackError::Write { path: MANIFEST.to_owned(), source })?;
        }
        chunk.clear();
        // The reader may have ended; then it wants none.
        let _ = back.send(chunk);
    }
    match body {
        Body::Full(full) => full.finish()?,
        Body::Increment(increment) => increment.finish(&mut inbox)?,
    }
    .finish()
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
