//! Schedules that pause and go on.

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::TestApp,
    control::{BOOK_SERVICE, CALC_APP, CALC_SERVICE, NOT_ENABLED, ask, enable, partition, policies},
    world::{BOOK, CALC, TWIN, UNKNOWN},
};

/// A node with a policy on the application of CALC.
async fn app() -> TestApp {
    let app = TestApp::new();
    policies(&app, &["A"]).await;
    enable(&app, CALC_APP, "A").await;
    app
}

async fn suspension(app: &TestApp, id: Uuid) -> Value {
    app.get(&format!("{}/$/GetBackupConfigurationInfo", partition(id))).await.ok()["SuspensionInfo"].clone()
}

fn suspended(from: &str) -> Value {
    json!({ "IsSuspended": true, "SuspensionInheritedFrom": from })
}

fn running() -> Value {
    json!({ "IsSuspended": false, "SuspensionInheritedFrom": "Invalid" })
}

#[tokio::test]
async fn a_suspension_reaches_all_that_lies_in_it_and_only_its_own_level_can_be_resumed() {
    let app = app().await;
    assert_eq!(suspension(&app, CALC).await, running());
    ask(&app, CALC_APP, "SuspendBackup").await.accepted();
    assert_eq!(suspension(&app, BOOK).await, suspended("Application"));
    ask(&app, CALC_SERVICE, "SuspendBackup").await.accepted();
    assert_eq!(suspension(&app, CALC).await, suspended("Service"));
    ask(&app, &partition(CALC), "SuspendBackup").await.accepted();
    assert_eq!(suspension(&app, CALC).await, suspended("Partition"));
    ask(&app, &partition(CALC), "ResumeBackup").await.accepted();
    assert_eq!(suspension(&app, CALC).await, suspended("Service"));
    ask(&app, CALC_SERVICE, "ResumeBackup").await.accepted();
    ask(&app, &partition(CALC), "ResumeBackup").await.accepted();
    assert_eq!(suspension(&app, CALC).await, suspended("Application"));
    ask(&app, CALC_APP, "ResumeBackup").await.accepted();
    assert_eq!(suspension(&app, CALC).await, running());
}

#[tokio::test]
async fn suspending_and_resuming_twice_changes_nothing() {
    let app = app().await;
    for operation in ["ResumeBackup", "SuspendBackup", "ResumeBackup"] {
        ask(&app, CALC_APP, operation).await.accepted();
        let once = app.ledger.controls().await.unwrap();
        app.advance(TimeDelta::minutes(1));
        ask(&app, CALC_APP, operation).await.accepted();
        assert_eq!(app.ledger.controls().await.unwrap(), once);
    }
}

#[tokio::test]
async fn a_suspension_outlives_the_policy_and_only_resuming_ends_it() {
    let app = app().await;
    ask(&app, &partition(CALC), "SuspendBackup").await.accepted();
    ask(&app, CALC_APP, "DisableBackup").await.accepted();
    enable(&app, CALC_SERVICE, "A").await;
    assert_eq!(suspension(&app, CALC).await, suspended("Partition"));
    ask(&app, &partition(CALC), "ResumeBackup").await.accepted();
    assert_eq!(suspension(&app, CALC).await, running());
}

#[tokio::test]
async fn a_policy_above_or_within_is_enough_to_suspend() {
    let app = app().await;
    for on in [CALC_APP, BOOK_SERVICE, &partition(CALC)] {
        ask(&app, on, "SuspendBackup").await.accepted();
    }
    enable(&app, &partition(TWIN), "A").await;
    for on in ["/Applications/Group~Mirror", "/Services/Group~Mirror~Twin"] {
        ask(&app, on, "SuspendBackup").await.accepted();
        assert_eq!(suspension(&app, TWIN).await["IsSuspended"], true);
        ask(&app, on, "ResumeBackup").await.accepted();
    }
}

#[tokio::test]
async fn what_no_policy_has_to_do_with_can_be_neither_suspended_nor_resumed() {
    let app = app().await;
    ask(&app, CALC_APP, "DisableBackup").await.accepted();
    enable(&app, CALC_SERVICE, "A").await;
    for operation in ["SuspendBackup", "ResumeBackup"] {
        // The name of CalcAppTwo begins like the one of CalcApp, and Book lies beside what is enabled.
        for on in ["/Applications/CalcAppTwo", "/Applications/Nobody", BOOK_SERVICE, &partition(TWIN)] {
            ask(&app, on, operation).await.refused(404, NOT_ENABLED);
        }
        ask(&app, "/Services/CalcApp~Nobody", operation).await.refused(404, "FABRIC_E_SERVICE_DOES_NOT_EXIST");
        ask(&app, &partition(UNKNOWN), operation).await.refused(404, "FABRIC_E_PARTITION_NOT_FOUND");
    }
    assert!(app.ledger.controls().await.unwrap().suspended.is_empty());
}

#[tokio::test]
async fn backups_that_are_asked_for_are_taken_while_the_schedule_is_suspended() {
    let app = app().await;
    ask(&app, CALC_APP, "SuspendBackup").await.accepted();
    app.back_up(CALC).await;
}

#[tokio::test]
async fn what_left_the_configuration_can_still_be_resumed() {
    let mut app = app().await;
    ask(&app, &partition(CALC), "SuspendBackup").await.accepted();
    app.unconfigure(&[CALC]);
    ask(&app, &partition(CALC), "ResumeBackup").await.accepted();
    assert_eq!(suspension(&app, CALC).await, running());
}
