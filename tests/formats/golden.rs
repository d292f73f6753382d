//! Backups as earlier versions wrote them, in `tests/formats/v<format version>`: every later version must read them.
//!
//! Each directory is a store: the two objects of each backup under their keys, and `expected.txt`, what must come out.
//! They are never written anew once a version is released.

use std::{fs, path::PathBuf};

use chrono::TimeDelta;
use fabric_backup::{
    archive::{Archive, Draft, FORMAT_VERSION, Keys, PackError, stage},
    domain::PolicyName,
    storage::Storage,
};

use crate::state::{MemorySink, describe, draft, packing, place, small, sorted};

/// The format versions that were ever released, each with its directory.
const RELEASED: [&str; 1] = ["v1"];

fn directory(version: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "formats", version].iter().collect()
}

/// The store as it is checked in.
async fn store(version: &str) -> Storage {
    let storage = Storage::memory();
    for draft in drafts() {
        let keys = Keys::of(&draft.point.location).unwrap();
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
        for draft in drafts() {
            let archive = Archive::open(&store(version).await, &draft.point.location).await.unwrap();
            assert_eq!(archive.point(), &draft.point);
            let content = archive.content();
            assert_eq!((content.source_kind.as_str(), content.files, content.block_size), ("directory", 6, 65_536));
            assert_eq!(content.policy, draft.policy);
            let tree = archive.extract(MemorySink::default()).await.unwrap().tree();
            assert_eq!(describe(&tree), fs::read_to_string(directory(version).join("expected.txt")).unwrap());
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
        stage::<PackError, _>(&storage, draft, packing(tree.clone())).await.unwrap().commit().await.unwrap();
    }
    let home = directory(&format!("v{FORMAT_VERSION}"));
    assert!(!home.exists(), "a golden backup is never written anew");
    for object in storage.list("").await.unwrap() {
        let path = home.join(&object.key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, storage.get(&object.key).await.unwrap()).unwrap();
    }
    fs::write(home.join("expected.txt"), describe(&tree)).unwrap();
}
