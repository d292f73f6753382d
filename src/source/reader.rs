//! Reads one file of a snapshot, and refuses to end well if it is not the one that was walked.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::fd::OwnedFd,
};

use rustix::{
    fs::{Mode, OFlags, fstat, openat},
    io::Errno,
};

use crate::domain::{Entry, EntryKind};

use super::{SourceError, dirfd, stamp::stamp, trail::Trail};

/// A file's bytes, exactly as many as its entry says. The file is checked before the first byte and again before the
/// last is handed out. Its errors hold a [`SourceError`]: see [`SourceError::find`].
#[derive(Debug)]
pub struct FileReader {
    file: File,
    path: String,
    stamp: u64,
    left: u64,
}

impl FileReader {
    pub(super) fn open(trail: &mut Trail, entry: &Entry, stamp: u64) -> Result<Self, SourceError> {
        let path = entry.path.as_str().to_owned();
        let EntryKind::File { len: left } = entry.kind else { return Err(SourceError::refused(path, "it is no file")) };
        let file = open(trail, entry).map_err(|errno| SourceError::reading(&path, "read permission on it", errno))?;
        let reader = Self { file: file.into(), path, stamp, left };
        reader.check()?;
        Ok(reader)
    }

    /// Skips so many bytes.
    pub(super) fn after(mut self, offset: u64) -> Result<Self, SourceError> {
        self.file.seek(SeekFrom::Start(offset)).map_err(|error| SourceError::io("reading", &self.path, error))?;
        self.left = self.left.saturating_sub(offset);
        Ok(self)
    }

    fn check(&self) -> Result<(), SourceError> {
        let stat = fstat(&self.file).map_err(|errno| SourceError::io("reading", &self.path, errno))?;
        if stamp(&stat) == self.stamp { Ok(()) } else { Err(SourceError::changed(&self.path)) }
    }
}

/// `NONBLOCK`, so that a fifo in the file's place does not hold us.
fn open(trail: &mut Trail, entry: &Entry) -> Result<OwnedFd, Errno> {
    let (parent, name) = dirfd::split(entry.path.as_str());
    trail.go(parent)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat(trail.dir(), name, flags, Mode::empty())
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 {
            return Ok(0);
        }
        let count = match self.file.read(&mut buffer[..room]) {
            Ok(0) => return Err(SourceError::changed(&self.path).into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => return Err(SourceError::io("reading", &self.path, error).into()),
        };
        self.left -= count as u64;
        if self.left == 0 {
            self.check()?;
        }
        Ok(count)
    }
}
