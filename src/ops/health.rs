//! What is wrong and needs somebody.

use chrono::{DateTime, Utc};

use super::{Error, Ops};
use crate::{
    domain::{Controls, Entity, FailureCode, Location, PolicyName},
    job::State,
    ledger::{Cleanup, PartitionRecord, RetentionRecord},
    policy,
};

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What kind of thing.
    pub kind: TroubleKind,
    /// With what; none if it is a policy's as a whole.
    pub entity: Option<Entity>,
    /// The policy that it has to do with.
    pub policy: Option<PolicyName>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// In words, with what to do.
    pub description: String,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// A partition lost its state and waits for a decision.
    DataLoss,
    /// The backups by schedule of a partition fail.
    BackupFailing,
    /// A policy's retention deletes nothing.
    RetentionBlocked,
    /// What a disabled policy left cannot be deleted.
    CleanupFailing,
}

impl Ops {
    /// All that is wrong: partitions by id, then policies by name, then what is to be cleaned up.
    pub async fn health(&self) -> Result<Vec<Trouble>, Error> {
        let mut troubles = self.partition_troubles().await?;
        for record in self.ledger.policies(None, None).await? {
            let name = record.policy.name;
            troubles.extend(of_retention(&name, self.ledger.retention(&name).await?));
        }
        troubles.extend(self.ledger.cleanups().await?.into_iter().filter_map(of_cleanup));
        Ok(troubles)
    }

    /// What is wrong with the partitions of the configuration.
    pub(super) async fn partition_troubles(&self) -> Result<Vec<Trouble>, Error> {
        let controls = self.ledger.controls().await?;
        let records = self.ledger.partitions().await?.into_iter();
        let hosted = records.filter_map(|(id, record)| Some((self.hosted(id).ok()?.entity(), record)));
        Ok(hosted.flat_map(|(entity, record)| of_partition(&controls, &entity, record)).collect())
    }
}

/// What lost its state can be mended whether a policy covers it or not; that backups fail does not matter where none are due.
fn of_partition(controls: &Controls, entity: &Entity, record: PartitionRecord) -> Vec<Trouble> {
    let policy = policy::effective(controls, entity).map(|effective| effective.policy);
    let of = |kind, since, description| Trouble {
        kind,
        entity: Some(entity.clone()),
        policy: policy.clone(),
        since,
        description,
    };
    let tried = tried(&record);
    let lost = record.data_loss.map(|loss| {
        let found = loss.found;
        let description = format!(
            "the state of the partition is lost: {found}{tried}. Restore a backup, or request a backup of the present state to go on with it."
        );
        of(TroubleKind::DataLoss, loss.since, description)
    });
    // A run that was stopped on purpose is none that failed.
    let failure = record.runs.failure.filter(|it| policy.is_some() && it.why.code != FailureCode::Aborted);
    let failing = failure.map(|failure| {
        let description = format!("the scheduled backups of the partition fail: {}", failure.why.message);
        of(TroubleKind::BackupFailing, failure.since, description)
    });
    lost.into_iter().chain(failing).collect()
}

/// What was restored by itself since the loss, in vain.
fn tried(record: &PartitionRecord) -> String {
    let told = |at: &Location, why: &str| format!("; restoring the backup '{at}' was tried and failed: {why}");
    let mut words: String = record.tried.iter().map(|it| told(&it.location, &it.why)).collect();
    let since = record.data_loss.as_ref().map(|loss| loss.since);
    let last = record.restore.as_ref().filter(|job| job.task.automatic && Some(job.requested) >= since);
    if let Some((job, State::Failed(why) | State::TimedOut(why))) = last.map(|job| (job, &job.state))
        && why.code != FailureCode::Damaged
    {
        words.push_str(&told(&job.task.point.location, &why.message));
    }
    words
}

fn of_retention(policy: &PolicyName, record: RetentionRecord) -> Option<Trouble> {
    let blocked = record.blocked.map(|blocked| (blocked.since, blocked.why));
    let failing = record.failure.map(|failure| (failure.since, failure.why.message));
    let (since, why) = blocked.or(failing)?;
    Some(Trouble {
        kind: TroubleKind::RetentionBlocked,
        entity: None,
        policy: Some(policy.clone()),
        since,
        description: format!("the retention of the policy deletes nothing: {why}"),
    })
}

/// All partitions of a cleanup lie in one application, that of what was disabled.
fn of_cleanup(cleanup: Cleanup) -> Option<Trouble> {
    let failure = cleanup.failure?;
    let application = cleanup.partitions.first().map(|partition| Entity::Application(partition.application().clone()));
    let description = format!(
        "the backups that the policy made of {} partition(s) are to be deleted, since it was disabled so, and cannot be: {}",
        cleanup.partitions.len(),
        failure.why.message
    );
    Some(Trouble {
        kind: TroubleKind::CleanupFailing,
        entity: application,
        policy: Some(cleanup.policy),
        since: failure.since,
        description,
    })
}
