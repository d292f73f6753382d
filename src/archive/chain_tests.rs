//! Chains: what an incremental backup reads, stores and gives back.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::{Arc, Mutex},
};

use chrono::TimeDelta;
use proptest::prelude::*;

use super::{
    Archive, Base, BlockSize, Content, Draft, Item, Metadata, PackError, Packer, Packing, Upload, stage,
    testing::{MemorySink, Tree, draft, entry, file, noise, noon, place},
};
use crate::{
    domain::{EntryKind, Parent, TreePath},
    spool::Spools,
    storage::{
        Storage,
        faulty::{Faults, Verb},
    },
};

#[path = "resume_tests.rs"]
mod resume;

const BLOCK: usize = 64 << 10;

/// Files with their stamps; what a source would walk.
type State = BTreeMap<String, (Vec<u8>, u64)>;

fn tree(state: &State) -> Vec<(crate::domain::Entry, Vec<u8>, u64)> {
    let mut paths: BTreeMap<Vec<&str>, Option<&(Vec<u8>, u64)>> = BTreeMap::new();
    for (path, content) in state {
        let parts: Vec<_> = path.split('/').collect();
        for depth in 1..parts.len() {
            paths.entry(parts[..depth].to_vec()).or_default();
        }
        paths.insert(parts, Some(content));
    }
    let entry = |(parts, content): (Vec<&str>, Option<&(Vec<u8>, u64)>)| match content {
        None => (entry(&parts.join("/"), EntryKind::Directory), vec![], 77),
        Some((content, stamp)) => {
            let (entry, content) = file(&parts.join("/"), content.clone());
            (entry, content, *stamp)
        }
    };
    paths.into_iter().map(entry).collect()
}

fn plain(state: &State) -> Tree {
    tree(state).into_iter().map(|(entry, content, _)| (entry, content)).collect()
}

/// A file that tells that it was read.
struct Told<'a> {
    path: &'a TreePath,
    content: &'a [u8],
    read: &'a Mutex<Vec<String>>,
}

impl Read for Told<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = self.read.lock().unwrap();
        if read.last().is_none_or(|last| last != self.path.as_str()) {
            read.push(self.path.as_str().to_owned());
        }
        self.content.read(buffer)
    }
}

/// The chain so far, and which files the last backup read.
struct Chain {
    storage: Storage,
    points: Vec<Metadata>,
    read: Vec<String>,
}

impl Chain {
    fn new(storage: Storage) -> Self {
        Self { storage, points: vec![], read: vec![] }
    }

    async fn draft(&self) -> Draft {
        let minutes = i64::try_from(self.points.len()).unwrap();
        let mut draft = draft(&place(), noon() + TimeDelta::minutes(minutes));
        if let Some(last) = self.points.last() {
            let archive = Archive::open(&self.storage, &last.point.location, &Spools::in_memory()).await.unwrap();
            draft.packing = Packing::after(Base::of(&archive));
            draft.point.chain_id = last.point.chain_id;
            draft.point.parent = Some(Parent { id: last.point.id, location: last.point.location.clone() });
        }
        draft
    }

    /// Adds a backup of the state, going on from the last one. Answers what it says of its zip.
    async fn add(&mut self, state: &State) -> Content {
        let (tree, read) = (tree(state), Arc::new(Mutex::new(vec![])));
        let tell = read.clone();
        let pack = move |packer: &mut Packer<Upload>| {
            tree.iter().try_for_each(|(entry, content, stamp)| {
                if packer.kept(entry, *stamp)? {
                    return Ok(());
                }
                packer.stamped(entry, *stamp, &mut Told { path: &entry.path, content, read: &tell })
            })
        };
        let staged = stage::<PackError, _>(&self.storage, self.draft().await, Arc::default(), pack).await.unwrap();
        let metadata = staged.commit().await.unwrap();
        self.points.push(metadata.clone());
        self.read = read.lock().unwrap().clone();
        metadata.content.unwrap()
    }

    async fn restore(&self, point: usize) -> Tree {
        let archive =
            Archive::open(&self.storage, &self.points[point].point.location, &Spools::in_memory()).await.unwrap();
        archive.extract(MemorySink::default(), Arc::default()).await.unwrap().tree()
    }

