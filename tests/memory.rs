//! How much memory a state of many files takes. A program of its own: nothing else may run in the process.
#![expect(clippy::unwrap_used, reason = "a measurement fails by panicking")]

use std::{io, path::Path, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use fabric_backup::{
    archive::{Archive, Base, BlockSize, Catalog, Draft, PackError, Packer, Packing, Place, Storage, Upload, stage},
    clock::Clock,
    domain::{
        ApplicationName, BackupPoint, Entry, EntryKind, Epoch, FileShare, PartitionId, PartitionKind, ServiceName,
        StorageSpec, TreePath,
    },
    spool::Spools,
    storage::{StoreSettings, Stores},
};
use peak_alloc::PeakAlloc;
use uuid::Uuid;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

/// Their names do not compress: 256 bytes of noise.
fn files(count: u64) -> impl Iterator<Item = (Entry, u64)> {
    (0..count).map(|n| {
        let hex = |part: u64| blake3::hash(&[n.to_le_bytes(), part.to_le_bytes()].concat()).to_hex();
        let path = TreePath::parse(&format!("{n:08}{}", (0..8).map(|part| hex(part).to_string()).collect::<String>()));
        let kind = EntryKind::File { len: 0 };
        (Entry { path: path.unwrap(), kind, mode: 0o640, mtime_s: 1_700_000_000, mtime_ns: 0 }, n + 1)
    })
}

fn draft(number: u8, packing: Packing) -> Draft {
    let id = Uuid::from_u128(u128::from(number) + 1);
    let place = Place {
        application: ApplicationName::parse("fabric:/App").unwrap(),
        service: ServiceName::parse("fabric:/App/Svc").unwrap(),
        partition: PartitionId(Uuid::from_u128(1)),
    };
    let created = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(number.into());
    let point = BackupPoint {
        id,
        chain_id: id,
        parent: None,
        location: place.location(created),
        created,
        epoch: Epoch { data_loss: 1, configuration: 1 },
        lsn: 1,
        partition: PartitionKind::Singleton,
        manifest_version: "1.0".into(),
    };
    Draft { point, source_kind: "directory".into(), packing, policy: None, state_bytes: 0, journal: None }
}

async fn share(path: &Path) -> Storage {
    let settings = StoreSettings { share_roots: vec![path.to_owned()], ..StoreSettings::default() };
    let catalog = Catalog::new(Stores::new(settings, Clock::system()));
    let path = path.to_str().unwrap().to_owned();
    catalog.open(&StorageSpec::FileShare(FileShare { path, primary: None, secondary: None })).await.unwrap()
}

async fn back_up(storage: &Storage, draft: Draft, count: u64) -> Archive {
    let (location, spools) = (draft.point.location.clone(), draft.packing.spools.clone());
    let pack = move |packer: &mut Packer<Upload>| {
        for (entry, stamp) in files(count) {
            if !packer.kept(&entry, stamp)? {
                packer.stamped(&entry, stamp, &mut io::empty())?;
            }
        }
        Ok::<(), PackError>(())
    };
    stage(storage, draft, Arc::default(), pack).await.unwrap().commit().await.unwrap();
    Archive::open(storage, &location, &spools).await.unwrap()
}

/// The most memory that was in use since it was asked last.
fn peak() -> usize {
    let peak = ALLOCATED.peak_usage();
    ALLOCATED.reset_peak_usage();
    peak
}

/// What a full backup, an unchanged one, and a restore take at their peak.
async fn peaks(count: u64) -> [usize; 3] {
    let home = tempfile::tempdir().unwrap();
    let (storage, spools) = (share(home.path()).await, Spools::in_directory(home.path()));
    let full = Packing { spools: spools.clone(), workers: 2, ..Packing::full(BlockSize::for_state(0)) };
    peak();
    let first = back_up(&storage, draft(0, full), count).await;
    let of_full = peak();
    let next = Packing { spools, workers: 2, ..Packing::after(Base::of(&first)) };
    let second = back_up(&storage, draft(1, next), count).await;
    let of_unchanged = peak();
    assert!(second.content().manifest_len > 256 * count, "the names do compress");
    // As a restore reads it, into nothing.
    let checked = second.check_blocks(Arc::default()).await.unwrap();
    assert!(checked.findings.is_empty(), "{:?}", checked.findings);
    [of_full, of_unchanged, peak()]
}

/// What goes through pipes and queues of a fixed size is there with the few already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_times_as_many_names_take_hardly_more_memory() {
    let (few, many) = (peaks(40_000).await, peaks(160_000).await);
    let grown: Vec<usize> = few.iter().zip(many).map(|(few, many)| many.saturating_sub(*few) / MIB).collect();
    assert!(grown.iter().all(|mib| *mib < 24), "{grown:?} MiB more than {few:?}, for 30 MiB more of names");
}
