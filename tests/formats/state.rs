//! A state made up for these tests, backups of it, and one way to write a tree down as lines, however it was read.

use std::{
    convert::Infallible,
    fmt::Write,
    fs,
    io::Read,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, TimeZone, Utc};
use fabric_backup::{
    archive::{BlockSize, Draft, Out, PackError, Packer, Packing, Place, Sink, SinkFile, Upload},
    domain::{
        ApplicationName, BackupPoint, Entry, EntryKind, Epoch, KeyRange, PartitionId, PartitionKind, ServiceName,
        TreePath,
    },
};
use uuid::{Uuid, uuid};

/// An entry, and what a file holds.
pub(crate) type Tree = Vec<(Entry, Vec<u8>)>;

const MTIME: i64 = 1_767_323_045;

fn entry(path: &str, kind: EntryKind, mode: u32) -> Entry {
    Entry { path: TreePath::parse(path).unwrap(), kind, mode, mtime_s: MTIME, mtime_ns: 123_456_789 }
}

fn directory(path: &str, mode: u32) -> (Entry, Vec<u8>) {
    (entry(path, EntryKind::Directory, mode), vec![])
}

fn link(path: &str, target: &str) -> (Entry, Vec<u8>) {
    (entry(path, EntryKind::Symlink { target: target.into() }, 0o777), vec![])
}

pub(crate) fn file(path: &str, mode: u32, content: Vec<u8>) -> (Entry, Vec<u8>) {
    (entry(path, EntryKind::File { len: content.len() as u64 }, mode), content)
}

/// Bytes that do not compress, always the same.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// One of each thing that a state can have, in some KiB when packed.
pub(crate) fn small() -> Tree {
    let mut sparse = vec![0; (2 << 20) + 5];
    sparse[1_100_000..1_100_010].fill(b'x');
    let lines: Vec<u8> = (0..12_000_u32).flat_map(|n| format!("record {n}\n").into_bytes()).collect();
    vec![
        file(".hidden", 0o600, b"seen all the same".to_vec()),
        directory("dir", 0o750),
        file("dir/empty", 0o644, vec![]),
        link("dir/link", "lines"),
        file("dir/lines", 0o755, lines),
        file("dir/Überraschung 你好.txt", 0o640, b"names are UTF-8".to_vec()),
        directory("empty dir", 0o700),
        file("noise", 0o444, noise(3000)),
        file("sparse", 0o644, sparse),
    ]
}

/// The order in which an archive must get it.
pub(crate) fn sorted(mut tree: Tree) -> Tree {
    tree.sort_by(|(a, _), (b, _)| a.path.as_str().split('/').cmp(b.path.as_str().split('/')));
    tree
}

pub(crate) fn pack<W: Out + Send + 'static>(tree: &Tree, packer: &mut Packer<W>) -> Result<(), PackError> {
    tree.iter().try_for_each(|(entry, content)| {
        let stamp = u64::from_le_bytes(blake3::hash(content).as_bytes()[..8].try_into().unwrap());
        if packer.kept(entry, stamp)? { Ok(()) } else { packer.stamped(entry, stamp, &mut content.as_slice()) }
    })
}

pub(crate) fn packing(tree: Tree) -> impl FnOnce(&mut Packer<Upload>) -> Result<(), PackError> + Send + 'static {
    move |packer| pack(&tree, packer)
}

pub(crate) fn place() -> Place {
    Place {
        application: ApplicationName::parse("fabric:/CalcApp").unwrap(),
        service: ServiceName::parse("fabric:/CalcApp/Calc/Inner").unwrap(),
        partition: PartitionId(uuid!("1daae3f5-7fd6-42e9-b1ba-8c05f873994d")),
    }
}

pub(crate) fn time() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap()
}

