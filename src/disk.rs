//! How bytes get to a disk of this machine.
//!
//! What a backup or a restore writes is large and hardly read soon after. In the page cache it would take the place of
//! what is read, and the copying and finding of pages costs more than hashing and compressing. So what is large and lies
//! right goes past the cache; the rest goes through it, and the disk is told to begin early. Owns neither names nor
//! durability: who opened a file says when it is synced.

use std::{
    fs::{File, OpenOptions},
    io::{self, Cursor},
    num::NonZeroU64,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, OpenOptionsExt},
    },
    sync::OnceLock,
};

use rustix::fs::{Advice, OFlags, fadvise};

/// What memory, length and offset must be multiples of for a disk to take bytes from where they are.
const PAGE: usize = 4096;
/// Less than this is not worth a wait for the disk.
const LARGE: usize = 256 << 10;
/// What goes through the cache is flushed in strides of so many bytes.
const STRIDE: u64 = 8 << 20;

/// A file that is written at offsets, from any number of threads.
#[derive(Debug)]
pub struct Output {
    file: File,
    /// The same file past the page cache, once it was wanted, where there is such a thing.
    direct: OnceLock<Option<File>>,
}

impl Output {
    /// Of a file that is open for writing.
    pub fn new(file: File) -> Self {
        Self { file, direct: OnceLock::new() }
    }

    /// The file as it was given.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Writes all of it.
    pub fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let done = self.write_past_the_cache(data, offset);
        if done == data.len() {
            return Ok(());
        }
        self.file.write_all_at(&data[done..], offset + done as u64)?;
        self.begin_flushing(offset, offset + data.len() as u64);
        Ok(())
    }

    /// How much of it went straight to the disk. What goes wrong here is left to the ordinary write, which meets it again
    /// or does not mind it.
    fn write_past_the_cache(&self, data: &[u8], offset: u64) -> usize {
        let places = [data.as_ptr().addr() as u64, data.len() as u64, offset];
        if data.len() < LARGE || !places.iter().all(|place| place.is_multiple_of(PAGE as u64)) {
            return 0;
        }
        let direct = self.direct.get_or_init(|| reopen(&self.file, OFlags::DIRECT).ok());
        direct.as_ref().and_then(|file| file.write_at(data, offset).ok()).unwrap_or(0)
    }

    /// A hint when a stride is full: the disk begins with it now, and the sync at the end has less to wait for.
    fn begin_flushing(&self, start: u64, end: u64) {
        let (first, full) = (start / STRIDE, end / STRIDE);
        if let Some(len) = NonZeroU64::new((full - first) * STRIDE) {
            let _ = fadvise(&self.file, first * STRIDE, Some(len), Advice::DontNeed);
        }
    }
}

/// Opens the same file again, whatever became of its name.
fn reopen(file: &File, flags: OFlags) -> io::Result<File> {
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    OpenOptions::new().write(true).custom_flags(flags).open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Bytes of which the first lies where a disk can take it from. Their memory is kept until it is dropped.
#[derive(Debug, Default)]
pub struct Pages {
    bytes: Vec<u8>,
    /// Where the first page starts. What is before it is no part of the bytes.
    start: usize,
}

impl Pages {
    /// With room for so many bytes. If more are added they may lie anywhere.
    pub fn with_capacity(len: usize) -> Self {
        let mut bytes: Vec<u8> = Vec::with_capacity(len + PAGE);
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        bytes.resize(start, 0);
        Self { bytes, start }
    }

    /// What is in them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Adds bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Where something that writes may add bytes.
    pub fn end(&mut self) -> Cursor<&mut Vec<u8>> {
        let end = self.bytes.len() as u64;
        let mut cursor = Cursor::new(&mut self.bytes);
        cursor.set_position(end);
        cursor
    }

    /// Takes all bytes out.
    pub fn clear(&mut self) {
        self.bytes.truncate(self.start);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write as _, os::unix::fs::FileExt as _};

    use super::{LARGE, OFlags, Output, PAGE, Pages, STRIDE, reopen};

    fn pages(len: usize) -> Pages {
        let mut pages = Pages::with_capacity(len);
        let bytes: Vec<u8> = (0..len).map(|n| (n / 3 % 251).to_le_bytes()[0]).collect();
        pages.extend(&bytes);
        pages
    }

    /// One in the temporary folder, most often on a disk, and one in memory, if there is such a place.
    fn files() -> Vec<File> {
        let memory = tempfile::tempfile_in("/dev/shm").ok();
        [tempfile::tempfile().unwrap()].into_iter().chain(memory).collect()
    }

    #[test]
    fn bytes_lie_at_a_page_and_stay_there_when_they_are_written_anew() {
        for len in [0, 1, LARGE, LARGE + 1] {
            let mut pages = pages(len);
            assert_eq!((pages.bytes().len(), pages.bytes().as_ptr().addr() % PAGE), (len, 0));
            pages.clear();
            pages.end().write_all(&vec![7; len]).unwrap();
            assert_eq!(pages.bytes(), vec![7; len]);
            assert_eq!(pages.bytes().as_ptr().addr() % PAGE, 0);
        }
    }

    #[test]
    fn every_byte_lands_wherever_it_lies_in_memory_and_in_the_file() {
        let pages = pages(3 * LARGE);
        let (stride, large) = (usize::try_from(STRIDE).unwrap(), LARGE);
        let parts = [(0, 0, 2 * large), (2 * large, 2 * large, 5), (1, 2 * large + 5, large), (0, stride, large + 1)];
        for file in files() {
            let output = Output::new(file);
            let mut wanted = vec![0; stride + large + 1];
            for (from, to, len) in parts {
                output.write_at(&pages.bytes()[from..from + len], to as u64).unwrap();
                wanted[to..to + len].copy_from_slice(&pages.bytes()[from..from + len]);
            }
            let mut found = vec![0; wanted.len()];
            output.file().read_exact_at(&mut found, 0).unwrap();
            assert!(found == wanted);
            assert_eq!(output.file().metadata().unwrap().len(), wanted.len() as u64);
        }
    }

    #[test]
    fn what_lies_right_goes_past_the_cache_where_that_can_be() {
        let pages = pages(2 * LARGE);
        for file in files() {
            let can = reopen(&file, OFlags::DIRECT).is_ok();
            let output = Output::new(file);
            for (from, len, offset, fits) in
                [(0, LARGE, 0, true), (0, LARGE, 1, false), (1, LARGE, 0, false), (0, LARGE - PAGE, 0, false)]
            {
                let done = output.write_past_the_cache(&pages.bytes()[from..from + len], offset);
                assert_eq!(done, if can && fits { len } else { 0 }, "{from} {len} {offset}");
            }
        }
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = Output::new(full).write_at(pages(LARGE).bytes(), 0).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
}
