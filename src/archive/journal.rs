//! The journal of a backup that is being written: what a later process needs to go on after a crash.
//!
//! A file of its own for each job. It is there only once a part of the zip is durable, and what it says was durable before it
//! was said. A last record that is torn is as good as none; a file that cannot be used means that the backup starts over.
//! Its records are: a kind, a 32-bit length, the bytes, the first 8 bytes of the BLAKE3 of all that. Nobody but the version
//! of the program that wrote it reads it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    block::BlockSize,
    pack::{Grown, Left, Mark, Packing},
};
use crate::domain::Location;

const HEADER: u8 = 1;
const MANIFEST: u8 = 2;
const CENTRAL: u8 = 3;
const SAFE: u8 = 4;

/// What a record has besides its bytes.
const FRAME: usize = 1 + 4 + 8;

/// Where a job's journal is, and after how many bytes of the zip it is written.
#[derive(Debug, Clone)]
pub struct Journal {
    file: PathBuf,
    distance: u64,
}

/// Which attempt it is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    version: String,
    id: Uuid,
    location: Location,
    /// Binary logarithm.
    block_size: u8,
}

/// The zip is durable up to the mark, and its store knows it by the sign.
#[derive(Debug, Serialize, Deserialize)]
struct Safe {
    mark: Mark,
    sign: String,
}

/// What an attempt left.
pub(super) struct Read {
    pub(super) left: Left,
    pub(super) sign: String,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    #[error("it is of another attempt or another version of the program")]
    Other,
    #[error("nothing in it is whole")]
    Torn,
    #[error("what it says of the manifest cannot be used")]
    Manifest(#[from] super::ManifestError),
}

impl Journal {
    /// In that file.
    pub fn new(file: impl Into<PathBuf>, distance: u64) -> Self {
        Self { file: file.into(), distance }
    }

    /// After how many bytes it is written.
    pub(super) fn distance(&self) -> u64 {
        self.distance
    }

    /// Removes it, if it is there.
    pub fn remove(&self) {
        for file in [&self.file, &self.fresh()] {
            if let Err(error) = fs::remove_file(file)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, journal = %file.display(), "a journal cannot be removed; the next start does it");
            }
        }
    }

    /// What the attempt of the backup `id` to write at `location` left. None: nothing that was durable.
    pub(super) fn read(&self, id: Uuid, location: &Location) -> Result<Option<Read>, JournalError> {
        let bytes = match fs::read(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let mut records = Records(&bytes);
        let header = records.next().filter(|(kind, _)| *kind == HEADER).ok_or(JournalError::Torn)?.1;
        let header: Header = serde_json::from_slice(header).map_err(|_| JournalError::Other)?;
        if header.version != VERSION || header.id != id || header.location != *location {
            return Err(JournalError::Other);
        }
        let block_size = BlockSize::from_log(header.block_size).ok_or(JournalError::Other)?;
        let (mut manifest, mut central, mut last) = (Vec::new(), Vec::new(), None);
        for (kind, bytes) in records {
            match kind {
                MANIFEST => manifest.extend_from_slice(bytes),
                CENTRAL => central.extend_from_slice(bytes),
                // What follows the last of them is not durable, and harmless: it unpacks behind what the mark says.
                SAFE => last = Some(serde_json::from_slice::<Safe>(bytes).map_err(|_| JournalError::Other)?),
                _ => return Err(JournalError::Other),
            }
        }
        let Safe { mark, sign } = last.ok_or(JournalError::Torn)?;
        Ok(Some(Read { left: Left::new(mark, &manifest, central.into(), block_size)?, sign }))
    }

    fn fresh(&self) -> PathBuf {
        self.file.with_extension("new")
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Writes a journal.
pub(super) struct Pen {
    journal: Journal,
    /// None before anything is durable. An older journal stays good until then.
    file: Option<File>,
    /// What is not in the file yet.
    waiting: Vec<u8>,
}

impl Pen {
    pub(super) fn new(journal: Journal, id: Uuid, location: &Location, packing: &Packing) -> io::Result<Self> {
        let version = VERSION.to_owned();
        let header = Header { version, id, location: location.clone(), block_size: packing.block_size.log() };
        let mut waiting = Vec::new();
        put(&mut waiting, HEADER, &serde_json::to_vec(&header)?)?;
        Ok(Self { journal, file: None, waiting })
    }

    /// What the zip became. Nothing is said of whether it is durable.
    pub(super) fn note(&mut self, grown: &Grown) -> io::Result<()> {
        put(&mut self.waiting, MANIFEST, &grown.manifest)?;
        put(&mut self.waiting, CENTRAL, &grown.central)
    }

    /// The zip is durable up to the mark, all of which was noted. Returns when that is so too of the journal.
    pub(super) fn safe(&mut self, mark: Mark, sign: String) -> io::Result<()> {
        put(&mut self.waiting, SAFE, &serde_json::to_vec(&Safe { mark, sign })?)?;
        match &self.file {
            Some(file) => append(file, &self.waiting)?,
            None => self.file = Some(self.create()?),
        }
        self.waiting.clear();
        Ok(())
    }

    fn create(&self) -> io::Result<File> {
        let fresh = self.journal.fresh();
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        append(&file, &self.waiting)?;
        fs::rename(&fresh, &self.journal.file)?;
        File::open(self.journal.file.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(file)
    }
}

fn append(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_data()
}

fn put(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let start = out.len();
    out.push(kind);
    out.extend(u32::try_from(bytes.len()).map_err(io::Error::other)?.to_le_bytes());
    out.extend_from_slice(bytes);
    let sum = sum(&out[start..]);
    out.extend(sum);
    Ok(())
}

fn sum(bytes: &[u8]) -> [u8; 8] {
    let hash = *blake3::hash(bytes).as_bytes();
    std::array::from_fn(|n| hash[n])
}

/// The records of a journal up to the first that is not whole.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let len = u32::from_le_bytes(self.0.get(1..5)?.try_into().ok()?);
        let whole = usize::try_from(len).ok()?.checked_add(FRAME)?;
        let (record, rest) = self.0.split_at_checked(whole)?;
        let (said, found) = record.split_at(whole - 8);
        if sum(said) != found {
            return None;
        }
        self.0 = rest;
        Some((said[0], &said[5..]))
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
