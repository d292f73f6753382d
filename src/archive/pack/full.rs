//! Assembles a full backup: every entry complete in itself, each file as frames of its own.

use std::io;

use crc32fast::Hasher;

use super::{
    MANIFEST, PackError,
    chunk::{Block, Chunk, Content, Part},
    left::{Open, Out},
    output::Output,
};
use crate::{
    archive::manifest::{Frame, Item, Stored},
    domain::{Entry, EntryKind},
};

pub(super) struct Full<W> {
    out: Output<W>,
    /// The file whose content comes, and the CRC of what came of it.
    open: Option<(Entry, Hasher)>,
    /// The file that an earlier packer began.
    begun: Option<Open>,
}

impl<W: Out> Full<W> {
    pub(super) fn new(out: Output<W>, begun: Option<Open>) -> Self {
        Self { out, open: None, begun }
    }

    /// Tells where packing could go on, if it is time.
    pub(super) fn mark(&mut self) -> io::Result<()> {
        if !self.out.wants_mark() {
            return Ok(());
        }
        let crc = self.open.as_ref().map_or(0, |(_, crc)| crc.clone().finalize());
        let len = self.open.as_ref().map_or(0, |(entry, _)| len_of(entry));
        self.out.mark(crc, len - self.out.manifest.missing())
    }

    pub(super) fn take(&mut self, chunk: &mut Chunk) -> Result<(), PackError> {
        let mut packed = chunk.packed.as_slice();
        let mut blocks = chunk.blocks.drain(..);
        for part in chunk.parts.drain(..) {
            match part {
                Part::Entry(entry, stamp) => self.entry(entry, stamp)?,
                Part::Content(content) => {
                    let (frame, behind) = packed.split_at(content.packed as usize);
                    packed = behind;
                    self.content(&content, frame, &mut blocks)?;
                }
                Part::Again(entry, stamp, record) => self.again(&entry, stamp, &record)?,
                Part::Begun(entry, stamp) => self.begun(entry, stamp)?,
                Part::Kept(item) => {
                    self.out.kept(&item).map_err(|source| PackError::Write { path: MANIFEST.to_owned(), source })?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Output<W>, PackError> {
        self.close()?;
        Ok(self.out)
    }

    fn entry(&mut self, entry: Entry, stamp: u64) -> Result<(), PackError> {
        self.close()?;
        self.list(&entry, stamp).map_err(|source| failed(&entry, source))?;
        if let EntryKind::File { .. } = entry.kind {
            self.open = Some((entry, Hasher::new()));
        }
        Ok(())
    }

    fn again(&mut self, entry: &Entry, stamp: u64, record: &[u8]) -> Result<(), PackError> {
        self.close()?;
        let listed = self.out.manifest.entry(entry, stamp).and_then(|()| self.out.zip.again(record));
        if let EntryKind::File { .. } = entry.kind {
            self.out.file();
        }
        listed.map_err(|source| failed(entry, source))
    }

    fn begun(&mut self, entry: Entry, stamp: u64) -> Result<(), PackError> {
        self.close()?;
        let open = self.begun.take().ok_or(PackError::Stopped)?;
        self.out.manifest.entry(&entry, stamp).map_err(|source| failed(&entry, source))?;
        self.out.zip.reopen(&entry, len_of(&entry), open.begun);
        self.open = Some((entry, Hasher::new_with_initial_len(open.crc, open.plain)));
        Ok(())
    }

    fn list(&mut self, entry: &Entry, stamp: u64) -> io::Result<()> {
        self.out.manifest.entry(entry, stamp)?;
        match &entry.kind {
            EntryKind::Symlink { target } => self.out.zip.stored(entry, target.as_bytes()),
            EntryKind::Directory | EntryKind::File { len: 0 } => self.out.zip.stored(entry, b""),
            EntryKind::File { len } => self.out.zip.start_file(entry, *len),
        }
    }

    fn content(
        &mut self,
        content: &Content,
        packed: &[u8],
        blocks: &mut impl Iterator<Item = Block>,
    ) -> Result<(), PackError> {
        let Some((entry, crc)) = &mut self.open else { return Err(PackError::Stopped) };
        crc.combine(&content.crc);
        let written = put(&mut self.out, content.len, packed, blocks);
        written.map_err(|source| failed(entry, source))?;
        self.out.processed(content.len.into());
        Ok(())
    }

    /// Ends the file that is open.
    fn close(&mut self) -> Result<(), PackError> {
        let Some((entry, crc)) = self.open.take() else { return Ok(()) };
        let EntryKind::File { len } = entry.kind else { return Ok(()) };
        self.out.file();
        if len == 0 {
            return Ok(());
        }
        self.out.end_frames(crc.finalize(), len).map_err(|source| failed(&entry, source))
    }
}

/// Writes one frame and lists its blocks.
fn put<W: Out>(
    out: &mut Output<W>,
    len: u32,
    packed: &[u8],
    blocks: &mut impl Iterator<Item = Block>,
) -> io::Result<()> {
    let frame = out.frame(packed)?;
    let size = out.block_size.bytes();
    for (place, block) in (0..len).step_by(size as usize).zip(blocks) {
        let len = size.min(len - place);
        out.content(&listed(&block, len, frame, place))?;
    }
    Ok(())
}

/// A block of the frame as the manifest has it.
fn listed(block: &Block, len: u32, frame: Frame, place: u32) -> Item {
    match *block {
        Block::Hole => Item::Hole { offset: 0, len: len.into() },
        Block::Known(stored) => Item::Block { offset: 0, len, stored },
        Block::Other(hash) => Item::Block { offset: 0, len, stored: Stored { hash, frame, place } },
    }
}

fn len_of(entry: &Entry) -> u64 {
    if let EntryKind::File { len } = entry.kind { len } else { 0 }
}

fn failed(entry: &Entry, source: io::Error) -> PackError {
    PackError::Write { path: entry.path.as_str().to_owned(), source }
}
