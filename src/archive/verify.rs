//! Says whether a backup could be restored, and where it could not.
//!
//! Owns the three levels of verification. Level 1, [`Archive::inspect`]: the commit record, how long the zips of the
//! chain are, the manifest. Level 2, [`Archive::check_blocks`]: every block that the backup needs, whichever member of
//! its chain holds it, on the very way that a restore takes. Level 3, [`Archive::compare`]: a tree that was restored,
//! against the manifest. Damage is what is looked for, so it is no error: an error means that nothing could be said.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::task::spawn_blocking;

use super::{
    extract::{Damage, ExtractError, Judge, Sink, SinkFile},
    manifest::{Item, Manifest, ManifestError},
    read::{Archive, ReadError, check_length, read_record},
};
use crate::domain::{Entry, EntryKind, FailureCode, Location, words};
use crate::job::{Checked, Finding, Meter};
use crate::spool::Spools;
use crate::storage::Storage;

/// What level 1 came to.
#[derive(Debug)]
pub struct Inspected {
    /// What is wrong, if anything.
    pub checked: Checked,
    /// The backup, if enough of it is there to look further.
    pub archive: Option<Archive>,
}

impl Archive {
    /// Checks the checksums of the commit record, how long the zip of each member of the chain is, and the manifest.
    pub async fn inspect(storage: &Storage, location: &Location, spools: &Spools) -> Result<Inspected, ReadError> {
        let mut checked = Checked::default();
        let archive = match look(storage, location, spools, &mut checked).await {
            Ok(archive) => Some(archive),
            Err(error) => note(&mut checked, location, error).map(|()| None)?,
        };
        Ok(Inspected { checked, archive })
    }

    /// Fetches, unpacks and hashes every block that the backup needs, and goes on after damage.
    pub async fn check_blocks(&self, meter: Arc<Meter>) -> Result<Checked, ExtractError<Infallible>> {
        let tally = Arc::new(Tally { backups: self.backups(), ..Tally::default() });
        let passed = self.extract_as(Nowhere, meter, Arc::clone(&tally)).await;
        let mut checked = tally.read();
        match passed {
            Ok(Nowhere) => Ok(checked),
            Err(ExtractError::Read(error)) => {
                note(&mut checked, &self.point().location, error)?;
                Ok(checked)
            }
            Err(error) => Err(error),
        }
    }

    /// Compares a tree that was restored from the backup with what its manifest says: names, kinds, lengths, modes, times
    /// and links. `walk` comes depth first, names in the order of their bytes. Blocks.
    pub fn compare<E>(&self, walk: impl Iterator<Item = Result<Entry, E>>) -> Result<Checked, E> {
        let mut comparison = Comparison { checked: Checked::default(), location: self.point().location.clone() };
        match self.manifest.items() {
            Ok(items) => comparison.run(items.filter_map(only_entry), walk)?,
            Err(error) => comparison.unreadable(&error),
        }
        Ok(comparison.checked)
    }
}

/// Everything that level 1 looks at. What ends it is answered, what does not is noted.
async fn look(
    storage: &Storage,
    location: &Location,
    spools: &Spools,
    checked: &mut Checked,
) -> Result<Archive, ReadError> {
    let (point, content) = read_record(storage, location).await?;
    if let Err(error) = check_length(storage, &point.location, content.zip_len).await {
        note(checked, &point.location, error)?;
    }
    let archive = Archive::read(storage, point, content, spools).await?;
    for member in archive.manifest.members() {
        if let Err(error) = check_length(storage, &member.location, member.zip_len).await {
            note(checked, &member.location, error)?;
        }
    }
    let manifest = archive.manifest.clone();
    match spawn_blocking(move || decode(&manifest)).await {
        Ok(Err(source)) => Err(ReadError::Manifest { location: archive.point().location.clone(), source }),
        _ => Ok(archive),
    }
}

/// Notes damage; answers what is no damage.
fn note(checked: &mut Checked, location: &Location, error: ReadError) -> Result<(), ReadError> {
    if error.code() != FailureCode::Damaged {
        return Err(error);
    }
    checked.find(Finding { backup: location.clone(), file: None, offset: None, why: words(&error) });
    Ok(())
}

fn decode(manifest: &Manifest) -> Result<(), ManifestError> {
    manifest.items()?.try_for_each(|item| item.map(drop))
}