    /// How many blocks of the last backup lie in it itself.
    async fn own_blocks(&self) -> usize {
        let location = &self.points.last().unwrap().point.location;
        let archive = Archive::open(&self.storage, location, &Spools::in_memory()).await.unwrap();
        let own = |item: &Item| matches!(item, Item::Block { stored, .. } if stored.frame.member == 0);
        archive.manifest().items().unwrap().filter(|item| own(item.as_ref().unwrap())).count()
    }
}

fn state(files: &[(&str, Vec<u8>)]) -> State {
    let stamped = (1..).zip(files).map(|(stamp, (path, content))| ((*path).to_owned(), (content.clone(), stamp)));
    stamped.collect()
}

/// Two files of some blocks each and a small one.
fn sample() -> State {
    state(&[("a", noise(5 * BLOCK + 9)), ("d/b", noise(9 * BLOCK)[3 * BLOCK + 1..].to_vec()), ("z", b"z".to_vec())])
}

fn change(state: &mut State, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let (content, stamp) = state.get_mut(path).unwrap();
    change(content);
    *stamp += 1000;
}

#[tokio::test]
async fn an_unchanged_backup_opens_no_file_reads_one_manifest_and_writes_two_objects() {
    let calls = Faults::new(vec![]);
    let storage = Storage::memory();
    let mut chain = Chain::new(storage.clone());
    let state = sample();
    chain.add(&state).await;
    assert_eq!(chain.read, ["a", "d/b", "z"]);
    chain.storage = storage.observed(calls.clone());
    let content = chain.add(&state).await;
    assert_eq!((chain.read.len(), content.stored_bytes, content.files), (0, 0, 3));
    assert_eq!(content.plain_bytes, state.values().map(|(content, _)| content.len() as u64).sum::<u64>());
    let verbs: Vec<_> = calls.calls().into_iter().map(|call| call.verb).collect();
    // The record of the one before, the length of its zip, its manifest; then the zip in one part, and the record.
    let reads = [Verb::GetRange, Verb::Size, Verb::GetRange];
    assert_eq!(verbs, [&reads[..], &[Verb::Create, Verb::Part, Verb::Finish, Verb::PutNew]].concat());
    assert!(content.zip_len < 2048, "{}", content.zip_len);
    assert_eq!(chain.restore(1).await, plain(&state));
}

#[tokio::test]
async fn a_renamed_file_is_read_and_costs_no_block() {
    let mut chain = Chain::new(Storage::memory());
    let mut state = sample();
    chain.add(&state).await;
    let (content, stamp) = state.remove("a").unwrap();
    state.insert("d/renamed".to_owned(), (content, stamp + 1000));
    let content = chain.add(&state).await;
    assert_eq!((chain.read.as_slice(), content.stored_bytes), (&["d/renamed".to_owned()][..], 0));
    assert_eq!(chain.restore(1).await, plain(&state));
}

#[tokio::test]
async fn a_change_in_place_stores_one_block_of_the_file_and_reads_no_other() {
    let mut chain = Chain::new(Storage::memory());
    let mut state = sample();
    chain.add(&state).await;
    change(&mut state, "a", |content| content[2 * BLOCK + 5] ^= 1);
    let content = chain.add(&state).await;
    assert_eq!((chain.read.as_slice(), chain.own_blocks().await), (&["a".to_owned()][..], 1));
    assert!((BLOCK as u64..BLOCK as u64 + 100).contains(&content.stored_bytes), "{}", content.stored_bytes);
    assert_eq!(chain.restore(1).await, plain(&state));
}

