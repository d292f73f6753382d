use std::{fs, path::Path};

use tempfile::TempDir;
use uuid::Uuid;

use super::{Catalog, CatalogError, Filter, Wanted};
use crate::{
    archive::{
        Keys, ReadError, Scope,
        testing::{noon, place, store},
    },
    clock::Clock,
    domain::{FailureCode, FileShare, PartitionId, StorageSpec},
    spool::Spools,
    storage::{
        ErrorKind, StoreSettings, Stores,
        faulty::{Fault, Faults, Moment, Verb, Verdict},
    },
};

fn stores(root: &Path) -> Stores {
    let settings = StoreSettings { share_roots: vec![root.to_owned()], ..StoreSettings::default() };
    Stores::new(settings, Clock::system())
}

fn spec(root: &Path, name: &str) -> StorageSpec {
    let path = root.join(name).to_str().unwrap().to_owned();
    StorageSpec::FileShare(FileShare { path, primary: None, secondary: None })
}

fn scope() -> Scope {
    Scope::Application(place().application)
}

#[tokio::test]
async fn a_storage_that_two_ask_for_is_listed_once_and_one_that_is_not_there_yet_is_empty() {
    let root = TempDir::new().unwrap();
    let calls = Faults::new(vec![]);
    let catalog = Catalog::new(stores(root.path()).observed(calls.clone()));
    let storage = catalog.open(&spec(root.path(), "one")).await.unwrap();
    store(&storage, &place(), noon(), vec![]).await;
    let wanted = |name: &str, ids: &[u128]| {
        let partitions = ids.iter().map(|id| PartitionId(Uuid::from_u128(*id))).collect();
        Wanted { spec: spec(root.path(), name), partitions: Some(partitions), is_filled: false }
    };
    let listed = async |wanted: &[Wanted]| {
        let before = calls.calls().len();
        let found = catalog.list_in(wanted, &scope(), &Filter::default()).await.unwrap().items.len();
        let lists = calls.calls()[before..].iter().filter(|call| call.verb == Verb::List).count();
        (found, lists)
    };
    assert_eq!(listed(&[wanted("one", &[7]), wanted("one/", &[1]), wanted("two", &[1])]).await, (1, 2));
    assert_eq!(listed(&[wanted("one", &[7])]).await, (0, 1));
    let everything = Wanted { partitions: None, ..wanted("one", &[]) };
    assert_eq!(listed(&[wanted("one", &[7]), everything, wanted("./one", &[])]).await, (1, 1));
    assert_eq!(listed(&[]).await, (0, 0));
}

#[tokio::test]
async fn a_storage_that_is_not_there_yet_has_no_orphans_and_nothing_to_restore_but_a_list_of_it_alone_says_so() {
    let root = TempDir::new().unwrap();
    let catalog = Catalog::new(stores(root.path()));
    let spec = spec(root.path(), "missing");
    assert_eq!(catalog.orphans(&spec, &scope(), noon()).await.unwrap(), []);
    assert_eq!(catalog.latest_restorable(&spec, &scope(), &[], false, &Spools::in_memory()).await.unwrap(), None);
    let error = catalog.list(&spec, &scope(), &Filter::default()).await.unwrap_err();
    assert!(error.is_store_missing(), "{error}");
}

#[tokio::test]
async fn a_probe_makes_the_storage_and_says_what_it_could_not_do() {
    let root = TempDir::new().unwrap();
    let spec = spec(root.path(), "new/one");
    Catalog::new(stores(root.path())).probe(&spec).await.unwrap();
    assert_eq!(std::fs::read_dir(root.path().join("new/one")).unwrap().count(), 0);
    let fault = Fault {
        verb: Verb::List,
        key_contains: "",
        nth: 1,
        moment: Moment::Before,
        verdict: Verdict::Fail(ErrorKind::AccessDenied),
    };
    let catalog = Catalog::new(stores(root.path()).observed(Faults::new(vec![fault])));
    let error = catalog.probe(&spec).await.unwrap_err();
    assert!(matches!(error, CatalogError::Probe(_)) && error.to_string().contains("listed"), "{error}");
    assert_eq!(error.code(), FailureCode::AccessDenied);
    assert_eq!(std::fs::read_dir(root.path().join("new/one")).unwrap().count(), 0);
}

#[tokio::test]
async fn the_catalog_remembers_records_of_a_storage_however_it_is_spelt() {
    let root = TempDir::new().unwrap();
    let calls = Faults::new(vec![]);
    let catalog = Catalog::new(stores(root.path()).observed(calls.clone()));
    let storage = catalog.open(&spec(root.path(), "one")).await.unwrap();
    store(&storage, &place(), noon(), vec![]).await;
    for name in ["one", "./one/", "one"] {
        catalog.clone().list(&spec(root.path(), name), &scope(), &Filter::default()).await.unwrap();
    }
    assert_eq!(calls.calls().iter().filter(|call| call.verb == Verb::GetRange).count(), 1);
}

#[tokio::test]
async fn a_record_that_was_read_and_is_damaged_since_is_not_told_from_memory() {
    let root = TempDir::new().unwrap();
    let catalog = Catalog::new(stores(root.path()));
    let storage = catalog.open(&spec(root.path(), "one")).await.unwrap();
    store(&storage, &place(), noon(), vec![]).await;
    let everything = [Wanted { spec: spec(root.path(), "one"), partitions: None, is_filled: false }];
    let listed =
        async || catalog.list_in(&everything, &scope(), &Filter::default()).await.unwrap().items.remove(0).point;
    listed().await.unwrap();
    let record = root.path().join("one").join(&Keys::of(&place().location(noon())).unwrap().metadata);
    let mut bytes = fs::read(&record).unwrap();
    bytes[10] ^= 1;
    fs::write(&record, bytes).unwrap();
    assert!(matches!(listed().await, Err(ReadError::Metadata { .. })));
}

#[tokio::test]
async fn a_storage_that_is_not_there_is_empty_only_if_nothing_is_known_to_lie_in_it() {
    let root = TempDir::new().unwrap();
    let catalog = Catalog::new(stores(root.path()));
    let spec = spec(root.path(), "away");
    let stores = |is_filled| [Wanted { spec: spec.clone(), partitions: None, is_filled }];
    let list = async |is_filled| catalog.list_in(&stores(is_filled), &scope(), &Filter::default()).await;
    assert!(list(false).await.unwrap().items.is_empty());
    let failures = [
        list(true).await.unwrap_err(),
        catalog.latest_restorable(&spec, &scope(), &[], true, &Spools::in_memory()).await.unwrap_err(),
    ];
    for error in failures {
        assert_eq!(error.code(), crate::domain::FailureCode::Unreachable);
        assert!(crate::domain::words(&error).contains("away"), "{error}");
    }
}
