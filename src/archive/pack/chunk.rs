//! What is handed from the reader of a state to the workers, and from them to the assembler.
//!
//! Chunks and frames are used again and again: their number is what bounds the memory of a backup.

use crc32fast::Hasher;

use super::PackError;
use crate::{
    archive::{
        block::BlockHash,
        manifest::{Item, Stored},
    },
    domain::Entry,
};

/// As many parts as a chunk has at most: entries without content fill it too.
const MOST_PARTS: usize = 2048;

/// A stretch of a state in the order of its walk: some of a large file, or many small ones.
#[derive(Default)]
pub(super) struct Chunk {
    /// Chunks are assembled in the order of their numbers.
    pub(super) number: u64,
    pub(super) parts: Vec<Part>,
    /// The contents of the parts, one after another: as much of it as `used` says.
    pub(super) plain: Vec<u8>,
    pub(super) used: usize,
    /// Of all contents, in order. By the worker.
    pub(super) blocks: Vec<Block>,
    /// The frames of the contents, one after another, if each gets one. By the worker.
    pub(super) packed: Vec<u8>,
    /// Nothing follows.
    pub(super) is_last: bool,
    /// What an earlier packer left is all in before this.
    pub(super) is_past_left: bool,
}

/// A piece of a chunk.
pub(super) enum Part {
    /// The next entry, and its stamp if it is a file that has one. What follows until the one after it is its content.
    Entry(Entry, u64),
    /// The next entry, which an earlier packer wrote, its stamp, and what the zip's directory says of it.
    Again(Entry, u64, Vec<u8>),
    /// The next entry, a file of which an earlier packer wrote the beginning, and its stamp.
    Begun(Entry, u64),
    /// Bytes that were read: whole blocks, unless the file ends.
    Content(Content),
    /// A block or hole that the backup before has, or that an earlier packer wrote.
    Kept(Item),
}

/// Bytes of one file.
pub(super) struct Content {
    /// At most what a frame holds.
    pub(super) len: u32,
    /// By the worker.
    pub(super) crc: Hasher,
    /// The length of its frame. By the worker.
    pub(super) packed: u32,
}

/// What a block turned out to be.
pub(super) enum Block {
    /// All zero.
    Hole,
    /// The backup before has it, or an earlier packer wrote it.
    Known(Stored),
    /// It does not.
    Other(BlockHash),
}

impl Chunk {
    /// Whether so many more bytes fit in, `room` being all that there is.
    pub(super) fn has_room(&self, bytes: usize, room: usize) -> bool {
        self.parts.len() < MOST_PARTS && self.used + bytes <= room
    }

    /// Makes it ready for the next use.
    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.blocks.clear();
        self.packed.clear();
        self.used = 0;
    }
}

/// Blocks that are new, from whatever files, on the way to becoming one frame.
#[derive(Default)]
pub(super) struct NewFrame {
    /// Frames are written in the order of their numbers.
    pub(super) number: usize,
    pub(super) plain: Vec<u8>,
    /// By the worker.
    pub(super) packed: Vec<u8>,
    /// Of the plain bytes. By the worker.
    pub(super) crc: Hasher,
}

/// What a worker is given.
pub(super) enum Job {
    Chunk(Box<Chunk>),
    Frame(NewFrame),
}

/// What the assembler is told.
pub(super) enum Done {
    Chunk(Box<Chunk>),
    Frame(NewFrame),
    Failed(PackError),
    /// A thread is gone before its time: nothing more can come of it.
    Stopped,
}
