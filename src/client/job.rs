//! The kinds of job that a partition has, asked for and stopped.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{backups::Backup, error::ClientError, request::Client};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Takes a backup.
    Backup,
    /// Brings one back.
    Restore,
    /// Looks whether one is whole.
    Verify,
}

impl Kind {
    /// What people call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Verify => "verification",
        }
    }

    pub(super) fn progress(self) -> &'static str {
        match self {
            Self::Backup => "GetBackupProgress",
            Self::Restore => "GetRestoreProgress",
            Self::Verify => "GetVerifyProgress",
        }
    }

    /// The property of its progress that says where it is.
    pub fn state(self) -> &'static str {
        match self {
            Self::Backup => "BackupState",
            Self::Restore => "RestoreState",
            Self::Verify => "VerifyState",
        }
    }
}

impl Client {
    /// Asks for a backup, which may take so many minutes.
    pub async fn back_up(&self, partition: Uuid, minutes: Option<u32>) -> Result<(), ClientError> {
        self.order(&at(partition, "Backup"), &limit("BackupTimeout", minutes), &json!({})).await
    }

    /// Asks for a backup to be brought back, which may take so many minutes.
    pub async fn restore(&self, partition: Uuid, backup: &Backup, minutes: Option<u32>) -> Result<(), ClientError> {
        self.order(&at(partition, "Restore"), &limit("RestoreTimeout", minutes), &named(backup)).await
    }

    /// Asks for a look at a backup, as thorough as the level says.
    pub async fn verify(
        &self,
        partition: Uuid,
        backup: &Backup,
        level: u8,
        minutes: Option<u32>,
    ) -> Result<(), ClientError> {
        let mut body = named(backup);
        body["Level"] = level.into();
        self.order(&at(partition, "VerifyBackup"), &limit("VerifyTimeout", minutes), &body).await
    }

    /// Stops what runs.
    pub async fn cancel(&self, partition: Uuid, kind: Kind) -> Result<(), ClientError> {
        let operation = match kind {
            Kind::Backup => "CancelBackup",
            Kind::Restore => "CancelRestore",
            Kind::Verify => "CancelVerify",
        };
        self.post(&at(partition, operation)).await
    }
}

/// The path of an operation on a partition.
pub(super) fn at(partition: Uuid, operation: &str) -> [String; 4] {
    ["Partitions".to_owned(), partition.to_string(), "$".to_owned(), operation.to_owned()]
}

fn limit(name: &str, minutes: Option<u32>) -> Vec<(&str, String)> {
    minutes.map(|minutes| (name, minutes.to_string())).into_iter().collect()
}

fn named(backup: &Backup) -> Value {
    json!({ "BackupId": backup.id, "BackupLocation": backup.location })
}
