use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Entity, Failure, PolicyName};

/// A policy in force on an entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enabled {
    /// Which.
    pub policy: PolicyName,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// What was last said about the schedule of an entity. One that was resumed stays, since the next backup must know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Whether it is suspended now.
    pub suspended: bool,
    /// Since when it is, or is not any more.
    pub since: DateTime<Utc>,
}

/// What is enabled and suspended, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Controls {
    /// The policies in force, each where it was enabled.
    pub enabled: BTreeMap<Entity, Enabled>,
    /// The suspensions, each where it was asked for.
    pub suspended: BTreeMap<Entity, Suspension>,
}

/// How the scheduled backups of a partition went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLog {
    /// When the latest one ended, with a backup or with all its retries used up. The schedule goes on from there.
    pub ended: Option<DateTime<Utc>>,
    /// The time by the schedule that the latest one was for; jitter can begin and even end it earlier.
    #[serde(default)]
    pub nominal: Option<DateTime<Utc>>,
    /// When the latest backup was taken.
    pub succeeded: Option<DateTime<Utc>>,
    /// Failures in a row that were not given up yet.
    pub failures: u32,
    /// The latest failure, if there was no backup since.
    pub failure: Option<RunFailure>,
}

/// A scheduled backup that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailure {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// When the first one of its row ended.
    pub since: DateTime<Utc>,
    /// Why.
    pub why: Failure,
}

/// A partition that lost its state and waits for somebody to decide what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataLoss {
    /// When it was noticed.
    pub since: DateTime<Utc>,
    /// What was found instead of the state.
    pub found: String,
}
