//! What tests say to put policies in force, to suspend and to let time have passed.

use axum::http::Method;
use chrono::TimeDelta;
use fabric_backup::{
    domain::{Entity, PartitionId, PolicyName, StorageSpec, Wanted, WhyFull},
    job::{BackupJob, BackupTask},
    ledger::PartitionRecord,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{answer::Answer, app::TestApp, world};

/// `fabric:/CalcApp`.
pub(crate) const CALC_APP: &str = "/Applications/CalcApp";
/// The service of CALC.
pub(crate) const CALC_SERVICE: &str = "/Services/CalcApp~CalcService";
/// The service of BOOK.
pub(crate) const BOOK_SERVICE: &str = "/Services/CalcApp~Book";

pub(crate) const NOT_ENABLED: &str = "FABRIC_E_BACKUP_NOT_ENABLED";

/// A partition's path.
pub(crate) fn partition(id: Uuid) -> String {
    format!("/Partitions/{id}")
}

/// Makes policies, each named like its share.
pub(crate) async fn policies(app: &TestApp, names: &[&str]) {
    for name in names {
        policy_in(app, name, name).await;
    }
}

/// Makes a policy whose backups go to a share.
pub(crate) async fn policy_in(app: &TestApp, name: &str, share: &str) {
    let policy = json!({
        "Name": name,
        "AutoRestoreOnDataLoss": false,
        "MaxIncrementalBackups": 2,
        "Schedule": { "ScheduleKind": "FrequencyBased", "Interval": "PT1H" },
        "Storage": app.storage(share),
    });
    assert_eq!(app.post("/BackupRestore/BackupPolicies/$/Create", &policy).await.status, 201);
}

pub(crate) async fn enable(app: &TestApp, on: &str, policy: &str) {
    ask_enable(app, on, policy).await.accepted();
}

pub(crate) async fn ask_enable(app: &TestApp, on: &str, policy: &str) -> Answer {
    app.post(&format!("{on}/$/EnableBackup"), &json!({ "BackupPolicyName": policy })).await
}

/// Posts without a body.
pub(crate) async fn ask(app: &TestApp, on: &str, operation: &str) -> Answer {
    app.send(Method::POST, &format!("{on}/$/{operation}"), Vec::new(), &[]).await
}

pub(crate) async fn disable_and_clean(app: &TestApp, on: &str) {
    app.post(&format!("{on}/$/DisableBackup"), &json!({ "CleanBackup": true })).await.accepted();
}

/// What covers a partition, as its configuration tells: the policy and the level that it comes from.
pub(crate) async fn covered(app: &TestApp, id: Uuid) -> String {
    let told = app.get(&format!("{}/$/GetBackupConfigurationInfo", partition(id))).await.ok();
    match told["PolicyName"].as_str() {
        Some(name) => format!("{name} of {}", told["PolicyInheritedFrom"].as_str().unwrap()),
        None => "nothing".to_owned(),
    }
}

/// A change to what is remembered of a partition, as the engine or the scheduler would make it.
pub(crate) async fn remember(app: &TestApp, id: Uuid, change: impl FnMut(&mut PartitionRecord)) {
    app.ledger.change_partition(PartitionId(id), app.now(), change).await.unwrap();
}

/// Has the partition been seen under its names.
pub(crate) async fn seen(app: &TestApp, id: Uuid) {
    remember(app, id, |record| record.entity = Some(world::entity(id))).await;
}

/// A scheduled backup of a policy that is accepted.
pub(crate) async fn scheduled(app: &TestApp, id: Uuid, policy: &str) {
    let storage: StorageSpec = world::storage(&app.share("scheduled"));
    let task = BackupTask {
        policy: Some(PolicyName::parse(policy).unwrap()),
        wanted: Wanted::Full(WhyFull::NoBase),
        ..BackupTask::new(storage)
    };
    let job = BackupJob::new(app.clock.uuid(), app.now(), app.now() + TimeDelta::minutes(10), task);
    remember(app, id, |record| record.scheduled = Some(job.clone())).await;
}

/// Whether the partition's scheduled backup was told to end.
pub(crate) async fn is_scheduled_cancelled(app: &TestApp, id: Uuid) -> bool {
    record(app, id).await.scheduled.unwrap().cancelled
}

pub(crate) async fn record(app: &TestApp, id: Uuid) -> PartitionRecord {
    app.ledger.partition(PartitionId(id)).await.unwrap().unwrap()
}

/// The names that a list tells, in its order.
pub(crate) fn names(list: &Value, name: &str) -> Vec<String> {
    list["Items"].as_array().unwrap().iter().map(|item| item[name].as_str().unwrap_or("-").to_owned()).collect()
}

/// The partitions as entities.
pub(crate) fn entities(ids: &[Uuid]) -> Vec<Entity> {
    let mut entities: Vec<_> = ids.iter().map(|id| world::entity(*id)).collect();
    entities.sort();
    entities
}
