//! Writes a manifest, compressed as it grows.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::{Frame, MAGIC, Member, Stored, VERSION, WINDOW_LOG, kind, tag};
use crate::archive::{
    block::BlockSize,
    wire::{put_bytes, put_signed, put_varint},
};
use crate::{
    domain::{Entry, EntryKind},
    spool::{Spool, Spooled, Spools},
};

const LEVEL: i32 = 1;

/// Takes entries in order, each file followed by all its blocks; the caller has checked the order.
pub struct ManifestWriter {
    out: zstd::Encoder<'static, Spool>,
    scratch: Vec<u8>,
    path: String,
    mtime: i64,
    /// The frame written last, and where in it the block after it would start.
    frame: Frame,
    place: u32,
    holes: u64,
    entries: u64,
    block_size: u64,
    /// How long its encoding is so far, and the CRC that a zip wants of it.
    len: u64,
    crc: crc32fast::Hasher,
    /// How many bytes of the last file are not listed yet.
    missing: u64,
    /// How many of the compressed bytes were handed out.
    taken: u64,
}

/// How far a manifest has come that does not end yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::archive) struct Extent {
    /// How long its encoding is.
    pub(in crate::archive) len: u64,
    pub(in crate::archive) entries: u64,
    /// How many bytes of the last file it does not list.
    pub(in crate::archive) missing: u64,
}

/// A manifest to its end.
pub(in crate::archive) struct Ended {
    pub(in crate::archive) compressed: Spooled,
    /// The length of its encoding, and its CRC.
    pub(in crate::archive) len: u64,
    pub(in crate::archive) crc: u32,
}

impl ManifestWriter {
    /// Starts one; `members` are the earlier backups of the chain, the full one first.
    pub fn new(block_size: BlockSize, members: &[Member], spools: &Spools) -> io::Result<Self> {
        let mut out = zstd::Encoder::new(spools.spool(), LEVEL)?;
        out.window_log(WINDOW_LOG.min(20))?;
        out.include_checksum(false)?;
        let mut writer = Self {
            out,
            scratch: header(block_size, members),
            path: String::new(),
            mtime: 0,
            frame: Frame::default(),
            place: 0,
            holes: 0,
            entries: 0,
            block_size: block_size.bytes().into(),
            len: 0,
            crc: crc32fast::Hasher::new(),
            missing: 0,
            taken: 0,
        };
        writer.flush()?;
        Ok(writer)
    }

    /// How many bytes of the last file are not listed yet.
    pub(in crate::archive) fn missing(&self) -> u64 {
        self.missing
    }

    /// The compressed bytes that came since this was asked last, and what all of them together unpack to.
    pub(in crate::archive) fn grown(&mut self) -> io::Result<(Spooled, Extent)> {
        self.put_holes();
        self.flush()?;
        self.out.flush()?;
        let bytes = self.out.get_ref().since(self.taken);
        self.taken += bytes.len();
        Ok((bytes, Extent { len: self.len, entries: self.entries, missing: self.missing }))
    }

    /// The next entry, and its stamp if it is a file that has one.
    pub fn entry(&mut self, entry: &Entry, stamp: u64) -> io::Result<()> {
        self.put_holes();
        self.put_attributes(entry);
        self.missing = 0;
        match &entry.kind {
            EntryKind::Directory => {}
            EntryKind::File { len } => {
                self.missing = *len;
                put_varint(&mut self.scratch, *len);
                self.scratch.extend(stamp.to_le_bytes());
            }
            EntryKind::Symlink { target } => put_bytes(&mut self.scratch, target.as_bytes()),
        }
        self.entries += 1;
        self.flush()
    }

    /// The next so many blocks of the file are zero.
    pub fn holes(&mut self, blocks: u64) {
        self.holes += blocks;
        self.missing = self.missing.saturating_sub(blocks.saturating_mul(self.block_size));
    }

