//! The damage matrix: what became of each part of a full and of an incremental backup, and what restore, verification and
//! later backups make of it.

use std::{fs, path::PathBuf};

use fabric_backup::{
    archive::{Archive, Catalog, Item, Keys, Stored},
    domain::Location,
    spool::Spools,
    storage::{StoreSettings, Stores},
};
use serde_json::{Value, json};

use crate::{
    app::{TestApp, restore_of},
    control::{enable, partition, policies},
    world::{CALC, storage},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Metadata,
    Manifest,
    FirstBlock,
    MiddleBlock,
    LastBlock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    Delete,
    Truncate,
    Flip,
}

const PARTS: [Part; 5] = [Part::Metadata, Part::Manifest, Part::FirstBlock, Part::MiddleBlock, Part::LastBlock];
const HARMS: [Harm; 3] = [Harm::Delete, Harm::Truncate, Harm::Flip];
const FILES: [&str; 5] = ["'a'", "'b'", "'x'", "'y'", "'z'"];
const DAMAGED: &str = "FABRIC_E_RESTORE_SAFE_CHECK_FAILED";

/// Two blocks or three that do not compress, so that a byte of a block is where the block is.
fn noise(seed: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A partition with a full backup and one that goes on with it.
struct Chain {
    app: TestApp,
    /// The full one, then the incremental one, as their progress tells them.
    backups: [Value; 2],
}

impl Chain {
    async fn new() -> Self {
        let app = TestApp::new();
        policies(&app, &["A"]).await;
        enable(&app, &partition(CALC), "A").await;
        for name in ["a", "b", "x"] {
            fs::write(app.state(CALC).join(name), noise(name, 150_000)).unwrap();
        }
        let full = incremental(&app).await;
        for name in ["b", "y", "z"] {
            fs::write(app.state(CALC).join(name), noise(&format!("{name} later"), 150_000)).unwrap();
        }
        let second = incremental(&app).await;
        let kinds: Vec<_> = app.list(CALC, "").await.iter().map(|item| item["BackupType"].clone()).collect();
        assert_eq!(kinds, ["Full", "Incremental"]);
        Self { app, backups: [full, second] }
    }

    fn keys(&self, of: usize) -> Keys {
        Keys::of(&location(&self.backups[of])).unwrap()
    }

    /// The object that holds the part, and a byte of it there.
    async fn place(&self, of: usize, part: Part) -> (PathBuf, usize) {
        let share = self.app.share("A");
        if part == Part::Metadata {
            return (share.join(self.keys(of).metadata), 40);
        }
        let stores = Stores::new(
            StoreSettings { share_roots: vec![share.clone()], ..StoreSettings::default() },
            self.app.clock.clone(),
        );
        let store = Catalog::new(stores).open(&storage(&share)).await.unwrap();
        let archive = Archive::open(&store, &location(&self.backups[of]), &Spools::in_memory()).await.unwrap();
        let (blocks, content) = (own_blocks(&archive), archive.content());
        let middle = |stored: &Stored| stored.frame.offset + u64::from(stored.place) + 100;
        let at = match part {
            Part::Metadata | Part::Manifest => content.manifest_offset + content.manifest_len / 2,
            Part::FirstBlock => middle(&blocks[0]),
            Part::MiddleBlock => middle(&blocks[blocks.len() / 2]),
            Part::LastBlock => middle(blocks.last().unwrap()),
        };
        (share.join(self.keys(of).zip), usize::try_from(at).unwrap())
    }

    async fn harm(&self, of: usize, part: Part, harm: Harm) {
        let (path, at) = self.place(of, part).await;
        let mut bytes = fs::read(&path).unwrap();
        match harm {
            Harm::Delete => return fs::remove_file(path).unwrap(),
            Harm::Truncate => bytes.truncate(at),
            Harm::Flip => bytes[at] ^= 4,
        }
        fs::write(path, bytes).unwrap();
    }

    /// Verifies every block. Its error, if it is damaged, whether it was refused at once or found to be; what was found behind
    /// the message.
    async fn verify(&self, backup: &Value) -> Option<Value> {
        let answer = self.app.post(&format!("{}/$/VerifyBackup", partition(CALC)), &restore_of(backup)).await;
        if answer.status != 202 {
            return Some(answer.body.unwrap()["Error"].clone());
        }
        self.app.work().await;
        let told = self.app.get(&format!("{}/$/GetVerifyProgress", partition(CALC))).await.ok();
        let is_damaged = told["VerifyState"] == "Failure" && told["DamagesFound"] != "0";
        assert!(is_damaged || told["VerifyState"] == "Success", "{told}");
        is_damaged.then(|| {
            let found = told["Findings"].as_array().unwrap().iter().map(|finding| {
                let text = |name: &str| finding[name].as_str().unwrap_or_default();
                let offset = finding["Offset"].as_str().map_or_else(String::new, |offset| format!(", byte {offset}"));
                format!("{}: '{}'{offset}", text("BackupLocation"), text("File"))
            });
            let words = [told["FailureError"]["Message"].as_str().unwrap().to_owned()].into_iter().chain(found);
            json!({"Code": told["FailureError"]["Code"], "Message": words.collect::<Vec<_>>().join("; ")})
        })
    }

    /// The same of a restore.
    async fn restore(&self, backup: &Value) -> Option<Value> {
        let answer = self.app.ask_restore(CALC, backup).await;
        if answer.status != 202 {
            return Some(answer.body.unwrap()["Error"].clone());
        }
        self.app.work().await;
        let told = self.app.restore_progress(CALC).await;
        assert!(["Success", "Failure"].contains(&told["RestoreState"].as_str().unwrap()), "{told}");
        (told["RestoreState"] == "Failure").then(|| told["FailureError"].clone())
    }

    /// The names in the directory of the states, and what is in each file of this one.
    fn picture(&self) -> (Vec<String>, Vec<(String, Vec<u8>)>) {
        let state = self.app.state(CALC);
        let names = |path: &std::path::Path| {
            let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<_> = entries.filter(|name| !name.starts_with('.')).collect();
            names.sort_unstable();
            names
        };
        let read = |name: String| (name.clone(), fs::read(state.join(name)).unwrap());
        (names(state.parent().unwrap()), names(&state).into_iter().map(read).collect())
    }
}

fn location(backup: &Value) -> Location {
    Location(backup["BackupLocation"].as_str().unwrap().to_owned())
}

/// A backup that goes on with the one before, if there is one.
async fn incremental(app: &TestApp) -> Value {
    app.post(&format!("{}/$/Backup?Incremental=true", partition(CALC)), &json!({})).await.accepted();
    app.work().await;
    let told = app.backup_progress(CALC).await;
    assert_eq!(told["BackupState"], "Success", "{told}");
    told
}

/// The blocks in the backup's own zip, in their order there.
fn own_blocks(archive: &Archive) -> Vec<Stored> {
    let stored = |item| if let Item::Block { stored, .. } = item { Some(stored) } else { None };
    let blocks = archive.manifest().items().unwrap().filter_map(|item| stored(item.unwrap()));
    let mut own: Vec<_> = blocks.filter(|stored| stored.frame.member == 0).collect();
    own.sort_by_key(|stored| (stored.frame.offset, stored.place));
    assert!(own.len() >= 9, "{own:?}");
    own
}

/// An incremental backup has a manifest of its own, and the file in the middle was changed before it.
fn is_needed_after(part: Part, harm: Harm) -> bool {
    match part {
        Part::Metadata => false,
        Part::Manifest | Part::MiddleBlock => harm != Harm::Flip,
        Part::FirstBlock | Part::LastBlock => true,
    }
}

/// A zip that is too short, or not there, is noticed before any of its blocks is read.
fn is_in_a_file(part: Part, harm: Harm) -> bool {
    harm == Harm::Flip && !matches!(part, Part::Metadata | Part::Manifest)
}

/// One cell of the matrix.
async fn is_told_and_harms_nothing_else(of: usize, part: Part, harm: Harm) {
    let cell = format!("{} {part:?} {harm:?}", ["full", "incremental"][of]);
    let chain = Chain::new().await;
    chain.harm(of, part, harm).await;
    let (before, stored) = (chain.picture(), chain.app.stored("A"));
    let hit = &chain.backups[of];
    let (verified, restored) = (chain.verify(hit).await, chain.restore(hit).await);
    for told in [&verified, &restored] {
        let told = told.as_ref().unwrap();
        assert_eq!(told["Code"], DAMAGED, "{cell}");
        let (message, backup) = (told["Message"].as_str().unwrap(), location(hit).0);
        assert!(message.contains(&backup), "{cell}: {message}");
        if is_in_a_file(part, harm) {
            assert!(message.contains("byte") && FILES.iter().any(|file| message.contains(file)), "{cell}: {message}");
        }
    }
    assert!(chain.picture() == before && chain.app.stored("A") == stored, "{cell}: something was touched");
    let other = &chain.backups[1 - of];
    let is_hit_too = of == 0 && is_needed_after(part, harm);
    assert_eq!(chain.verify(other).await.is_some(), is_hit_too, "{cell}");
    assert_eq!(chain.restore(other).await.is_some(), is_hit_too, "{cell}");
    let now = chain.picture();
    let later = chain.app.back_up(CALC).await;
    assert_eq!(chain.verify(&later).await, None, "{cell}");
    fs::write(chain.app.state(CALC).join("a"), "changed since").unwrap();
    assert_eq!(chain.restore(&later).await, None, "{cell}");
    assert!(chain.picture() == now, "{cell}");
}

#[tokio::test]
async fn damage_to_any_part_of_a_full_backup_is_told_by_restore_and_verification_and_later_backups_work() {
    for part in PARTS {
        for harm in HARMS {
            is_told_and_harms_nothing_else(0, part, harm).await;
        }
    }
}

#[tokio::test]
async fn damage_to_any_part_of_an_incremental_backup_is_told_by_restore_and_verification_and_later_backups_work() {
    for part in PARTS {
        for harm in HARMS {
            is_told_and_harms_nothing_else(1, part, harm).await;
        }
    }
}
