//! What every backup's zip has: the manifest, which grows beside the entries and ends them, and the tally of it all.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use chrono::TimeDelta;

use super::{
    MANIFEST, PackError, Packed, Packing,
    left::{Grown, Mark, Open, Out},
};
use crate::{
    archive::{
        block::BlockSize,
        manifest::{Ended, Frame, Item, ManifestWriter, Member},
        zip::ZipWriter,
    },
    clock::Clock,
    job::Meter,
};

/// bsdtar misses the end of an entry whose last bytes fill its buffer of this size. Something must follow them; it may
/// be empty. (Seen with libarchive 3.6.2; 7-Zip needs none of it and does not mind.)
const EXTRACTORS_BUFFER: u64 = 256 << 10;
/// A zstd frame of no bytes: magic number, "one segment of length 0", one last raw block of length 0.
const EMPTY_FRAME: [u8; 9] = [0x28, 0xB5, 0x2F, 0xFD, 0x20, 0x00, 0x01, 0x00, 0x00];

/// How much of a manifest is read at once.
const PIECE: usize = 256 << 10;

/// Where little is written, it is marked at least so often.
const PERIOD: TimeDelta = TimeDelta::seconds(30);
/// Less than this is not worth a mark.
const LEAST: u64 = 8 << 20;

pub(super) struct Output<W> {
    pub(super) zip: ZipWriter<W>,
    pub(super) manifest: ManifestWriter,
    pub(super) block_size: BlockSize,
    pub(super) meter: Arc<Meter>,
    plain_bytes: u64,
    stored_bytes: u64,
    files: u64,
    /// Where the last mark is, and when it was made.
    marked: u64,
    marked_at: TimeDelta,
}

impl<W: Out> Output<W> {
    pub(super) fn new(out: W, packing: &Packing, meter: Arc<Meter>) -> Result<Self, PackError> {
        let members: &[Member] = packing.base.as_ref().map_or(&[], |base| base.members());
        let left = packing.left.as_ref().map(|left| left.mark);
        let (offset, stored_bytes) = left.map_or((0, 0), |mark| (mark.offset, mark.stored_bytes));
        meter.stored(stored_bytes);
        Ok(Self {
            zip: ZipWriter::after(out, offset, &packing.spools).map_err(PackError::Start)?,
            manifest: ManifestWriter::new(packing.block_size, members, &packing.spools).map_err(PackError::Start)?,
            block_size: packing.block_size,
            meter,
            plain_bytes: 0,
            stored_bytes,
            files: 0,
            marked: offset,
            marked_at: Clock::system().elapsed(),
        })
    }

    /// Whether enough was written since the last mark, or some of it long ago.
    pub(super) fn wants_mark(&mut self) -> bool {
        let Some(distance) = self.zip.inner().distance() else { return false };
        let written = self.zip.offset() - self.marked;
        written >= distance || written >= LEAST && Clock::system().elapsed() - self.marked_at >= PERIOD
    }

    /// Tells where packing could go on: here. The entry that is open, if one is, has so many plain bytes.
    pub(super) fn mark(&mut self, crc: u32, plain: u64) -> io::Result<()> {
        (self.marked, self.marked_at) = (self.zip.offset(), Clock::system().elapsed());
        let (manifest, extent) = self.manifest.grown()?;
        let (central, central_len) = self.zip.grown()?;
        let open = self.zip.begun().map(|begun| Open { begun, crc, plain });
        let mark =
            Mark { offset: self.marked, manifest: extent, central: central_len, stored_bytes: self.stored_bytes, open };
        self.zip.inner().mark(Grown { mark, manifest, central })
    }

    /// Writes a frame into the entry that is open.
    pub(super) fn frame(&mut self, packed: &[u8]) -> io::Result<Frame> {
        let len = u32::try_from(packed.len()).map_err(io::Error::other)?;
        let frame = Frame { member: 0, offset: self.zip.offset(), len };
        self.zip.data(packed)?;
        self.stored_bytes += u64::from(len);
        self.meter.stored(len.into());
        Ok(frame)
    }

    /// Ends the entry that is open, of so many plain bytes.
    pub(super) fn end_frames(&mut self, crc: u32, plain: u64) -> io::Result<()> {
        if plain > 0 && plain.is_multiple_of(EXTRACTORS_BUFFER) {
            self.zip.data(&EMPTY_FRAME)?;
        }
        self.zip.finish_entry(crc, plain)
    }

    /// Notes a block or hole of the file that was listed last.
    pub(super) fn content(&mut self, content: &Item) -> io::Result<()> {
        match content {
            Item::Block { len, stored, .. } => self.manifest.block(stored, *len),
            Item::Hole { len, .. } => {
                self.manifest.holes(len.div_ceil(self.block_size.bytes().into()));
                Ok(())
            }
            Item::Entry(_) => Ok(()),
        }
    }

    /// The same with one that is there already.
    pub(super) fn kept(&mut self, content: &Item) -> io::Result<()> {
        self.processed(len_of(content));
        self.content(content)
    }

    /// So many bytes of files are done.
    pub(super) fn processed(&mut self, bytes: u64) {
        self.plain_bytes += bytes;
        self.meter.processed(bytes);
    }

    /// A file is done.
    pub(super) fn file(&mut self) {
        self.files += 1;
        self.meter.file();
    }

    /// Writes the manifest and ends the zip.
    pub(super) fn finish(mut self) -> Result<(Packed, W), PackError> {
        let write = |source| PackError::Write { path: MANIFEST.to_owned(), source };
        let manifest = self.manifest.end().map_err(write)?;
        let (manifest_offset, manifest_hash) = put_manifest(&mut self.zip, &manifest).map_err(write)?;
        let (out, zip_len) = self.zip.finish().map_err(write)?;
        let packed = Packed {
            zip_len,
            manifest_offset,
            manifest_len: manifest.compressed.len(),
            manifest_hash,
            plain_bytes: self.plain_bytes,
            stored_bytes: self.stored_bytes,
            files: self.files,
            block_size: self.block_size,
        };
        Ok((packed, out))
    }
}

/// How many bytes of a file it is.
pub(super) fn len_of(item: &Item) -> u64 {
    match item {
        Item::Block { len, .. } => u64::from(*len),
        Item::Hole { len, .. } => *len,
        Item::Entry(_) => 0,
    }
}

/// Writes the manifest's entry; answers where its compressed bytes start, and their hash.
fn put_manifest<W: Write>(zip: &mut ZipWriter<W>, manifest: &Ended) -> io::Result<(u64, [u8; 32])> {
    zip.start_own(MANIFEST, 0)?;
    let (offset, mut hash) = (zip.offset(), blake3::Hasher::new());
    let (mut compressed, mut piece) = (manifest.compressed.reader(), vec![0; PIECE]);
    loop {
        let count = compressed.read(&mut piece)?;
        if count == 0 {
            break;
        }
        hash.update(&piece[..count]);
        zip.data(&piece[..count])?;
    }
    zip.finish_entry(manifest.crc, manifest.len)?;
    Ok((offset, *hash.finalize().as_bytes()))
}
