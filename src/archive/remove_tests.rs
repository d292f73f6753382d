use super::{RemoveError, remove};
use crate::{
    archive::{
        Filter, Keys, Scope,
        testing::{file, list, noon, place, store},
    },
    domain::{FailureCode, Location},
    storage::{
        ErrorKind, Storage,
        faulty::{Fault, Faults, Moment, Verb, Verdict},
    },
};

async fn backup(storage: &Storage) -> Location {
    store(storage, &place(), noon(), vec![file("a", vec![1])]).await.point.location
}

async fn listed(storage: &Storage) -> usize {
    let scope = Scope::Partition(place().service, place().partition);
    list(storage, &scope, &Filter::default()).await.unwrap().items.len()
}

async fn objects(storage: &Storage) -> Vec<String> {
    storage.list("").await.unwrap().into_iter().map(|object| object.key).collect()
}

fn failing(key_contains: &'static str, moment: Moment) -> Vec<Fault> {
    let verdict = Verdict::Fail(ErrorKind::Unreachable);
    vec![Fault { verb: Verb::Delete, key_contains, nth: 1, moment, verdict }]
}

#[tokio::test]
async fn a_backup_is_removed_record_first_and_again_without_complaint() {
    let calls = Faults::new(vec![]);
    let storage = Storage::memory();
    let location = backup(&storage).await;
    let keys = Keys::of(&location).unwrap();
    let watched = storage.observed(calls.clone());
    remove(&watched, &location).await.unwrap();
    let deleted: Vec<_> = calls.calls().into_iter().map(|call| (call.verb, call.key)).collect();
    assert_eq!(deleted, [(Verb::Delete, keys.metadata), (Verb::Delete, keys.zip)]);
    assert!(objects(&storage).await.is_empty());
    remove(&watched, &location).await.unwrap();
}

#[tokio::test]
async fn a_record_that_cannot_be_deleted_keeps_the_backup_whole() {
    let storage = Storage::memory();
    let location = backup(&storage).await;
    let faults = Faults::new(failing(".bkmetadata", Moment::Before));
    let error = remove(&storage.observed(faults.clone()), &location).await.unwrap_err();
    assert!(matches!(error, RemoveError::Record { .. }), "{error}");
    assert_eq!(error.code(), FailureCode::Unreachable);
    assert_eq!((listed(&storage).await, objects(&storage).await.len()), (1, 2));
    assert!(faults.unfired().is_empty());
}

#[tokio::test]
async fn data_that_cannot_be_deleted_is_no_backup_any_more_and_the_next_attempt_takes_it() {
    let storage = Storage::memory();
    let location = backup(&storage).await;
    let faults = Faults::new(failing(".zip", Moment::Before));
    let error = remove(&storage.observed(faults.clone()), &location).await.unwrap_err();
    assert!(matches!(error, RemoveError::Data { .. }), "{error}");
    assert!(faults.unfired().is_empty());
    assert_eq!(listed(&storage).await, 0);
    assert_eq!(objects(&storage).await, [Keys::of(&location).unwrap().zip]);
    remove(&storage, &location).await.unwrap();
    assert!(objects(&storage).await.is_empty());
}

#[tokio::test]
async fn a_lost_answer_is_an_error_and_the_data_stays_until_the_next_attempt() {
    let storage = Storage::memory();
    let location = backup(&storage).await;
    let faults = Faults::new(failing(".bkmetadata", Moment::After));
    remove(&storage.observed(faults), &location).await.unwrap_err();
    assert_eq!(objects(&storage).await, [Keys::of(&location).unwrap().zip]);
    remove(&storage, &location).await.unwrap();
    assert!(objects(&storage).await.is_empty());
}

#[tokio::test]
async fn what_is_no_location_removes_nothing() {
    let error = remove(&Storage::memory(), &Location("../x".into())).await.unwrap_err();
    assert!(matches!(error, RemoveError::Location(_)), "{error}");
}
