use chrono::TimeDelta;

use crate::{
    archive::{
        Archive, ExtractError, Item, Keys, Metadata, ReadError,
        testing::{MemorySink, Tree, file, noise, noon, place, sample, store, store_after},
    },
    domain::{Entry, FailureCode, Location},
    job::Checked,
    spool::Spools,
    storage::Storage,
};

/// A full backup, one that goes on with it, and a full one of its own; the trees that the first two are of.
struct Shelf {
    storage: Storage,
    full: Metadata,
    incremental: Metadata,
    other: Metadata,
    trees: [Tree; 2],
}

impl Shelf {
    async fn new() -> Self {
        let storage = Storage::memory();
        let full = store(&storage, &place(), noon(), sample()).await;
        let mut changed = sample();
        changed[4].1[5 << 20..][..70_000].fill(b'c');
        changed.push(file("zz new", b"a new file".to_vec()));
        let parent = Archive::open(&storage, &full.point.location, &Spools::in_memory()).await.unwrap();
        let incremental = store_after(&parent, noon() + TimeDelta::hours(1), changed.clone()).await;
        let other = store(&storage, &place(), noon() + TimeDelta::hours(2), vec![file("f", noise(200_000))]).await;
        Self { storage, full, incremental, other, trees: [sample(), changed] }
    }

    async fn restore(&self, of: &Metadata) -> Result<Tree, ExtractError<std::convert::Infallible>> {
        let archive = Archive::open(&self.storage, &of.point.location, &Spools::in_memory()).await?;
        Ok(archive.extract(MemorySink::default(), std::sync::Arc::default()).await?.tree())
    }

    async fn verify(&self, of: &Metadata) -> Result<Checked, ReadError> {
        let inspected = Archive::inspect(&self.storage, &of.point.location, &Spools::in_memory()).await?;
        let mut checked = inspected.checked;
        if let Some(archive) = inspected.archive {
            checked.add(archive.check_blocks(std::sync::Arc::default()).await.unwrap());
        }
        Ok(checked)
    }

