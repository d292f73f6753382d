//! Blocks and frames: what is hashed and referenced, and what is compressed.
//!
//! Owns their sizes, compression and verification. A frame is one zstd frame with the plain bytes of consecutive blocks;
//! it never unpacks to more than [`BlockSize::frame`], whatever its bytes claim.

use std::{fmt, io::Cursor};

use crate::disk::Pages;

const SMALLEST_LOG: u32 = 16;
const LARGEST_LOG: u32 = 24;
const MOST_BLOCKS: u64 = 1 << 20;
const FRAME: u32 = 1 << 20;

/// BLAKE3-256 of a block's plain bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockHash(pub [u8; 32]);

impl BlockHash {
    /// The hash of these bytes.
    pub fn of(plain: &[u8]) -> Self {
        Self(*blake3::hash(plain).as_bytes())
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

/// The size of all blocks of a chain but the last of each file: a power of two from 64 KiB to 16 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSize(u32);

impl BlockSize {
    /// The smallest that cuts a state of about this many bytes into at most about a million blocks.
    pub fn for_state(bytes: u64) -> Self {
        let fits = |log: &u32| bytes >> log <= MOST_BLOCKS;
        Self((SMALLEST_LOG..LARGEST_LOG).find(fits).unwrap_or(LARGEST_LOG))
    }

    /// Reads a size from its binary logarithm.
    pub(super) fn from_log(log: u8) -> Option<Self> {
        (SMALLEST_LOG..=LARGEST_LOG).contains(&u32::from(log)).then_some(Self(log.into()))
    }

    pub(super) fn log(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    /// In bytes.
    pub fn bytes(self) -> u32 {
        1 << self.0
    }

    /// The most plain bytes a frame holds.
    pub(super) fn frame(self) -> u32 {
        self.bytes().max(FRAME)
    }
}

/// The most bytes that a frame of `plain` bytes takes when nothing in it compresses.
pub(super) fn longest_frame(plain: u32) -> u32 {
    plain + (plain >> 8) + 1024
}

/// Whether a block is nothing but zero bytes: such a block is a hole.
pub(super) fn is_zero(block: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    block.chunks(ZEROS.len()).all(|part| *part == ZEROS[..part.len()])
}

/// Makes frames, one after another.
pub(super) struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    pub(super) fn new(level: i32) -> std::io::Result<Self> {
        Ok(Self(zstd::bulk::Compressor::new(level)?))
    }

    /// Appends the frame of these bytes; answers its length. What does not compress becomes raw blocks inside the frame,
    /// by zstd itself.
    pub(super) fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> std::io::Result<u32> {
        let start = out.len();
        out.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        let mut end = Cursor::new(out);
        end.set_position(start as u64);
        let len = self.0.compress_to_buffer(plain, &mut end)?;
        u32::try_from(len).map_err(std::io::Error::other)
    }
}

/// Unpacks frames, one after another.
pub(super) struct Decompressor {
    zstd: zstd::bulk::Decompressor<'static>,
    plain: Pages,
    most: usize,
}

impl Decompressor {
    pub(super) fn new(size: BlockSize) -> std::io::Result<Self> {
        let most = size.frame() as usize;
        Ok(Self { zstd: zstd::bulk::Decompressor::new()?, plain: Pages::with_capacity(most), most })
    }

    /// Unpacks a frame; more than the room it may have is an error.
    pub(super) fn decompress(&mut self, frame: &[u8]) -> std::io::Result<()> {
        self.plain.clear();
        let len = self.zstd.decompress_to_buffer(frame, &mut self.plain.end())?;
        if len <= self.most { Ok(()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
    }

    /// The frame unpacked last.
    pub(super) fn plain(&self) -> &[u8] {
        self.plain.bytes()
    }

    /// The block at `place` of the frame unpacked last, if it is all there and its hash is this one.
    pub(super) fn block(&self, place: u32, len: u32, hash: BlockHash) -> Option<&[u8]> {
        let start = place as usize;
        let block = self.plain().get(start..start.checked_add(len as usize)?)?;
        (BlockHash::of(block) == hash).then_some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::{BlockHash, BlockSize, Compressor, Decompressor, is_zero, longest_frame};

    #[test]
    fn blocks_grow_with_the_state_so_that_there_are_never_many_more_than_a_million() {
        let gib = 1_u64 << 30;
        let table = [(0, 64), (gib, 64), (64 * gib, 64), (65 * gib, 128), (1024 * gib, 1024), (u64::MAX, 16 * 1024)];
        for (bytes, kib) in table {
            assert_eq!(BlockSize::for_state(bytes).bytes(), kib * 1024, "{bytes}");
        }
    }

    #[test]
    fn a_frame_comes_back_and_one_that_unpacks_to_more_than_its_room_is_refused() {
        let size = BlockSize::for_state(0);
        let (mut pack, mut unpack) = (Compressor::new(1).unwrap(), Decompressor::new(size).unwrap());
        let plain = vec![7; size.frame() as usize];
        let mut packed = b"before".to_vec();
        let len = pack.compress(&plain, &mut packed).unwrap();
        assert_eq!(packed.len(), 6 + len as usize);
        unpack.decompress(&packed[6..]).unwrap();
        assert_eq!(unpack.block(0, size.frame(), BlockHash::of(&plain)), Some(plain.as_slice()));
        assert_eq!(unpack.block(0, 5, BlockHash::of(b"other")), None);
        assert_eq!(unpack.block(size.frame(), 1, BlockHash::of(&[7])), None);
        for more in [1, 100, 10_000] {
            let bomb = zstd::bulk::compress(&vec![0; size.frame() as usize + more], 1).unwrap();
            assert!(unpack.decompress(&bomb).is_err());
        }
        assert!(unpack.decompress(b"no frame").is_err());
    }

    #[test]
    fn what_does_not_compress_hardly_grows() {
        let size = BlockSize::for_state(0);
        let mut noise = vec![0; size.frame() as usize];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let frame = Compressor::new(1).unwrap().compress(&noise, &mut Vec::new()).unwrap();
        assert!(frame as usize <= noise.len() + 128 && frame <= longest_frame(size.frame()), "{frame}");
    }

    #[test]
    fn only_zeros_are_a_hole() {
        assert!(is_zero(&[]) && is_zero(&[0; 5000]));
        let mut almost = [0; 5000];
        almost[4999] = 1;
        assert!(!is_zero(&almost));
    }
}
