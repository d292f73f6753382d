//! Writes a zip as a stream: every entry once, in order, nothing ever rewritten.
//!
//! Owns the layout of the zip's own records. Names go in byte for byte with the UTF-8 flag, because a state's names are
//! its own: nothing is normalised. Sizes follow the data in a descriptor; Zip64 where 32 bits do not do. The central
//! directory is kept compressed, in a spool, until it is written: memory does not grow with the entries.

mod dos;

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use dos::dos_time;

use crate::{
    domain::{Entry, EntryKind},
    spool::{Spool, Spooled, Spools},
};

const STORED: u16 = 0;
const ZSTD: u16 = 93;
const DESCRIPTOR: u16 = 1 << 3;
const UTF8: u16 = 1 << 11;
const MADE_BY_UNIX: u16 = 3 << 8 | 63;
const CENTRAL: u32 = 0x0201_4b50;
/// What a record of the central directory has before its name.
const FIXED: usize = 46;
const MOST_32: u64 = u32::MAX as u64;
/// A file this long may need 64 bits for its stored length too: what does not compress grows a little.
const ZIP64_FILE: u64 = 0xf000_0000;
const DIRECTORY_ATTRIBUTE: u32 = 0x10;

/// Counts what goes through it: the offsets of everything in the zip.
struct Counted<W> {
    inner: W,
    at: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A zip being written.
pub(super) struct ZipWriter<W> {
    out: Counted<W>,
    central: zstd::Encoder<'static, Spool>,
    central_len: u64,
    entries: u64,
    open: Option<Record>,
    /// How much of the compressed central directory was handed out.
    taken: u64,
}

/// How far an entry has come that is not finished yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// Where its local header lies.
    pub(super) offset: u64,
    /// How many compressed bytes it has.
    pub(super) packed: u64,
}

/// What the central directory says of an entry.
struct Record {
    name: Vec<u8>,
    method: u16,
    flags: u16,
    /// Unix mode with its file type.
    mode: u32,
    mtime_s: i64,
    crc: u32,
    packed: u64,
    plain: u64,
    offset: u64,
    /// Whether the local header promises 64-bit sizes in the descriptor.
    zip64: bool,
}

impl Record {
    fn new(name: Vec<u8>, mode: u32, mtime_s: i64, method: u16) -> Self {
        Self { name, method, flags: UTF8, mode, mtime_s, crc: 0, packed: 0, plain: 0, offset: 0, zip64: false }
    }

    fn own(name: &str) -> Self {
        Self::new(name.into(), 0o100_644, 0, ZSTD)
    }

    /// With a descriptor, of at most so many plain bytes.
    fn begun(self, len: u64, Begun { offset, packed }: Begun) -> Self {
        Self { flags: self.flags | DESCRIPTOR, zip64: len >= ZIP64_FILE, offset, packed, ..self }
    }

    fn of(entry: &Entry) -> Self {
        let path = entry.path.as_str();
        let (name, file_type, method) = match entry.kind {
            EntryKind::Directory => (format!("{path}/"), 0o040_000, STORED),
            EntryKind::File { len: 0 } => (path.to_owned(), 0o100_000, STORED),
            EntryKind::File { .. } => (path.to_owned(), 0o100_000, ZSTD),
            EntryKind::Symlink { .. } => (path.to_owned(), 0o120_000, STORED),
        };
        Self::new(name.into_bytes(), file_type | entry.mode, entry.mtime_s, method)
    }
}

impl<W: Write> ZipWriter<W> {
    /// Goes on after so many bytes; what of them is an entry of the zip is said by [`Self::again`] and [`Self::reopen`].
    pub(super) fn after(inner: W, at: u64, spools: &Spools) -> io::Result<Self> {
        let central = zstd::Encoder::new(spools.spool(), 1)?;
        Ok(Self { out: Counted { inner, at }, central, central_len: 0, entries: 0, open: None, taken: 0 })
    }

    pub(super) fn inner(&mut self) -> &mut W {
        &mut self.out.inner
    }