    async fn harm(&self, key: &str, at: u64, harm: Harm) {
        let (mut bytes, at) = (self.storage.get(key).await.unwrap().to_vec(), usize::try_from(at).unwrap());
        self.storage.delete(key).await.unwrap();
        match harm {
            Harm::Delete => return,
            Harm::Cut => drop(bytes.remove(at)),
            Harm::Truncate => bytes.truncate(at),
            Harm::Flip => bytes[at] ^= 4,
        }
        self.storage.put_new(key, bytes.into()).await.unwrap();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// The whole object goes.
    Delete,
    /// One byte goes.
    Cut,
    Truncate,
    Flip,
}

const HARMS: [Harm; 4] = [Harm::Delete, Harm::Cut, Harm::Truncate, Harm::Flip];

/// A block as the manifest tells it: which backup holds it, where its frame ends there, and which bytes of which file
/// share that frame.
#[derive(Debug, Clone)]
struct Place {
    backup: Location,
    at: u64,
    file: String,
    offset: u64,
}

async fn blocks(storage: &Storage, of: &Metadata) -> Vec<Place> {
    let archive = Archive::open(storage, &of.point.location, &Spools::in_memory()).await.unwrap();
    let (backups, mut path, mut all) = (archive.backups(), String::new(), vec![]);
    for item in archive.manifest().items().unwrap() {
        match item.unwrap() {
            Item::Entry(entry) => path = entry.path.as_str().to_owned(),
            Item::Block { offset, stored, .. } => {
                let (backup, at) = (backups[stored.frame.member as usize].clone(), stored.frame.offset + 9);
                all.push(Place { backup, at, file: path.clone(), offset });
            }
            Item::Hole { .. } => {}
        }
    }
    all
}

#[tokio::test]
async fn what_is_whole_is_found_whole_and_every_block_was_looked_at() {
    let shelf = Shelf::new().await;
    for (backup, tree) in [(&shelf.full, &shelf.trees[0]), (&shelf.incremental, &shelf.trees[1])] {
        assert!(shelf.restore(backup).await.unwrap() == *tree);
        let checked = shelf.verify(backup).await.unwrap();
        assert_eq!((checked.damages, checked.findings), (0, vec![]));
        assert_eq!(checked.blocks, blocks(&shelf.storage, backup).await.len() as u64);
        assert!(checked.bytes > 12 << 20, "{}", checked.bytes);
    }
}

#[tokio::test]
async fn a_harmed_record_is_told_by_restore_and_verification_and_harms_no_other_backup() {
    for harm in HARMS {
        for target in 0..2 {
            let shelf = Shelf::new().await;
            let (hit, spared) = [(&shelf.full, &shelf.incremental), (&shelf.incremental, &shelf.full)][target];
            let key = Keys::of(&hit.point.location).unwrap().metadata;
            shelf.harm(&key, 40, harm).await;
            let restored = shelf.restore(hit).await.unwrap_err();
            let verified = shelf.verify(hit).await;
            if harm == Harm::Delete {
                assert!(matches!(restored, ExtractError::Read(ReadError::NotFound { .. })), "{restored}");
                assert_eq!(verified.unwrap_err().code(), FailureCode::NotFound);
            } else {
                assert!(matches!(restored, ExtractError::Read(ReadError::Metadata { .. })), "{harm:?} {restored}");
                let checked = verified.unwrap();
                assert_eq!((checked.damages, checked.blocks), (1, 0), "{harm:?}");
                assert_eq!(checked.findings[0].backup, hit.point.location);
                assert!(checked.findings[0].why.contains("metadata is damaged"), "{}", checked.findings[0].why);
            }
            // A chain is restored from the last one's own manifest: no other record is asked.
            for spared in [spared, &shelf.other] {
                shelf.restore(spared).await.unwrap();
                assert_eq!(shelf.verify(spared).await.unwrap().damages, 0);
            }
        }
    }
}

#[tokio::test]
async fn a_harmed_manifest_is_told_by_restore_and_verification_before_any_block() {
    for harm in HARMS {
        for target in 0..2 {
            let shelf = Shelf::new().await;
            let hit = [&shelf.full, &shelf.incremental][target];
            let content = hit.content.as_ref().unwrap();
            let key = Keys::of(&hit.point.location).unwrap().zip;
            shelf.harm(&key, content.manifest_offset + content.manifest_len / 2, harm).await;
            let restored = shelf.restore(hit).await.unwrap_err();
            match harm {
                Harm::Delete => assert!(matches!(restored, ExtractError::Read(ReadError::Missing(_))), "{restored}"),
                _ => assert!(matches!(restored, ExtractError::Read(ReadError::Damaged { .. })), "{restored}"),
            }
            let checked = shelf.verify(hit).await.unwrap();
            assert!(checked.damages > 0 && checked.blocks == 0, "{harm:?} {checked:?}");
            assert!(checked.findings.iter().all(|finding| finding.backup == hit.point.location));
            shelf.restore(&shelf.other).await.unwrap();
            assert_eq!(shelf.verify(&shelf.other).await.unwrap().damages, 0);
        }
    }
}

/// Harms the first, a middle or the last block that a backup needs, wherever it lies.
async fn harm_block(target: usize, which: usize, harm: Harm) {
    let shelf = Shelf::new().await;
    let hit = [&shelf.full, &shelf.incremental][target];
    let all = blocks(&shelf.storage, hit).await;
    let block = [&all[0], &all[all.len() / 2], &all[all.len() - 1]][which];
    shelf.harm(&Keys::of(&block.backup).unwrap().zip, block.at, harm).await;
    let (restored, checked) = (shelf.restore(hit).await.unwrap_err(), shelf.verify(hit).await.unwrap());
    assert_eq!(restored.code(|never| match *never {}), FailureCode::Damaged, "{harm:?} {restored}");
    assert!(checked.damages > 0, "{harm:?} {block:?}");
    assert!(checked.findings.iter().all(|finding| finding.backup == block.backup), "{checked:?}");
    if harm == Harm::Flip {
        let ExtractError::Damaged { backup, file, offset, .. } = restored else { panic!("{restored}") };
        assert_eq!(backup, block.backup);
        // A frame that cannot be unpacked damages every block in it, of whichever file.
        let frame = || all.iter().filter(|other| (&other.backup, other.at) == (&block.backup, block.at));
        assert!(frame().any(|other| (&other.file, other.offset) == (&file, offset)), "{file} {offset} {block:?}");
        let told = |other: &Place| {
            let here = (&Some(other.file.clone()), Some(other.offset));
            checked.findings.iter().any(|finding| (&finding.file, finding.offset) == here)
        };
        assert!(frame().any(told), "{checked:?}");
        assert_eq!(checked.blocks, all.len() as u64, "it goes on after damage");
    }
    shelf.restore(&shelf.other).await.unwrap();
    assert_eq!(shelf.verify(&shelf.other).await.unwrap().damages, 0);
}

#[tokio::test]
async fn a_harmed_block_is_told_by_restore_and_verification_with_backup_file_and_offset() {
    for (harm, which, target) in
        HARMS.iter().flat_map(|harm| (0..3).flat_map(move |which| (0..2).map(move |target| (*harm, which, target))))
    {
        harm_block(target, which, harm).await;
    }
}

#[tokio::test]
async fn an_incremental_backup_knows_of_harm_in_the_full_one_that_it_needs() {
    let shelf = Shelf::new().await;
    let key = Keys::of(&shelf.full.point.location).unwrap().zip;
    shelf.harm(&key, 0, Harm::Delete).await;
    let checked = shelf.verify(&shelf.incremental).await.unwrap();
    let (of_full, own) = (&shelf.full.point.location, &shelf.incremental.point.location);
    let all = blocks_without_open(&checked, of_full);
    assert!(all && checked.findings.iter().all(|finding| finding.backup != *own));
    assert!(checked.damages > 100 && checked.damages < checked.blocks, "{} of {}", checked.damages, checked.blocks);
    assert_eq!(checked.findings.len(), 20);
    assert!(
        checked.findings[0].why.contains("is missing"),
        "the first says what it comes from: {:?}",
        checked.findings[0]
    );
}

fn blocks_without_open(checked: &Checked, backup: &Location) -> bool {
    checked.findings.iter().all(|finding| finding.backup == *backup)
}

/// What a comparison with these entries finds.
async fn compared(change: impl FnOnce(&mut Vec<Entry>)) -> Vec<(Option<String>, String)> {
    let shelf = Shelf::new().await;
    let archive = Archive::open(&shelf.storage, &shelf.full.point.location, &Spools::in_memory()).await.unwrap();
    let mut entries = sample().into_iter().map(|(entry, _)| entry).collect();
    change(&mut entries);
    let checked = archive.compare(entries.into_iter().map(Ok::<_, ()>)).unwrap();
    assert_eq!(checked.damages, checked.findings.len() as u64);
    checked.findings.into_iter().map(|finding| (finding.file, finding.why)).collect()
}

#[tokio::test]
async fn a_restored_tree_is_compared_entry_by_entry() {
    assert_eq!(compared(|_| {}).await, []);
    let gone = compared(|entries| drop(entries.remove(1))).await;
    assert_eq!(gone, [(Some("dir".to_owned()), "it was not restored".to_owned())]);
    let last = compared(|entries| drop(entries.pop())).await;
    assert_eq!(last, [(Some("z last".to_owned()), "it was not restored".to_owned())]);
    for at in [0, 3, 7] {
        let extra = compared(|entries| {
            let path = ["a", "dir/k", "zzz"][at / 3];
            let (entry, _) = file(path, vec![]);
            entries.insert(at, entry);
        });
        assert_eq!(extra.await[0].1, "it was restored and is not in the backup");
    }
    let changed = compared(|entries| {
        entries[0].mode = 0o700;
        entries[1].mtime_ns += 1;
        entries[3].mode = 0o777; // a link
        entries[4].kind = crate::domain::EntryKind::File { len: 1 };
    });
    let whys: Vec<_> = changed.await.into_iter().map(|(file, why)| format!("{} {why}", file.unwrap())).collect();
    let not = "is not the one that was backed up";
    let expected = [
        format!("a first its mode {not}"),
        format!("dir its time {not}"),
        format!("noise its kind, length or target {not}"),
    ];
    assert_eq!(whys, expected);
}