pub(crate) fn draft() -> Draft {
    let id = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
    let point = BackupPoint {
        id,
        chain_id: id,
        parent: None,
        location: place().location(time()),
        created: time(),
        epoch: Epoch { data_loss: 131_462_452_931_584_510, configuration: 8_589_934_592 },
        lsn: 261,
        partition: PartitionKind::Int64Range(KeyRange { low: -1, high: i64::MAX }),
        manifest_version: "1.0.0".into(),
    };
    let packing = Packing::full(BlockSize::for_state(0));
    Draft { point, source_kind: "directory".into(), packing, policy: None, state_bytes: 0, journal: None }
}

/// One line for each entry: kind, mode, modification time, and what is in it.
pub(crate) fn describe(tree: &Tree) -> String {
    let mut lines = String::new();
    for (entry, content) in tree {
        let Entry { path, kind, mode, mtime_s, mtime_ns } = entry;
        let what = match kind {
            EntryKind::Directory => "directory".to_owned(),
            EntryKind::Symlink { target } => format!("link to {target}"),
            EntryKind::File { len } => format!("file of {len} bytes, BLAKE3 {}", blake3::hash(content).to_hex()),
        };
        writeln!(lines, "{path}: {mode:04o} {mtime_s}.{mtime_ns:09} {what}").unwrap();
    }
    lines
}

/// What is under a directory, in whole seconds, our own entries left out.
pub(crate) fn on_disk(root: &Path) -> Tree {
    let mut tree = vec![];
    walk(root, "", &mut tree);
    sorted(tree)
}

fn walk(directory: &Path, prefix: &str, tree: &mut Tree) {
    for found in fs::read_dir(directory).unwrap() {
        let found = found.unwrap();
        let path = format!("{prefix}{}", found.file_name().to_str().unwrap());
        if path == ".fabric-backup" {
            continue;
        }
        let metadata = found.metadata().unwrap();
        let mut content = vec![];
        let kind = if metadata.is_dir() {
            walk(&found.path(), &format!("{path}/"), tree);
            EntryKind::Directory
        } else if metadata.is_symlink() {
            EntryKind::Symlink { target: fs::read_link(found.path()).unwrap().to_str().unwrap().to_owned() }
        } else {
            fs::File::open(found.path()).unwrap().read_to_end(&mut content).unwrap();
            EntryKind::File { len: metadata.len() }
        };
        let (mode, mtime_s) = (metadata.permissions().mode() & 0o7777, metadata.mtime());
        tree.push((Entry { path: TreePath::parse(&path).unwrap(), kind, mode, mtime_s, mtime_ns: 0 }, content));
    }
}

/// A restore that keeps the tree in memory.
#[derive(Clone, Default)]
pub(crate) struct MemorySink(Arc<Mutex<Tree>>);

pub(crate) struct MemoryFile {
    entry: Entry,
    content: Mutex<Vec<u8>>,
    sink: MemorySink,
}

impl MemorySink {
    pub(crate) fn tree(&self) -> Tree {
        sorted(self.0.lock().unwrap().clone())
    }
}

impl Sink for MemorySink {
    type Error = Infallible;
    type File = MemoryFile;

    fn directory(&mut self, entry: &Entry) -> Result<(), Infallible> {
        self.0.lock().unwrap().push((entry.clone(), vec![]));
        Ok(())
    }

    fn symlink(&mut self, entry: &Entry) -> Result<(), Infallible> {
        self.directory(entry)
    }

    fn file(&mut self, entry: &Entry) -> Result<MemoryFile, Infallible> {
        let EntryKind::File { len } = entry.kind else { panic!("no file: {entry:?}") };
        let content = vec![0; usize::try_from(len).unwrap()];
        Ok(MemoryFile { entry: entry.clone(), content: content.into(), sink: self.clone() })
    }

    fn complete(&mut self, _: &Entry) -> Result<(), Infallible> {
        Ok(())
    }
}

impl SinkFile for MemoryFile {
    type Error = Infallible;

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), Infallible> {
        self.content.lock().unwrap()[usize::try_from(offset).unwrap()..][..data.len()].copy_from_slice(data);
        Ok(())
    }

    fn finish(self) -> Result<(), Infallible> {
        self.sink.0.lock().unwrap().push((self.entry, self.content.into_inner().unwrap()));
        Ok(())
    }
}
