use std::{
    io,
    sync::{Arc, mpsc},
};

use bytes::Bytes;
use chrono::TimeDelta;

use super::{CommitError, WriteError, committed, discard, free_second, stage};
use crate::{
    archive::{
        Archive, Keys, PackError, Packer, Upload,
        testing::{MemorySink, draft, entry, file, io_error, noise, noon, place, sample, store},
    },
    domain::{EntryKind, FailureCode},
    spool::Spools,
    storage::{
        ErrorKind, Storage,
        faulty::{Fault, Faults, Moment, Verb, Verdict},
    },
};

#[derive(Debug, thiserror::Error)]
enum TestError {
    #[error("pack")]
    Pack(#[from] PackError),
    #[error("source")]
    Source(#[from] io::Error),
}

/// More than one piece, so that the storage is written to while packing goes on.
fn pack(packer: &mut Packer<Upload>) -> Result<(), TestError> {
    for (entry, content) in sample() {
        packer.entry(&entry, &mut content.as_slice())?;
    }
    Ok(())
}

async fn keys(storage: &Storage) -> Vec<String> {
    storage.list("").await.unwrap().into_iter().map(|object| object.key).collect()
}

fn fault(verb: Verb, moment: Moment, kind: ErrorKind) -> Fault {
    Fault { verb, key_contains: "", nth: 1, moment, verdict: Verdict::Fail(kind) }
}

#[tokio::test]
async fn the_commit_record_is_written_once_and_last() {
    let storage = Storage::memory();
    let calls = Faults::new(vec![]);
    let staged = stage(&storage.observed(calls.clone()), draft(&place(), noon()), Arc::default(), pack).await.unwrap();
    assert_eq!(keys(&storage).await, [Keys::of(&place().location(noon())).unwrap().zip]);
    let metadata = staged.commit().await.unwrap();
    let keys = Keys::of(&metadata.point.location).unwrap();
    let verbs: Vec<_> = calls.calls().into_iter().map(|call| (call.verb, call.key == keys.metadata)).collect();
    assert_eq!(
        verbs,
        [(Verb::Create, false), (Verb::Part, false), (Verb::Part, false), (Verb::Finish, false), (Verb::PutNew, true)]
    );
    assert_eq!(
        Archive::open(&storage, &metadata.point.location, &Spools::in_memory()).await.unwrap().point(),
        &metadata.point
    );
}

#[tokio::test]
async fn a_storage_that_fails_while_the_data_is_written_is_named_and_nothing_is_left() {
    for verb in [Verb::Create, Verb::Part, Verb::Finish] {
        let storage = Storage::memory();
        let faults = Faults::new(vec![fault(verb, Moment::Before, ErrorKind::Unreachable)]);
        let failed = stage(&storage.observed(faults.clone()), draft(&place(), noon()), Arc::default(), pack).await;
        let error = failed.map(drop).unwrap_err();
        assert!(matches!(error, WriteError::Storage(_)), "{verb:?}: {error}");
        assert_eq!(error.code(|_| FailureCode::Other), FailureCode::Unreachable);
        assert!(keys(&storage).await.is_empty(), "{verb:?}");
        assert!(faults.unfired().is_empty(), "{verb:?}");
    }
}

#[tokio::test]
async fn a_storage_that_refuses_the_commit_record_is_named_and_nothing_is_left() {
    let storage = Storage::memory();
    let faults = Faults::new(vec![fault(Verb::PutNew, Moment::Before, ErrorKind::Unreachable)]);
    let staged = stage(&storage.observed(faults.clone()), draft(&place(), noon()), Arc::default(), pack).await.unwrap();
    let error = staged.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::Storage(_)), "{error}");
    assert_eq!(error.code(), FailureCode::Unreachable);
    assert!(keys(&storage).await.is_empty());
    assert!(faults.unfired().is_empty());
}

#[tokio::test]
async fn a_source_that_fails_leaves_nothing_and_its_error_comes_back() {
    let storage = Storage::memory();
    let failing = |packer: &mut Packer<Upload>| {
        pack(packer)?;
        Err::<(), _>(TestError::Source(io_error("changed")))
    };
    let error = stage(&storage, draft(&place(), noon()), Arc::default(), failing).await.unwrap_err();
    assert!(matches!(error, WriteError::Source(TestError::Source(_))), "{error}");
    assert!(keys(&storage).await.is_empty());
}

