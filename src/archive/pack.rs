//! Packs a state into a full backup's zip, in one pass, blocking.
//!
//! Owns what the zip of a full backup holds: every entry in order, each file as consecutive frames, the manifest last.
//! Holds one frame's plain bytes, its compressed bytes and the compressed manifest, whatever the size of the state.

use std::io::{self, Read, Write};

use super::{
    block::{BlockHash, BlockSize, Compressor, is_zero},
    manifest::{Frame, ManifestWriter, Stored},
    order::{Order, OrderError},
    zip::ZipWriter,
};
use crate::domain::{Entry, EntryKind};

/// The name below which a zip holds what is ours; no state may have it at its root.
const OWN: &str = ".fabric-backup";
const MANIFEST: &str = ".fabric-backup/manifest";

/// bsdtar misses the end of an entry whose last bytes fill its buffer of this size. Something must follow them; it may
/// be empty. (Seen with libarchive 3.6.2; 7-Zip needs none of it and does not mind.)
const EXTRACTORS_BUFFER: u64 = 256 << 10;
/// A zstd frame of no bytes: magic number, "one segment of length 0", one last raw block of length 0.
const EMPTY_FRAME: [u8; 9] = [0x28, 0xB5, 0x2F, 0xFD, 0x20, 0x00, 0x01, 0x00, 0x00];