#[tokio::test]
async fn the_same_block_is_stored_once_in_a_chain_however_often_and_wherever_it_comes_up() {
    let mut chain = Chain::new(Storage::memory());
    let mut state = sample();
    chain.add(&state).await;
    let new = noise(20 * BLOCK)[10 * BLOCK..11 * BLOCK].to_vec();
    state.insert("d/new".to_owned(), (new.repeat(40), 9));
    state.insert("n".to_owned(), (new.clone(), 10));
    let content = chain.add(&state).await;
    assert!(content.stored_bytes < BLOCK as u64 + 100, "{}", content.stored_bytes);
    assert_eq!(chain.own_blocks().await, 41);
    // The one before last has it, under another name.
    state.remove("n");
    chain.add(&state).await;
    state.insert("again".to_owned(), ([new.as_slice(), b"tail"].concat(), 11));
    let content = chain.add(&state).await;
    assert_eq!((content.stored_bytes < 50, chain.own_blocks().await), (true, 1));
    assert_eq!(chain.restore(3).await, plain(&state));
}

#[tokio::test]
async fn new_blocks_of_many_files_share_frames() {
    let mut chain = Chain::new(Storage::memory());
    chain.add(&sample()).await;
    let text = |n: usize| format!("file {n}: {}", "the same words again and again, ".repeat(30)).into_bytes();
    let mut state = sample();
    state.extend((0..3000).map(|n| (format!("m/{n:04}"), (text(n), 500 + n as u64))));
    let content = chain.add(&state).await;
    let archive = Archive::open(&chain.storage, &chain.points[1].point.location, &Spools::in_memory()).await.unwrap();
    let own = |item| match item {
        Item::Block { stored, .. } if stored.frame.member == 0 => Some(stored.frame.offset),
        _ => None,
    };
    let mut frames: Vec<_> = archive.manifest().items().unwrap().filter_map(|item| own(item.unwrap())).collect();
    frames.dedup();
    assert_eq!((frames.len(), content.stored_bytes < 200_000), (3, true), "{}", content.stored_bytes);
    assert_eq!(chain.restore(1).await, plain(&state));
}

#[tokio::test]
async fn a_file_without_a_stamp_is_always_read() {
    let mut chain = Chain::new(Storage::memory());
    let mut state = sample();
    state.get_mut("a").unwrap().1 = 0;
    chain.add(&state).await;
    let content = chain.add(&state).await;
    assert_eq!((chain.read.as_slice(), content.stored_bytes), (&["a".to_owned()][..], 0));
}

#[tokio::test]
async fn a_stamp_that_is_met_again_at_another_length_or_kind_is_not_believed() {
    let mut chain = Chain::new(Storage::memory());
    let mut state = sample();
    chain.add(&state).await;
    state.get_mut("z").unwrap().0 = b"longer".to_vec();
    chain.add(&state).await;
    assert_eq!(chain.read, ["z"]);
    let content = state.remove("z").unwrap();
    state.insert("z/z".to_owned(), content);
    chain.add(&state).await;
    assert_eq!(chain.read, ["z/z"]);
    assert_eq!(chain.restore(2).await, plain(&state));
}

#[tokio::test]
async fn blocks_of_other_sizes_than_the_smallest_make_chains_too() {
    let storage = Storage::memory();
    let mut chain = Chain::new(storage.clone());
    let mut state = state(&[("big", noise((9 << 20) + 5)), ("small", noise(100))]);
    let (whole, first) = (tree(&state), draft(&place(), noon()));
    let first = Draft { packing: Packing::full(BlockSize::for_state(4 << 40)), ..first };
    let pack = move |packer: &mut Packer<Upload>| {
        whole.iter().try_for_each(|(entry, content, stamp)| packer.stamped(entry, *stamp, &mut content.as_slice()))
    };
    let staged = stage::<PackError, _>(&storage, first, Arc::default(), pack).await.unwrap();
    chain.points.push(staged.commit().await.unwrap());
    change(&mut state, "big", |content| content[5 << 20] ^= 1);
    let content = chain.add(&state).await;
    assert_eq!((content.block_size, chain.own_blocks().await), (4 << 20, 1));
    assert_eq!(chain.restore(1).await, plain(&state));
}

