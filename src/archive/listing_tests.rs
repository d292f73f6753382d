use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Shelf, latest_restorable, orphans};
use crate::{
    archive::{
        CatalogError, Filter, Found, Keys, Listing, PackError, Place, Scope,
        cache::Cache,
        remove, stage,
        testing::{draft, list as page, noon, place, shelf, store},
    },
    domain::{ApplicationName, PartitionId, ServiceName, StoreId},
    spool::Spools,
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

/// One whose record has a later time than its name.
async fn store_late(storage: &Storage, place: &Place, name: DateTime<Utc>, state: DateTime<Utc>) {
    let mut draft = draft(place, name);
    draft.point.created = state;
    let staged = stage::<PackError, _>(storage, draft, Arc::default(), |_: &mut _| Ok(())).await.unwrap();
    staged.commit().await.unwrap();
}

#[tokio::test]
async fn a_backup_that_was_resumed_is_of_the_time_of_its_state_and_not_of_its_name() {
    let storage = storage().await;
    store_late(&storage, &at("Svc", 1), noon() + hours(3), noon() + hours(6)).await;
    let listed = async |end: i64, latest| {
        let filter = Filter { end: Some(noon() + hours(end)), latest, ..Filter::default() };
        hours_of(&list(&storage, &service("fabric:/App/Svc"), &filter).await.unwrap())
    };
    assert_eq!(listed(5, true).await, [(1, 2), (2, 2)], "what was there before, not what came later");
    assert_eq!(listed(6, true).await, [(1, 6), (2, 2)]);
    assert_eq!(listed(5, false).await, [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]);
    let filter = Filter { end: Some(noon() + hours(5)), limit: Some(4), ..Filter::default() };
    let page = page(&storage, &service("fabric:/App/Svc"), &filter).await.unwrap();
    assert_eq!(hours_of(&page.items), [(1, 0), (1, 1), (1, 2), (2, 0)], "a page is whole all the same");
}

#[tokio::test]
async fn a_backup_that_was_resumed_after_the_start_of_a_list_is_in_it() {
    let storage = storage().await;
    for (partition, name, state) in [(1, 3, 6), (2, 4, 5)] {
        store_late(&storage, &at("Svc", partition), noon() + hours(name), noon() + hours(state)).await;
    }
    store(&storage, &at("Svc", 1), noon() + hours(8), vec![]).await;
    let calls = Faults::new(vec![]);
    let watched = storage.observed(calls.clone());
    let filter = |start| Filter { start: Some(noon() + hours(start)), ..Filter::default() };
    let listed = async |filter| page(&watched, &application(), &filter).await.unwrap();
    assert_eq!(hours_of(&listed(filter(6)).await.items), [(1, 6), (1, 8)]);
    assert_eq!(reads(&calls), 4, "what is in the list, and the last name before it of each of the others");
    assert_eq!(hours_of(&listed(filter(5)).await.items), [(1, 6), (1, 8), (2, 5)]);
    assert_eq!(hours_of(&listed(filter(7)).await.items), [(1, 8)]);
    assert_eq!(hours_of(&listed(Filter { latest: true, ..filter(5) }).await.items), [(1, 8), (2, 5)]);
    let first = listed(Filter { limit: Some(1), ..filter(5) }).await;
    let second = listed(Filter { limit: Some(2), after: first.next, ..filter(5) }).await;
    assert_eq!((hours_of(&first.items), hours_of(&second.items)), (vec![(1, 6)], vec![(1, 8), (2, 5)]));
    let third = listed(Filter { after: second.next.clone(), ..filter(5) }).await;
    assert!(second.next.is_none() || third.items.is_empty());
}

#[tokio::test]
async fn what_is_outside_costs_no_other_record_a_second_reading() {
    let (storage, calls) = (storage().await, Faults::new(vec![]));
    store_late(&storage, &at("Svc", 1), noon() + hours(3), noon() + hours(6)).await;
    let key = Keys::of(&at("Svc", 1).location(noon())).unwrap().metadata;
    storage.delete(&key).await.unwrap();
    // Of a length that no cache remembers.
    storage.put_new(&key, vec![b'x'; 8192].into()).await.unwrap();
    let filter = Filter { end: Some(noon() + hours(5)), ..Filter::default() };
    let found = list(&storage.observed(calls.clone()), &service("fabric:/App/Svc"), &filter).await.unwrap();
    assert_eq!((found.len(), reads(&calls)), (6, 7));
}

#[tokio::test]
async fn a_record_within_the_second_of_its_name_is_as_old_as_its_name() {
    let storage = Storage::memory();
    store_late(&storage, &at("Svc", 1), noon(), noon() + TimeDelta::milliseconds(700)).await;
    let filter = Filter { end: Some(noon()), ..Filter::default() };
    assert_eq!(hours_of(&list(&storage, &application(), &filter).await.unwrap()), [(1, 0)]);
}

#[tokio::test]
async fn a_partition_is_listed_with_one_call_besides_the_records_that_are_answered() {
    let calls = Faults::new(vec![]);
    let storage = storage().await.observed(calls.clone());
    let place = at("Svc", 1);
    let found = list(&storage, &Scope::Partition(place.service, place.partition), &Filter::default()).await.unwrap();
    assert_eq!(found.len(), 3);
    let verbs: Vec<_> = calls.calls().into_iter().map(|call| call.verb).collect();
    assert_eq!(verbs, [Verb::List, Verb::GetRange, Verb::GetRange, Verb::GetRange]);
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

/// Everything on these shelves.
async fn all(shelves: &[Arc<Shelf>], cache: &Cache, filter: &Filter) -> Vec<Found> {
    super::list(shelves, cache, &application(), filter).await.unwrap().items
}

fn reads(calls: &Faults) -> usize {
    calls.calls().iter().filter(|call| call.verb == Verb::GetRange).count()
}

#[tokio::test]
async fn a_record_is_read_once_however_often_it_is_listed() {
    let (storage, calls, cache) = (storage().await, Faults::new(vec![]), Cache::default());
    let watched = [shelf("a", &storage.observed(calls.clone()))];
    let first = all(&watched, &cache, &Filter::default()).await;
    assert_eq!((first.len(), reads(&calls)), (7, 7));
    let again = all(&watched, &cache, &Filter::default()).await;
    assert_eq!(reads(&calls), 7);
    let points = |found: Vec<Found>| found.into_iter().map(|found| found.point.unwrap()).collect::<Vec<_>>();
    assert_eq!(points(again), points(first));
    all(&[shelf("b", &storage.observed(calls.clone()))], &cache, &Filter::default()).await;
    assert_eq!(reads(&calls), 14, "another store's record of that name is another record");
}

#[tokio::test]
async fn what_is_remembered_is_not_served_once_it_is_deleted() {
    let (storage, cache) = (storage().await, Cache::default());
    let shelves = [shelf("a", &storage)];
    let location = all(&shelves, &cache, &Filter::default()).await.remove(0).location;
    remove(&storage, &location).await.unwrap();
    let left = all(&shelves, &cache, &Filter::default()).await;
    assert!(left.len() == 6 && left.iter().all(|found| found.location != location));
}

#[tokio::test]
async fn what_could_not_be_read_is_read_again() {
    let (storage, calls, cache) = (storage().await, Faults::new(vec![]), Cache::default());
    let key = Keys::of(&at("Svc", 1).location(noon())).unwrap().metadata;
    let whole = storage.get(&key).await.unwrap();
    storage.delete(&key).await.unwrap();
    storage.put_new(&key, vec![0; whole.len()].into()).await.unwrap();
    let watched = [shelf("a", &storage.observed(calls.clone()))];
    assert!(all(&watched, &cache, &Filter::default()).await[0].point.is_err());
    storage.delete(&key).await.unwrap();
    storage.put_new(&key, whole).await.unwrap();
    assert!(all(&watched, &cache, &Filter::default()).await[0].point.is_ok());
    assert_eq!(reads(&calls), 8);
}

/// Two shelves: the first with hours 0, 1 and 2 of partition 1, the second with 1 and 3 of it and 0 of partition 2.
async fn two_shelves() -> [Arc<Shelf>; 2] {
    let (first, second) = (Storage::memory(), Storage::memory());
    for (storage, partition, hour) in
        [(&first, 1, 0), (&first, 1, 1), (&first, 1, 2), (&second, 1, 1), (&second, 1, 3), (&second, 2, 0)]
    {
        store(storage, &at("Svc", partition), noon() + hours(hour), vec![]).await;
    }
    [shelf("first", &first), shelf("second", &second)]
}

fn hours_of(found: &[Found]) -> Vec<(u128, i64)> {
    shown(found).into_iter().map(|(_, partition, hour)| (partition, hour)).collect()
}

#[tokio::test]
async fn several_storages_are_one_list() {
    let shelves = two_shelves().await;
    let found = all(&shelves, &Cache::default(), &Filter::default()).await;
    assert_eq!(hours_of(&found), [(1, 0), (1, 1), (1, 1), (1, 2), (1, 3), (2, 0)]);
    let latest = Filter { latest: true, ..Filter::default() };
    assert_eq!(hours_of(&all(&shelves, &Cache::default(), &latest).await), [(1, 3), (2, 0)]);
    let until = Filter { end: Some(noon() + hours(2)), ..latest };
    assert_eq!(hours_of(&all(&shelves, &Cache::default(), &until).await), [(1, 2), (2, 0)]);
}

#[tokio::test]
async fn from_each_storage_come_only_the_partitions_that_are_wanted_from_it() {
    let [first, second] = two_shelves().await;
    let only = |shelf: &Shelf, partitions: &[u128]| {
        let partitions: HashSet<_> = partitions.iter().map(|id| PartitionId(Uuid::from_u128(*id))).collect();
        let (id, storage) = (shelf.id.clone(), shelf.storage.clone());
        Arc::new(Shelf { id, storage, partitions: Some(partitions), may_be_missing: false })
    };
    let listed = async |shelves: [Arc<Shelf>; 2]| hours_of(&all(&shelves, &Cache::default(), &Filter::default()).await);
    assert_eq!(listed([only(&first, &[1]), only(&second, &[2])]).await, [(1, 0), (1, 1), (1, 2), (2, 0)]);
    assert_eq!(listed([only(&first, &[]), only(&second, &[1])]).await, [(1, 1), (1, 3)]);
}

#[tokio::test]
async fn a_page_may_end_between_two_storages_at_the_same_time() {
    let shelves = two_shelves().await;
    let mut filter = Filter { limit: Some(2), ..Filter::default() };
    let page = super::list(&shelves, &Cache::default(), &application(), &filter).await.unwrap();
    assert_eq!(hours_of(&page.items), [(1, 0), (1, 1)]);
    assert_eq!(page.next.as_ref().map(|next| &next.store), Some(&StoreId("first".into())));
    filter.after = page.next;
    let page = super::list(&shelves, &Cache::default(), &application(), &filter).await.unwrap();
    assert_eq!(hours_of(&page.items), [(1, 1), (1, 2)]);
}

#[tokio::test]
async fn a_partition_whose_latest_was_told_is_not_told_again_when_a_later_one_comes() {
    let shelves = two_shelves().await;
    let mut filter = Filter { latest: true, limit: Some(1), ..Filter::default() };
    let page = super::list(&shelves, &Cache::default(), &application(), &filter).await.unwrap();
    assert_eq!(hours_of(&page.items), [(1, 3)]);
    store(&shelves[0].storage, &at("Svc", 1), noon() + hours(4), vec![]).await;
    filter.after = page.next;
    let page = super::list(&shelves, &Cache::default(), &application(), &filter).await.unwrap();
    assert_eq!(hours_of(&page.items), [(2, 0)]);
    assert!(page.next.is_none());
}

#[tokio::test]
async fn a_storage_that_fails_is_named_and_hides_no_other() {
    let [first, second] = two_shelves().await;
    let down = Fault {
        verb: Verb::List,
        key_contains: "",
        nth: 1,
        moment: Moment::Before,
        verdict: Verdict::Fail(ErrorKind::Unreachable),
    };
    let broken = shelf("second", &second.storage.observed(Faults::new(vec![down])));
    let error = super::list(&[first, broken], &Cache::default(), &application(), &Filter::default()).await.unwrap_err();
    assert!(error.to_string().contains(second.storage.description()), "{error}");
}

#[tokio::test]
async fn only_data_without_a_record_that_is_old_enough_and_lies_in_its_place_is_an_orphan() {
    let storage = storage().await;
    let zip = |partition, hour| Keys::of(&at("Svc", partition).location(noon() + hours(hour))).unwrap().zip;
    for key in [&zip(1, 7), &zip(1, 9), &zip(2, 8), "App/Svc/p/x.zip", &format!("App/more/{}", zip(1, 3)), "App/x.zip"]
    {
        storage.put_new(key, Bytes::from_static(b"data")).await.unwrap();
    }
    let calls = Faults::new(vec![]);
    let found = async |scope: Scope, before: i64| {
        let shelf = shelf("a", &storage.observed(calls.clone()));
        orphans(&shelf, &scope, noon() + hours(before)).await.unwrap()
    };
    let lost = |partition, hour| at("Svc", partition).location(noon() + hours(hour));
    assert_eq!(found(application(), 9).await, [lost(1, 7), lost(2, 8)]);
    assert_eq!(found(application(), 10).await, [lost(1, 7), lost(1, 9), lost(2, 8)]);
    let partition = Scope::Partition(at("Svc", 2).service, PartitionId(Uuid::from_u128(2)));
    assert_eq!(found(partition, 10).await, [lost(2, 8)]);
    assert_eq!(calls.calls().len(), 3, "one listing each");
}

#[tokio::test]
async fn a_backup_whose_data_could_not_be_deleted_is_an_orphan_and_not_listed() {
    let storage = storage().await;
    let location = at("Svc", 1).location(noon());
    let fault = Fault {
        verb: Verb::Delete,
        key_contains: ".zip",
        nth: 1,
        moment: Moment::Before,
        verdict: Verdict::Fail(ErrorKind::Unreachable),
    };
    remove(&storage.observed(Faults::new(vec![fault])), &location).await.unwrap_err();
    let lost = orphans(&shelf("a", &storage), &application(), noon() + hours(1)).await.unwrap();
    assert_eq!(lost.as_slice(), std::slice::from_ref(&location));
    let listed = list(&storage, &application(), &Filter::default()).await.unwrap();
    assert!(listed.len() == 6 && listed.iter().all(|found| found.location != location));
}

#[tokio::test]
async fn the_latest_restorable_backup_is_the_newest_that_is_whole_and_ours() {
    let storage = Storage::memory();
    let mut backups = vec![];
    for hour in 0..5 {
        backups.push(store(&storage, &place(), noon() + hours(hour), vec![]).await);
    }
    let keys = |n: usize| Keys::of(&backups[n].point.location).unwrap();
    let latest = async || {
        let scope = Scope::Partition(place().service, place().partition);
        latest_restorable(&shelf("a", &storage), &Cache::default(), &scope, &[], &Spools::in_memory())
            .await
            .map(|found| found.map(|found| found.point.id))
    };
    let replace = async |key: &str, data: Vec<u8>| {
        storage.delete(key).await.unwrap();
        storage.put_new(key, data.into()).await.unwrap();
    };
    assert_eq!(latest().await.unwrap(), Some(backups[4].point.id));
    replace(&keys(4).metadata, b"rubbish".to_vec()).await;
    assert_eq!(latest().await.unwrap(), Some(backups[3].point.id));
    storage.delete(&keys(3).zip).await.unwrap();
    assert_eq!(latest().await.unwrap(), Some(backups[2].point.id));
    replace(&keys(2).zip, b"too short".to_vec()).await;
    assert_eq!(latest().await.unwrap(), Some(backups[1].point.id));
    let foreign = crate::archive::Metadata { content: None, ..backups[1].clone() };
    replace(&keys(1).metadata, crate::archive::encode(&foreign)).await;
    assert_eq!(latest().await.unwrap(), Some(backups[0].point.id));
    storage.delete(&keys(0).metadata).await.unwrap();
    assert_eq!(latest().await.unwrap(), None);
}

#[tokio::test]
async fn a_store_that_fails_is_no_reason_to_restore_an_older_backup() {
    let storage = Storage::memory();
    for hour in 0..2 {
        store(&storage, &place(), noon() + hours(hour), vec![]).await;
    }
    let denied = Fault {
        verb: Verb::Size,
        key_contains: "",
        nth: 1,
        moment: Moment::Before,
        verdict: Verdict::Fail(ErrorKind::AccessDenied),
    };
    let failing = shelf("a", &storage.observed(Faults::new(vec![denied])));
    let scope = Scope::Partition(place().service, place().partition);
    assert!(latest_restorable(&failing, &Cache::default(), &scope, &[], &Spools::in_memory()).await.is_err());
}

#[tokio::test]
async fn the_latest_restorable_backup_is_the_furthest_of_the_latest_life_whatever_the_clock_said() {
    let storage = Storage::memory();
    let scope = Scope::Partition(place().service, place().partition);
    let mut locations = vec![];
    // The clock was ahead for the first two; the third one is of a life that began with a restore.
    for (hours_on, life, lsn) in [(90, 1, 10), (91, 1, 20), (3, 2, 5), (4, 2, 6), (5, 1, 30)] {
        let backup = store(&storage, &place(), noon() + hours(hours_on), vec![]).await;
        let epoch = crate::domain::Epoch { data_loss: life, configuration: 1 };
        let point = crate::domain::BackupPoint { epoch, lsn, ..backup.point.clone() };
        let key = Keys::of(&point.location).unwrap().metadata;
        locations.push(point.location.clone());
        storage.delete(&key).await.unwrap();
        storage
            .put_new(&key, crate::archive::encode(&crate::archive::Metadata { point, ..backup }).into())
            .await
            .unwrap();
    }
    let cache = Cache::default();
    let mut ruled_out = vec![];
    for expected in [3, 2, 4, 1, 0] {
        let latest = latest_restorable(&shelf("a", &storage), &cache, &scope, &ruled_out, &Spools::in_memory())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(latest.point.location, locations[expected]);
        ruled_out.push(latest.point.location);
    }
    assert_eq!(
        latest_restorable(&shelf("a", &storage), &cache, &scope, &ruled_out, &Spools::in_memory()).await.unwrap(),
        None
    );
}

#[path = "paging_tests.rs"]
mod paging;

#[tokio::test]
async fn a_folder_of_any_depth_can_be_listed_and_so_can_everything() {
    let storage = storage().await;
    let count =
        async |below: &str| list(&storage, &Scope::Below(below.to_owned()), &Filter::default()).await.unwrap().len();
    assert_eq!((count("").await, count("App/").await, count("App/Svc/").await), (7, 7, 6));
    assert_eq!((count("App/Svc/00000000-0000-0000-0000-000000000002/").await, count("Ap/").await), (3, 0));
}
