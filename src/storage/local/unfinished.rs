use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Answer, Directory, Secured, StorageError, UNFINISHED, Upload, finished, is_absence, refuse_links};
use crate::{disk::Output, storage::key};

/// A file that nobody has written to for so long belongs to a process that died.
const ABANDONED: TimeDelta = TimeDelta::days(1);

/// A file on its way to becoming an object.
pub(super) struct Unfinished {
    directory: Arc<Directory>,
    key: String,
    target: PathBuf,
    temporary: PathBuf,
    output: Output,
    /// How long it is.
    len: AtomicU64,
    /// Whether the disk lost some of it. The kernel says that once, to whoever syncs first.
    lost: Mutex<bool>,
}

impl Unfinished {
    /// Makes the directories on the way.
    pub(super) fn start(directory: &Arc<Directory>, key: &str) -> io::Result<Self> {
        let target = directory.path.join(key);
        let parent = target.parent().unwrap_or(&directory.path);
        directory.make(parent)?;
        refuse_links(parent)?;
        let (temporary, file) = directory.fresh_file(parent, &unfinished_of(&target))?;
        let (directory, key) = (Arc::clone(directory), key.to_owned());
        Ok(Self {
            directory,
            key,
            target,
            temporary,
            output: Output::new(file),
            len: AtomicU64::new(0),
            lost: Mutex::default(),
        })
    }

    /// The file of that name, cut to that length; none if it is not there, or is shorter.
    pub(super) fn find(directory: &Arc<Directory>, key: &str, name: &str, len: u64) -> io::Result<Option<Self>> {
        let target = directory.path.join(key);
        let parent = target.parent().unwrap_or(&directory.path);
        let temporary = parent.join(name);
        if !name.starts_with(&unfinished_of(&target)) || temporary.parent() != Some(parent) {
            return Ok(None);
        }
        // Before opening: opening a pipe could wait for ever.
        let facts = match refuse_links(parent).and_then(|()| fs::symlink_metadata(&temporary)) {
            Err(error) if is_absence(&error) => return Ok(None),
            facts => facts?,
        };
        if !facts.is_file() || facts.len() < len {
            return Ok(None);
        }
        let file = OpenOptions::new().write(true).open(&temporary)?;
        file.set_len(len)?;
        let (directory, key) = (Arc::clone(directory), key.to_owned());
        let (output, len) = (Output::new(file), AtomicU64::new(len));
        Ok(Some(Self { directory, key, target, temporary, output, len, lost: Mutex::default() }))
    }

    /// Removes what writers that died left beside it.
    pub(super) fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.parent())? {
            let entry = entry?;
            let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(UNFINISHED));
            if ours && entry.path() != self.temporary && self.directory.is_abandoned(&entry) {
                // Another writer may be sweeping too.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    fn parent(&self) -> &Path {
        self.target.parent().unwrap_or(&self.directory.path)
    }

    /// From one thread at a time.
    pub(super) fn append(&self, data: &[u8]) -> io::Result<()> {
        let start = self.len.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.output.write_at(data, start)
    }

    /// Makes what was written so far durable, its name with it.
    fn secure(&self) -> io::Result<()> {
        self.sync(File::sync_data)?;
        sync(self.parent())
    }

    fn sync(&self, how: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if *lost {
            return Err(io::Error::other("the disk lost some of it earlier"));
        }
        how(self.output.file()).inspect_err(|_| *lost = true)
    }

    fn name(&self) -> String {
        self.temporary.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Makes it an object, durably.
    pub(super) fn finish(&self) -> io::Result<()> {
        self.sync(File::sync_all)?;
        rename_new(&self.temporary, &self.target)?;
        sync(self.parent())
    }

    /// Harmless once it is an object: its temporary name is gone then.
    pub(super) fn discard(&self) {
        // A failure leaves a file that no listing shows and that a later writer sweeps.
        let _ = fs::remove_file(&self.temporary);
    }
}

