use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use uuid::Uuid;

use crate::{
    domain::{ApplicationName, Enabled, Entity, PartitionId, ServiceName, StoreId, Suspension},
    ledger::{
        Basis, Cleanup, Deletion, Embedded, Ledger,
        samples::{name, policy, storage},
    },
};

const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn at(minutes: i64) -> DateTime<Utc> {
    START + TimeDelta::minutes(minutes)
}

fn ledger() -> Ledger {
    Ledger::over(Embedded::in_memory().unwrap())
}

/// A ledger with policies `p` and `q`.
async fn with_policies() -> Ledger {
    let ledger = ledger();
    for name in ["p", "q"] {
        assert!(ledger.create_policy(&policy(name)).await.unwrap());
    }
    ledger
}

fn application(text: &str) -> Entity {
    Entity::Application(ApplicationName::parse(text).unwrap())
}

fn service(application: &str, text: &str) -> Entity {
    Entity::Service(ApplicationName::parse(application).unwrap(), ServiceName::parse(text).unwrap())
}

fn partition(application: &str, text: &str, id: u128) -> Entity {
    let (application, service) = (ApplicationName::parse(application).unwrap(), ServiceName::parse(text).unwrap());
    Entity::Partition(application, service, PartitionId(Uuid::from_u128(id)))
}

fn enabled(policy: &str, minutes: i64) -> Enabled {
    Enabled { policy: name(policy), since: at(minutes) }
}

fn cleanup(id: u128) -> Cleanup {
    Cleanup {
        id: Uuid::from_u128(id),
        policy: name("p"),
        storage: storage(),
        store: StoreId("place".to_owned()),
        partitions: vec![partition("fabric:/App", "fabric:/App/Svc", 7)],
        requested: START,
        failure: None,
        jobs: None,
    }
}

#[tokio::test]
async fn a_policy_is_enabled_instead_of_the_one_before() {
    let (ledger, app) = (with_policies().await, application("fabric:/App"));
    assert!(ledger.enable(&app, &name("p"), at(1)).await.unwrap());
    assert!(ledger.enable(&app, &name("q"), at(2)).await.unwrap());
    assert_eq!(Vec::from_iter(ledger.controls().await.unwrap().enabled), [(app, enabled("q", 2))]);
}

#[tokio::test]
async fn a_policy_that_is_not_there_is_not_enabled() {
    let (ledger, app) = (with_policies().await, application("fabric:/App"));
    assert!(!ledger.enable(&app, &name("P"), at(1)).await.unwrap());
    assert!(ledger.controls().await.unwrap().enabled.is_empty());
}

#[tokio::test]
async fn only_what_was_seen_is_disabled() {
    let (ledger, app) = (with_policies().await, application("fabric:/App"));
    ledger.enable(&app, &name("p"), at(1)).await.unwrap();
    for other in [enabled("q", 1), enabled("p", 2)] {
        assert!(!ledger.disable(&app, &other, Some((&cleanup(1), &Basis::default()))).await.unwrap());
    }
    assert_eq!(ledger.cleanups().await.unwrap(), []);
    assert!(ledger.disable(&app, &enabled("p", 1), None).await.unwrap());
    assert!(!ledger.disable(&app, &enabled("p", 1), None).await.unwrap());
    assert!(ledger.controls().await.unwrap().enabled.is_empty());
}

#[tokio::test]
async fn of_many_who_disable_one_mapping_one_leaves_its_cleanup() {
    let (ledger, app) = (with_policies().await, application("fabric:/App"));
    ledger.enable(&app, &name("p"), at(1)).await.unwrap();
    let disable =
        async |id| ledger.disable(&app, &enabled("p", 1), Some((&cleanup(id), &Basis::default()))).await.unwrap();
    let done = join_all((0..20).map(disable)).await;
    assert_eq!(done.iter().filter(|done| **done).count(), 1);
    assert_eq!(ledger.cleanups().await.unwrap().len(), 1);
}

