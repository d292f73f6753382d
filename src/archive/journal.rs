//! The journal of a backup that is being written: what a later process needs to go on after a crash.
//!
//! A file of its own for each job. It is there only once a part of the zip is durable, and what it says was durable before it
//! was said. A last record that is torn is as good as none; a file that cannot be used means that the backup starts over.
//! Its records are: a kind, a 32-bit length, the bytes, the first 8 bytes of the BLAKE3 of all that. Nobody but the version
//! of the program that wrote it reads it. It is written and read record by record, and none is longer than [`LONGEST`].

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read as _, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    block::BlockSize,
    pack::{Grown, Left, Mark, Packing},
};
use crate::{
    domain::Location,
    spool::{Spooled, Spools},
};

const HEADER: u8 = 1;
const MANIFEST: u8 = 2;
const CENTRAL: u8 = 3;
const SAFE: u8 = 4;

/// What a record has before its bytes, and behind them.
const HEAD: usize = 1 + 4;
const SUM: usize = 8;
/// The most bytes of a record. What is longer takes several.
const LONGEST: usize = 1 << 20;

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
    pub(super) fn read(&self, id: Uuid, location: &Location, spools: &Spools) -> Result<Option<Read>, JournalError> {
        let file = match File::open(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut records = Records(BufReader::new(file));
        let header = records.next()?.filter(|(kind, _)| *kind == HEADER).ok_or(JournalError::Torn)?.1;
        let header: Header = serde_json::from_slice(&header).map_err(|_| JournalError::Other)?;
        if header.version != VERSION || header.id != id || header.location != *location {
            return Err(JournalError::Other);
        }
        let block_size = BlockSize::from_log(header.block_size).ok_or(JournalError::Other)?;
        let (mut manifest, mut central, mut last) = (spools.spool(), spools.spool(), None);
        while let Some((kind, bytes)) = records.next()? {
            match kind {
                MANIFEST => manifest.write_all(&bytes)?,
                CENTRAL => central.write_all(&bytes)?,
                // What follows the last of them is not durable, and harmless: it unpacks behind what the mark says.
                SAFE => last = Some(serde_json::from_slice::<Safe>(&bytes).map_err(|_| JournalError::Other)?),
                _ => return Err(JournalError::Other),
            }
        }
        let Safe { mark, sign } = last.ok_or(JournalError::Torn)?;
        Ok(Some(Read { left: Left::new(mark, &manifest.done(), central.done(), block_size, spools)?, sign }))
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
    /// What is not in the file yet, by its kind. What is long is in a spool.
    waiting: Vec<(u8, Spooled)>,
}

impl Pen {
    pub(super) fn new(journal: Journal, id: Uuid, location: &Location, packing: &Packing) -> io::Result<Self> {
        let version = VERSION.to_owned();
        let header = Header { version, id, location: location.clone(), block_size: packing.block_size.log() };
        let waiting = vec![(HEADER, serde_json::to_vec(&header)?.into())];
        Ok(Self { journal, file: None, waiting })
    }

    /// What the zip became. Nothing is said of whether it is durable.
    pub(super) fn note(&mut self, grown: Grown) {
        self.waiting.extend([(MANIFEST, grown.manifest), (CENTRAL, grown.central)]);
    }

    /// The zip is durable up to the mark, all of which was noted. Returns when that is so too of the journal.
    pub(super) fn safe(&mut self, mark: Mark, sign: String) -> io::Result<()> {
        self.waiting.push((SAFE, serde_json::to_vec(&Safe { mark, sign })?.into()));
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

fn append(file: &File, waiting: &[(u8, Spooled)]) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    waiting.iter().try_for_each(|(kind, bytes)| put_all(&mut out, *kind, bytes))?;
    out.flush()?;
    file.sync_data()
}

/// As many records as it takes.
fn put_all(out: &mut impl Write, kind: u8, bytes: &Spooled) -> io::Result<()> {
    let (mut bytes, mut record) = (bytes.reader(), Vec::new());
    while bytes.by_ref().take(LONGEST as u64).read_to_end(&mut record)? > 0 {
        put(out, kind, &record)?;
        record.clear();
    }
    Ok(())
}

fn put(out: &mut impl Write, kind: u8, bytes: &[u8]) -> io::Result<()> {
    let head = head(kind, u32::try_from(bytes.len()).map_err(io::Error::other)?);
    out.write_all(&head)?;
    out.write_all(bytes)?;
    out.write_all(&sum(&head, bytes))
}

fn head(kind: u8, len: u32) -> [u8; HEAD] {
    let [a, b, c, d] = len.to_le_bytes();
    [kind, a, b, c, d]
}

fn sum(head: &[u8], bytes: &[u8]) -> [u8; SUM] {
    let hash = *blake3::Hasher::new().update(head).update(bytes).finalize().as_bytes();
    std::array::from_fn(|n| hash[n])
}

/// The records of a journal up to the first that is not whole.
struct Records<R>(R);

impl<R: io::Read> Records<R> {
    fn next(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let mut head = [0; HEAD];
        if !self.fill(&mut head)? {
            return Ok(None);
        }
        let [kind, a, b, c, d] = head;
        let len = usize::try_from(u32::from_le_bytes([a, b, c, d])).map_err(io::Error::other)?;
        if len > LONGEST {
            return Ok(None);
        }
        let (mut bytes, mut found) = (vec![0; len], [0; SUM]);
        let is_whole = self.fill(&mut bytes)? && self.fill(&mut found)? && found == sum(&head, &bytes);
        Ok(is_whole.then_some((kind, bytes)))
    }

    /// False if there is less.
    fn fill(&mut self, room: &mut [u8]) -> io::Result<bool> {
        match self.0.read_exact(room) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            read => read.map(|()| true),
        }
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
