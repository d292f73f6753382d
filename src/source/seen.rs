//! The entries of a snapshot, kept as they were seen: gone through as often as one likes without a look at the state.
//!
//! Owns their form, which only this process reads: numbers are little-endian, of a path only what differs from the one
//! before is there.

use std::io::{self, BufReader, BufWriter, Read, Write};

use crate::{
    domain::{Entry, EntryKind, TreePath},
    spool::{self, Spool, Spooled, Spools},
};

const DIRECTORY: u8 = 0;
const FILE: u8 = 1;
const SYMLINK: u8 = 2;

/// Entries while they are seen.
pub(super) struct Seeing {
    spool: BufWriter<Spool>,
    /// The path that came last.
    path: String,
    record: Vec<u8>,
}

impl Seeing {
    pub(super) fn start(spools: &Spools) -> Self {
        Self { spool: BufWriter::new(spools.spool()), path: String::new(), record: Vec::new() }
    }

    pub(super) fn add(&mut self, entry: &Entry) -> io::Result<()> {
        self.record.clear();
        self.path(entry.path.as_str())?;
        match &entry.kind {
            EntryKind::Directory => self.record.push(DIRECTORY),
            EntryKind::File { len } => {
                self.record.push(FILE);
                self.record.extend(len.to_le_bytes());
            }
            EntryKind::Symlink { target } => {
                self.record.push(SYMLINK);
                self.text(target)?;
            }
        }
        self.record.extend(entry.mode.to_le_bytes());
        self.record.extend(entry.mtime_s.to_le_bytes());
        self.record.extend(entry.mtime_ns.to_le_bytes());
        self.spool.write_all(&self.record)
    }

    fn path(&mut self, path: &str) -> io::Result<()> {
        let same = path.bytes().zip(self.path.bytes()).take_while(|(new, old)| new == old).count();
        let same = path.floor_char_boundary(same);
        self.length(same)?;
        self.text(&path[same..])?;
        self.path.truncate(same);
        self.path.push_str(&path[same..]);
        Ok(())
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        self.length(text.len())?;
        self.record.extend(text.as_bytes());
        Ok(())
    }

    fn length(&mut self, length: usize) -> io::Result<()> {
        self.record.extend(u16::try_from(length).map_err(io::Error::other)?.to_le_bytes());
        Ok(())
    }

    pub(super) fn done(self) -> io::Result<Seen> {
        Ok(Seen(self.spool.into_inner()?.done()))
    }
}

/// All of them.
pub(super) struct Seen(Spooled);

impl Seen {
    /// From the first on.
    pub(super) fn again(&self) -> Again {
        Again { bytes: BufReader::new(self.0.reader()), path: String::new() }
    }
}

/// The entries still to come. How many there are, its owner knows.
pub(super) struct Again {
    bytes: BufReader<spool::Reader>,
    path: String,
}

impl Again {
    /// The next one, which must be there. Nothing is to be asked after an error.
    pub(super) fn entry(&mut self) -> io::Result<Entry> {
        let path = self.path()?;
        let [kind] = self.number()?;
        let kind = match kind {
            DIRECTORY => EntryKind::Directory,
            FILE => EntryKind::File { len: u64::from_le_bytes(self.number()?) },
            SYMLINK => EntryKind::Symlink { target: self.text()? },
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let mode = u32::from_le_bytes(self.number()?);
        let mtime_s = i64::from_le_bytes(self.number()?);
        Ok(Entry { path, kind, mode, mtime_s, mtime_ns: u32::from_le_bytes(self.number()?) })
    }

    fn path(&mut self) -> io::Result<TreePath> {
        let same = self.length()?;
        let rest = self.text()?;
        if !self.path.is_char_boundary(same) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.path.truncate(same);
        self.path.push_str(&rest);
        TreePath::parse(&self.path).map_err(io::Error::other)
    }

    fn text(&mut self) -> io::Result<String> {
        let mut text = vec![0; self.length()?];
        self.bytes.read_exact(&mut text)?;
        String::from_utf8(text).map_err(io::Error::other)
    }

    fn length(&mut self) -> io::Result<usize> {
        Ok(u16::from_le_bytes(self.number()?).into())
    }

    fn number<const BYTES: usize>(&mut self) -> io::Result<[u8; BYTES]> {
        let mut number = [0; BYTES];
        self.bytes.read_exact(&mut number)?;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use proptest::{collection::vec, prelude::*};

    use super::Seeing;
    use crate::{
        domain::{Entry, EntryKind, TreePath},
        spool::Spools,
    };

    fn entry() -> impl Strategy<Value = Entry> {
        let kind = prop_oneof![
            Just(EntryKind::Directory),
            any::<u64>().prop_map(|len| EntryKind::File { len }),
            ".{0,300}".prop_map(|target| EntryKind::Symlink { target }),
        ];
        let path = "[aäöü🦀/]{1,9}".prop_filter_map("no path", |path| TreePath::parse(&path).ok());
        (path, kind, any::<u32>(), any::<i64>(), any::<u32>()).prop_map(|(path, kind, mode, mtime_s, mtime_ns)| Entry {
            path,
            kind,
            mode,
            mtime_s,
            mtime_ns,
        })
    }

    fn again(entries: &[Entry], spools: &Spools) -> Vec<Entry> {
        let mut seeing = Seeing::start(spools);
        for entry in entries {
            seeing.add(entry).unwrap();
        }
        let mut again = seeing.done().unwrap().again();
        let found = entries.iter().map(|_| again.entry().unwrap()).collect();
        assert_eq!(again.entry().unwrap_err().kind(), ErrorKind::UnexpectedEof, "there are more");
        found
    }

    proptest! {
        #[test]
        fn what_was_seen_is_seen_again(entries in vec(entry(), 0..40)) {
            prop_assert_eq!(again(&entries, &Spools::in_memory()), entries);
        }
    }

    fn directory(path: &str) -> Entry {
        let path = TreePath::parse(path).unwrap();
        Entry { path, kind: EntryKind::Directory, mode: 0, mtime_s: 0, mtime_ns: 0 }
    }

    #[test]
    fn more_than_memory_has_room_for() {
        let temp = tempfile::tempdir().unwrap();
        let entries: Vec<_> = (0..60_000).map(|n| directory(&format!("{}/{n}", n / 100))).collect();
        assert!(again(&entries, &Spools::in_directory(temp.path())) == entries);
    }

    #[test]
    fn the_longest_path_and_what_is_longer() {
        let entry = |len| directory(&"x".repeat(len));
        let longest = [entry(65_535), entry(1), entry(65_535)];
        assert!(again(&longest, &Spools::in_memory()) == longest);
        assert!(Seeing::start(&Spools::in_memory()).add(&entry(65_536)).is_err());
    }
}