#[tokio::test]
async fn disabling_while_others_suspend_and_resume_still_disables() {
    let (ledger, app) = (with_policies().await, application("fabric:/App"));
    ledger.enable(&app, &name("p"), at(1)).await.unwrap();
    let toggle = async || {
        for minute in 0..10 {
            ledger.suspend(&app, at(minute)).await.unwrap();
            ledger.resume(&app, at(minute)).await.unwrap();
        }
    };
    let toggles = join_all((0..3).map(|_| toggle()));
    let seen = enabled("p", 1);
    let (_, done) = tokio::join!(toggles, ledger.disable(&app, &seen, None));
    assert!(done.unwrap());
    let controls = ledger.controls().await.unwrap();
    assert!(controls.enabled.is_empty() && !controls.suspended[&app].suspended);
}

#[tokio::test]
async fn a_cleanup_whose_id_is_taken_disables_nothing() {
    let (ledger, app) = (with_policies().await, application("fabric:/App"));
    for app in [&app, &application("fabric:/Other")] {
        ledger.enable(app, &name("p"), at(1)).await.unwrap();
    }
    let seen = enabled("p", 1);
    assert!(
        ledger.disable(&application("fabric:/Other"), &seen, Some((&cleanup(1), &Basis::default()))).await.unwrap()
    );
    let refused = ledger.disable(&app, &seen, Some((&cleanup(1), &Basis::default()))).await;
    assert!(!refused.unwrap());
    assert_eq!(ledger.controls().await.unwrap().enabled[&app], seen);
}

#[tokio::test]
async fn a_cleanup_stays_with_its_failure_until_it_is_finished() {
    let (ledger, app) = (with_policies().await, application("fabric:/App"));
    ledger.enable(&app, &name("p"), at(1)).await.unwrap();
    ledger.disable(&app, &enabled("p", 1), Some((&cleanup(1), &Basis::default()))).await.unwrap();
    assert_eq!(ledger.delete_policy(&name("p")).await.unwrap(), Deletion::Deleted);
    assert_eq!(ledger.cleanups().await.unwrap(), [cleanup(1)]);
    for _ in 0..2 {
        ledger.finish_cleanup(Uuid::from_u128(1)).await.unwrap();
    }
    assert_eq!(ledger.cleanups().await.unwrap(), []);
}

#[tokio::test]
async fn suspending_and_resuming_again_changes_nothing() {
    let (ledger, app) = (ledger(), application("fabric:/App"));
    let said = async || ledger.controls().await.unwrap().suspended.get(&app).copied();
    ledger.resume(&app, at(1)).await.unwrap();
    assert_eq!(said().await, None);
    ledger.suspend(&app, at(2)).await.unwrap();
    let changes = ledger.watch();
    ledger.suspend(&app, at(3)).await.unwrap();
    assert!(!changes.has_changed().unwrap());
    assert_eq!(said().await, Some(Suspension { suspended: true, since: at(2) }));
    ledger.resume(&app, at(4)).await.unwrap();
    ledger.resume(&app, at(5)).await.unwrap();
    assert_eq!(said().await, Some(Suspension { suspended: false, since: at(4) }));
}

#[tokio::test]
async fn a_suspension_outlives_the_policy_and_a_policy_the_suspension() {
    let (ledger, app) = (with_policies().await, application("fabric:/App"));
    ledger.suspend(&app, at(1)).await.unwrap();
    ledger.enable(&app, &name("p"), at(2)).await.unwrap();
    ledger.disable(&app, &enabled("p", 2), None).await.unwrap();
    assert!(ledger.controls().await.unwrap().suspended[&app].suspended);
    ledger.enable(&app, &name("p"), at(3)).await.unwrap();
    ledger.resume(&app, at(4)).await.unwrap();
    assert_eq!(ledger.controls().await.unwrap().enabled[&app], enabled("p", 3));
}

