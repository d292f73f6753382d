//! Policies for tests.

use chrono::{DateTime, NaiveTime};

use super::PolicyRecord;
use crate::domain::{AzureBlob, Days, Policy, PolicyName, RunTimes, Schedule, Secret, StorageSpec};

/// What must never be seen in a file.
pub(super) const HUSH: &str = "AccountKey=c2VjcmV0IG9mIHRoZSBhY2NvdW50";

pub(super) fn storage() -> StorageSpec {
    StorageSpec::AzureBlob(AzureBlob { connection_string: Secret::new(HUSH), container: "c".into() })
}

pub(super) fn name(text: &str) -> PolicyName {
    PolicyName::parse(text).unwrap()
}

pub(super) fn policy(text: &str) -> PolicyRecord {
    let policy = Policy {
        name: name(text),
        auto_restore_on_data_loss: false,
        max_incrementals: 0,
        schedule: Schedule::Time(RunTimes::new(Days::Daily, [NaiveTime::MIN]).unwrap()),
        storage: storage(),
        friendly_name: None,
        retention: None,
        compression: None,
        quick_recovery: None,
    };
    PolicyRecord { policy, changed: DateTime::UNIX_EPOCH }
}
