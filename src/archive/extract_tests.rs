use std::sync::{Arc, mpsc};

use chrono::TimeDelta;

use super::{ExtractError, Sink, SinkFile};
use crate::{
    archive::{
        Archive, BlockSize, Draft, Item, Keys, Metadata, PackError, Packer, Packing, ReadError, Upload, stage,
        testing::{MemorySink, Tree, draft, file, io_error, noise, noon, place, sample, store, store_after},
    },
    domain::{Entry, FailureCode},
    job::Meter,
    spool::Spools,
    storage::{
        ErrorKind, Storage,
        faulty::{Fault, Faults, Moment, Verb, Verdict},
    },
};

async fn backup(tree: Tree) -> (Storage, Metadata) {
    let storage = Storage::memory();
    let metadata = store(&storage, &place(), noon(), tree).await;
    (storage, metadata)
}

async fn open(storage: &Storage, metadata: &Metadata) -> Archive {
    Archive::open(storage, &metadata.point.location, &Spools::in_memory()).await.unwrap()
}

#[tokio::test]
async fn what_was_backed_up_comes_back_and_holes_are_not_written() {
    let (storage, metadata) = backup(sample()).await;
    let sink = open(&storage, &metadata).await.extract(MemorySink::default(), Arc::default()).await.unwrap();
    assert!(sink.tree() == sample());
    let sparse = 2 * (64 << 10) + 77; // two blocks of text and a last one that is no hole
    assert_eq!(sink.written(), 100 + (12 << 20) + 3 + sparse + 7);
}

#[tokio::test]
async fn the_meter_tells_everything_once_it_is_restored() {
    let (storage, metadata) = backup(sample()).await;
    let meter = Arc::<Meter>::default();
    open(&storage, &metadata).await.extract(MemorySink::default(), Arc::clone(&meter)).await.unwrap();
    let (content, told) = (metadata.content.unwrap(), meter.read());
    assert_eq!((told.files_total, told.bytes_total), (content.files, content.plain_bytes));
    assert_eq!((told.files_processed, told.bytes_processed), (content.files, content.plain_bytes));
    assert!(told.bytes_stored >= content.stored_bytes && told.bytes_stored < content.zip_len, "{told:?}");
}

#[tokio::test]
async fn a_chain_of_a_hundred_increments_comes_back_in_one_pass() {
    let (storage, mut metadata) = backup(vec![file("f", noise(8 << 20))]).await;
    let mut tree = vec![file("f", noise(8 << 20))];
    for n in 0..100 {
        let parent = open(&storage, &metadata).await;
        tree[0].1[n * 37 % 128 * (64 << 10)..][..64 << 10].fill(u8::try_from(n).unwrap() + 1);
        metadata = store_after(&parent, noon() + TimeDelta::seconds(1 + i64::try_from(n).unwrap()), tree.clone()).await;
    }
    let calls = Faults::new(vec![]);
    let archive = open(&storage.observed(calls.clone()), &metadata).await;
    let opened = calls.calls().len();
    assert!(archive.extract(MemorySink::default(), Arc::default()).await.unwrap().tree() == tree);
    let fetched = calls.calls().len() - opened;
    assert!((100..=103).contains(&fetched), "each increment once and the full in a few: {fetched}");
}

#[tokio::test]
async fn an_empty_state_comes_back() {
    let (storage, metadata) = backup(vec![]).await;
    let sink = open(&storage, &metadata).await.extract(MemorySink::default(), Arc::default()).await.unwrap();
    assert_eq!(sink.tree(), []);
}

#[tokio::test]
async fn many_small_files_are_fetched_together() {
    let tree: Tree = (0..2000).map(|n| file(&format!("{n:04}"), noise(1000 + n))).collect();
    let (storage, metadata) = backup(tree.clone()).await;
    let calls = Faults::new(vec![]);
    let archive = open(&storage.observed(calls.clone()), &metadata).await;
    let sink = archive.extract(MemorySink::default(), Arc::default()).await.unwrap();
    assert!(sink.tree() == tree);
    let verbs: Vec<_> = calls.calls().into_iter().map(|call| call.verb).collect();
    // The commit record, the length of the zip, the manifest, and the 4 MB of all files in one.
    assert_eq!(verbs, [Verb::GetRange, Verb::Size, Verb::GetRange, Verb::GetRange]);
}