    /// The next `len` bytes of the file are stored.
    pub fn block(&mut self, stored: &Stored, len: u32) -> io::Result<()> {
        self.put_holes();
        self.put_place(stored);
        self.scratch.extend_from_slice(&stored.hash.0);
        self.frame = stored.frame;
        self.place = stored.place + len;
        self.missing = self.missing.saturating_sub(len.into());
        self.flush()
    }

    /// The compressed manifest.
    pub fn finish(self) -> io::Result<Spooled> {
        Ok(self.end()?.compressed)
    }

    /// The same, and what a zip wants to know of its encoding.
    pub(in crate::archive) fn end(mut self) -> io::Result<Ended> {
        self.put_holes();
        self.scratch.push(kind::END);
        put_varint(&mut self.scratch, self.entries);
        self.flush()?;
        Ok(Ended { compressed: self.out.finish()?.done(), len: self.len, crc: self.crc.finalize() })
    }

    fn put_attributes(&mut self, entry: &Entry) {
        let path = entry.path.as_str();
        let shared = self.path.bytes().zip(path.bytes()).take_while(|(old, new)| old == new).count();
        self.scratch.push(match entry.kind {
            EntryKind::Directory => kind::DIRECTORY,
            EntryKind::File { .. } => kind::FILE,
            EntryKind::Symlink { .. } => kind::SYMLINK,
        });
        put_varint(&mut self.scratch, shared as u64);
        put_bytes(&mut self.scratch, &path.as_bytes()[shared..]);
        put_varint(&mut self.scratch, entry.mode.into());
        put_signed(&mut self.scratch, entry.mtime_s.wrapping_sub(self.mtime));
        put_varint(&mut self.scratch, entry.mtime_ns.into());
        self.mtime = entry.mtime_s;
        path.clone_into(&mut self.path);
    }

    fn put_place(&mut self, stored: &Stored) {
        if stored.frame != self.frame {
            let end = self.frame.offset.wrapping_add(self.frame.len.into());
            self.scratch.push(tag::NEW_FRAME);
            put_varint(&mut self.scratch, stored.frame.member.into());
            put_signed(&mut self.scratch, stored.frame.offset.wrapping_sub(end).cast_signed());
            put_varint(&mut self.scratch, stored.frame.len.into());
            put_varint(&mut self.scratch, stored.place.into());
        } else if stored.place == self.place {
            self.scratch.push(tag::NEXT);
        } else {
            self.scratch.push(tag::SAME_FRAME);
            put_varint(&mut self.scratch, stored.place.into());
        }
    }

    fn put_holes(&mut self) {
        if self.holes > 0 {
            self.scratch.push(tag::HOLES);
            put_varint(&mut self.scratch, std::mem::take(&mut self.holes));
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.len += self.scratch.len() as u64;
        self.crc.update(&self.scratch);
        self.out.write_all(&self.scratch)?;
        self.scratch.clear();
        Ok(())
    }
}

/// Makes a manifest of one that broke off at this extent: what is missing of its last file are holes.
pub(in crate::archive) fn complete(
    broken: &Spooled,
    extent: Extent,
    block_size: BlockSize,
    spools: &Spools,
) -> io::Result<Spooled> {
    let mut out = zstd::Encoder::new(spools.spool(), LEVEL)?;
    let copied = io::copy(&mut zstd::Decoder::new(broken.reader())?.take(extent.len), &mut out)?;
    if copied != extent.len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut end = Vec::new();
    if extent.missing > 0 {
        end.push(tag::HOLES);
        put_varint(&mut end, extent.missing.div_ceil(block_size.bytes().into()));
    }
    end.push(kind::END);
    put_varint(&mut end, extent.entries);
    out.write_all(&end)?;
    Ok(out.finish()?.done())
}

fn header(block_size: BlockSize, members: &[Member]) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.push(VERSION);
    header.push(block_size.log());
    put_varint(&mut header, members.len() as u64);
    for member in members {
        header.extend_from_slice(member.id.as_bytes());
        put_bytes(&mut header, member.location.0.as_bytes());
        put_varint(&mut header, member.zip_len);
    }
    header
}