    /// The entry that was started and is not finished.
    pub(super) fn begun(&self) -> Option<Begun> {
        self.open.as_ref().map(|record| Begun { offset: record.offset, packed: record.packed })
    }

    /// The compressed central directory that came since this was asked last, and how long all of it is unpacked.
    pub(super) fn grown(&mut self) -> io::Result<(Spooled, u64)> {
        self.central.flush()?;
        let bytes = self.central.get_ref().since(self.taken);
        self.taken += bytes.len();
        Ok((bytes, self.central_len))
    }

    /// Lists an entry that is there already, as the central directory had it.
    pub(super) fn again(&mut self, record: &[u8]) -> io::Result<()> {
        self.central_len += record.len() as u64;
        self.entries += 1;
        self.central.write_all(record)
    }

    /// Goes on with a file that was begun last of all that is there.
    pub(super) fn reopen(&mut self, entry: &Entry, len: u64, begun: Begun) {
        self.open = Some(Record::of(entry).begun(len, begun));
    }

    /// The same with an entry of our own.
    pub(super) fn reopen_own(&mut self, name: &str, most: u64, begun: Begun) {
        self.open = Some(Record::own(name).begun(most, begun));
    }

    /// How long the zip is so far: the offset of what is written next.
    pub(super) fn offset(&self) -> u64 {
        self.out.at
    }

    /// Writes an entry whose content, if any, is known and stored as it is.
    pub(super) fn stored(&mut self, entry: &Entry, content: &[u8]) -> io::Result<()> {
        let mut record = Record::of(entry);
        record.crc = crc32fast::hash(content);
        record.plain = content.len() as u64;
        record.packed = record.plain;
        self.start(&mut record)?;
        self.out.write_all(content)?;
        self.list(&record)
    }

    /// Starts a file of `len` bytes; its zstd frames are written next, by [`Self::data`].
    pub(super) fn start_file(&mut self, entry: &Entry, len: u64) -> io::Result<()> {
        self.open(Record::of(entry), len)
    }

    /// Starts an entry of our own, of at most so many bytes.
    pub(super) fn start_own(&mut self, name: &str, most: u64) -> io::Result<()> {
        self.open(Record::own(name), most)
    }

    fn open(&mut self, record: Record, len: u64) -> io::Result<()> {
        let mut record = record.begun(len, Begun { offset: 0, packed: 0 });
        self.start(&mut record)?;
        self.open = Some(record);
        Ok(())
    }

    /// Writes compressed bytes of the entry that was started.
    pub(super) fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        if let Some(record) = &mut self.open {
            record.packed += bytes.len() as u64;
        }
        Ok(())
    }

    /// Ends the entry that was started.
    pub(super) fn finish_entry(&mut self, crc: u32, plain: u64) -> io::Result<()> {
        let Some(mut record) = self.open.take() else { return Ok(()) };
        (record.crc, record.plain) = (crc, plain);
        self.out.write_all(&descriptor(&record))?;
        self.list(&record)
    }

    /// Writes the central directory; answers the writer beneath and the length of the zip.
    pub(super) fn finish(mut self) -> io::Result<(W, u64)> {
        let start = self.out.at;
        let central = self.central.finish()?.done();
        let written = io::copy(&mut zstd::Decoder::new(central.reader())?, &mut self.out)?;
        debug_assert_eq!(written, self.central_len);
        self.out.write_all(&end(self.entries, written, start))?;
        self.out.flush()?;
        Ok((self.out.inner, self.out.at))
    }

    fn start(&mut self, record: &mut Record) -> io::Result<()> {
        if record.name.len() > usize::from(u16::MAX) {
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, "its path is longer than 65535 bytes"));
        }
        record.offset = self.out.at;
        self.out.write_all(&local(record))
    }

    fn list(&mut self, record: &Record) -> io::Result<()> {
        let bytes = central(record);
        self.central_len += bytes.len() as u64;
        self.entries += 1;
        self.central.write_all(&bytes)
    }
}

/// Goes through a central directory, record by record.
pub(super) struct Central<R>(R);