#[tokio::test]
async fn files_of_every_length_around_a_block_and_a_frame_come_back() {
    let lengths = [1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20];
    let fill = |len: usize, kind: usize| match kind {
        0 => noise(len),
        1 => vec![0; len],
        _ => [vec![b'x'; len - 1], vec![0]].concat(),
    };
    let cases = lengths.iter().flat_map(|len| (0..3).map(|kind| (*len, kind)));
    let tree: Tree = cases.map(|(len, kind)| file(&format!("{len:08} {kind}"), fill(len, kind))).collect();
    let (storage, metadata) = backup(tree.clone()).await;
    assert!(
        open(&storage, &metadata).await.extract(MemorySink::default(), Arc::default()).await.unwrap().tree() == tree
    );
}

#[tokio::test]
async fn blocks_larger_than_a_frame_usually_is_come_back() {
    let storage = Storage::memory();
    let content = noise((9 << 20) + 5);
    let draft = Draft { packing: Packing::full(BlockSize::for_state(4 << 40)), ..draft(&place(), noon()) };
    assert_eq!(draft.packing.block_size.bytes(), 4 << 20);
    let (entry, plain) = file("f", content.clone());
    let pack = move |packer: &mut Packer<Upload>| packer.entry(&entry, &mut plain.as_slice());
    let metadata = stage::<PackError, _>(&storage, draft, Arc::default(), pack).await.unwrap().commit().await.unwrap();
    let sink = open(&storage, &metadata).await.extract(MemorySink::default(), Arc::default()).await.unwrap();
    assert!(sink.tree() == [file("f", content)]);
}

/// Puts other bytes in the place of an object.
async fn replace(storage: &Storage, key: &str, with: Vec<u8>) {
    storage.delete(key).await.unwrap();
    storage.put_new(key, with.into()).await.unwrap();
}

/// Flips a bit of the zip and restores what was opened before or after.
async fn restore_with_flipped_bit(at: u64) -> Result<MemorySink, ExtractError<std::convert::Infallible>> {
    let (storage, metadata) = backup(sample()).await;
    let key = Keys::of(&metadata.point.location).unwrap().zip;
    let mut zip = storage.get(&key).await.unwrap().to_vec();
    zip[usize::try_from(at).unwrap()] ^= 4;
    replace(&storage, &key, zip).await;
    Archive::open(&storage, &metadata.point.location, &Spools::in_memory())
        .await?
        .extract(MemorySink::default(), Arc::default())
        .await
}

/// The places of the first, a middle and the last block, with their files and offsets.
async fn blocks() -> Vec<(u64, String, u64)> {
    let (storage, metadata) = backup(sample()).await;
    let mut all = vec![];
    let mut path = String::new();
    for item in open(&storage, &metadata).await.manifest().items().unwrap() {
        match item.unwrap() {
            Item::Entry(entry) => path = entry.path.as_str().to_owned(),
            Item::Block { offset, stored, .. } => {
                all.push((stored.frame.offset + u64::from(stored.frame.len) - 1, path.clone(), offset));
            }
            Item::Hole { .. } => {}
        }
    }
    // Each frame's last byte belongs to the last block in it: only those can be told apart by a flipped byte.
    let last_in_frame = |n: usize| all.get(n + 1).is_none_or(|next| next.0 != all[n].0);
    let alone: Vec<_> = (0..all.len()).filter(|n| last_in_frame(*n)).map(|n| all[n].clone()).collect();
    vec![alone[0].clone(), alone[alone.len() / 2].clone(), alone[alone.len() - 1].clone()]
}

