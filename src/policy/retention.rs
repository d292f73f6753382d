//! What a policy's retention deletes, and what holds each of the rest.
//!
//! Of the backups that are older than the retention's duration, the newest full one stays, so that there is always
//! something to go back to beyond the cutoff; what is older than that one goes, chain by chain, the oldest first, as long
//! as no less than the minimum is left. Inside a chain the newest goes first. Whatever is deleted, and wherever that is cut short: a backup that stays can be restored.

mod plan;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{chain::Gap, domain::BackupPoint};

pub use plan::retention;

/// What a retention does with the backups of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan<'a> {
    /// One for every backup, oldest first.
    pub verdicts: Vec<Verdict<'a>>,
    /// What goes, in the order in which it must: wherever that ends, what is left can be restored.
    pub order: Vec<&'a BackupPoint>,
}

/// What becomes of one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// The backup.
    pub point: &'a BackupPoint,
    /// Whether it goes.
    pub action: Action,
    /// What holds it; empty if it goes.
    pub holds: Vec<Hold>,
    /// After this moment neither its age nor the chains that are known today hold it. None if a newer full backup must
    /// come first, or if it is held in any case.
    pub deletable_from: Option<DateTime<Utc>>,
}

/// Whether a backup stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It stays.
    Keep,
    /// It goes.
    Delete,
}

/// Why a backup stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Hold {
    /// Its age.
    #[error("it is not older than the retention duration")]
    NotExpired,
    /// The number of backups.
    #[error("without it there would be fewer than the minimum number of backups")]
    MinimumNumberOfBackups,
    /// It is what there is to go back to beyond the duration.
    #[error("no full backup that is newer is older than the retention duration")]
    NewestExpiredChain,
    /// Something that stays goes on from it.
    #[error("a newer backup that stays cannot be restored without it")]
    NeededByNewerBackup,
    /// Nothing may go.
    #[error("the policy has no retention")]
    NoRetentionPolicy,
    /// Somebody reads it.
    #[error("a restore of its chain is running")]
    RestoreInProgress,
    /// It may be all that is left of the partition.
    #[error("the partition lost its state and waits for a decision")]
    DataLoss,
    /// What cannot be read may need it.
    #[error("the partition has backups that cannot be read, and they may need it")]
    Unreadable,
    /// It is in no chain, or another backup says that it is the same. That is for people to see and settle.
    #[error("something is wrong with its chain: {0}")]
    Stray(Gap),
}

/// What holds backups besides their policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// The chains that are being restored, of whatever partition.
    pub restoring: BTreeSet<Uuid>,
    /// Whether the partition waits for a decision since it lost its state.
    pub data_loss: bool,
    /// Whether the partition has backups whose metadata cannot be read.
    pub unreadable: bool,
}

impl Verdict<'_> {
    /// Why, for people.
    pub fn reason(&self) -> String {
        if self.holds.is_empty() {
            return "it is older than the retention duration, and so is a newer full backup".to_owned();
        }
        let holds: Vec<String> = self.holds.iter().map(Hold::to_string).collect();
        holds.join("; ")
    }
}

#[cfg(test)]
#[path = "retention/retention_tests.rs"]
mod tests;
