//! Which policy is in force where, and what goes with it when it is taken away.

use chrono::TimeDelta;
use fabric_backup::ledger::Cleanup;
use serde_json::json;

use crate::{
    app::TestApp,
    control::{
        BOOK_SERVICE, CALC_APP, CALC_SERVICE, NOT_ENABLED, ask, ask_enable, covered, disable_and_clean, enable,
        entities, is_scheduled_cancelled, partition, policies, policy_in, scheduled, seen,
    },
    world::{self, BOOK, CALC, NORTH, STATELESS, TWIN, UNKNOWN},
};

const NO_POLICY: &str = "FABRIC_E_BACKUP_POLICY_NOT_EXISTING";
const NO_APPLICATION: &str = "FABRIC_E_APPLICATION_NOT_FOUND";
const NO_SERVICE: &str = "FABRIC_E_SERVICE_DOES_NOT_EXIST";
const NO_PARTITION: &str = "FABRIC_E_PARTITION_NOT_FOUND";
const STATELESS_SERVICE: &str = "FABRIC_E_INVALID_FOR_STATELESS_SERVICES";

/// A node with the policies `A`, `B` and `C`, each in a share of its own.
async fn app() -> TestApp {
    let app = TestApp::new();
    policies(&app, &["A", "B", "C"]).await;
    app
}

async fn cleanups(app: &TestApp) -> Vec<Cleanup> {
    app.ledger.cleanups().await.unwrap()
}

#[tokio::test]
async fn the_policy_of_the_nearest_level_is_in_force_and_the_upper_one_comes_back_when_it_is_disabled() {
    let app = app().await;
    assert_eq!(covered(&app, CALC).await, "nothing");
    enable(&app, CALC_APP, "A").await;
    assert_eq!(covered(&app, CALC).await, "A of Application");
    enable(&app, CALC_SERVICE, "B").await;
    assert_eq!(covered(&app, CALC).await, "B of Service");
    enable(&app, &partition(CALC), "C").await;
    assert_eq!(covered(&app, CALC).await, "C of Partition");
    assert_eq!(
        (covered(&app, BOOK).await, covered(&app, TWIN).await),
        ("A of Application".to_owned(), "nothing".to_owned())
    );
    ask(&app, CALC_SERVICE, "DisableBackup").await.accepted();
    assert_eq!(covered(&app, CALC).await, "C of Partition");
    ask(&app, &partition(CALC), "DisableBackup").await.accepted();
    assert_eq!(covered(&app, CALC).await, "A of Application");
    ask(&app, CALC_APP, "DisableBackup").await.accepted();
    assert_eq!(covered(&app, CALC).await, "nothing");
}

#[tokio::test]
async fn an_application_needs_no_services_and_may_have_levels_in_its_name() {
    let app = app().await;
    enable(&app, "/Applications/CalcAppTwo", "A").await;
    enable(&app, "/Applications/Group~Mirror", "B").await;
    enable(&app, "/Services/Group~Mirror~Twin", "C").await;
    assert_eq!(covered(&app, TWIN).await, "C of Service");
}

#[tokio::test]
async fn enabling_replaces_what_is_in_force_there() {
    let app = app().await;
    enable(&app, CALC_APP, "A").await;
    enable(&app, CALC_APP, "B").await;
    assert_eq!(covered(&app, CALC).await, "B of Application");
}

#[tokio::test]
async fn enabling_what_is_in_force_already_does_not_begin_its_schedule_anew() {
    let app = app().await;
    enable(&app, CALC_APP, "A").await;
    let before = app.ledger.controls().await.unwrap();
    app.advance(TimeDelta::minutes(50));
    enable(&app, CALC_APP, "A").await;
    assert_eq!(app.ledger.controls().await.unwrap(), before);
}

#[tokio::test]
async fn a_policy_that_does_not_exist_is_refused_before_what_it_is_to_be_enabled_on_is_looked_at() {
    let app = app().await;
    for on in [CALC_APP, "/Applications/Nobody", "/Services/CalcApp~Front", &partition(STATELESS)] {
        ask_enable(&app, on, "Other").await.refused_with(404, NO_POLICY, &["Other"]);
    }
}

