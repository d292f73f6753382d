//! Restores a backup in one pass: fetches ahead, verifies every block, and hands the tree to a [`Sink`].
//!
//! Owns the way from storage to sink, not what the sink does. A byte reaches the sink only after the hash of its block was
//! right; holes are not written. At most [`AHEAD`] windows are under way and three wait or are in use, whatever the size of the backup.
//! Dropping the future stops the thread that feeds the sink at its next entry or window.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    block::Decompressor,
    manifest::{Frame, Item, Items, ManifestError, Stored},
    names::Keys,
    read::{Archive, ReadError, of_zip},
    windows::{Window, Windows},
};
use crate::domain::{Entry, EntryKind, Location};
use crate::storage::Storage;

/// How many windows are fetched at the same time.
const AHEAD: usize = 3;

/// Where a restored tree goes. Blocking; everything is called on one thread, in the order of a depth-first walk.
pub trait Sink: Send + 'static {
    /// Why it failed.
    type Error: std::error::Error + Send + 'static;
    /// A file being written.
    type File: SinkFile<Error = Self::Error>;

    /// A directory; what is in it follows.
    fn directory(&mut self, entry: &Entry) -> Result<(), Self::Error>;
    /// A symbolic link.
    fn symlink(&mut self, entry: &Entry) -> Result<(), Self::Error>;
    /// A file of the entry's length, all zero until it is written to.
    fn file(&mut self, entry: &Entry) -> Result<Self::File, Self::Error>;
}

/// A file of a [`Sink`].
pub trait SinkFile {
    /// Why it failed.
    type Error;

    /// Writes verified bytes; offsets grow.
    fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<(), Self::Error>;
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

impl Archive {
    /// Hands everything in the backup to the sink, and answers the sink.
    pub async fn extract<S: Sink>(&self, sink: S) -> Result<S, ExtractError<S::Error>> {
        let unusable = |source| ReadError::Manifest { location: self.point().location.clone(), source };
        let windows = Windows::new(self.manifest.items().map_err(unusable)?);
        let items = self.manifest.items().map_err(unusable)?;
        let backups = Arc::new(self.backups());
        let lifeline = Arc::new(());
        let (fetched, receiver) = mpsc::channel(1);
        let feed = Feed {
            sink,
            windows: receiver,
            window: None,
            unpacker: Decompressor::new(self.manifest.block_size()).map_err(|_| ExtractError::Stopped)?,
            unpacked: Frame::default(),
            backups: Arc::clone(&backups),
            wanted: Arc::downgrade(&lifeline),
        };
        let feeding = spawn_blocking(move || feed.run(items));
        fetch_all(fetch_ahead(self.storage.clone(), backups, plan(windows)), fetched).await;
        let result = feeding.await.unwrap_or(Err(ExtractError::Stopped));
        drop(lifeline);
        result
    }

    /// The backups that [`Frame::member`] counts.
    fn backups(&self) -> Vec<Location> {
        let members = self.manifest.members().iter().map(|member| member.location.clone());
        std::iter::once(self.point().location.clone()).chain(members).collect()
    }
}

type Fetched = Result<(Window, Bytes), ReadError>;

/// Reads the manifest on a thread of its own, only as far ahead as somebody takes windows.
fn plan(windows: Windows) -> mpsc::Receiver<Window> {
    let (sender, planned) = mpsc::channel(AHEAD);
    spawn_blocking(move || {
        for window in windows {
            if sender.blocking_send(window).is_err() {
                return;
            }
        }
    });
    planned
}

fn fetch_ahead(
    storage: Storage,
    backups: Arc<Vec<Location>>,
    planned: mpsc::Receiver<Window>,
) -> impl Stream<Item = Fetched> {
    let planned = stream::unfold(planned, async |mut planned| planned.recv().await.map(|window| (window, planned)));
    planned.map(move |window| fetch(storage.clone(), Arc::clone(&backups), window)).buffered(AHEAD)
}

async fn fetch(storage: Storage, backups: Arc<Vec<Location>>, window: Window) -> Fetched {
    let backup = &backups[window.member as usize];
    let key = Keys::of(backup)?.zip;
    let bytes = storage.get_range(&key, window.range.clone()).await.map_err(|error| of_zip(backup, error))?;
    Ok((window, bytes))
}

/// Passes windows on until they end, one fails, or nobody takes them.
async fn fetch_all(fetched: impl Stream<Item = Fetched>, to: mpsc::Sender<Fetched>) {
    let mut fetched = std::pin::pin!(fetched);
    while let Some(window) = fetched.next().await {
        if to.send(window).await.is_err() {
            return;
        }
    }
}

/// The thread that feeds the sink.
struct Feed<S> {
    sink: S,
    windows: mpsc::Receiver<Fetched>,
    window: Option<(Window, Bytes)>,
    unpacker: Decompressor,
    unpacked: Frame,
    backups: Arc<Vec<Location>>,
    /// Gone when nobody waits for the result.
    wanted: Weak<()>,
}

/// The file being restored.
struct Open<F> {
    path: String,
    file: F,
}

impl<S: Sink> Feed<S> {
    fn run(mut self, items: Items) -> Result<S, ExtractError<S::Error>> {
        let mut open = None;
        for item in items {
            match item.map_err(|source| self.unusable(source))? {
                Item::Entry(entry) => {
                    finish(open.take())?;
                    open = self.entry(&entry)?;
                }
                Item::Block { offset, len, stored } => self.block(&mut open, offset, len, &stored)?,
                Item::Hole { .. } => {}
            }
        }
        finish(open)?;
        Ok(self.sink)
    }