impl Directory {
    /// Makes `directory` and what is missing above it, but never the base: an unmounted share must not be filled.
    fn make(&self, directory: &Path) -> io::Result<()> {
        if directory.is_dir() {
            return Ok(());
        }
        let Some(parent) = directory.parent().filter(|_| directory != self.base) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        self.make(parent)?;
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            // Also when another writer made it a moment ago and has not synced it yet.
            _ => sync(parent),
        }
    }

    pub(super) fn fresh_file(&self, parent: &Path, prefix: &str) -> io::Result<(PathBuf, File)> {
        loop {
            let path = parent.join(format!("{prefix}{}", self.clock.uuid()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => return Ok((path, opened?)),
            }
        }
    }

    fn is_abandoned(&self, entry: &fs::DirEntry) -> bool {
        let written = entry.metadata().and_then(|facts| facts.modified()).map(DateTime::<Utc>::from);
        written.is_ok_and(|written| self.clock.now() - written > ABANDONED)
    }
}

/// How the names begin under which an object is written before it has its own.
fn unfinished_of(target: &Path) -> String {
    key::unfinished_of(target.file_name().unwrap_or_default().as_encoded_bytes())
}

/// Removes what writers that died left of an object that was never finished. A writer that is alive loses its file and
/// fails when it finishes.
pub(super) fn remove_unfinished(target: &Path) -> io::Result<()> {
    let prefix = unfinished_of(target);
    for entry in fs::read_dir(target.parent().unwrap_or(target))? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

pub(super) fn sync(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        // Some network file systems have no sync for directories.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

/// Renames without ever replacing.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => link_new(from, to),
        renamed => Ok(renamed?),
    }
}

/// The same for file systems that cannot rename so.
pub(super) fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

/// One part is written while the next is gathered.
pub(super) struct LocalUpload {
    unfinished: Arc<Unfinished>,
    writing: Option<JoinHandle<Result<(), StorageError>>>,
    /// Somebody may go on with it after a crash, and dropping it is as good as one.
    secured: bool,
}

impl LocalUpload {
    pub(super) fn new(unfinished: Unfinished) -> Self {
        Self { unfinished: Arc::new(unfinished), writing: None, secured: false }
    }

    pub(super) fn resumed(unfinished: Unfinished) -> Self {
        Self { unfinished: Arc::new(unfinished), writing: None, secured: true }
    }

    fn on_a_thread(
        &self,
        work: impl FnOnce(&Unfinished) -> io::Result<()> + Send + 'static,
    ) -> JoinHandle<Result<(), StorageError>> {
        let unfinished = Arc::clone(&self.unfinished);
        spawn_blocking(move || {
            work(&unfinished).map_err(|error| unfinished.directory.explain("write", &unfinished.key, error))
        })
    }

    async fn settle(&mut self) -> Result<(), StorageError> {
        match self.writing.as_mut() {
            None => Ok(()),
            Some(writing) => {
                let written = finished(writing.await);
                self.writing = None;
                written
            }
        }
    }
}

impl Upload for LocalUpload {
    fn write(&mut self, part: Bytes) -> Answer<'_, ()> {
        async move {
            self.settle().await?;
            self.writing = Some(self.on_a_thread(move |unfinished| unfinished.append(&part)));
            Ok(())
        }
        .boxed()
    }

    fn secure(&mut self) -> Answer<'_, Option<Secured>> {
        async move {
            self.settle().await?;
            self.secured = true;
            let (synced, name) = (self.on_a_thread(Unfinished::secure), self.unfinished.name());
            let secured = async move { finished(synced.await).map(|()| name) };
            Ok(Some(secured.boxed()))
        }
        .boxed()
    }

    fn finish(mut self: Box<Self>) -> Answer<'static, ()> {
        async move {
            self.secured = false;
            self.settle().await?;
            finished(self.on_a_thread(Unfinished::finish).await)
        }
        .boxed()
    }

    fn abort(mut self: Box<Self>) -> Answer<'static, ()> {
        async move {
            self.secured = false;
            // Whether the last part could be written no longer matters.
            let _ = self.settle().await;
            Ok(())
        }
        .boxed()
    }
}

impl Drop for LocalUpload {
    fn drop(&mut self) {
        if !self.secured {
            self.unfinished.discard();
        }
    }
}
