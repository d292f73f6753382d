//! Backups as earlier versions wrote them, in `tests/formats/v<format version>`: every later version must read them.
//!
//! Each directory is a store: the two objects of each backup under their keys, and `expected.txt`, what must come out.
//! They are never written anew once a version is released.

use std::{fs, path::PathBuf, sync::Arc};

use chrono::TimeDelta;
use fabric_backup::{
    archive::{Archive, Base, Draft, FORMAT_VERSION, Keys, PackError, Packing, stage},
    domain::{BackupPoint, EntryKind, Parent, PolicyName, TreePath},
    spool::Spools,
    storage::Storage,
};
use uuid::Uuid;

use crate::state::{MemorySink, Tree, describe, draft, file, noise, packing, place, small, sorted};

/// The format versions that were ever released, each with its directory.
const RELEASED: [&str; 2] = ["v1", "v2"];

fn directory(version: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "formats", version].iter().collect()
}

/// The store as it is checked in.
async fn store(version: &str) -> Storage {
    let storage = Storage::memory();
    for point in points(version) {
        let keys = Keys::of(&point.location).unwrap();
        for key in [&keys.zip, &keys.metadata] {
            let bytes = fs::read(directory(version).join(key)).unwrap();
            storage.put_new(key, bytes.into()).await.unwrap();
        }
    }
    storage
}

/// What the backups of each version were made of: one for no policy, and one a second later for a policy.
fn drafts() -> [Draft; 2] {
    let (plain, mut scheduled) = (draft(), draft());
    scheduled.point.created += TimeDelta::seconds(1);
    scheduled.point.location = place().location(scheduled.point.created);
    scheduled.policy = Some(PolicyName::parse("Täglich, 03:00").unwrap());
    [plain, scheduled]
}

/// The one that goes on from the first, another second later. Since version 2.
fn increment() -> BackupPoint {
    let (first, mut point) = (draft().point, draft().point);
    point.id = Uuid::from_u128(0xffee_ddcc_bbaa_9988_7766_5544_3322_1100);
    point.created += TimeDelta::seconds(2);
    point.location = place().location(point.created);
    BackupPoint { parent: Some(Parent { id: first.id, location: first.location }), ..point }
}

fn points(version: &str) -> Vec<BackupPoint> {
    let increment = (version != "v1").then(increment);
    drafts().into_iter().map(|draft| draft.point).chain(increment).collect()
}

/// The state at the time of the increment: a file more, one with another end, one that is gone, one with another name.
fn changed() -> Tree {
    let mut tree = small();
    tree.retain(|(entry, _)| entry.path.as_str() != "dir/empty");
    for (entry, content) in &mut tree {
        match entry.path.as_str() {
            "dir/lines" => content.truncate(140_000),
            ".hidden" => entry.path = TreePath::parse("seen").unwrap(),
            _ => {}
        }
        if let EntryKind::File { len } = &mut entry.kind {
            *len = content.len() as u64;
        }
    }
    tree.push(file("new", 0o600, noise(100_000)));
    sorted(tree)
}

fn expected(version: &str, point: &BackupPoint) -> PathBuf {
    let name = if point.is_full() { "expected.txt" } else { "expected-incremental.txt" };
    directory(version).join(name)
}

#[test]
fn every_released_version_has_its_golden_backup_and_there_are_no_others() {
    let parent = directory("");
    let found = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap());
    let directories = found.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<_> = directories.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, RELEASED);
    assert_eq!(
        RELEASED.last(),
        Some(&format!("v{FORMAT_VERSION}").as_str()),
        "the version written today is among them"
    );
}

#[tokio::test]
async fn golden_backups_are_read_in_full() {
    for version in RELEASED {
        let policies = drafts().map(|draft| draft.policy).into_iter().chain([None]);
        for (point, policy) in points(version).into_iter().zip(policies) {
            let archive = Archive::open(&store(version).await, &point.location, &Spools::in_memory()).await.unwrap();
            assert_eq!(archive.point(), &point);
            let content = archive.content();
            assert_eq!((content.source_kind.as_str(), content.files, content.block_size), ("directory", 6, 65_536));
            assert_eq!(content.policy, policy);
            let tree = archive.extract(MemorySink::default(), std::sync::Arc::default()).await.unwrap().tree();
            assert_eq!(describe(&tree), fs::read_to_string(expected(version, &point)).unwrap());
        }
    }
}

/// Run once, when a format version is made: `cargo nextest run --test formats --run-ignored only golden`.
#[tokio::test]
#[ignore = "writes the golden backup of a new format version into the source tree"]
async fn write_the_golden_backup_of_this_version() {
    let storage = Storage::memory();
    let tree = sorted(small());
    for draft in drafts() {
        stage::<PackError, _>(&storage, draft, Arc::default(), packing(tree.clone()))
            .await
            .unwrap()
            .commit()
            .await
            .unwrap();
    }
    let first = Archive::open(&storage, &draft().point.location, &Spools::in_memory()).await.unwrap();
    let next = Draft { point: increment(), packing: Packing::after(Base::of(&first)), ..draft() };
    let staged = stage::<PackError, _>(&storage, next, Arc::default(), packing(changed())).await.unwrap();
    staged.commit().await.unwrap();
    let version = format!("v{FORMAT_VERSION}");
    let home = directory(&version);
    assert!(!home.exists(), "a golden backup is never written anew");
    for object in storage.list("").await.unwrap() {
        let path = home.join(&object.key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, storage.get(&object.key).await.unwrap()).unwrap();
    }
    for (point, tree) in [(draft().point, tree), (increment(), changed())] {
        fs::write(expected(&version, &point), describe(&tree)).unwrap();
    }
}