impl<R: Read> Central<R> {
    /// Of these bytes, unpacked.
    pub(super) fn new(bytes: R) -> Self {
        Self(bytes)
    }

    /// The next record, which must be there.
    pub(super) fn record(&mut self) -> io::Result<Vec<u8>> {
        let mut record = vec![0; FIXED];
        self.0.read_exact(&mut record)?;
        if record[..4] != CENTRAL.to_le_bytes() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let len = |at: usize| usize::from(u16::from_le_bytes([record[at], record[at + 1]]));
        record.resize(FIXED + len(28) + len(30) + len(32), 0);
        self.0.read_exact(&mut record[FIXED..])?;
        Ok(record)
    }
}

/// Little-endian fields, one after another.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, value: &[u8]) -> Self {
        self.0.extend_from_slice(value);
        self
    }

    /// A count or length in 16 bits.
    fn len16(self, len: usize) -> Self {
        self.u16(u16::try_from(len).unwrap_or(u16::MAX))
    }

    /// A size in 32 bits, or the mark that says that Zip64 has it.
    fn size32(self, size: u64) -> Self {
        self.u32(u32::try_from(size).unwrap_or(u32::MAX))
    }
}

fn local(record: &Record) -> Vec<u8> {
    let extra = Fields::default().bytes(&timestamp(record.mtime_s));
    let extra = if record.zip64 { extra.u16(1).u16(16).u64(0).u64(0) } else { extra };
    let size = |size| if record.zip64 { u64::MAX } else { size };
    let (time, date) = dos_time(record.mtime_s);
    Fields::default()
        .u32(0x0403_4b50)
        .u16(version(record, record.zip64))
        .u16(record.flags)
        .u16(record.method)
        .u16(time)
        .u16(date)
        .u32(record.crc)
        .size32(size(record.packed))
        .size32(size(record.plain))
        .len16(record.name.len())
        .len16(extra.0.len())
        .bytes(&record.name)
        .bytes(&extra.0)
        .0
}

fn descriptor(record: &Record) -> Vec<u8> {
    let fields = Fields::default().u32(0x0807_4b50).u32(record.crc);
    if record.zip64 {
        fields.u64(record.packed).u64(record.plain).0
    } else {
        fields.size32(record.packed).size32(record.plain).0
    }
}

fn central(record: &Record) -> Vec<u8> {
    let large = [record.plain, record.packed, record.offset].into_iter().filter(|size| *size >= MOST_32);
    let zip64 = large.fold(Fields::default(), Fields::u64).0;
    let extra = Fields::default().bytes(&timestamp(record.mtime_s));
    let extra = if zip64.is_empty() { extra } else { extra.u16(1).len16(zip64.len()).bytes(&zip64) };
    let (time, date) = dos_time(record.mtime_s);
    let dos = if record.name.ends_with(b"/") { DIRECTORY_ATTRIBUTE } else { 0 };
    Fields::default()
        .u32(CENTRAL)
        .u16(MADE_BY_UNIX)
        .u16(version(record, !zip64.is_empty()))
        .u16(record.flags)
        .u16(record.method)
        .u16(time)
        .u16(date)
        .u32(record.crc)
        .size32(record.packed)
        .size32(record.plain)
        .len16(record.name.len())
        .len16(extra.0.len())
        .u16(0)
        .u16(0)
        .u16(0)
        .u32(record.mode << 16 | dos)
        .size32(record.offset)
        .bytes(&record.name)
        .bytes(&extra.0)
        .0
}

/// The records that end a zip, Zip64's first if it needs them.
fn end(entries: u64, len: u64, start: u64) -> Vec<u8> {
    let few = u16::try_from(entries).unwrap_or(u16::MAX);
    let large = few == u16::MAX || len >= MOST_32 || start >= MOST_32;
    let zip64 = if large { end64(entries, len, start) } else { Vec::new() };
    Fields(zip64).u32(0x0605_4b50).u16(0).u16(0).u16(few).u16(few).size32(len).size32(start).u16(0).0
}