#[tokio::test]
async fn nothing_is_left_of_an_entity_that_nothing_is_said_of() {
    let (ledger, app) = (with_policies().await, application("fabric:/App"));
    ledger.enable(&app, &name("p"), at(2)).await.unwrap();
    ledger.disable(&app, &enabled("p", 2), None).await.unwrap();
    assert!(ledger.run(|store| store.list(super::PREFIX, None, 9)).await.unwrap().is_empty());
}

/// Entities whose texts are alike or even the same.
fn lookalikes() -> Vec<Entity> {
    vec![
        application("fabric:/App"),
        application("fabric:/App2"),
        application("fabric:/App "),
        application("fabric:/App!"),
        application("fabric:/App%2FSvc"),
        application("fabric:/App/Svc"),
        application("fabric:/\u{c4}pp"),
        application("fabric:/A\u{308}pp"),
        application("fabric:/App\u{10ffff}"),
        application("fabric:/app"),
        service("fabric:/App", "fabric:/App/Svc"),
        service("fabric:/App", "fabric:/App/Svc/a"),
        service("fabric:/App", "fabric:/App/Svc2"),
        service("fabric:/App2", "fabric:/App2/Svc"),
        service("fabric:/App", "fabric:/App/00000000-0000-0000-0000-000000000007"),
        partition("fabric:/App", "fabric:/App/Svc", 7),
        partition("fabric:/App", "fabric:/App/Svc", 8),
        service("fabric:/App", "fabric:/App/Svc/00000000-0000-0000-0000-000000000007"),
        application("fabric:/App/Svc/00000000-0000-0000-0000-000000000007"),
    ]
}

#[tokio::test]
async fn entities_with_names_alike_are_not_mixed_up() {
    let (ledger, all) = (with_policies().await, lookalikes());
    for (minute, entity) in (0..).zip(&all) {
        ledger.enable(entity, &name("p"), at(minute)).await.unwrap();
        ledger.suspend(entity, at(minute)).await.unwrap();
    }
    for (minute, entity) in (0..).zip(&all) {
        let controls = ledger.controls().await.unwrap();
        assert_eq!(controls.enabled.len(), all.len() - usize::try_from(minute).unwrap());
        assert_eq!(controls.enabled[entity], enabled("p", minute), "{entity}");
        assert_eq!(controls.suspended[entity].since, at(minute), "{entity}");
        assert!(ledger.disable(entity, &enabled("p", minute), None).await.unwrap());
    }
    assert_eq!(ledger.controls().await.unwrap().suspended.len(), all.len());
}

#[tokio::test]
async fn a_policy_is_not_disabled_on_what_was_seen_of_others_if_that_changed() {
    let (app, svc) = (application("fabric:/App"), service("fabric:/App", "fabric:/App/Svc"));
    let it = partition("fabric:/App", "fabric:/App/Svc", 7);
    for change in ["nothing", "enabled above", "suspended", "replaced", "enabled elsewhere"] {
        let ledger = with_policies().await;
        ledger.enable(&svc, &name("p"), at(1)).await.unwrap();
        let before = ledger.in_force().await.unwrap();
        match change {
            "enabled above" => assert!(ledger.enable(&app, &name("p"), at(2)).await.unwrap()),
            "suspended" => ledger.suspend(&app, at(2)).await.unwrap(),
            "replaced" => {
                let change = |_: &mut crate::ledger::PolicyRecord| Ok::<(), ()>(());
                ledger.update_policy(&name("p"), change).await.unwrap().unwrap().unwrap();
            }
            "enabled elsewhere" => {
                assert!(ledger.enable(&application("fabric:/Other"), &name("q"), at(2)).await.unwrap());
            }
            _ => {}
        }
        let basis = before.basis([&it]);
        let disabled = ledger.disable(&svc, &enabled("p", 1), Some((&cleanup(1), &basis))).await.unwrap();
        assert_eq!(disabled, ["nothing", "enabled elsewhere"].contains(&change), "{change}");
        assert_eq!(ledger.cleanups().await.unwrap().is_empty(), !disabled);
        assert_eq!(ledger.controls().await.unwrap().enabled.contains_key(&svc), !disabled);
    }
}
