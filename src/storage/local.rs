//! A store in a directory, local or mounted.
//!
//! An object is a file. It is written under a name that no key can have, in the directory where it will lie, synced,
//! and then renamed without replacing, so that a reader sees a whole file or none and of two writers one wins.
//! No symbolic link below the store is ever followed: what somebody else put there cannot lead a key out of it.

mod unfinished;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    ops::Range,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use rustix::{
    buffer::spare_capacity,
    fs::OFlags,
    io::{pread, retry_on_intr},
};

use crate::clock::Clock;

use super::{
    ErrorKind, Object, SpecError, StorageError,
    backend::{Answer, Backend, Secured, Upload},
    key::{UNFINISHED, checked},
    share::Place,
};
use unfinished::{LocalUpload, Unfinished, remove_unfinished, sync};

#[derive(Clone)]
pub(super) struct Local(Arc<Directory>);

struct Directory {
    description: String,
    /// The root or mount that the operator named; never created by us.
    base: PathBuf,
    /// The store itself, without symbolic links; made by the first write.
    path: PathBuf,
    /// Whether another machine's clock may stamp its files.
    mounted: bool,
    clock: Clock,
}

impl Local {
    /// `given` is what the caller called it; nothing is created.
    pub(super) fn open(given: &str, place: &Place, clock: Clock) -> Result<Self, SpecError> {
        let unreadable = |source| SpecError::Unreadable { path: given.to_owned(), source };
        let base = without_links(&place.base).map_err(unreadable)?;
        let path = without_links(&base.join(&place.below)).map_err(unreadable)?;
        if !path.starts_with(&base) {
            return Err(SpecError::LinkedOut { path: given.to_owned(), base: place.base.display().to_string() });
        }
        let description = format!("file share {given}");
        Ok(Self(Arc::new(Directory { description, base, path, mounted: place.mounted, clock })))
    }

    async fn on_a_thread<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &str,
        work: impl FnOnce(&Arc<Directory>, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (directory, key) = (Arc::clone(&self.0), key.to_owned());
        let call = move || work(&directory, &key).map_err(|error| directory.explain(operation, &key, error));
        finished(tokio::task::spawn_blocking(call).await)
    }
}

fn refuse_links(directory: &Path) -> io::Result<()> {
    if fs::canonicalize(directory)? == directory {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, LinkOnTheWay))
}