#[tokio::test]
async fn a_flipped_bit_in_the_first_a_middle_or_the_last_block_names_backup_file_and_offset() {
    for (at, path, block) in blocks().await {
        match restore_with_flipped_bit(at).await.map(drop) {
            Err(error @ ExtractError::Damaged { .. }) => {
                assert_eq!(error.code(|never| match *never {}), FailureCode::Damaged);
                let ExtractError::Damaged { backup, file, offset, .. } = error else { unreachable!() };
                assert_eq!((backup, file), (place().location(noon()), path));
                // A frame that cannot be unpacked at all is noticed at its first block.
                assert!(offset <= block && block - offset < 1 << 20, "{offset} {block}");
            }
            other => panic!("{path} {block}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_manifest_is_found_before_anything_is_restored() {
    let (_, metadata) = backup(sample()).await;
    let content = metadata.content.unwrap();
    for at in [0, content.manifest_len / 2, content.manifest_len - 1] {
        let error = restore_with_flipped_bit(content.manifest_offset + at).await.map(drop).unwrap_err();
        assert!(matches!(error, ExtractError::Read(ReadError::Damaged { .. })), "{error}");
    }
}

#[tokio::test]
async fn damaged_objects_are_told_apart() {
    let (storage, metadata) = backup(sample()).await;
    let location = &metadata.point.location;
    let keys = Keys::of(location).unwrap();
    let (zip, record) = (storage.get(&keys.zip).await.unwrap(), storage.get(&keys.metadata).await.unwrap());
    let error = async || Archive::open(&storage, location, &Spools::in_memory()).await.map(drop).unwrap_err();

    replace(&storage, &keys.zip, zip[..zip.len() - 1].to_vec()).await;
    assert!(matches!(error().await, ReadError::Damaged { .. }));
    storage.delete(&keys.zip).await.unwrap();
    assert!(matches!(error().await, ReadError::Missing(_)));
    replace(&storage, &keys.zip, zip.to_vec()).await;

    replace(&storage, &keys.metadata, record[..record.len() - 1].to_vec()).await;
    assert!(matches!(error().await, ReadError::Metadata { .. }));
    replace(&storage, &keys.metadata, vec![0; 2 << 20]).await;
    assert!(error().await.to_string().contains("cannot be used"));
    storage.delete(&keys.metadata).await.unwrap();
    let gone = error().await;
    assert!(matches!(gone, ReadError::NotFound { .. }), "{gone}");
    assert_eq!(gone.code(), FailureCode::NotFound);
    replace(&storage, &keys.metadata, record.to_vec()).await;
    open(&storage, &metadata).await.extract(MemorySink::default(), Arc::default()).await.unwrap();
}

#[tokio::test]
async fn a_backup_of_another_program_is_not_restored_but_said_so() {
    let (storage, metadata) = backup(sample()).await;
    let keys = Keys::of(&metadata.point.location).unwrap();
    replace(&storage, &keys.metadata, crate::archive::encode(&Metadata { content: None, ..metadata.clone() })).await;
    let error = Archive::open(&storage, &metadata.point.location, &Spools::in_memory()).await.map(drop).unwrap_err();
    assert!(matches!(error, ReadError::Foreign(_)), "{error}");
}

#[tokio::test]
async fn a_zip_that_goes_away_or_gets_shorter_meanwhile_is_told() {
    let (storage, metadata) = backup(sample()).await;
    let archive = open(&storage, &metadata).await;
    let key = Keys::of(&metadata.point.location).unwrap().zip;
    let zip = storage.get(&key).await.unwrap();
    replace(&storage, &key, zip[..zip.len() / 2].to_vec()).await;
    let error = archive.extract(MemorySink::default(), Arc::default()).await.map(drop).unwrap_err();
    assert!(matches!(&error, ExtractError::Damaged { file, .. } if file == "noise"), "{error}");
    storage.delete(&key).await.unwrap();
    let error = archive.extract(MemorySink::default(), Arc::default()).await.map(drop).unwrap_err();
    assert!(matches!(error, ExtractError::Read(ReadError::Missing(_))), "{error}");
}

#[tokio::test]
async fn a_storage_that_fails_half_way_is_named() {
    let (storage, metadata) = backup(sample()).await;
    let verdict = Verdict::Fail(ErrorKind::Unreachable);
    let fault = Fault { verb: Verb::GetRange, key_contains: ".zip", nth: 3, moment: Moment::Before, verdict };
    let faults = Faults::new(vec![fault]);
    let archive = open(&storage.observed(faults.clone()), &metadata).await;
    let error = archive.extract(MemorySink::default(), Arc::default()).await.map(drop).unwrap_err();
    assert!(faults.unfired().is_empty());
    assert_eq!(error.code(|never| match *never {}), FailureCode::Unreachable, "{error}");
}

/// Fails at the first file, or waits there until it may go on.
struct Stubborn {
    reached: tokio::sync::mpsc::Sender<()>,
    go_on: Option<mpsc::Receiver<()>>,
    dropped: Option<tokio::sync::oneshot::Sender<usize>>,
    files: usize,
}

impl Drop for Stubborn {
    fn drop(&mut self) {
        let _ = self.dropped.take().unwrap().send(self.files);
    }
}

struct Nothing;

impl SinkFile for Nothing {
    type Error = std::io::Error;

    fn write_at(&self, _: u64, _: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }

    fn finish(self) -> Result<(), Self::Error> {
        Ok(())
    }
}

impl Sink for Stubborn {
    type Error = std::io::Error;
    type File = Nothing;

    fn directory(&mut self, _: &Entry) -> Result<(), Self::Error> {
        panic!("nothing comes after the first file")
    }

    fn symlink(&mut self, entry: &Entry) -> Result<(), Self::Error> {
        self.directory(entry)
    }

    fn complete(&mut self, entry: &Entry) -> Result<(), Self::Error> {
        self.directory(entry)
    }

    fn file(&mut self, _: &Entry) -> Result<Nothing, Self::Error> {
        self.files += 1;
        let _ = self.reached.try_send(());
        match &self.go_on {
            Some(go_on) => go_on.recv().map(|()| Nothing).map_err(std::io::Error::other),
            None => Err(io_error("disk full")),
        }
    }
}

#[tokio::test]
async fn a_sink_that_fails_ends_the_restore_with_its_error() {
    let (storage, metadata) = backup(sample()).await;
    let (reached, _keep) = tokio::sync::mpsc::channel(1);
    let (dropped, is_dropped) = tokio::sync::oneshot::channel();
    let sink = Stubborn { reached, go_on: None, dropped: Some(dropped), files: 0 };
    let error = open(&storage, &metadata).await.extract(sink, Arc::default()).await.map(drop).unwrap_err();
    assert!(matches!(&error, ExtractError::Sink(error) if error.to_string() == "disk full"), "{error}");
    assert_eq!(is_dropped.await.unwrap(), 1);
}

/// Its files do something else than to be written to.
struct Odd<F>(F, Option<tokio::sync::oneshot::Sender<()>>);

struct OddFile<F>(F);

impl<F> Drop for Odd<F> {
    fn drop(&mut self) {
        let _ = self.1.take().unwrap().send(());
    }
}

impl<F: Fn() + Clone + Send + Sync + 'static> Sink for Odd<F> {
    type Error = std::io::Error;
    type File = OddFile<F>;

    fn directory(&mut self, _: &Entry) -> Result<(), Self::Error> {
        Ok(())
    }

    fn symlink(&mut self, _: &Entry) -> Result<(), Self::Error> {
        Ok(())
    }

    fn complete(&mut self, _: &Entry) -> Result<(), Self::Error> {
        panic!("not every file was finished")
    }

    fn file(&mut self, _: &Entry) -> Result<OddFile<F>, Self::Error> {
        Ok(OddFile(self.0.clone()))
    }
}

impl<F: Fn() + Send + Sync + 'static> SinkFile for OddFile<F> {
    type Error = std::io::Error;

    fn write_at(&self, _: u64, _: &[u8]) -> Result<(), Self::Error> {
        (self.0)();
        Ok(())
    }

    fn finish(self) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_while_a_block_is_written_is_an_error_and_gives_the_sink_up() {
    let (storage, metadata) = backup(sample()).await;
    let (dropped, is_dropped) = tokio::sync::oneshot::channel();
    let sink = Odd(|| panic!("a defect"), Some(dropped));
    let error = open(&storage, &metadata).await.extract(sink, Arc::default()).await.map(drop).unwrap_err();
    assert!(matches!(error, ExtractError::Stopped), "{error}");
    is_dropped.await.unwrap();
}

#[tokio::test]
async fn a_sink_outlives_the_writes_to_its_files_when_the_future_is_dropped() {
    let (storage, metadata) = backup(vec![file("f", noise(100))]).await;
    let (reached, mut is_reached) = tokio::sync::mpsc::channel(1);
    let (go_on, wait) = mpsc::channel();
    let wait = Arc::new(std::sync::Mutex::new(wait));
    let write = move || {
        reached.try_send(()).unwrap();
        wait.lock().unwrap().recv().unwrap();
    };
    let (dropped, mut is_dropped) = tokio::sync::oneshot::channel();
    let task = tokio::spawn({
        let archive = open(&storage, &metadata).await;
        async move { archive.extract(Odd(write, Some(dropped)), Arc::default()).await.map(drop) }
    });
    is_reached.recv().await.unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert!(is_dropped.try_recv().is_err(), "it is still being written to");
    go_on.send(()).unwrap();
    is_dropped.await.unwrap();
}

#[tokio::test]
async fn dropping_the_future_ends_the_restore_and_gives_the_sink_up() {
    // Empty files: nothing that the thread waits for could tell it, it has to look.
    let (storage, metadata) = backup(vec![file("a", vec![]), file("b", vec![])]).await;
    let (reached, mut is_reached) = tokio::sync::mpsc::channel(1);
    let (go_on, wait) = mpsc::channel();
    let (dropped, is_dropped) = tokio::sync::oneshot::channel();
    let sink = Stubborn { reached, go_on: Some(wait), dropped: Some(dropped), files: 0 };
    let task = tokio::spawn({
        let archive = open(&storage, &metadata).await;
        async move { archive.extract(sink, Arc::default()).await.map(drop) }
    });
    is_reached.recv().await.unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    go_on.send(()).unwrap();
    drop(go_on);
    assert_eq!(is_dropped.await.unwrap(), 1, "the second file is never asked for");
}