#[tokio::test]
async fn what_does_not_exist_cannot_have_a_policy() {
    let app = app().await;
    ask_enable(&app, "/Applications/Nobody", "A").await.refused_with(404, NO_APPLICATION, &["fabric:/Nobody"]);
    for policy in ["A", "Other"] {
        let service = ask_enable(&app, "/Services/CalcApp~Nobody", policy).await;
        service.refused_with(404, NO_SERVICE, &["fabric:/CalcApp/Nobody"]);
        ask_enable(&app, &partition(UNKNOWN), policy).await.refused(404, NO_PARTITION);
    }
}

#[tokio::test]
async fn what_keeps_no_state_on_disk_cannot_have_a_policy() {
    let app = app().await;
    for on in ["/Services/CalcApp~Front", "/Services/CalcApp~Cache", &partition(STATELESS)] {
        ask_enable(&app, on, "A").await.refused_with(400, STATELESS_SERVICE, &["fabric:/CalcApp/"]);
    }
}

#[tokio::test]
async fn the_name_of_the_policy_must_be_given_and_be_one() {
    let app = app().await;
    for body in [json!({}), json!({ "BackupPolicyName": null }), json!({ "BackupPolicyName": " " })] {
        let answer = app.post(&format!("{CALC_APP}/$/EnableBackup"), &body).await;
        answer.refused_with(400, "E_INVALIDARG", &["BackupPolicyName"]);
    }
    ask_enable(&app, CALC_APP, "a\nb").await.refused_with(400, "E_INVALIDARG", &["BackupPolicyName"]);
    ask(&app, CALC_APP, "EnableBackup").await.refused_with(400, "E_INVALIDARG", &["body"]);
    ask_enable(&app, "/Services/CalcApp", "A").await.refused_with(400, "E_INVALIDARG", &["serviceId"]);
}

#[tokio::test]
async fn only_what_was_enabled_on_this_very_level_can_be_disabled_there() {
    let app = app().await;
    enable(&app, CALC_SERVICE, "A").await;
    for on in [CALC_APP, "/Applications/Nobody", BOOK_SERVICE, "/Services/CalcApp~Nobody", &partition(CALC)] {
        ask(&app, on, "DisableBackup").await.refused(404, NOT_ENABLED);
    }
    ask(&app, &partition(UNKNOWN), "DisableBackup").await.refused(404, NO_PARTITION);
    assert_eq!(covered(&app, CALC).await, "A of Service");
    ask(&app, CALC_SERVICE, "DisableBackup").await.accepted();
    ask(&app, CALC_SERVICE, "DisableBackup").await.refused(404, NOT_ENABLED);
}

#[tokio::test]
async fn a_policy_can_be_deleted_once_it_is_disabled_everywhere() {
    let app = app().await;
    enable(&app, CALC_APP, "A").await;
    let delete = "/BackupRestore/BackupPolicies/A/$/Delete";
    app.post(delete, &json!(null)).await.refused_with(400, "FABRIC_E_BACKUP_IS_ENABLED", &["fabric:/CalcApp"]);
    ask(&app, CALC_APP, "DisableBackup").await.accepted();
    assert_eq!(app.post(delete, &json!(null)).await.status, 200);
}

#[tokio::test]
async fn what_left_the_configuration_can_still_be_disabled_but_not_enabled() {
    let mut app = app().await;
    for (on, policy) in [(CALC_APP, "A"), (CALC_SERVICE, "B"), (&partition(CALC), "C")] {
        enable(&app, on, policy).await;
    }
    app.unconfigure(&[CALC]);
    ask_enable(&app, CALC_SERVICE, "A").await.refused(404, NO_SERVICE);
    ask_enable(&app, &partition(CALC), "A").await.refused(404, NO_PARTITION);
    for on in [CALC_APP, CALC_SERVICE, &partition(CALC)] {
        ask(&app, on, "DisableBackup").await.accepted();
    }
    assert!(app.ledger.controls().await.unwrap().enabled.is_empty());
}