/// A panic over there goes on here.
fn finished<T>(joined: Result<T, tokio::task::JoinError>) -> T {
    joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// The path with the links resolved in as much of it as there is, and no slash at its end: what ends in one is no file.
fn without_links(path: &Path) -> io::Result<PathBuf> {
    for there in path.ancestors() {
        match fs::canonicalize(there) {
            Ok(real) => {
                let path = real.join(path.strip_prefix(there).unwrap_or(Path::new("")));
                return Ok(path.components().collect());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(path.to_owned())
}

impl Directory {
    /// Where the object of that key lies. The directories on the way are real ones, or this is an error.
    fn place(&self, key: &str) -> io::Result<PathBuf> {
        let path = self.path.join(key);
        refuse_links(path.parent().unwrap_or(&self.path))?;
        Ok(path)
    }

    fn open(&self, key: &str) -> io::Result<File> {
        let path = self.place(key)?;
        // Before opening: opening a pipe could wait for ever.
        if !fs::symlink_metadata(&path)?.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let no_links = i32::try_from(OFlags::NOFOLLOW.bits()).map_err(io::Error::other)?;
        OpenOptions::new().read(true).custom_flags(no_links).open(path)
    }

    fn read(&self, key: &str) -> io::Result<Bytes> {
        let mut data = Vec::new();
        self.open(key)?.read_to_end(&mut data)?;
        Ok(data.into())
    }

    fn read_range(&self, key: &str, range: &Range<u64>) -> io::Result<Bytes> {
        let file = self.open(key)?;
        let end = range.end.min(file.metadata()?.len());
        let len = usize::try_from(end.saturating_sub(range.start)).map_err(io::Error::other)?;
        let mut data = Vec::with_capacity(len);
        while data.len() < len {
            let next = range.start + data.len() as u64;
            if retry_on_intr(|| pread(&file, spare_capacity(&mut data), next))? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        data.truncate(len);
        Ok(data.into())
    }

    fn delete(&self, key: &str) -> io::Result<()> {
        let path = match self.place(key) {
            Err(error) if is_absence(&error) => return Ok(()),
            place => place?,
        };
        match fs::remove_file(&path) {
            Err(error) if is_absence(&error) => remove_unfinished(&path).or_else(unless_absent),
            Err(error) => Err(error),
            Ok(()) => sync(path.parent().unwrap_or(&self.path)),
        }
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<Object>> {
        if !fs::metadata(&self.path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let mut found = Vec::new();
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut waiting = vec![self.path.join(folder)];
        while let Some(directory) = waiting.pop() {
            self.list_one(&directory, prefix, &mut waiting, &mut found).or_else(unless_absent)?;
        }
        Ok(found)
    }

    fn list_one(
        &self,
        directory: &Path,
        prefix: &str,
        waiting: &mut Vec<PathBuf>,
        found: &mut Vec<Object>,
    ) -> io::Result<()> {
        // A trailing slash that an empty folder leaves would not be what canonicalize answers.
        let directory: PathBuf = directory.components().collect();
        refuse_links(&directory)?;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                waiting.extend(Some(entry.path()).filter(|path| self.may_hold(path, prefix)));
            } else if let Some(key) = self.key_of(&entry.path()).filter(|key| kind.is_file() && key.starts_with(prefix))
            {
                entry.metadata().map(|facts| found.push(object(key, &facts))).or_else(unless_absent)?;
            }
        }
        Ok(())
    }

    /// Whether the keys below a directory start with `prefix`; it lies in the folder that the prefix names.
    fn may_hold(&self, directory: &Path, prefix: &str) -> bool {
        let below = directory.strip_prefix(&self.path).ok().and_then(Path::to_str);
        below.is_some_and(|below| below.starts_with(prefix))
    }

    /// As the file server stamps a new file. It is made where the writers of objects make theirs, and swept like theirs.
    fn time(&self) -> io::Result<DateTime<Utc>> {
        refuse_links(&self.path)?;
        let (path, file) = self.fresh_file(&self.path, UNFINISHED)?;
        let written = file.metadata().and_then(|facts| facts.modified());
        fs::remove_file(path)?;
        written.map(DateTime::from)
    }

    /// Nothing for a file that no key names: one that is being written, or somebody else's.
    fn key_of(&self, path: &Path) -> Option<String> {
        let key = path.strip_prefix(&self.path).ok()?.to_str()?;
        checked(key).ok().map(str::to_owned)
    }

    /// What stands where a directory should be, the store itself or one above it.
    fn in_the_way(&self) -> Option<&Path> {
        self.path.ancestors().find(|path| path.exists()).filter(|path| !path.is_dir())
    }

    /// A store that was never written to is a missing store. A base that is gone, most often a share that is not mounted,
    /// is one that cannot be reached, and one with a file in its place is a mistake: nobody may take it for an empty one.
    fn explain(&self, operation: &'static str, key: &str, error: io::Error) -> StorageError {
        let gone = |path: &Path| format!("the directory {} does not exist", path.display());
        let new = |kind| StorageError::new(kind, &self.description, operation, key);
        let file = |path: &Path| {
            format!("{} is not a directory: a file stands where the file share should be", path.display())
        };
        let explained = match (kind_of(&error), self.in_the_way()) {
            (ErrorKind::NotFound, Some(path)) => new(ErrorKind::Invalid).because(file(path)),
            (ErrorKind::NotFound, None) if !self.base.is_dir() => new(ErrorKind::Unreachable).because(gone(&self.base)),
            (ErrorKind::NotFound, None) if !self.path.is_dir() => {
                new(ErrorKind::NotFound).store_is_missing().because(gone(&self.path))
            }
            (kind, _) => new(kind),
        };
        explained.caused_by(error)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a symbolic link below the file share is not followed")]
struct LinkOnTheWay;

/// The tag is when the file was last changed, which no program can set.
fn object(key: String, facts: &fs::Metadata) -> Object {
    Object { key, size: facts.len(), tag: format!("{}.{}", facts.ctime(), facts.ctime_nsec()) }
}

fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

/// What vanishes while it is listed is not listed.
fn unless_absent(error: io::Error) -> io::Result<()> {
    if is_absence(&error) { Ok(()) } else { Err(error) }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::NotFound | Io::NotADirectory | Io::IsADirectory => ErrorKind::NotFound,
        Io::AlreadyExists | Io::DirectoryNotEmpty => ErrorKind::AlreadyExists,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::AccessDenied,
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::Full,
        Io::InvalidFilename => ErrorKind::Invalid,
        Io::TimedOut
        | Io::NotConnected
        | Io::HostUnreachable
        | Io::NetworkUnreachable
        | Io::NetworkDown
        | Io::ConnectionReset
        | Io::ConnectionAborted
        | Io::StaleNetworkFileHandle => ErrorKind::Unreachable,
        _ if error.raw_os_error() == Some(rustix::io::Errno::HOSTDOWN.raw_os_error()) => ErrorKind::Unreachable,
        _ => ErrorKind::Other,
    }
}

impl Backend for Local {
    fn description(&self) -> &str {
        &self.0.description
    }

    fn waits(&self) -> Option<StorageError> {
        None
    }

    fn put_new<'a>(&'a self, key: &'a str, data: Bytes) -> Answer<'a, ()> {
        let write = move |directory: &Arc<Directory>, key: &str| {
            let unfinished = Unfinished::start(directory, key)?;
            let written = unfinished.append(&data).and_then(|()| unfinished.finish());
            unfinished.discard();
            written
        };
        self.on_a_thread("write", key, write).boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Bytes> {
        self.on_a_thread("read", key, |directory, key| directory.read(key)).boxed()
    }

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> Answer<'a, Bytes> {
        self.on_a_thread("read", key, move |directory, key| directory.read_range(key, &range)).boxed()
    }

    fn size<'a>(&'a self, key: &'a str) -> Answer<'a, u64> {
        self.on_a_thread("look at", key, |directory, key| Ok(directory.open(key)?.metadata()?.len())).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Object>> {
        self.on_a_thread("list", prefix, |directory, prefix| directory.list(prefix)).boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        self.on_a_thread("delete", key, |directory, key| directory.delete(key)).boxed()
    }

    fn time(&self) -> Answer<'_, Option<DateTime<Utc>>> {
        async {
            if self.0.mounted {
                return self
                    .on_a_thread("ask the time with", UNFINISHED, |directory, _| directory.time())
                    .await
                    .map(Some);
            }
            Ok(None)
        }
        .boxed()
    }

    fn create<'a>(&'a self, key: &'a str, _about: u64) -> Answer<'a, Box<dyn Upload>> {
        let start = |directory: &Arc<Directory>, key: &str| {
            let unfinished = Unfinished::start(directory, key)?;
            unfinished.sweep()?;
            Ok(Box::new(LocalUpload::new(unfinished)) as Box<dyn Upload>)
        };
        self.on_a_thread("write", key, start).boxed()
    }

    fn resume<'a>(&'a self, key: &'a str, sign: &'a str, len: u64) -> Answer<'a, Option<Box<dyn Upload>>> {
        let name = sign.to_owned();
        let resume = move |directory: &Arc<Directory>, key: &str| {
            let found = Unfinished::find(directory, key, &name, len)?;
            Ok(found.map(|unfinished| Box::new(LocalUpload::resumed(unfinished)) as Box<dyn Upload>))
        };
        self.on_a_thread("write", key, resume).boxed()
    }
}

#[cfg(test)]
#[path = "local/local_tests.rs"]
mod tests;