/// What the blocks of a verification came to.
#[derive(Default)]
struct Tally {
    backups: Vec<Location>,
    blocks: AtomicU64,
    bytes: AtomicU64,
    found: Mutex<Checked>,
}

impl Tally {
    fn read(&self) -> Checked {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Checked { blocks: self.blocks.load(Relaxed), bytes: self.bytes.load(Relaxed), ..found }
    }

    fn count(&self, len: u32) {
        self.blocks.fetch_add(1, Relaxed);
        self.bytes.fetch_add(len.into(), Relaxed);
    }
}

impl Judge for Arc<Tally> {
    fn sound(&self, len: u32) {
        self.count(len);
    }

    fn damaged(&self, damage: Damage) -> Option<Damage> {
        let Damage { member, file, offset, len, why } = damage;
        self.count(len);
        let backup = self.backups[member as usize].clone();
        let finding = Finding { backup, file: Some(file), offset: Some(offset), why: why.to_owned() };
        self.found.lock().unwrap_or_else(PoisonError::into_inner).find(finding);
        None
    }

    fn goes_on(&self) -> bool {
        true
    }
}

/// A sink that keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    type Error = Infallible;
    type File = Self;

    fn directory(&mut self, _: &Entry) -> Result<(), Infallible> {
        Ok(())
    }

    fn symlink(&mut self, _: &Entry) -> Result<(), Infallible> {
        Ok(())
    }

    fn file(&mut self, _: &Entry) -> Result<Self, Infallible> {
        Ok(Self)
    }

    fn complete(&mut self, _: &Entry) -> Result<(), Infallible> {
        Ok(())
    }
}

impl SinkFile for Nowhere {
    type Error = Infallible;

    fn write_at(&self, _: u64, _: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }

    fn finish(self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn only_entry(item: Result<Item, ManifestError>) -> Option<Result<Entry, ManifestError>> {
    match item {
        Ok(Item::Entry(entry)) => Some(Ok(entry)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    }
}

struct Comparison {
    checked: Checked,
    location: Location,
}

impl Comparison {
    /// Both come in the same order.
    fn run<E>(
        &mut self,
        expected: impl Iterator<Item = Result<Entry, ManifestError>>,
        mut found: impl Iterator<Item = Result<Entry, E>>,
    ) -> Result<(), E> {
        let mut next = found.next().transpose()?;
        for entry in expected {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.unreadable(&error);
                    return Ok(());
                }
            };
            while let Some(extra) = next.take_if(|next| is_before(next, &entry)) {
                self.find(&extra, "it was restored and is not in the backup");
                next = found.next().transpose()?;
            }
            match next.take_if(|next| next.path == entry.path) {
                Some(restored) => {
                    self.differences(&entry, &restored);
                    next = found.next().transpose()?;
                }
                None => self.find(&entry, "it was not restored"),
            }
        }
        next.into_iter().map(Ok).chain(found).try_for_each(|extra| {
            self.find(&extra?, "it was restored and is not in the backup");
            Ok(())
        })
    }

    fn differences(&mut self, expected: &Entry, found: &Entry) {
        // A link has no mode of its own.
        let is_link = matches!(expected.kind, EntryKind::Symlink { .. });
        let time = |entry: &Entry| (entry.mtime_s, entry.mtime_ns);
        let different = [
            (expected.kind != found.kind, "its kind, length or target is not the one that was backed up"),
            (!is_link && expected.mode != found.mode, "its mode is not the one that was backed up"),
            (time(expected) != time(found), "its time is not the one that was backed up"),
        ];
        for (_, why) in different.into_iter().filter(|(differs, _)| *differs) {
            self.find(expected, why);
        }
    }

    fn find(&mut self, entry: &Entry, why: &str) {
        let (backup, file) = (self.location.clone(), Some(entry.path.as_str().to_owned()));
        self.checked.find(Finding { backup, file, offset: None, why: why.to_owned() });
    }

    fn unreadable(&mut self, source: &ManifestError) {
        let backup = self.location.clone();
        self.checked.find(Finding { backup, file: None, offset: None, why: words(source) });
    }
}

fn is_before(a: &Entry, b: &Entry) -> bool {
    a.path.as_str().split('/').lt(b.path.as_str().split('/'))
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