#[tokio::test]
async fn a_backup_is_the_same_to_the_byte_however_many_workers_make_it() {
    let mut chain = Chain::new(Storage::memory());
    let mut state = sample();
    state.extend((0..3000).map(|n| (format!("m/{n:04}"), (noise(1000 + n)[n..].to_vec(), 500 + n as u64))));
    state.insert("text".to_owned(), (b"some words ".repeat(1 << 19), 7));
    for is_full in [true, false] {
        let mut zips = vec![];
        for workers in [1, 2, 3, 8] {
            let (tree, mut draft) = (tree(&state), chain.draft().await);
            draft.packing.workers = workers;
            draft.point.location = place().location(noon() + TimeDelta::days(i64::try_from(workers).unwrap()));
            let pack = move |packer: &mut Packer<Upload>| {
                tree.iter().try_for_each(|(entry, content, stamp)| {
                    let is_kept = packer.kept(entry, *stamp)?;
                    if is_kept { Ok(()) } else { packer.stamped(entry, *stamp, &mut content.as_slice()) }
                })
            };
            let storage = Storage::memory();
            stage::<PackError, _>(&storage, draft, Arc::default(), pack).await.unwrap();
            let key = storage.list("").await.unwrap().remove(0).key;
            zips.push(storage.get(&key).await.unwrap());
        }
        assert!(zips.iter().all(|zip| *zip == zips[0]), "full: {is_full}");
        chain.add(&state).await;
        state.insert("new".to_owned(), (noise(3 << 20).split_off(7), 8));
        (0..3000).step_by(3).for_each(|n| change(&mut state, &format!("m/{n:04}"), |content| content[n % 1000] ^= 1));
    }
}

/// What can happen to a state between two backups.
#[derive(Debug, Clone)]
enum Change {
    Write { path: usize, seed: u8, len: usize },
    Poke { at: prop::sample::Index, with: u8 },
    Rename { from: usize, to: usize },
    Remove { path: usize },
}

const PATHS: [&str; 9] = ["a", "a.b", "b/a", "b/c/d", "b/c/e", "b-", "c/x y", "c/ü", "d"];

fn changes() -> impl Strategy<Value = Change> {
    let path = 0..PATHS.len();
    let len = prop_oneof![Just(0), 1..100_usize, (BLOCK - 1)..(BLOCK + 2), 0..3 * BLOCK, Just(20 * BLOCK)];
    prop_oneof![
        3 => (path.clone(), 0..4_u8, len).prop_map(|(path, seed, len)| Change::Write { path, seed, len }),
        3 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, with)| Change::Poke { at, with }),
        1 => (path.clone(), path.clone()).prop_map(|(from, to)| Change::Rename { from, to }),
        1 => path.prop_map(|path| Change::Remove { path }),
    ]
}

/// Zeros, text or noise, and blocks that come up again.
fn written(seed: u8, len: usize) -> Vec<u8> {
    match seed {
        0 => vec![0; len],
        1 => b"some words ".iter().copied().cycle().take(len).collect(),
        seed => noise(len + usize::from(seed))[usize::from(seed)..].to_vec(),
    }
}

fn apply(state: &mut State, change: &Change, stamp: u64) {
    match change {
        Change::Write { path, seed, len } => {
            state.insert(PATHS[*path].to_owned(), (written(*seed, *len), stamp));
        }
        Change::Poke { at, with } => {
            let mut long: Vec<_> = state.values_mut().filter(|(content, _)| !content.is_empty()).collect();
            if !long.is_empty() {
                let (content, old) = &mut *long.swap_remove(at.index(long.len()));
                let at = at.index(content.len());
                content[at] = *with;
                *old = stamp;
            }
        }
        Change::Rename { from, to } => {
            if let Some((content, _)) = state.remove(PATHS[*from]) {
                state.insert(PATHS[*to].to_owned(), (content, stamp));
            }
        }
        Change::Remove { path } => drop(state.remove(PATHS[*path])),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_point_of_any_chain_gives_its_state_back(
        steps in prop::collection::vec(prop::collection::vec(changes(), 0..6), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut chain, mut state, mut states, mut stamp) = (Chain::new(Storage::memory()), State::new(), vec![], 0);
            for step in steps {
                for change in step {
                    stamp += 1;
                    apply(&mut state, &change, stamp);
                }
                chain.add(&state).await;
                states.push(plain(&state));
            }
            for (point, expected) in states.iter().enumerate() {
                assert!(chain.restore(point).await == *expected, "point {point}");
            }
        });
    }
}
