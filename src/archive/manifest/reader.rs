//! Reads a manifest, entry by entry and block by block.

use std::io::BufReader;

use uuid::Uuid;

use super::{
    Frame, Item, LONGEST_TEXT, MAGIC, MOST_MEMBERS, Member, Stored, VERSION, WINDOW_LOG, WITHOUT_STAMPS, kind, tag,
};
use crate::archive::{
    block::{BlockHash, BlockSize, longest_frame},
    order::{Order, OrderError},
    wire::{Input, WireError},
};
use crate::{
    domain::{Entry, EntryKind, Location, PathError, TreePath},
    spool::{self, Spooled},
};

/// Why bytes are no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not a manifest.
    #[error("it does not start as a manifest does")]
    Magic,
    /// Written by a program newer than this one.
    #[error("the manifest has version {0}, and this program reads versions 1 and 2: a newer one is needed")]
    Version(u8),
    /// A value that cannot be.
    #[error("the manifest has an impossible {0}")]
    Value(&'static str),
    /// It breaks off, or a number or text in it is impossible.
    #[error("the manifest cannot be read")]
    Wire(#[from] WireError),
    /// A path that could leave the tree.
    #[error("the manifest has an unsafe path")]
    Path(#[from] PathError),
    /// An entry where none can be.
    #[error("the manifest is out of order")]
    Order(#[from] OrderError),
}

/// A manifest, kept compressed; its header is read.
#[derive(Debug, Clone)]
pub struct Manifest {
    compressed: Spooled,
    block_size: BlockSize,
    members: Vec<Member>,
}

type Stream = Input<BufReader<zstd::Decoder<'static, BufReader<spool::Reader>>>>;

/// The entries and blocks of a manifest, in their order. Ends after the first error.
pub struct Items {
    input: Option<Stream>,
    order: Order,
    block_size: BlockSize,
    members: u32,
    has_stamps: bool,
    stamp: u64,
    path: Vec<u8>,
    mtime: i64,
    frame: Frame,
    place: u32,
    /// What is left of the file being read.
    offset: u64,
    len: u64,
    entries: u64,
}

impl Manifest {
    /// Reads the header of a compressed manifest.
    pub fn read(compressed: Spooled) -> Result<Self, ManifestError> {
        let Opened { block_size, members, .. } = open(&compressed)?;
        Ok(Self { compressed, block_size, members })
    }

    /// The chain's block size.
    pub fn block_size(&self) -> BlockSize {
        self.block_size
    }

    /// The earlier backups of the chain, the full one first.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Everything in it, from the start.
    pub fn items(&self) -> Result<Items, ManifestError> {
        let Opened { input, version, block_size, members } = open(&self.compressed)?;
        Ok(Items {
            input: Some(input),
            order: Order::default(),
            block_size,
            members: u32::try_from(members.len()).unwrap_or(u32::MAX),
            has_stamps: version > WITHOUT_STAMPS,
            stamp: 0,
            path: Vec::new(),
            mtime: 0,
            frame: Frame::default(),
            place: 0,
            offset: 0,
            len: 0,
            entries: 0,
        })
    }
}

/// A manifest after its header.
struct Opened {
    input: Stream,
    version: u8,
    block_size: BlockSize,
    members: Vec<Member>,
}

fn open(compressed: &Spooled) -> Result<Opened, ManifestError> {
    let mut zstd = zstd::Decoder::new(compressed.reader()).map_err(WireError::Stream)?;
    zstd.window_log_max(WINDOW_LOG).map_err(WireError::Stream)?;
    let mut input = Input::new(BufReader::with_capacity(1 << 16, zstd));
    if input.array()? != MAGIC {
        return Err(ManifestError::Magic);
    }
    let version = input.byte()?;
    if !(WITHOUT_STAMPS..=VERSION).contains(&version) {
        return Err(ManifestError::Version(version));
    }
    let block_size = BlockSize::from_log(input.byte()?).ok_or(ManifestError::Value("block size"))?;
    let count = input.varint32(MOST_MEMBERS)?;
    let members = (0..count).map(|_| member(&mut input)).collect::<Result<_, _>>()?;
    Ok(Opened { input, version, block_size, members })
}

fn member(input: &mut Stream) -> Result<Member, ManifestError> {
    let id = Uuid::from_bytes(input.array()?);
    let location = Location(input.text(LONGEST_TEXT)?);
    Ok(Member { id, location, zip_len: input.varint(u64::MAX)? })
}

impl Iterator for Items {
    type Item = Result<Item, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut input = self.input.take()?;
        let item = if self.offset < self.len { self.content(&mut input).map(Some) } else { self.entry(&mut input) };
        if let Ok(Some(_)) = &item {
            self.input = Some(input);
        }
        item.transpose()
    }
}

impl Items {
    /// The stamp of the entry that came last, if it is a file whose writer gave it one; otherwise 0.
    pub fn stamp(&self) -> u64 {
        self.stamp
    }

    fn entry(&mut self, input: &mut Stream) -> Result<Option<Item>, ManifestError> {
        let kind = input.byte()?;
        if kind == kind::END {
            return self.end(input).map(|()| None);
        }
        let path = self.path(input)?;
        let mode = input.varint32(0o7777)?;
        self.mtime = self.mtime.wrapping_add(input.signed()?);
        let mtime_ns = input.varint32(999_999_999)?;
        let kind = read_kind(kind, input)?;
        self.stamp = match kind {
            EntryKind::File { .. } if self.has_stamps => u64::from_le_bytes(input.array()?),
            _ => 0,
        };
        (self.offset, self.len) = (0, if let EntryKind::File { len } = kind { len } else { 0 });
        let entry = Entry { path, kind, mode, mtime_s: self.mtime, mtime_ns };
        self.order.admit(&entry)?;
        self.entries += 1;
        Ok(Some(Item::Entry(entry)))
    }

    fn end(&mut self, input: &mut Stream) -> Result<(), ManifestError> {
        if input.varint(u64::MAX)? != self.entries {
            return Err(ManifestError::Value("number of entries"));
        }
        if input.is_at_end()? { Ok(()) } else { Err(ManifestError::Value("end: more follows")) }
    }

    fn path(&mut self, input: &mut Stream) -> Result<TreePath, ManifestError> {
        let shared = input.varint32(LONGEST_TEXT)? as usize;
        if shared > self.path.len() {
            return Err(ManifestError::Value("path"));
        }
        self.path.truncate(shared);
        self.path.extend(input.bytes(LONGEST_TEXT)?);
        if self.path.len() > LONGEST_TEXT as usize {
            return Err(ManifestError::Value("path"));
        }
        let text = str::from_utf8(&self.path).map_err(|_| WireError::NotText)?;
        Ok(TreePath::parse(text)?)
    }

    fn content(&mut self, input: &mut Stream) -> Result<Item, ManifestError> {
        match input.byte()? {
            tag::HOLES => self.holes(input),
            tag @ (tag::NEXT | tag::SAME_FRAME | tag::NEW_FRAME) => self.block(tag, input),
            _ => Err(ManifestError::Value("kind of block")),
        }
    }

    fn holes(&mut self, input: &mut Stream) -> Result<Item, ManifestError> {
        let size = u64::from(self.block_size.bytes());
        let (offset, left) = (self.offset, self.len - self.offset);
        match input.varint(left.div_ceil(size))? {
            0 => Err(ManifestError::Value("run of holes")),
            run => {
                let len = run.saturating_mul(size).min(left);
                self.offset += len;
                Ok(Item::Hole { offset, len })
            }
        }
    }

    fn block(&mut self, tag: u8, input: &mut Stream) -> Result<Item, ManifestError> {
        let size = self.block_size.bytes();
        let offset = self.offset;
        let len = u32::try_from(self.len - offset).map_or(size, |left| left.min(size));
        self.place(tag, input)?;
        let stored = Stored { hash: BlockHash(input.array()?), frame: self.frame, place: self.place };
        self.place += len;
        if self.frame.len == 0 || self.place > self.block_size.frame() {
            return Err(ManifestError::Value("place of a block"));
        }
        self.offset += u64::from(len);
        Ok(Item::Block { offset, len, stored })
    }

    fn place(&mut self, tag: u8, input: &mut Stream) -> Result<(), ManifestError> {
        if tag == tag::NEW_FRAME {
            let end = self.frame.offset.wrapping_add(self.frame.len.into());
            let member = input.varint32(self.members)?;
            let offset = end.wrapping_add_signed(input.signed()?);
            let len = input.varint32(longest_frame(self.block_size.frame()))?;
            if offset.checked_add(len.into()).is_none() {
                return Err(ManifestError::Value("place of a frame"));
            }
            self.frame = Frame { member, offset, len };
        }
        if tag != tag::NEXT {
            self.place = input.varint32(self.block_size.frame())?;
        }
        Ok(())
    }
}

fn read_kind(kind: u8, input: &mut Stream) -> Result<EntryKind, ManifestError> {
    match kind {
        kind::DIRECTORY => Ok(EntryKind::Directory),
        kind::FILE => Ok(EntryKind::File { len: input.varint(i64::MAX.cast_unsigned())? }),
        kind::SYMLINK => Ok(EntryKind::Symlink { target: input.text(LONGEST_TEXT)? }),
        _ => Err(ManifestError::Value("kind of entry")),
    }
}
