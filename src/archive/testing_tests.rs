//! Trees, a sink and whole backups in memory, for the tests of this module.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::{DateTime, TimeZone, Utc};
use uuid::Uuid;

use super::{
    Archive, Base, BlockSize, CatalogError, Draft, Filter, Listing, Metadata, PackError, Packing, Place, Scope, Sink,
    SinkFile,
    cache::Cache,
    listing::{self, Shelf},
    stage,
};
use crate::{
    domain::{
        ApplicationName, BackupPoint, Entry, EntryKind, Epoch, Parent, PartitionId, PartitionKind, ServiceName,
        StoreId, TreePath,
    },
    storage::Storage,
};

/// A state: entries with the content of those that are files.
pub(super) type Tree = Vec<(Entry, Vec<u8>)>;

pub(super) fn entry(path: &str, kind: EntryKind) -> Entry {
    let path = TreePath::parse(path).unwrap();
    Entry { path, kind, mode: 0o751, mtime_s: 1_772_625_909, mtime_ns: 123_456_789 }
}

pub(super) fn file(path: &str, content: Vec<u8>) -> (Entry, Vec<u8>) {
    (entry(path, EntryKind::File { len: content.len() as u64 }), content)
}

pub(super) fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// Some of everything: 12 MiB and a bit, in two windows.
pub(super) fn sample() -> Tree {
    let mut sparse = vec![0; (4 << 20) + 77];
    sparse[1 << 20..(1 << 20) + 100_000].fill(b'x');
    *sparse.last_mut().unwrap() = 1;
    vec![
        file("a first", noise(100)),
        (entry("dir", EntryKind::Directory), vec![]),
        file("dir/empty", vec![]),
        (entry("dir/link", EntryKind::Symlink { target: "../ü".into() }), vec![]),
        file("noise", noise((12 << 20) + 3)),
        file("sparse", sparse),
        file("z last", b"the end".to_vec()),
    ]
}

pub(super) fn place() -> Place {
    Place {
        application: ApplicationName::parse("fabric:/App").unwrap(),
        service: ServiceName::parse("fabric:/App/Svc").unwrap(),
        partition: PartitionId(Uuid::from_u128(1)),
    }
}

pub(super) fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 4, 12, 0, 0).unwrap()
}

/// A full backup with an id of its own.
pub(super) fn draft(place: &Place, time: DateTime<Utc>) -> Draft {
    static IDS: AtomicU64 = AtomicU64::new(1);
    let id = Uuid::from_u128(IDS.fetch_add(1, Ordering::Relaxed).into());
    let point = BackupPoint {
        id,
        chain_id: id,
        parent: None,
        location: place.location(time),
        created: time,
        epoch: Epoch { data_loss: 1, configuration: 2 },
        lsn: 3,
        partition: PartitionKind::Singleton,
        manifest_version: "1.0".into(),
    };
    let packing = Packing::full(BlockSize::for_state(0));
    Draft { point, source_kind: "directory".into(), packing, policy: None, state_bytes: 0, journal: None }
}

/// Takes a backup of the tree.
pub(super) async fn store(storage: &Storage, place: &Place, time: DateTime<Utc>, tree: Tree) -> Metadata {
    let pack = move |packer: &mut super::Packer<_>| {
        tree.iter().try_for_each(|(entry, content)| packer.entry(entry, &mut content.as_slice()))
    };
    stage::<PackError, _>(storage, draft(place, time), Arc::default(), pack).await.unwrap().commit().await.unwrap()
}

/// Takes a backup of the tree that goes on with the chain of `parent`.
pub(super) async fn store_after(parent: &Archive, time: DateTime<Utc>, tree: Tree) -> Metadata {
    let (mut draft, before) = (draft(&place(), time), parent.point());
    draft.packing = Packing::after(Base::of(parent));
    draft.point.chain_id = before.chain_id;
    draft.point.parent = Some(Parent { id: before.id, location: before.location.clone() });
    let pack = move |packer: &mut super::Packer<_>| {
        tree.iter().try_for_each(|(entry, content)| packer.entry(entry, &mut content.as_slice()))
    };
    stage::<PackError, _>(&parent.storage, draft, Arc::default(), pack).await.unwrap().commit().await.unwrap()
}

/// The backups on an open storage, all of them read.
pub(super) async fn list(storage: &Storage, scope: &Scope, filter: &Filter) -> Result<Listing, CatalogError> {
    listing::list(&[shelf("store", storage)], &Cache::default(), scope, filter).await
}

/// A storage of a list; it must be there.
pub(super) fn shelf(id: &str, storage: &Storage) -> Arc<Shelf> {
    Shelf { id: StoreId(id.to_owned()), storage: storage.clone(), partitions: None, may_be_missing: false }.into()
}

/// What a restore wrote.
#[derive(Default)]
pub(super) struct MemorySink {
    tree: std::sync::Arc<std::sync::Mutex<Tree>>,
    /// How many bytes were written, holes not among them.
    written: std::sync::Arc<AtomicU64>,
}

impl MemorySink {
    /// In the order of a walk: files are finished in any.
    pub(super) fn tree(&self) -> Tree {
        let mut tree = self.tree.lock().unwrap().clone();
        tree.sort_by(|(a, _), (b, _)| a.path.as_str().split('/').cmp(b.path.as_str().split('/')));
        tree
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

impl Sink for MemorySink {
    type Error = Infallible;
    type File = MemoryFile;

    fn directory(&mut self, entry: &Entry) -> Result<(), Infallible> {
        self.tree.lock().unwrap().push((entry.clone(), vec![]));
        Ok(())
    }

    fn symlink(&mut self, entry: &Entry) -> Result<(), Infallible> {
        self.directory(entry)
    }

    fn file(&mut self, entry: &Entry) -> Result<MemoryFile, Infallible> {
        let EntryKind::File { len } = entry.kind else { panic!("no file: {entry:?}") };
        let content = vec![0; usize::try_from(len).unwrap()];
        let (tree, written) = (self.tree.clone(), self.written.clone());
        Ok(MemoryFile { entry: entry.clone(), content: content.into(), tree, written })
    }

    fn complete(&mut self, entry: &Entry) -> Result<(), Infallible> {
        let tree = self.tree.lock().unwrap();
        assert!(tree.iter().any(|(made, _)| made == entry), "{entry:?} was never made");
        Ok(())
    }
}

pub(super) struct MemoryFile {
    entry: Entry,
    content: std::sync::Mutex<Vec<u8>>,
    tree: std::sync::Arc<std::sync::Mutex<Tree>>,
    written: std::sync::Arc<AtomicU64>,
}

impl SinkFile for MemoryFile {
    type Error = Infallible;

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), Infallible> {
        self.content.lock().unwrap()[usize::try_from(offset).unwrap()..][..data.len()].copy_from_slice(data);
        self.written.fetch_add(data.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn finish(self) -> Result<(), Infallible> {
        self.tree.lock().unwrap().push((self.entry, self.content.into_inner().unwrap()));
        Ok(())
    }
}

/// An error with a text, for sources and sinks that fail.
pub(super) fn io_error(text: &str) -> io::Error {
    io::Error::other(text.to_owned())
}
