//! Packing that was cut off and goes on: where it can, and what it had packed until then.
//!
//! A zip that grows is durable up to a [`Mark`] and of use with what its manifest and its central directory were there. The
//! next packer starts both anew and goes through the state again: what is still as it was is taken from here, without
//! its content. What changed since, or is gone, stays in the zip as bytes that nothing names.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::base::{BaseIndex, Follower};
use crate::{
    archive::{
        block::BlockSize,
        manifest::{Extent, Frame, Item, Manifest, ManifestError, Member, Stored, complete},
        wire::WireError,
        zip::{Begun, Central},
    },
    domain::{Entry, EntryKind},
    spool::{Spooled, Spools},
};

/// Where a zip goes to.
pub trait Out: Write {
    /// After how many bytes it wants to be told where packing could go on; none: never.
    fn distance(&self) -> Option<u64> {
        None
    }

    /// Is told that packing could go on here, if all that was written until now were durable.
    fn mark(&mut self, _: Grown) -> io::Result<()> {
        Ok(())
    }
}

impl Out for Vec<u8> {}
impl Out for std::fs::File {}
impl Out for io::Sink {}

/// A place of a zip where packing can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// How long the zip is there.
    pub(in crate::archive) offset: u64,
    /// What the manifest is there.
    pub(super) manifest: Extent,
    /// How long the central directory is there.
    pub(super) central: u64,
    pub(super) stored_bytes: u64,
    /// The entry that is not finished.
    pub(super) open: Option<Open>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) begun: Begun,
    /// Of its plain bytes, and how many there are.
    pub(super) crc: u32,
    pub(super) plain: u64,
}

/// What came from one mark to the next.
#[derive(Debug)]
pub struct Grown {
    pub(in crate::archive) mark: Mark,
    /// Of the compressed manifest.
    pub(in crate::archive) manifest: Spooled,
    /// Of the compressed central directory.
    pub(in crate::archive) central: Spooled,
}

/// What packing that was cut off left.
#[derive(Debug, Clone)]
pub struct Left {
    pub(in crate::archive) mark: Mark,
    manifest: Manifest,
    central: Spooled,
}

impl Left {
    /// Of everything that came up to the mark.
    pub(in crate::archive) fn new(
        mark: Mark,
        manifest: &Spooled,
        central: Spooled,
        block_size: BlockSize,
        spools: &Spools,
    ) -> Result<Self, ManifestError> {
        let whole = complete(manifest, mark.manifest, block_size, spools).map_err(WireError::Stream)?;
        Ok(Self { mark, manifest: Manifest::read(whole)?, central })
    }

    pub(super) fn block_size(&self) -> BlockSize {
        self.manifest.block_size()
    }

    pub(super) fn members(&self) -> &[Member] {
        self.manifest.members()
    }

    /// Adds the blocks that its zip holds.
    pub(super) fn index(&self, known: &mut BaseIndex) -> Result<(), ManifestError> {
        for item in self.manifest.items()? {
            if let Item::Block { stored, .. } = item?
                && stored.frame.member == 0
            {
                known.add(&stored);
            }
        }
        Ok(())
    }

    /// A reader of the entries that it has.
    pub(super) fn follow(&self, is_full: bool) -> Result<Resumed, ManifestError> {
        let unpacked = zstd::Decoder::new(self.central.reader()).map_err(WireError::Stream)?;
        let central: Box<dyn Read + Send> = Box::new(io::BufReader::new(unpacked.take(self.mark.central)));
        let files = Follower::of(self.manifest.items()?, 0)?;
        Ok(Resumed { mark: self.mark, files, central: Central::new(central), records: 0, is_full, is_untouched: true })
    }
}

/// Counts how much of what is left is of use for a state.
pub struct Use {
    left: Resumed,
    frame: Frame,
    bytes: u64,
}

impl Use {
    /// None yet.
    pub fn of(left: &Left) -> Result<Self, ManifestError> {
        Ok(Self { left: left.follow(false)?, frame: Frame::default(), bytes: 0 })
    }

    /// The next entry of a walk over the state.
    pub fn add(&mut self, entry: &Entry, stamp: u64) -> Result<(), ManifestError> {
        if !self.left.knows(entry, stamp)? {
            return Ok(());
        }
        while let Some(item) = self.left.content()? {
            if let Item::Block { stored: Stored { frame, .. }, .. } = item
                && frame.member == 0
                && frame != self.frame
            {
                (self.frame, self.bytes) = (frame, self.bytes + u64::from(frame.len));
            }
        }
        Ok(())
    }

    /// Whether at least half of the zip need not be written again. Else it would grow and grow while a state changes.
    pub fn is_worth_it(&self) -> bool {
        self.bytes >= self.left.mark.offset / 2
    }
}

/// Goes through what is left beside a walk.
pub(super) struct Resumed {
    mark: Mark,
    files: Follower,
    central: Central<Box<dyn Read + Send>>,
    /// How many records of the central directory were read.
    records: u64,
    /// Each entry has a record of its own, and its bytes are together.
    is_full: bool,
    /// Nothing was written behind the mark yet.
    pub(super) is_untouched: bool,
}

impl Resumed {
    /// Nothing of it comes any more.
    pub(super) fn is_over(&self) -> bool {
        self.files.is_over()
    }

    /// Whether it has this entry to its end; then [`Self::record`] and [`Self::content`] tell of it.
    pub(super) fn has(&mut self, entry: &Entry, stamp: u64) -> Result<bool, ManifestError> {
        Ok(self.knows(entry, stamp)? && !self.is_cut())
    }

    /// How much of the file it has, if not all, and if what follows can be written next.
    pub(super) fn begun(&mut self, file: &Entry, stamp: u64) -> Result<Option<u64>, ManifestError> {
        let EntryKind::File { len } = file.kind else { return Ok(None) };
        let may_go_on = self.knows(file, stamp)? && self.is_cut() && (self.is_untouched || !self.is_full);
        Ok(may_go_on.then(|| len - self.mark.manifest.missing))
    }

    fn knows(&mut self, entry: &Entry, stamp: u64) -> Result<bool, ManifestError> {
        let is_there = self.files.find(&entry.path)? && self.files.entry() == Some(entry);
        let is_file = matches!(entry.kind, EntryKind::File { .. });
        Ok(is_there && (!is_file || stamp != 0 && self.files.stamp() == stamp))
    }

    /// Whether the entry that was found is the one that is not finished.
    fn is_cut(&self) -> bool {
        let Mark { manifest, open, .. } = &self.mark;
        self.files.count() == manifest.entries && (manifest.missing > 0 || self.is_full && open.is_some())
    }

    /// The record of the entry that was found, if it has one.
    pub(super) fn record(&mut self) -> Result<Option<Vec<u8>>, ManifestError> {
        if !self.is_full {
            return Ok(None);
        }
        let mut record = Vec::new();
        while self.records < self.files.count() {
            record = self.central.record().map_err(WireError::Stream)?;
            self.records += 1;
        }
        Ok(Some(record))
    }

    /// The next block or hole of the file that was found.
    pub(super) fn content(&mut self) -> Result<Option<Item>, ManifestError> {
        self.files.content()
    }
}
