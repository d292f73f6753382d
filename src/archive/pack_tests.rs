use std::{
    io::{self, Cursor, Read},
    sync::Arc,
};

use super::{PackError, Packed, Packer, Packing};
use crate::archive::{
    block::BlockSize,
    manifest::{Item, Manifest},
};
use crate::domain::{Entry, EntryKind, TreePath};

fn entry(path: &str, kind: EntryKind) -> Entry {
    Entry { path: TreePath::parse(path).unwrap(), kind, mode: 0o640, mtime_s: 1, mtime_ns: 2 }
}

fn file(path: &str, content: &[u8]) -> Entry {
    entry(path, EntryKind::File { len: content.len() as u64 })
}

fn packer() -> Packer<Vec<u8>> {
    Packer::start(Vec::new(), &Packing::full(BlockSize::for_state(0)), Arc::default()).unwrap()
}

fn pack(files: &[(&str, &[u8])]) -> (Packed, Vec<u8>) {
    let mut packer = packer();
    for (path, content) in files {
        packer.entry(&file(path, content), &mut &**content).unwrap();
    }
    packer.finish().unwrap()
}

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn a_zip_tool_finds_every_byte_and_the_manifest_last() {
    let long = noise((3 << 20) + 12345);
    let (packed, bytes) = pack(&[("a", b""), ("b", b"hello"), ("c", &long)]);
    let mut zip = zip::ZipArchive::new(Cursor::new(&bytes)).unwrap();
    for (n, expected) in [&b""[..], b"hello", &long].into_iter().enumerate() {
        let mut content = Vec::new();
        zip.by_index(n).unwrap().read_to_end(&mut content).unwrap();
        assert_eq!(content, expected, "{n}");
    }
    assert_eq!(zip.len(), 4);
    let manifest = zip.by_index(3).unwrap();
    assert_eq!(manifest.name().unwrap(), ".fabric-backup/manifest");
    assert_eq!(
        (manifest.data_start(), manifest.compressed_size()),
        (Some(packed.manifest_offset), packed.manifest_len)
    );
    assert_eq!((packed.files, packed.plain_bytes), (3, long.len() as u64 + 5));
    assert!(packed.stored_bytes < packed.plain_bytes + 200 && packed.stored_bytes > long.len() as u64);
    assert_eq!(packed.zip_len, bytes.len() as u64);
}

#[test]
fn every_block_lies_where_the_manifest_says() {
    let mut content = vec![b'x'; 3 << 20];
    content[1 << 20..2 << 20].fill(0);
    let (packed, bytes) = pack(&[("f", &content)]);
    let range = usize::try_from(packed.manifest_offset).unwrap()..;
    let compressed = &bytes[range][..usize::try_from(packed.manifest_len).unwrap()];
    assert_eq!(*blake3::hash(compressed).as_bytes(), packed.manifest_hash);
    let mut restored = vec![0; content.len()];
    let mut blocks = 0;
    for item in Manifest::read(compressed.to_vec().into()).unwrap().items().unwrap() {
        let Item::Block { offset, len, stored } = item.unwrap() else { continue };
        let frame = &bytes[usize::try_from(stored.frame.offset).unwrap()..][..stored.frame.len as usize];
        let plain = zstd::bulk::decompress(frame, 1 << 20).unwrap();
        let block = &plain[stored.place as usize..][..len as usize];
        restored[usize::try_from(offset).unwrap()..][..len as usize].copy_from_slice(block);
        blocks += 1;
    }
    assert_eq!((restored == content, blocks), (true, 32), "holes are not stored");
}

#[test]
fn our_own_name_is_refused_by_name_and_only_at_the_root() {
    let mut packer = packer();
    let error = packer.entry(&file(".fabric-backup", b""), &mut io::empty()).unwrap_err();
    assert!(error.to_string().contains("'.fabric-backup'"), "{error}");
    packer.entry(&entry("a", EntryKind::Directory), &mut io::empty()).unwrap();
    packer.entry(&file("a/.fabric-backup", b""), &mut io::empty()).unwrap();
    packer.entry(&file("b.fabric-backup", b""), &mut io::empty()).unwrap();
}

#[test]
fn a_file_that_is_longer_or_shorter_than_its_entry_is_an_error_that_names_it() {
    for content in [&b"1234"[..], b"123456", b""] {
        let error = packer().entry(&file("a file", b"12345"), &mut &*content).unwrap_err();
        assert!(matches!(&error, PackError::Length { path, expected: 5 } if path == "a file"), "{error}");
    }
}

#[test]
fn what_the_source_says_reaches_the_caller() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::StaleNetworkFileHandle, "gone"))
        }
    }
    let error = packer().entry(&file("a", b"x"), &mut Fails).unwrap_err();
    let PackError::Read { path, source } = error else { panic!("{error}") };
    assert_eq!((path.as_str(), source.kind()), ("a", io::ErrorKind::StaleNetworkFileHandle));
}

#[test]
fn a_walk_out_of_order_is_refused() {
    let mut packer = packer();
    packer.entry(&file("b", b""), &mut io::empty()).unwrap();
    assert!(matches!(packer.entry(&file("a", b""), &mut io::empty()), Err(PackError::Order(_))));
}
