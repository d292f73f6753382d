//! The manifest: every path of a state with its attributes, and where each block of each file lies.
//!
//! Owns its encoding, which `docs/FORMAT.md` describes: change the two together. It is written and read as a stream, so
//! neither side ever holds it expanded. Reading believes nothing: every number is bounded, every path checked, and any
//! bytes whatever end in an error or an end, never in a panic.

mod reader;
mod writer;

use uuid::Uuid;

pub use reader::{Items, Manifest, ManifestError};
pub use writer::ManifestWriter;
pub(super) use writer::{Ended, Extent, complete};

use super::block::BlockHash;
use crate::domain::{Entry, Location};

/// What a manifest starts with; then its version.
const MAGIC: [u8; 3] = *b"FBM";
/// The version that is written.
const VERSION: u8 = 2;
/// The version before it: its files have no stamps.
const WITHOUT_STAMPS: u8 = 1;
/// The longest path, target or location, in bytes: what a zip can carry.
const LONGEST_TEXT: u32 = u16::MAX as u32;
const MOST_MEMBERS: u32 = u16::MAX as u32;
/// zstd window of the encoding: a reader needs no more than 8 MiB.
const WINDOW_LOG: u32 = 23;

/// What an entry starts with.
mod kind {
    pub(super) const END: u8 = 0;
    pub(super) const DIRECTORY: u8 = 1;
    pub(super) const FILE: u8 = 2;
    pub(super) const SYMLINK: u8 = 3;
}

/// What a block, or a run of holes, starts with.
mod tag {
    pub(super) const HOLES: u8 = 0;
    pub(super) const NEXT: u8 = 1;
    pub(super) const SAME_FRAME: u8 = 2;
    pub(super) const NEW_FRAME: u8 = 3;
}

/// An earlier backup of the chain that blocks are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its identity.
    pub id: Uuid,
    /// Where it lies.
    pub location: Location,
    /// The length of its zip.
    pub zip_len: u64,
}

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Frame {
    /// 0 for the manifest's own backup, else one more than the index into [`Manifest::members`].
    pub member: u32,
    /// Where it starts in that backup's zip.
    pub offset: u64,
    /// Its compressed length.
    pub len: u32,
}

/// Where a block's bytes are, and what they must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The hash of its plain bytes.
    pub hash: BlockHash,
    /// The frame that holds it.
    pub frame: Frame,
    /// Where it starts in the unpacked frame.
    pub place: u32,
}

/// One step of reading a manifest: an entry, then the blocks of that entry in the order of their offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The next entry. What follows until the one after it is its content.
    Entry(Entry),
    /// The next bytes of the file are stored.
    Block {
        /// Where they start in the file.
        offset: u64,
        /// How many they are.
        len: u32,
        /// Where they are kept.
        stored: Stored,
    },
    /// The next bytes of the file are zero.
    Hole {
        /// Where they start in the file.
        offset: u64,
        /// How many they are.
        len: u64,
    },
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
