//! How long a directory of 10,000 backups takes to list: first, and again when its records are remembered.
//!
//! `cargo bench --bench listing` prints a line for each of three rounds; docs/PERFORMANCE.md keeps what was measured.

#![expect(clippy::unwrap_used, reason = "a measurement fails by panicking")]

use std::{fs, path::Path, time::Instant};

use chrono::{DateTime, TimeDelta, Utc};
use fabric_backup::{
    archive::{Catalog, Content, Filter, Keys, Metadata, Place, Scope, encode},
    clock::Clock,
    domain::{
        ApplicationName, BackupPoint, Epoch, FileShare, PartitionId, PartitionKind, PolicyName, ServiceName,
        StorageSpec,
    },
    storage::{StoreSettings, Stores},
};
use uuid::Uuid;

const PARTITIONS: u128 = 20;
const BACKUPS: i64 = 500;

#[tokio::main]
async fn main() {
    let root = tempfile::tempdir().unwrap();
    for partition in 1..=PARTITIONS {
        for number in 0..BACKUPS {
            let time = DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(number);
            put(&root.path().join("share"), partition, time);
        }
    }
    for _ in 0..3 {
        let catalog = catalog(root.path());
        let (first, again) = (time_listing(&catalog, root.path()).await, time_listing(&catalog, root.path()).await);
        println!("{} backups: first {first:.3} s, again {again:.3} s", BACKUPS * i64::try_from(PARTITIONS).unwrap());
    }
}

fn catalog(root: &Path) -> Catalog {
    let settings = StoreSettings { share_roots: vec![root.to_owned()], ..StoreSettings::default() };
    Catalog::new(Stores::new(settings, Clock::system()))
}

async fn time_listing(catalog: &Catalog, root: &Path) -> f64 {
    let path = root.join("share").to_str().unwrap().to_owned();
    let spec = StorageSpec::FileShare(FileShare { path, primary: None, secondary: None });
    let start = Instant::now();
    let found = catalog.list(&spec, &Scope::Application(application()), &Filter::default()).await.unwrap().items;
    let took = start.elapsed().as_secs_f64();
    assert_eq!(i64::try_from(found.len()).unwrap(), BACKUPS * i64::try_from(PARTITIONS).unwrap());
    assert!(found.iter().all(|found| found.point.is_ok()));
    took
}

fn application() -> ApplicationName {
    ApplicationName::parse("fabric:/CalculatorApplication").unwrap()
}

/// Both objects, as the store keeps them but without its syncs.
fn put(share: &Path, partition: u128, time: DateTime<Utc>) {
    let service = ServiceName::parse("fabric:/CalculatorApplication/CalculatorService").unwrap();
    let place = Place { application: application(), service, partition: PartitionId(Uuid::from_u128(partition)) };
    let metadata = record(&place, time);
    let keys = Keys::of(&metadata.point.location).unwrap();
    fs::create_dir_all(share.join(&keys.zip).parent().unwrap()).unwrap();
    fs::write(share.join(&keys.zip), "data").unwrap();
    fs::write(share.join(&keys.metadata), encode(&metadata)).unwrap();
}

fn record(place: &Place, time: DateTime<Utc>) -> Metadata {
    let id = Uuid::from_u128(place.partition.0.as_u128() << 64 | u128::from(time.timestamp().unsigned_abs()));
    let point = BackupPoint {
        id,
        chain_id: id,
        parent: None,
        location: place.location(time),
        created: time,
        epoch: Epoch { data_loss: 1, configuration: 1 },
        lsn: 1,
        partition: PartitionKind::Singleton,
        manifest_version: "1.0.0".into(),
    };
    Metadata { point, content: Some(content()) }
}

fn content() -> Content {
    Content {
        source_kind: "directory".into(),
        zip_len: 4,
        manifest_offset: 0,
        manifest_len: 4,
        manifest_hash: [0; 32],
        plain_bytes: 0,
        stored_bytes: 0,
        files: 0,
        block_size: 65_536,
        product_version: "0.1.0".into(),
        policy: Some(PolicyName::parse("Daily").unwrap()),
    }
}
