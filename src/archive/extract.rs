//! Restores a backup in one pass: fetches ahead, verifies every block, and hands the tree to a [`Sink`].
//!
//! Owns the way from storage to sink, not what the sink does. A byte reaches the sink only after the hash of its block was
//! right; holes are not written. Three stages, each waiting for the next: one thread reads the manifest, announces the
//! entries to the sink and plans (`feed`, `windows`); windows are fetched beside each other, in no order; each is unpacked,
//! verified and written by one of a few more threads than there are cores (`unpack`). A window with everything that it gives is
//! one hand-over, so that many small files cost few. What is held at once is bounded by [`HELD`] and does not grow with
//! the backup or its chain.
//!
//! Dropping the future stops every thread at its next block or entry. The sink is dropped, or comes back, only when all
//! its files are gone: nothing is still written to what it owns.

mod feed;
mod unpack;

use std::{
    convert::Infallible,
    num::NonZero,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread::available_parallelism,
};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::{
    sync::{Semaphore, mpsc},
    task::spawn_blocking,
};

use super::{
    block::{BlockSize, Decompressor, longest_frame},
    manifest::{Frame, Stored},
    names::Keys,
    read::{Archive, ReadError, of_zip},
    timing::called,
    windows::{Batch, MOST, Step, Window},
};
use crate::domain::{Entry, Location};
use crate::job::{Meter, Stage};
use crate::storage::Storage;
use feed::Feed;

/// How many windows are fetched while others are worked on.
const AHEAD: u64 = 2;
/// More threads than this wait for the storage.
const MOST_THREADS: u64 = 8;
/// How many threads there are besides one a core: some wait for the sink's disk.
const WAITING: u64 = 2;
/// How many bytes of windows, and as many of unpacked frames, are held at once, but always those of one.
const HELD: u64 = 48 << 20;

/// Where a restored tree goes. Blocking; all calls come from one thread.
pub trait Sink: Send + 'static {
    /// Why it failed.
    type Error: std::error::Error + Send + 'static;
    /// A file being written.
    type File: SinkFile<Error = Self::Error>;

    /// A directory; what is in it follows. Entries come in the order of a depth-first walk.
    fn directory(&mut self, entry: &Entry) -> Result<(), Self::Error>;
    /// A symbolic link.
    fn symlink(&mut self, entry: &Entry) -> Result<(), Self::Error>;
    /// A file of the entry's length, all zero until it is written to. Many are announced before the first is written,
    /// so it should take nothing that is scarce.
    fn file(&mut self, entry: &Entry) -> Result<Self::File, Self::Error>;
    /// A directory whose files, and those of all others, are finished. Comes for each directory, in the same order.
    fn complete(&mut self, entry: &Entry) -> Result<(), Self::Error>;
}

/// A file of a [`Sink`]. It may be written to from several threads, each byte once, and is then finished.
pub trait SinkFile: Send + Sync + 'static {
    /// Why it failed.
    type Error: std::error::Error + Send + 'static;

    /// Writes verified bytes.
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), Self::Error>;
    /// It is not written to for a while: what is scarce may be given back until then.
    fn rest(&self) {}
    /// The file is complete.
    fn finish(self) -> Result<(), Self::Error>;
}

/// Why a backup was not restored. `E` is the sink's error.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError<E: std::error::Error + 'static> {
    /// The sink failed.
    #[error(transparent)]
    Sink(E),
    /// The backup cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A block is not what was backed up.
    #[error("the backup '{backup}' is damaged: byte {offset} of '{file}' cannot be restored, {why}")]
    Damaged {
        /// Which backup of the chain holds the block.
        backup: Location,
        /// Whose block it is.
        file: String,
        /// Where the block starts in the file.
        offset: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nobody waits for the restore any more, or a thread of it died.
    #[error("the restore stopped before its end")]
    Stopped,
}

/// A block that is not what was backed up.
#[derive(Debug)]
pub(super) struct Damage {
    /// As [`Frame::member`].
    pub(super) member: u32,
    pub(super) file: String,
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) why: &'static str,
}

/// What every verified or damaged block is told to. Damage that is answered ends the restore.
pub(super) trait Judge: Send + Sync + 'static {
    fn sound(&self, len: u32);
    fn damaged(&self, damage: Damage) -> Option<Damage>;
    /// Whether a zip that is not there is damage too, and no error.
    fn goes_on(&self) -> bool;
}

/// Nothing that is damaged is restored.
struct Strict;

impl Judge for Strict {
    fn sound(&self, _: u32) {}

    fn damaged(&self, damage: Damage) -> Option<Damage> {
        Some(damage)
    }

    fn goes_on(&self) -> bool {
        false
    }
}

impl Archive {
    /// Hands everything in the backup to the sink, and answers the sink.
    pub async fn extract<S: Sink>(&self, sink: S, meter: Arc<Meter>) -> Result<S, ExtractError<S::Error>> {
        self.extract_as(sink, meter, Strict).await
    }

    /// The same, with another judge of what is damaged.
    pub(super) async fn extract_as<S: Sink>(
        &self,
        sink: S,
        meter: Arc<Meter>,
        judge: impl Judge,
    ) -> Result<S, ExtractError<S::Error>> {
        meter.begin(self.content().files, self.content().plain_bytes);
        let lifeline = Arc::new(());
        let job = Arc::new(Job {
            storage: self.storage.clone(),
            backups: self.backups(),
            block_size: self.manifest.block_size(),
            meter,
            judge: Box::new(judge),
            unpackers: Mutex::default(),
            wanted: Arc::downgrade(&lifeline),
        });
        let (batches, planned) = mpsc::channel(1);
        let feed = Feed::new(sink, Arc::clone(&job), batches);
        let manifest = self.manifest.clone();
        let feeding = spawn_blocking(move || feed.run(&manifest));
        let moved = job.move_all(planned).await;
        let lifeline = moved.is_ok().then_some(lifeline);
        let kept = feeding.await.unwrap_or(Err(ExtractError::Stopped));
        drop(lifeline);
        // If both failed, the feeding only stopped because of the other.
        moved.and(kept)
    }

