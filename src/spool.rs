//! Bytes that grow with a state and are read again: in memory while they are few, then in a file without a name.
//!
//! Nobody else can see or change the file, and it is gone with the last who holds it, however the process ends. Nothing here
//! syncs it: none of it outlives the process. Owns neither what the bytes mean nor which directory has room for them; a
//! temporary one may be memory itself.

use std::{
    fs::File,
    io::{self, Read, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

/// As many bytes are not worth a file.
const FEW: usize = 1 << 20;

/// Where bytes go that are too many for memory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spools(Option<Arc<Path>>);

impl Spools {
    /// Files in this directory, which is there.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self(Some(directory.into().into()))
    }

    /// None: all is kept in memory.
    pub fn in_memory() -> Self {
        Self(None)
    }

    /// A spool with nothing in it.
    pub fn spool(&self) -> Spool {
        Spool { spools: self.clone(), few: Vec::new(), file: None, len: 0 }
    }
}

/// The directory of spools has no room, or cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("what is too much for memory cannot be kept in '{}'", directory.display())]
pub struct SpoolError {
    directory: PathBuf,
    source: io::Error,
}

/// Bytes that still grow, at their end.
#[derive(Debug)]
pub struct Spool {
    spools: Spools,
    /// All of them, as long as there is no file.
    few: Vec<u8>,
    file: Option<Arc<File>>,
    len: u64,
}

impl Spool {
    /// How many there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Those from there to the present end.
    pub fn since(&self, start: u64) -> Spooled {
        let range = start.min(self.len)..self.len;
        match &self.file {
            Some(file) => Spooled { place: Place::File(Arc::clone(file)), range },
            None => Bytes::copy_from_slice(&self.few[usize::try_from(range.start).unwrap_or(usize::MAX)..]).into(),
        }
    }

    /// No more come.
    pub fn done(self) -> Spooled {
        match self.file {
            Some(file) => Spooled { place: Place::File(file), range: 0..self.len },
            None => self.few.into(),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let Some(directory) = self.spools.0.as_deref() else {
            self.few.extend_from_slice(bytes);
            return Ok(());
        };
        if self.file.is_none() && self.few.len() + bytes.len() <= FEW {
            self.few.extend_from_slice(bytes);
            return Ok(());
        }
        let failed = |source| SpoolError { directory: directory.to_owned(), source };
        if self.file.is_none() {
            let file = tempfile::tempfile_in(directory).map_err(failed)?;
            file.write_all_at(&self.few, 0).map_err(failed)?;
            (self.file, self.few) = (Some(file.into()), Vec::new());
        }
        self.file.iter().try_for_each(|file| file.write_all_at(bytes, self.len)).map_err(failed)
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes).map_err(|error| io::Error::new(error.source.kind(), error))?;
        self.len += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that stay as they are. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spooled {
    place: Place,
    range: Range<u64>,
}

#[derive(Debug, Clone)]
enum Place {
    Memory(Bytes),
    File(Arc<File>),
}

impl Spooled {
    /// How many there are.
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Reads them from the first to the last, apart from all others who do.
    pub fn reader(&self) -> Reader {
        Reader(self.clone())
    }
}

impl From<Bytes> for Spooled {
    fn from(bytes: Bytes) -> Self {
        let range = 0..bytes.len() as u64;
        Self { place: Place::Memory(bytes), range }
    }
}

impl From<Vec<u8>> for Spooled {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

/// What is still to be read, in pieces as large as the room for them: small ones cost a system call each.
#[derive(Debug)]
pub struct Reader(Spooled);

impl Read for Reader {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let Spooled { place, range } = &mut self.0;
        let most = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).min(room.len());
        let count = match place {
            Place::File(file) => match file.read_at(&mut room[..most], range.start)? {
                0 if most > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => count,
            },
            Place::Memory(bytes) => {
                let start = usize::try_from(range.start).map_err(io::Error::other)?;
                room[..most].copy_from_slice(&bytes[start..start + most]);
                most
            }
        };
        range.start += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        io::{ErrorKind, Read as _, Write as _},
    };

    use super::{FEW, Place, Spool, Spooled, Spools};
    use crate::domain::words;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|n| (n % 251).to_le_bytes()[0]).collect()
    }

    fn filled(spools: &Spools, len: usize) -> Spool {
        let mut spool = spools.spool();
        bytes(len).chunks(10_007).for_each(|part| spool.write_all(part).unwrap());
        assert_eq!(spool.len(), len as u64);
        spool
    }

    fn read(spooled: &Spooled) -> Vec<u8> {
        let mut read = Vec::new();
        spooled.reader().read_to_end(&mut read).unwrap();
        assert_eq!((read.len() as u64, read.is_empty()), (spooled.len(), spooled.is_empty()));
        read
    }

    #[test]
    fn what_is_small_stays_in_memory_and_what_is_large_is_in_a_file_that_nobody_sees() {
        let directory = tempfile::tempdir().unwrap();
        let spools = Spools::in_directory(directory.path());
        for (len, is_in_file) in [(0, false), (FEW, false), (FEW + 1, true), (3 * FEW + 5, true)] {
            let spooled = filled(&spools, len).done();
            assert_eq!(matches!(spooled.place, Place::File(_)), is_in_file, "{len}");
            assert!(read(&spooled) == bytes(len), "{len}");
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "{len}");
        }
        let kept = filled(&Spools::in_memory(), 2 * FEW).done();
        assert!(matches!(kept.place, Place::Memory(_)) && read(&kept) == bytes(2 * FEW));
    }

    #[test]
    fn readers_do_not_move_each_other() {
        let directory = tempfile::tempdir().unwrap();
        for len in [FEW / 2, 2 * FEW] {
            let spooled = filled(&Spools::in_directory(directory.path()), len).done();
            let (mut one, mut other, mut part) = (spooled.reader(), spooled.clone().reader(), vec![0; len / 4]);
            one.read_exact(&mut part).unwrap();
            other.read_exact(&mut part).unwrap();
            assert!(part == bytes(len)[..len / 4]);
            one.read_exact(&mut part).unwrap();
            assert!(part == bytes(len)[len / 4..][..len / 4]);
            assert!(read(&spooled) == bytes(len));
        }
    }

    #[test]
    fn a_part_of_what_still_grows_stays_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        for len in [FEW / 2, 2 * FEW] {
            let mut spool = filled(&Spools::in_directory(directory.path()), len);
            let (all, part, none) = (spool.since(0), spool.since(len as u64 - 7), spool.since(u64::MAX));
            spool.write_all(&vec![255; FEW]).unwrap();
            assert!(read(&all) == bytes(len) && read(&part) == bytes(len)[len - 7..] && read(&none).is_empty());
            assert!(read(&spool.since(len as u64)) == vec![255; FEW]);
        }
    }

    #[test]
    fn a_file_that_has_less_than_was_written_does_not_end_well() {
        let directory = tempfile::tempdir().unwrap();
        let spooled = filled(&Spools::in_directory(directory.path()), 2 * FEW).done();
        let Place::File(file) = &spooled.place else { panic!("not in a file") };
        file.set_len(FEW as u64).unwrap();
        assert_eq!(spooled.reader().read_to_end(&mut Vec::new()).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_full_disk_and_a_directory_that_is_gone_are_told_with_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = filled(&Spools::in_directory(directory.path()), 2 * FEW);
        spool.file = Some(File::options().write(true).open("/dev/full").unwrap().into());
        let full = spool.write_all(&[1]).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        let gone = directory.path().join("gone");
        let missing = Spools::in_directory(&gone).spool().write_all(&bytes(2 * FEW)).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(words(&missing).contains(&format!("cannot be kept in '{}'", gone.display())), "{}", words(&missing));
        assert!(words(&full).contains("cannot be kept in '"), "{}", words(&full));
    }
}
