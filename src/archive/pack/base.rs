//! The backup that an incremental one goes on from: which files it had, and where each of its blocks lies.
//!
//! Reads the manifest of that backup and nothing else. Frames are counted as the new backup counts them.

use std::cmp::Ordering;

use super::index::{At, Index};
use crate::{
    archive::{
        block::{BlockHash, BlockSize},
        manifest::{Frame, Item, Items, Manifest, ManifestError, Member, Stored},
        read::Archive,
    },
    domain::{Entry, EntryKind, TreePath},
};

/// A backup that another one can go on from.
#[derive(Debug, Clone)]
pub struct Base {
    manifest: Manifest,
    /// The chain up to and with this backup.
    members: Vec<Member>,
}

impl Base {
    /// The backup that was opened.
    pub fn of(archive: &Archive) -> Self {
        let point = archive.point();
        let zip_len = archive.content().zip_len;
        let itself = Member { id: point.id, location: point.location.clone(), zip_len };
        let mut members = archive.manifest().members().to_vec();
        members.push(itself);
        Self { manifest: archive.manifest().clone(), members }
    }

    /// That of the whole chain.
    pub fn block_size(&self) -> BlockSize {
        self.manifest.block_size()
    }

    /// The members of the new backup's chain.
    pub(in crate::archive) fn members(&self) -> &[Member] {
        &self.members
    }

    /// A reader of the files that the backup had.
    pub(super) fn follow(&self) -> Result<Follower, ManifestError> {
        Follower::new(self.items()?)
    }

    /// Where all of its blocks lie.
    pub(super) fn index(&self) -> Result<BaseIndex, ManifestError> {
        let mut known = BaseIndex::default();
        let mut items = self.items()?;
        while let Some(item) = items.next()? {
            if let Item::Block { stored, .. } = item {
                known.add(&stored);
            }
        }
        Ok(known)
    }

    fn items(&self) -> Result<Renumbered, ManifestError> {
        let itself = u32::try_from(self.members.len()).map_err(|_| ManifestError::Value("number of members"))?;
        Ok(Renumbered { items: self.manifest.items()?, itself })
    }
}

/// The items of the manifest with the members counted anew: what was its own backup is the last member now.
struct Renumbered {
    items: Items,
    itself: u32,
}

impl Renumbered {
    fn next(&mut self) -> Result<Option<Item>, ManifestError> {
        let mut item = self.items.next().transpose()?;
        if let Some(Item::Block { stored, .. }) = &mut item
            && stored.frame.member == 0
        {
            stored.frame.member = self.itself;
        }
        Ok(item)
    }
}

/// Goes through the manifest beside a walk in the same order.
pub(super) struct Follower {
    items: Renumbered,
    /// The entry that comes next; its content follows.
    entry: Option<Entry>,
    /// Its number, from 1.
    count: u64,
}

impl Follower {
    /// Through these items; `itself` is the number of the backup that calls itself 0.
    pub(super) fn of(items: Items, itself: u32) -> Result<Self, ManifestError> {
        Self::new(Renumbered { items, itself })
    }

    fn new(items: Renumbered) -> Result<Self, ManifestError> {
        let mut follower = Self { items, entry: None, count: 0 };
        follower.skip()?;
        Ok(follower)
    }

    /// Whether the backup has this file with this stamp; then [`Self::content`] has what is in it.
    pub(super) fn has(&mut self, file: &Entry, stamp: u64) -> Result<bool, ManifestError> {
        let is_same = self.find(&file.path)? && self.entry.as_ref().is_some_and(|entry| is_same(entry, file));
        Ok(is_same && stamp != 0 && self.stamp() == stamp)
    }

    /// Goes on to that path; false if nothing has it.
    pub(super) fn find(&mut self, path: &TreePath) -> Result<bool, ManifestError> {
        while let Some(entry) = &self.entry {
            match order(&entry.path, path) {
                Ordering::Less => self.skip()?,
                found => return Ok(found == Ordering::Equal),
            }
        }
        Ok(false)
    }

    /// The entry where it is.
    pub(super) fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// That entry's stamp.
    pub(super) fn stamp(&self) -> u64 {
        self.items.items.stamp()
    }

    /// That entry's number, from 1.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether it is behind the last one.
    pub(super) fn is_over(&self) -> bool {
        self.entry.is_none()
    }

    /// The next block or hole of the file, until there are no more.
    pub(super) fn content(&mut self) -> Result<Option<Item>, ManifestError> {
        match self.items.next()? {
            Some(Item::Entry(entry)) => (self.entry, self.count) = (Some(entry), self.count + 1),
            None => self.entry = None,
            content => return Ok(content),
        }
        Ok(None)
    }

    fn skip(&mut self) -> Result<(), ManifestError> {
        while self.content()?.is_some() {}
        Ok(())
    }
}

fn is_same(earlier: &Entry, file: &Entry) -> bool {
    matches!(file.kind, EntryKind::File { .. }) && earlier.kind == file.kind
}

/// The order of a walk: part by part. No path has a NUL, so it can stand for the end of a part.
fn order(a: &TreePath, b: &TreePath) -> Ordering {
    let key = |byte| if byte == b'/' { 0 } else { byte };
    a.as_str().bytes().map(key).cmp(b.as_str().bytes().map(key))
}

/// Every block of a backup, by its hash.
#[derive(Debug, Default)]
pub(super) struct BaseIndex {
    blocks: Index,
    frames: Vec<Frame>,
}

impl BaseIndex {
    pub(super) fn add(&mut self, stored: &Stored) {
        if self.frames.last() != Some(&stored.frame) {
            self.frames.push(stored.frame);
        }
        if let Ok(frame) = u32::try_from(self.frames.len() - 1) {
            self.blocks.add(stored.hash, At { frame, place: stored.place });
        }
    }

    pub(super) fn get(&self, hash: &BlockHash) -> Option<Stored> {
        let At { frame, place } = self.blocks.get(hash)?;
        Some(Stored { hash: *hash, frame: *self.frames.get(frame as usize)?, place })
    }
}

#[cfg(test)]
mod tests {
    use super::order;
    use crate::domain::TreePath;

    #[test]
    fn paths_are_ordered_part_by_part() {
        let path = |text| TreePath::parse(text).unwrap();
        let texts = ["a", "a/b", "a/b/c", "a/b c", "a/b.", "a b", "a.", "a.b/c", "a/ü", "b", "ü"];
        for (a, b) in texts.iter().flat_map(|a| texts.iter().map(move |b| (a, b))) {
            assert_eq!(order(&path(a), &path(b)), a.split('/').cmp(b.split('/')), "{a} {b}");
        }
    }
}