    fn unusable(&self, source: ManifestError) -> ExtractError<S::Error> {
        ReadError::Manifest { location: self.backups[0].clone(), source }.into()
    }

    fn entry(&mut self, entry: &Entry) -> Result<Option<Open<S::File>>, ExtractError<S::Error>> {
        if self.wanted.strong_count() == 0 {
            return Err(ExtractError::Stopped);
        }
        match &entry.kind {
            EntryKind::Directory => self.sink.directory(entry).map(|()| None),
            EntryKind::Symlink { .. } => self.sink.symlink(entry).map(|()| None),
            EntryKind::File { .. } => {
                let path = entry.path.as_str().to_owned();
                self.sink.file(entry).map(|file| Some(Open { path, file }))
            }
        }
        .map_err(ExtractError::Sink)
    }

    fn block(
        &mut self,
        open: &mut Option<Open<S::File>>,
        offset: u64,
        len: u32,
        stored: &Stored,
    ) -> Result<(), ExtractError<S::Error>> {
        let Some(Open { path, file }) = open else { return Err(ExtractError::Stopped) };
        let backup = self.backups[stored.frame.member as usize].clone();
        let damaged = |why| ExtractError::Damaged { backup, file: path.clone(), offset, why };
        self.fetch(stored.frame)?;
        match self.unpack(stored.frame).map(|()| self.unpacker.block(stored.place, len, stored.hash)) {
            Ok(Some(block)) => file.write_at(offset, block).map_err(ExtractError::Sink),
            Ok(None) => Err(damaged("its hash is wrong")),
            Err(why) => Err(damaged(why)),
        }
    }

    /// Takes the next window if the frame does not lie in this one.
    fn fetch(&mut self, frame: Frame) -> Result<(), ExtractError<S::Error>> {
        if !self.window.as_ref().is_some_and(|(window, _)| window.holds(frame)) {
            let next = self.windows.blocking_recv().ok_or(ExtractError::Stopped)??;
            debug_assert!(next.0.holds(frame), "windows are planned from the same manifest");
            self.window = Some(next);
        }
        Ok(())
    }

    /// Unpacks the frame, if it was not the last one that was; or says why that cannot be done.
    fn unpack(&mut self, frame: Frame) -> Result<(), &'static str> {
        if self.unpacked == frame {
            return Ok(());
        }
        self.unpacked = Frame::default();
        let packed = self.window.as_ref().and_then(|(window, bytes)| window.part(bytes, frame));
        let packed = packed.ok_or("the zip ends before its data")?;
        self.unpacker.decompress(packed).map_err(|_| "its data cannot be unpacked")?;
        self.unpacked = frame;
        Ok(())
    }
}

fn finish<F: SinkFile>(open: Option<Open<F>>) -> Result<(), ExtractError<F::Error>>
where
    F::Error: std::error::Error,
{
    open.map_or(Ok(()), |open| open.file.finish()).map_err(ExtractError::Sink)
}

#[cfg(test)]
#[path = "extract_tests.rs"]
mod tests;