#[tokio::test]
async fn a_packing_thread_that_panics_leaves_nothing() {
    let storage = Storage::memory();
    let failing = |_: &mut Packer<Upload>| -> Result<(), TestError> { panic!("on purpose") };
    let error = stage(&storage, draft(&place(), noon()), Arc::default(), failing).await.unwrap_err();
    assert!(matches!(error, WriteError::Stopped), "{error}");
    assert!(keys(&storage).await.is_empty());
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_recognised() {
    for kind in [ErrorKind::Unreachable, ErrorKind::AlreadyExists] {
        let storage = Storage::memory();
        let faults = Faults::new(vec![fault(Verb::PutNew, Moment::After, kind)]);
        let staged =
            stage(&storage.observed(faults.clone()), draft(&place(), noon()), Arc::default(), pack).await.unwrap();
        let metadata = staged.commit().await.unwrap();
        assert!(faults.unfired().is_empty());
        let archive = Archive::open(&storage, &metadata.point.location, &Spools::in_memory()).await.unwrap();
        archive.extract(MemorySink::default(), std::sync::Arc::default()).await.unwrap();
    }
}

#[tokio::test]
async fn somebody_elses_commit_record_is_left_alone_and_our_zip_is_taken_away() {
    let storage = Storage::memory();
    let theirs = store(&storage, &place(), noon(), sample()).await;
    let keys_of_theirs = Keys::of(&theirs.point.location).unwrap();
    let taken = stage(&storage, draft(&place(), noon()), Arc::default(), pack).await.unwrap_err();
    assert!(matches!(taken, WriteError::Taken(_)), "{taken}");
    storage.delete(&keys_of_theirs.zip).await.unwrap();
    let taken =
        stage(&storage, draft(&place(), noon()), Arc::default(), pack).await.unwrap().commit().await.unwrap_err();
    assert!(matches!(taken, CommitError::Taken(_)), "{taken}");
    assert_eq!(keys(&storage).await, [keys_of_theirs.metadata]);
}

#[tokio::test]
async fn a_zip_stays_while_its_commit_record_may_exist() {
    let storage = Storage::memory();
    let lost = fault(Verb::PutNew, Moment::After, ErrorKind::Unreachable);
    let unread = fault(Verb::Get, Moment::Before, ErrorKind::Unreachable);
    let undeleted = fault(Verb::Delete, Moment::Before, ErrorKind::Unreachable);
    let faults = Faults::new(vec![lost, unread, undeleted]);
    let staged = stage(&storage.observed(faults.clone()), draft(&place(), noon()), Arc::default(), pack).await.unwrap();
    assert!(matches!(staged.commit().await, Err(CommitError::Storage(_))));
    assert!(faults.unfired().is_empty());
    assert_eq!(keys(&storage).await.len(), 2, "whole, or not at all");
}

#[tokio::test]
async fn after_a_crash_the_commit_record_tells_whether_the_backup_exists() {
    let storage = Storage::memory();
    let draft = draft(&place(), noon());
    let (id, location) = (draft.point.id, draft.point.location.clone());
    let found = async || committed(&storage, &location, id).await.unwrap().map(|point| point.id);
    let staged = stage(&storage, draft, Arc::default(), pack).await.unwrap();
    assert_eq!(found().await, None);
    staged.commit().await.unwrap();
    assert_eq!(found().await, Some(id));
    assert!(committed(&storage, &location, uuid::Uuid::max()).await.unwrap().is_none());
}

#[tokio::test]
async fn only_what_was_never_committed_is_discarded() {
    let storage = Storage::memory();
    let location = place().location(noon());
    drop(stage(&storage, draft(&place(), noon()), Arc::default(), pack).await.unwrap());
    discard(&storage, &location).await.unwrap();
    assert!(keys(&storage).await.is_empty());
    store(&storage, &place(), noon(), sample()).await;
    discard(&storage, &location).await.unwrap();
    assert_eq!(keys(&storage).await.len(), 2);
}

#[tokio::test]
async fn dropping_the_future_ends_the_packing_and_leaves_nothing() {
    let storage = Storage::memory();
    let (running, mut is_running) = tokio::sync::mpsc::channel(1);
    let (ended, has_ended) = mpsc::channel();
    let endless = move |packer: &mut Packer<Upload>| -> Result<(), TestError> {
        let mut n = 0_u64;
        let error = loop {
            let (entry, content) = file(&format!("{n:020}"), noise(1 << 20));
            if let Err(error) = packer.entry(&entry, &mut content.as_slice()) {
                break error;
            }
            let _ = running.try_send(());
            n += 1;
        };
        ended.send(error.to_string()).unwrap();
        Err(error.into())
    };
    let task = tokio::spawn({
        let storage = storage.clone();
        async move { stage(&storage, draft(&place(), noon()), Arc::default(), endless).await.map(drop) }
    });
    is_running.recv().await.unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let error = tokio::task::spawn_blocking(move || has_ended.recv().unwrap()).await.unwrap();
    assert!(error.contains("cannot be written"), "{error}");
    assert!(keys(&storage).await.is_empty());
}

#[tokio::test]
async fn the_next_free_second_is_found() {
    let storage = Storage::memory();
    let just_after = noon() + TimeDelta::milliseconds(999);
    assert_eq!(free_second(&storage, &place(), just_after).await.unwrap(), noon());
    store(&storage, &place(), noon(), vec![(entry("d", EntryKind::Directory), vec![])]).await;
    let second = noon() + TimeDelta::seconds(1);
    let orphan = Keys::of(&place().location(second)).unwrap().metadata;
    storage.put_new(&orphan, Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(free_second(&storage, &place(), just_after).await.unwrap(), second + TimeDelta::seconds(1));
}
