use bytes::Bytes;
use chrono::TimeDelta;
use uuid::Uuid;

use super::{CatalogError, Filter, Found, Listing, list as page};
use crate::{
    archive::{
        Keys, Place, Scope,
        testing::{noon, place, store},
    },
    domain::{ApplicationName, PartitionId, ServiceName},
    storage::{
        ErrorKind, Storage,
        faulty::{Fault, Faults, Moment, Verb, Verdict},
    },
};

fn at(service: &str, partition: u128) -> Place {
    let service = ServiceName::parse(&format!("fabric:/App/{service}")).unwrap();
    Place { service, partition: PartitionId(Uuid::from_u128(partition)), ..place() }
}

fn hours(hours: i64) -> TimeDelta {
    TimeDelta::hours(hours)
}

/// Two partitions with three backups each, another service with one, and things that are no backups.
async fn storage() -> Storage {
    let storage = Storage::memory();
    for hour in [2, 0, 1] {
        for partition in [2, 1] {
            store(&storage, &at("Svc", partition), noon() + hours(hour), vec![]).await;
        }
    }
    store(&storage, &at("Svc/Inner", 3), noon(), vec![]).await;
    for key in ["App/Svc/notes.bkmetadata", "App/Svc/p/2026-03-04 12.00.00.bkmetadata", "App/Svc/x.txt"] {
        storage.put_new(key, Bytes::from_static(b"no backup")).await.unwrap();
    }
    storage
}

fn application() -> Scope {
    Scope::Application(ApplicationName::parse("fabric:/App").unwrap())
}

fn service(name: &str) -> Scope {
    Scope::Service(ServiceName::parse(name).unwrap())
}

async fn list(storage: &Storage, scope: &Scope, filter: &Filter) -> Result<Vec<Found>, CatalogError> {
    page(storage, scope, filter).await.map(|listing| listing.items)
}

/// Service, partition and hours after noon.
fn shown(found: &[Found]) -> Vec<(String, u128, i64)> {
    let show = |found: &Found| {
        let place = &found.place;
        (place.service.as_str().to_owned(), place.partition.0.as_u128(), (found.time - noon()).num_hours())
    };
    found.iter().map(show).collect()
}

#[tokio::test]
async fn backups_are_listed_by_service_partition_and_time() {
    let found = list(&storage().await, &application(), &Filter::default()).await.unwrap();
    let svc = |partition, hour| ("fabric:/App/Svc".to_owned(), partition, hour);
    let inner = ("fabric:/App/Svc/Inner".to_owned(), 3, 0);
    assert_eq!(shown(&found), [svc(1, 0), svc(1, 1), svc(1, 2), svc(2, 0), svc(2, 1), svc(2, 2), inner]);
    for found in found {
        let point = found.point.unwrap();
        assert_eq!((point.created, &point.location), (found.time, &found.location));
    }
}

#[tokio::test]
async fn a_scope_covers_its_own_and_nothing_beside_it() {
    let storage = storage().await;
    let count = async |scope: Scope| list(&storage, &scope, &Filter::default()).await.unwrap().len();
    assert_eq!(count(service("fabric:/App/Svc")).await, 6);
    assert_eq!(count(service("fabric:/App/Svc/Inner")).await, 1);
    assert_eq!(count(service("fabric:/App/Sv")).await, 0);
    let partition = |id| {
        let name = ServiceName::parse("fabric:/App/Svc").unwrap();
        Scope::Partition(name, PartitionId(Uuid::from_u128(id)))
    };
    assert_eq!(count(partition(1)).await, 3);
    assert_eq!(count(partition(3)).await, 0);
    assert_eq!(count(Scope::Application(ApplicationName::parse("fabric:/Ap").unwrap())).await, 0);
}

#[tokio::test]
async fn the_time_filter_includes_both_ends_and_comes_before_latest() {
    let storage = storage().await;
    let listed = async |start: Option<i64>, end: Option<i64>, latest| {
        let filter = Filter {
            start: start.map(|h| noon() + hours(h)),
            end: end.map(|h| noon() + hours(h)),
            latest,
            ..Filter::default()
        };
        let found = list(&storage, &service("fabric:/App/Svc"), &filter).await.unwrap();
        shown(&found).into_iter().map(|(_, partition, hour)| (partition, hour)).collect::<Vec<_>>()
    };
    assert_eq!(listed(Some(1), Some(1), false).await, [(1, 1), (2, 1)]);
    assert_eq!(listed(Some(1), None, false).await, [(1, 1), (1, 2), (2, 1), (2, 2)]);
    assert_eq!(listed(None, Some(1), true).await, [(1, 1), (2, 1)]);
    assert_eq!(listed(None, None, true).await, [(1, 2), (2, 2)]);
    assert_eq!(listed(Some(3), None, true).await, []);
}

#[tokio::test]
async fn only_what_is_answered_is_read() {
    let calls = Faults::new(vec![]);
    let storage = storage().await.observed(calls.clone());
    let filter = Filter { latest: true, limit: Some(1), ..Filter::default() };
    list(&storage, &service("fabric:/App/Svc"), &filter).await.unwrap();
    let verbs: Vec<_> = calls.calls().into_iter().map(|call| call.verb).collect();
    assert_eq!(verbs, [Verb::List, Verb::GetRange]);
}

#[tokio::test]
async fn pages_follow_each_other_until_there_is_no_more() {
    let storage = storage().await;
    let mut filter = Filter { limit: Some(3), ..Filter::default() };
    let mut pages = vec![];
    loop {
        let Listing { items, next } = page(&storage, &application(), &filter).await.unwrap();
        pages.push(shown(&items));
        if next.is_none() {
            break;
        }
        filter.after = next;
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1]);
    assert_eq!(pages.concat(), shown(&list(&storage, &application(), &Filter::default()).await.unwrap()));
}

#[tokio::test]
async fn a_backup_that_goes_away_between_name_and_record_is_left_out() {
    let gone = Fault {
        verb: Verb::GetRange,
        key_contains: "",
        nth: 2,
        moment: Moment::Before,
        verdict: Verdict::Fail(ErrorKind::NotFound),
    };
    let faults = Faults::new(vec![gone]);
    let storage = storage().await.observed(faults.clone());
    assert_eq!(list(&storage, &application(), &Filter::default()).await.unwrap().len(), 6);
    assert!(faults.unfired().is_empty());
}

#[tokio::test]
async fn a_record_that_cannot_be_used_is_shown_with_its_reason_and_hides_nothing() {
    let storage = storage().await;
    let location = at("Svc", 1).location(noon() + hours(1));
    let key = Keys::of(&location).unwrap().metadata;
    storage.delete(&key).await.unwrap();
    storage.put_new(&key, Bytes::from_static(b"rubbish")).await.unwrap();
    let found = list(&storage, &application(), &Filter::default()).await.unwrap();
    assert_eq!(found.len(), 7);
    let bad: Vec<_> = found.iter().filter(|found| found.point.is_err()).map(|found| &found.location).collect();
    assert_eq!(bad, [&location]);
}

#[tokio::test]
async fn a_backup_without_its_commit_record_is_not_listed() {
    let storage = storage().await;
    storage.delete(&Keys::of(&at("Svc", 1).location(noon())).unwrap().metadata).await.unwrap();
    assert_eq!(list(&storage, &application(), &Filter::default()).await.unwrap().len(), 6);
}
