//! A tree as a value: read from a disk, or taken from a backup, to be compared.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::{Arc, Mutex},
};

use fabric_backup::{
    archive::{Sink, SinkFile},
    domain::{Entry, EntryKind},
};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

/// Path to mode, modification time, and what it is.
pub(crate) type Tree = BTreeMap<String, (u32, i64, u32, Node)>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Directory,
    File(Vec<u8>),
    Symlink(String),
}

/// The tree in a directory; empty where there is none.
pub(crate) fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    if root.is_dir() {
        gather(root, "", &mut tree);
    }
    tree
}

fn gather(directory: &Path, prefix: &str, tree: &mut Tree) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let (path, facts) = (entry.path(), entry.metadata().unwrap());
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        let node = if facts.is_dir() {
            gather(&path, &format!("{name}/"), tree);
            Node::Directory
        } else if facts.is_symlink() {
            Node::Symlink(fs::read_link(&path).unwrap().to_str().unwrap().to_owned())
        } else {
            Node::File(fs::read(&path).unwrap())
        };
        tree.insert(name, (facts.mode() & 0o7777, facts.mtime(), u32::try_from(facts.mtime_nsec()).unwrap(), node));
    }
}

/// The state before anything happens: small and odd.
pub(crate) fn write_first(root: &Path) {
    fs::create_dir_all(root.join("records/empty directory")).unwrap();
    fs::write(root.join("records/0001"), noise(1, 200_000)).unwrap();
    fs::write(root.join("records/0002"), noise(2, 3_000)).unwrap();
    fs::write(root.join("records/empty"), []).unwrap();
    fs::write(root.join(".hidden"), "seen all the same").unwrap();
    fs::set_permissions(root.join(".hidden"), fs::Permissions::from_mode(0o400)).unwrap();
    symlink("records/0001", root.join("latest")).unwrap();
    set_times(root);
}

/// What the owner of the state makes of it: something changed, something gone, something new.
pub(crate) fn write_second(root: &Path) {
    fs::write(root.join("records/0001"), noise(3, 150_000)).unwrap();
    fs::remove_file(root.join("latest")).unwrap();
    fs::write(root.join("records/0003"), noise(4, 10)).unwrap();
    set_times(root);
}

/// What the owner makes of the first state once it was restored.
pub(crate) fn write_third(root: &Path) {
    fs::write(root.join("records/0004"), noise(5, 70_000)).unwrap();
    set_times(root);
}

/// Gives everything a time of its own that depends on nothing but its name, so that the same tree is equal anywhere.
fn set_times(root: &Path) {
    for (path, (_, _, _, node)) in read(root) {
        let written = path.bytes().map(i64::from).sum::<i64>() * 1000;
        let time = Timespec { tv_sec: written, tv_nsec: if node == Node::Directory { 1 } else { 123_456_789 } };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, root.join(path), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// Bytes that do not compress.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

/// Takes a backup's tree into memory.
#[derive(Default, Clone)]
pub(crate) struct Memory(Arc<Mutex<Tree>>);

impl Memory {
    pub(crate) fn tree(&self) -> Tree {
        self.0.lock().unwrap().clone()
    }

    fn add(&self, entry: &Entry, node: Node) {
        let line = (entry.mode, entry.mtime_s, entry.mtime_ns, node);
        assert!(self.0.lock().unwrap().insert(entry.path.as_str().to_owned(), line).is_none(), "{entry:?} twice");
    }
}

impl Sink for Memory {
    type Error = Infallible;
    type File = MemoryFile;

    fn directory(&mut self, entry: &Entry) -> Result<(), Infallible> {
        self.add(entry, Node::Directory);
        Ok(())
    }

    fn symlink(&mut self, entry: &Entry) -> Result<(), Infallible> {
        let EntryKind::Symlink { target } = &entry.kind else { panic!("{entry:?} is no link") };
        self.add(entry, Node::Symlink(target.clone()));
        Ok(())
    }

    fn file(&mut self, entry: &Entry) -> Result<MemoryFile, Infallible> {
        let EntryKind::File { len } = entry.kind else { panic!("{entry:?} is no file") };
        let bytes = vec![0; usize::try_from(len).unwrap()];
        Ok(MemoryFile { memory: self.clone(), entry: entry.clone(), bytes: bytes.into() })
    }

    fn complete(&mut self, _: &Entry) -> Result<(), Infallible> {
        Ok(())
    }
}

pub(crate) struct MemoryFile {
    memory: Memory,
    entry: Entry,
    bytes: Mutex<Vec<u8>>,
}

impl SinkFile for MemoryFile {
    type Error = Infallible;

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), Infallible> {
        let offset = usize::try_from(offset).unwrap();
        self.bytes.lock().unwrap()[offset..offset + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn finish(self) -> Result<(), Infallible> {
        self.memory.add(&self.entry, Node::File(self.bytes.into_inner().unwrap()));
        Ok(())
    }
}