/// Why a state could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The state uses our name.
    #[error("'{0}' cannot be backed up: the name .fabric-backup is kept for the backup's own entries. Rename it")]
    Reserved(String),
    /// The source handed out entries in an order that no tree has.
    #[error("the state was read in an impossible order")]
    Order(#[from] OrderError),
    /// The source failed while a file was read.
    #[error("'{path}' cannot be read")]
    Read {
        /// The file.
        path: String,
        /// As the source told it.
        #[source]
        source: io::Error,
    },
    /// A file had fewer or more bytes than its entry says.
    #[error("'{path}' changed while it was read: it was {expected} bytes long and is no more")]
    Length {
        /// The file.
        path: String,
        /// The length in its entry.
        expected: u64,
    },
    /// There is no memory to pack with.
    #[error("packing cannot start")]
    Start(#[source] io::Error),
    /// What was packed cannot be written.
    #[error("'{path}' cannot be written into the backup")]
    Write {
        /// What was being packed.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What came of packing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Length of the zip.
    pub zip_len: u64,
    /// Where the compressed manifest starts in it.
    pub manifest_offset: u64,
    /// Its compressed length.
    pub manifest_len: u64,
    /// BLAKE3-256 of the compressed manifest.
    pub manifest_hash: [u8; 32],
    /// The length of all files together.
    pub plain_bytes: u64,
    /// What their frames take.
    pub stored_bytes: u64,
    /// How many regular files there are.
    pub files: u64,
    /// The chain's block size.
    pub block_size: BlockSize,
}

/// Packs one state.
pub struct Packer<W> {
    zip: ZipWriter<W>,
    manifest: ManifestWriter,
    order: Order,
    compressor: Compressor,
    plain: Vec<u8>,
    block_size: BlockSize,
    plain_bytes: u64,
    stored_bytes: u64,
    files: u64,
}

impl<W: Write> Packer<W> {
    /// Starts a full backup.
    pub fn new(out: W, block_size: BlockSize) -> Result<Self, PackError> {
        Ok(Self {
            zip: ZipWriter::new(out).map_err(PackError::Start)?,
            manifest: ManifestWriter::new(block_size, &[]).map_err(PackError::Start)?,
            order: Order::default(),
            compressor: Compressor::new(block_size).map_err(PackError::Start)?,
            plain: Vec::new(),
            block_size,
            plain_bytes: 0,
            stored_bytes: 0,
            files: 0,
        })
    }

    /// Adds the next entry of a depth-first walk. `content` is read only if it is a file, and then to its end.
    pub fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), PackError> {
        let path = entry.path.as_str();
        if path.split('/').next() == Some(OWN) {
            return Err(PackError::Reserved(path.to_owned()));
        }
        self.order.admit(entry)?;
        let write = |source| PackError::Write { path: path.to_owned(), source };
        self.manifest.entry(entry).map_err(write)?;
        match &entry.kind {
            EntryKind::Directory => self.zip.stored(entry, b"").map_err(write),
            EntryKind::Symlink { target } => self.zip.stored(entry, target.as_bytes()).map_err(write),
            EntryKind::File { len } => self.file(entry, *len, content),
        }
    }

    /// Writes the manifest and ends the zip.
    pub fn finish(mut self) -> Result<(Packed, W), PackError> {
        let write = |source| PackError::Write { path: MANIFEST.to_owned(), source };
        let manifest = self.manifest.finish().map_err(write)?;
        let manifest_offset = put_manifest(&mut self.zip, &manifest).map_err(write)?;
        let (out, zip_len) = self.zip.finish().map_err(write)?;
        let packed = Packed {
            zip_len,
            manifest_offset,
            manifest_len: manifest.len() as u64,
            manifest_hash: *blake3::hash(&manifest).as_bytes(),
            plain_bytes: self.plain_bytes,
            stored_bytes: self.stored_bytes,
            files: self.files,
            block_size: self.block_size,
        };
        Ok((packed, out))
    }

    fn file(&mut self, entry: &Entry, len: u64, content: &mut dyn Read) -> Result<(), PackError> {
        let path = entry.path.as_str();
        let write = |source| PackError::Write { path: path.to_owned(), source };
        if len == 0 {
            self.zip.stored(entry, b"").map_err(write)?;
        } else {
            self.zip.start_file(entry, len).map_err(write)?;
        }
        let crc = self.frames(path, len, content)?;
        if len > 0 && len.is_multiple_of(EXTRACTORS_BUFFER) {
            self.zip.data(&EMPTY_FRAME).map_err(write)?;
        }
        self.files += 1;
        self.plain_bytes += len;
        self.zip.finish_entry(crc, len).map_err(write)
    }

    /// Packs exactly `len` bytes, which must be all there are; answers their CRC.
    fn frames(&mut self, path: &str, len: u64, content: &mut dyn Read) -> Result<u32, PackError> {
        let read = |source| PackError::Read { path: path.to_owned(), source };
        let changed = || PackError::Length { path: path.to_owned(), expected: len };
        let mut crc = crc32fast::Hasher::new();
        let mut left = len;
        while left > 0 {
            let frame = left.min(self.block_size.frame().into());
            if !self.fill(content, frame).map_err(read)? {
                return Err(changed());
            }
            crc.update(&self.plain);
            self.frame().map_err(|source| PackError::Write { path: path.to_owned(), source })?;
            left -= frame;
        }
        if content.read(&mut [0]).map_err(read)? > 0 { Err(changed()) } else { Ok(crc.finalize()) }
    }

    /// Reads the plain bytes of the next frame; false if there are fewer.
    fn fill(&mut self, content: &mut dyn Read, len: u64) -> io::Result<bool> {
        self.plain.clear();
        content.take(len).read_to_end(&mut self.plain)?;
        Ok(self.plain.len() as u64 == len)
    }

    /// Writes the frame of the plain bytes and lists its blocks.
    fn frame(&mut self) -> io::Result<()> {
        let bytes = self.compressor.compress(&self.plain)?;
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let frame = Frame { member: 0, offset: self.zip.offset(), len };
        self.zip.data(bytes)?;
        self.stored_bytes += u64::from(len);
        let mut place = 0;
        for block in self.plain.chunks(self.block_size.bytes() as usize) {
            let len = u32::try_from(block.len()).map_err(io::Error::other)?;
            if is_zero(block) {
                self.manifest.hole();
            } else {
                let hash = BlockHash::of(block);
                self.manifest.block(&Stored { hash, frame, place }, len)?;
            }
            place += len;
        }
        Ok(())
    }
}

/// Writes the manifest's entry; answers where its compressed bytes start.
fn put_manifest<W: Write>(zip: &mut ZipWriter<W>, manifest: &[u8]) -> io::Result<u64> {
    zip.start_own(MANIFEST)?;
    let offset = zip.offset();
    zip.data(manifest)?;
    let mut plain = Checksum::default();
    let len = io::copy(&mut zstd::Decoder::new(manifest)?, &mut plain)?;
    zip.finish_entry(plain.0.finalize(), len)?;
    Ok(offset)
}

/// The CRC that a zip wants of its plain bytes.
#[derive(Default)]
struct Checksum(crc32fast::Hasher);

impl Write for Checksum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