#[tokio::test]
async fn backups_are_kept_unless_they_are_to_be_cleaned_up() {
    let app = app().await;
    for body in [json!(null), json!({ "CleanBackup": false })] {
        enable(&app, CALC_APP, "A").await;
        app.post(&format!("{CALC_APP}/$/DisableBackup"), &body).await.accepted();
        assert_eq!(cleanups(&app).await, []);
    }
    app.post(&format!("{CALC_APP}/$/DisableBackup"), &json!({})).await.refused_with(
        400,
        "E_INVALIDARG",
        &["CleanBackup"],
    );
}

#[tokio::test]
async fn cleaning_up_means_the_partitions_that_this_very_policy_covered() {
    let app = app().await;
    enable(&app, CALC_APP, "A").await;
    enable(&app, BOOK_SERVICE, "B").await;
    enable(&app, &partition(NORTH), "A").await;
    disable_and_clean(&app, CALC_APP).await;
    let cleanups = cleanups(&app).await;
    let [cleanup] = cleanups.as_slice() else { panic!("{cleanups:?}") };
    assert_eq!(cleanup.partitions, entities(&[CALC]));
    assert_eq!((cleanup.policy.as_str(), cleanup.requested, &cleanup.failure), ("A", app.now(), &None));
    assert_eq!(cleanup.storage, world::storage(&app.share("A")));
    assert_eq!(covered(&app, CALC).await, "nothing");
}

#[tokio::test]
async fn what_an_upper_policy_takes_over_in_the_same_storage_is_not_cleaned_up() {
    let app = app().await;
    policy_in(&app, "Same", "B").await;
    enable(&app, CALC_APP, "Same").await;
    enable(&app, CALC_SERVICE, "B").await;
    disable_and_clean(&app, CALC_SERVICE).await;
    assert_eq!(cleanups(&app).await, []);
    enable(&app, BOOK_SERVICE, "C").await;
    disable_and_clean(&app, BOOK_SERVICE).await;
    assert_eq!(cleanups(&app).await[0].partitions, entities(&[BOOK]), "another storage is not taken over");
}

#[tokio::test]
async fn partitions_that_left_the_configuration_are_cleaned_up_too() {
    let mut app = app().await;
    enable(&app, CALC_APP, "A").await;
    for id in [CALC, BOOK] {
        seen(&app, id).await;
    }
    app.unconfigure(&[CALC, BOOK]);
    disable_and_clean(&app, CALC_APP).await;
    let mut partitions = cleanups(&app).await.remove(0).partitions;
    partitions.sort();
    assert_eq!(partitions, entities(&[CALC, BOOK, NORTH]));
}

#[tokio::test]
async fn a_scheduled_backup_that_was_begun_for_another_policy_goes_on() {
    let app = app().await;
    enable(&app, CALC_APP, "B").await;
    scheduled(&app, CALC, "A").await;
    ask(&app, CALC_APP, "DisableBackup").await.accepted();
    assert!(!is_scheduled_cancelled(&app, CALC).await);
    app.leave_unfinished();
}

#[tokio::test]
async fn a_running_scheduled_backup_is_cancelled_where_its_policy_is_not_in_force_any_more() {
    let app = app().await;
    enable(&app, CALC_APP, "A").await;
    enable(&app, BOOK_SERVICE, "A").await;
    enable(&app, &partition(NORTH), "B").await;
    for (id, policy) in [(CALC, "A"), (BOOK, "A"), (NORTH, "B")] {
        scheduled(&app, id, policy).await;
    }
    ask(&app, BOOK_SERVICE, "DisableBackup").await.accepted();
    assert!(!is_scheduled_cancelled(&app, BOOK).await, "the application has the same policy");
    ask(&app, CALC_APP, "DisableBackup").await.accepted();
    assert!(is_scheduled_cancelled(&app, CALC).await && is_scheduled_cancelled(&app, BOOK).await);
    assert!(!is_scheduled_cancelled(&app, NORTH).await);
    app.leave_unfinished();
}