    /// The backups that [`Frame::member`] counts.
    pub(super) fn backups(&self) -> Vec<Location> {
        let members = self.manifest.members().iter().map(|member| member.location.clone());
        std::iter::once(self.point().location.clone()).chain(members).collect()
    }
}

/// A file of the sink. Whoever lets go of it last finishes it.
struct Open<F> {
    path: String,
    file: F,
}

/// A block, and where it goes.
struct Block<F> {
    file: Arc<Open<F>>,
    folder: u64,
    offset: u64,
    len: u32,
    stored: Stored,
}

impl<F> Step for Block<F> {
    fn frame(&self) -> Frame {
        self.stored.frame
    }

    fn plain(&self) -> u64 {
        self.len.into()
    }

    fn folder(&self) -> u64 {
        self.folder
    }
}

/// A window to be fetched.
struct Planned<F> {
    batch: Batch<Block<F>>,
    /// Tells the sink's thread when it is gone.
    _busy: mpsc::Sender<Infallible>,
}

/// What all threads of one restore know.
struct Job {
    storage: Storage,
    backups: Vec<Location>,
    block_size: BlockSize,
    meter: Arc<Meter>,
    judge: Box<dyn Judge>,
    /// Those that nobody uses at the moment.
    unpackers: Mutex<Vec<Decompressor>>,
    /// Gone when nobody waits for the result.
    wanted: Weak<()>,
}

impl Job {
    fn is_wanted(&self) -> bool {
        self.wanted.strong_count() > 0
    }

    /// Fetches and unpacks until nothing more is planned or something fails.
    async fn move_all<F: SinkFile>(
        self: &Arc<Self>,
        planned: mpsc::Receiver<Planned<F>>,
    ) -> Result<(), ExtractError<F::Error>> {
        let threads = self.threads();
        let turns = Semaphore::new(usize::try_from(threads).unwrap_or(1));
        let window = MOST.max(longest_frame(self.block_size.frame()).into());
        let held = (HELD / window).clamp(1, AHEAD + threads);
        let moved = each(planned).map(|planned| self.move_one(planned, &turns));
        moved.buffer_unordered(usize::try_from(held).unwrap_or(1)).try_collect().await
    }

    /// As many as keep the cores busy, and there is room for what they unpack.
    fn threads(&self) -> u64 {
        let cores = available_parallelism().map_or(1, NonZero::get) as u64;
        (cores + WAITING).min(MOST_THREADS).min(HELD / u64::from(self.block_size.frame())).max(1)
    }

    async fn move_one<F: SinkFile>(
        self: &Arc<Self>,
        planned: Planned<F>,
        turns: &Semaphore,
    ) -> Result<(), ExtractError<F::Error>> {
        let bytes = self.fetch(&planned.batch.window).await?;
        let _turn = turns.acquire().await;
        let job = Arc::clone(self);
        let unpacking = spawn_blocking(move || unpack::unpack(&job, planned, &bytes));
        unpacking.await.unwrap_or(Err(ExtractError::Stopped))
    }

    async fn fetch(&self, window: &Window) -> Result<Bytes, ReadError> {
        let backup = &self.backups[window.member as usize];
        let key = Keys::of(backup)?.zip;
        let bytes = called(&self.meter, Stage::Read, self.storage.get_range(&key, window.range.clone())).await;
        match bytes.map_err(|error| of_zip(backup, error)) {
            Err(ReadError::Missing(_)) if self.judge.goes_on() => Ok(Bytes::new()),
            Err(error) => Err(error),
            Ok(bytes) => {
                self.meter.stored(bytes.len() as u64);
                Ok(bytes)
            }
        }
    }

    /// Tells of damage; an error if that is the end.
    fn damaged<E: std::error::Error>(&self, damage: Damage) -> Result<(), ExtractError<E>> {
        let Some(Damage { member, file, offset, why, .. }) = self.judge.damaged(damage) else { return Ok(()) };
        Err(ExtractError::Damaged { backup: self.backups[member as usize].clone(), file, offset, why })
    }

    /// Lets go of a file; finishes it if nobody else has it.
    fn release<F: SinkFile>(&self, file: Arc<Open<F>>) -> Result<(), ExtractError<F::Error>> {
        if Arc::strong_count(&file) > 1 {
            file.file.rest();
        }
        let Some(open) = Arc::into_inner(file) else { return Ok(()) };
        open.file.finish().map_err(ExtractError::Sink)?;
        self.meter.file();
        Ok(())
    }

    fn unpacker(&self) -> std::io::Result<Decompressor> {
        let idle = self.unpackers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| Decompressor::new(self.block_size), Ok)
    }

    fn put_back(&self, unpacker: Decompressor) {
        self.unpackers.lock().unwrap_or_else(PoisonError::into_inner).push(unpacker);
    }
}

fn each<T>(receiver: mpsc::Receiver<T>) -> impl Stream<Item = T> {
    stream::unfold(receiver, async |mut receiver| receiver.recv().await.map(|item| (item, receiver)))
}

#[cfg(test)]
#[path = "extract_tests.rs"]
mod tests;