fn end64(entries: u64, len: u64, start: u64) -> Vec<u8> {
    Fields::default()
        .u32(0x0606_4b50)
        .u64(44)
        .u16(MADE_BY_UNIX)
        .u16(63)
        .u32(0)
        .u32(0)
        .u64(entries)
        .u64(entries)
        .u64(len)
        .u64(start)
        .u32(0x0706_4b50)
        .u32(0)
        .u64(start + len)
        .u32(1)
        .0
}

/// The version of the zip specification that reading the entry takes.
fn version(record: &Record, zip64: bool) -> u16 {
    match (record.method, zip64) {
        (ZSTD, _) => 63,
        (_, true) => 45,
        (_, false) => 20,
    }
}

/// The extended timestamp, if its 32 bits can say it: the modification time, in seconds, signed.
fn timestamp(mtime_s: i64) -> Vec<u8> {
    let Ok(seconds) = i32::try_from(mtime_s) else { return Vec::new() };
    Fields::default().u16(0x5455).u16(5).bytes(&[1]).bytes(&seconds.to_le_bytes()).0
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use super::{MOST_32, Record, ZipWriter, central, end};
    use crate::{
        domain::{Entry, EntryKind, TreePath},
        spool::Spools,
    };

    fn entry(path: &str, kind: EntryKind) -> Entry {
        Entry { path: TreePath::parse(path).unwrap(), kind, mode: 0o750, mtime_s: 1_772_625_909, mtime_ns: 5 }
    }

    #[test]
    fn the_oracle_reads_what_was_written() {
        let mut zip = ZipWriter::after(Vec::new(), 0, &Spools::in_memory()).unwrap();
        zip.stored(&entry("d", EntryKind::Directory), b"").unwrap();
        zip.start_file(&entry("d/ü\\C:x", EntryKind::File { len: 6 }), 6).unwrap();
        for part in [b"abc", b"def"] {
            zip.data(&zstd::bulk::compress(part, 1).unwrap()).unwrap();
        }
        zip.finish_entry(crc32fast::hash(b"abcdef"), 6).unwrap();
        zip.stored(&entry("l", EntryKind::Symlink { target: "d".into() }), b"d").unwrap();
        let (bytes, len) = zip.finish().unwrap();
        assert_eq!(bytes.len() as u64, len);
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let names: Vec<_> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
        assert_eq!(names, ["d/", "d/ü\\C:x", "l"]);
        let mut text = String::new();
        zip.by_index(1).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abcdef");
        let modes: Vec<_> = (0..3).map(|n| zip.by_index(n).unwrap().unix_mode().unwrap()).collect();
        assert_eq!(modes, [0o040_750, 0o100_750, 0o120_750]);
    }

    #[test]
    fn more_entries_than_16_bits_count_are_all_there() {
        let mut zip = ZipWriter::after(Vec::new(), 0, &Spools::in_memory()).unwrap();
        for n in 0..70_000 {
            zip.stored(&entry(&format!("{n:06}"), EntryKind::File { len: 0 }), b"").unwrap();
        }
        let zip = zip::ZipArchive::new(Cursor::new(zip.finish().unwrap().0)).unwrap();
        assert_eq!(zip.len(), 70_000);
    }

    #[test]
    fn what_lies_beyond_4_gib_is_found_through_zip64() {
        let mut record = Record::of(&entry("a", EntryKind::File { len: 1 }));
        (record.plain, record.packed, record.offset) = (7, MOST_32, MOST_32 + 9);
        let bytes = central(&record);
        assert_eq!(bytes[20..28], [0xff, 0xff, 0xff, 0xff, 7, 0, 0, 0]);
        assert_eq!(bytes[42..46], [0xff; 4]);
        let extra = [&[1, 0, 16, 0][..], &MOST_32.to_le_bytes(), &(MOST_32 + 9).to_le_bytes()].concat();
        assert!(bytes.ends_with(&extra));
        assert_eq!(end(1, 1, MOST_32).len(), 56 + 20 + 22);
        assert_eq!(end(1, 1, 1).len(), 22);
    }
}
