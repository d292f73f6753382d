use std::io::Read as _;

use proptest::prelude::*;
use uuid::Uuid;

use super::{Frame, Item, Manifest, ManifestError, ManifestWriter, Member, Stored};
use crate::archive::block::{BlockHash, BlockSize};
use crate::domain::{Entry, EntryKind, Location, TreePath};
use crate::spool::Spools;

const BLOCK: u32 = 1 << 16;

fn entry(path: &str, kind: EntryKind) -> Item {
    let path = TreePath::parse(path).unwrap();
    Item::Entry(Entry { path, kind, mode: 0o4755, mtime_s: -1_000_000_000_000, mtime_ns: 999_999_999 })
}

fn file(path: &str, len: u64) -> Item {
    entry(path, EntryKind::File { len })
}

fn block(offset: u64, len: u32, frame: Frame, place: u32) -> Item {
    let hash = BlockHash::of(&offset.to_le_bytes());
    Item::Block { offset, len, stored: Stored { hash, frame, place } }
}

fn write(members: &[Member], items: &[Item]) -> Vec<u8> {
    let mut writer = ManifestWriter::new(BlockSize::for_state(0), members, &Spools::in_memory()).unwrap();
    for item in items {
        match item {
            Item::Entry(entry) => writer.entry(entry, 0).unwrap(),
            Item::Block { len, stored, .. } => writer.block(stored, *len).unwrap(),
            Item::Hole { len, .. } => writer.holes(len.div_ceil(BLOCK.into())),
        }
    }
    let mut bytes = Vec::new();
    writer.finish().unwrap().reader().read_to_end(&mut bytes).unwrap();
    bytes
}

fn read(compressed: Vec<u8>) -> Result<Vec<Item>, ManifestError> {
    Manifest::read(compressed.into())?.items()?.collect()
}

fn members() -> Vec<Member> {
    let member = |n: u64| Member { id: Uuid::from_u128(n.into()), location: Location(format!("b{n}.zip")), zip_len: n };
    vec![member(1), member(u64::MAX)]
}

/// One of everything.
fn sample() -> Vec<Item> {
    let here = Frame { member: 0, offset: 35, len: 4000 };
    let older = Frame { member: 2, offset: u64::MAX - 5000, len: 5000 };
    let two = u64::from(BLOCK) * 2;
    vec![
        entry("dir", EntryKind::Directory),
        file("dir/blocks", two + 7),
        block(0, BLOCK, here, 0),
        block(BLOCK.into(), BLOCK, here, BLOCK),
        block(two, 7, here, 2 * BLOCK),
        file("dir/empty", 0),
        file("dir/holes", two * 500 + 9),
        Item::Hole { offset: 0, len: two },
        block(two, BLOCK, here, 5 * BLOCK),
        block(two + u64::from(BLOCK), BLOCK, older, 0),
        Item::Hole { offset: two * 2, len: two * 498 + 9 },
        entry("dir/link", EntryKind::Symlink { target: "../ü".into() }),
        file("e", 1),
        block(0, 1, here, 0),
    ]
}

#[test]
fn a_manifest_comes_back_as_it_was_written() {
    let compressed = write(&members(), &sample());
    let manifest = Manifest::read(compressed.clone().into()).unwrap();
    assert_eq!(manifest.members(), members());
    assert_eq!(manifest.block_size().bytes(), BLOCK);
    assert_eq!(read(compressed).unwrap(), sample());
    assert_eq!(read(write(&[], &[])).unwrap(), []);
}

#[test]
fn a_manifest_cut_anywhere_is_an_error() {
    let plain = zstd::decode_all(write(&members(), &sample()).as_slice()).unwrap();
    for len in 0..plain.len() {
        assert!(read(zstd::encode_all(&plain[..len], 1).unwrap()).is_err(), "{len} of {}", plain.len());
    }
    let longer = [plain.as_slice(), &[0]].concat();
    assert!(read(zstd::encode_all(longer.as_slice(), 1).unwrap()).is_err());
}

#[test]
fn what_could_write_outside_the_tree_is_refused() {
    let link = entry("a", EntryKind::Symlink { target: "/etc".into() });
    let through = read(write(&[], &[link, file("a/passwd", 0)]));
    assert!(matches!(through, Err(ManifestError::Order(_))), "{through:?}");
    let plain = zstd::decode_all(write(&[], &[file("xx/passwd", 0)]).as_slice()).unwrap();
    let at = plain.windows(2).position(|two| two == b"xx").unwrap();
    let escaped = [&plain[..at], b"..", &plain[at + 2..]].concat();
    let escaped = read(zstd::encode_all(escaped.as_slice(), 1).unwrap());
    assert!(matches!(escaped, Err(ManifestError::Path(_))), "{escaped:?}");
}

#[test]
fn places_that_cannot_be_are_refused() {
    let frame = |member, len| Frame { member, offset: 0, len };
    for (bad, place) in [(frame(3, 10), 0), (frame(0, 0), 0), (frame(0, 2 << 20), 0), (frame(0, 10), 1 << 20)] {
        let items = [file("a", 10), block(0, 10, bad, place)];
        assert!(read(write(&members(), &items)).is_err(), "{bad:?} {place}");
    }
}

#[test]
fn a_million_blocks_stay_below_64_mib() {
    let blocks = 1_u64 << 20;
    let mut writer = ManifestWriter::new(BlockSize::for_state(0), &[], &Spools::in_memory()).unwrap();
    let Item::Entry(entry) = file("big", blocks * u64::from(BLOCK)) else { unreachable!() };
    writer.entry(&entry, 0).unwrap();
    for n in 0..blocks {
        let frame = Frame { member: 0, offset: n / 16 * 700_000, len: 700_000 - u32::try_from(n / 16 % 7).unwrap() };
        let hash = BlockHash::of(&n.to_le_bytes());
        writer.block(&Stored { hash, frame, place: u32::try_from(n % 16).unwrap() * BLOCK }, BLOCK).unwrap();
    }
    let len = writer.finish().unwrap().len();
    assert!(len < 36 << 20, "{len}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(tail in proptest::collection::vec(any::<u8>(), 0..300), real in any::<bool>()) {
        let plain = if real { [b"FBM\x02\x10\x00".as_slice(), &tail].concat() } else { tail.clone() };
        let _ = read(zstd::encode_all(plain.as_slice(), 1).unwrap());
        let _ = read(tail);
    }

    #[test]
    fn a_changed_manifest_never_makes_the_reader_panic(at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut plain = zstd::decode_all(write(&members(), &sample()).as_slice()).unwrap();
        let at = at.index(plain.len());
        plain[at] = with;
        let _ = read(zstd::encode_all(plain.as_slice(), 1).unwrap());
    }
}
