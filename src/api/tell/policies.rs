//! Policies and what they are enabled on, as they are answered: spans in normal form, every secret masked.

use chrono::{NaiveDate, NaiveTime, Weekday};

use super::super::wire;
use crate::{
    domain::{
        Compression, Credentials, Days, Entity, FileShare, ManagedIdentity, ManagedIdentityKind, Policy, QuickRecovery,
        Retention, RunTimes, Schedule, Secret, StorageSpec,
    },
    ops::Paged,
};

/// A page of policies.
pub(in crate::api) fn policies(page: Paged<Policy>) -> wire::PagedBackupPolicyDescriptionList {
    wire::PagedBackupPolicyDescriptionList {
        continuation_token: Some(page.next.unwrap_or_default()),
        items: Some(page.items.into_iter().map(policy).collect()),
    }
}

/// A page of entities.
pub(in crate::api) fn entities(page: Paged<Entity>) -> wire::PagedBackupEntityList {
    wire::PagedBackupEntityList {
        continuation_token: Some(page.next.unwrap_or_default()),
        items: Some(page.items.into_iter().map(entity).collect()),
    }
}

/// A policy.
pub(in crate::api) fn policy(policy: Policy) -> wire::BackupPolicyDescription {
    wire::BackupPolicyDescription {
        name: policy.name.to_string(),
        auto_restore_on_data_loss: policy.auto_restore_on_data_loss,
        max_incremental_backups: policy.max_incrementals.into(),
        schedule: schedule(&policy.schedule),
        storage: storage(policy.storage, policy.friendly_name),
        retention_policy: policy.retention.map(retention),
        compression_type: policy.compression.map(compression),
        quick_recovery: policy.quick_recovery.map(quick_recovery),
    }
}

fn entity(entity: Entity) -> wire::BackupEntity {
    match entity {
        Entity::Application(name) => {
            wire::BackupEntity::Application(wire::ApplicationBackupEntity { application_name: Some(name.to_string()) })
        }
        Entity::Service(_, name) => {
            wire::BackupEntity::Service(wire::ServiceBackupEntity { service_name: Some(name.to_string()) })
        }
        Entity::Partition(_, name, id) => wire::BackupEntity::Partition(wire::PartitionBackupEntity {
            service_name: Some(name.to_string()),
            partition_id: Some(id.0),
        }),
    }
}

fn schedule(schedule: &Schedule) -> wire::BackupScheduleDescription {
    match schedule {
        Schedule::Frequency(interval) => {
            let interval = interval.span().to_string();
            wire::BackupScheduleDescription::FrequencyBased(wire::FrequencyBasedBackupScheduleDescription { interval })
        }
        Schedule::Time(times) => wire::BackupScheduleDescription::TimeBased(run_times(times)),
    }
}

/// Times of day on the published day, which is the first of all.
fn run_times(times: &RunTimes) -> wire::TimeBasedBackupScheduleDescription {
    let first_day = NaiveDate::from_ymd_opt(1, 1, 1).unwrap_or_default();
    let (kind, days) = match times.days() {
        Days::Daily => (wire::BackupScheduleFrequencyType::Daily, None),
        weekly @ Days::Weekly(_) => (wire::BackupScheduleFrequencyType::Weekly, Some(days(weekly))),
    };
    wire::TimeBasedBackupScheduleDescription {
        schedule_frequency_type: kind,
        run_days: days,
        run_times: times.times().map(|time: NaiveTime| first_day.and_time(time).and_utc()).collect(),
    }
}

fn days(days: &Days) -> Vec<wire::DayOfWeek> {
    let week = [
        (Weekday::Sun, wire::DayOfWeek::Sunday),
        (Weekday::Mon, wire::DayOfWeek::Monday),
        (Weekday::Tue, wire::DayOfWeek::Tuesday),
        (Weekday::Wed, wire::DayOfWeek::Wednesday),
        (Weekday::Thu, wire::DayOfWeek::Thursday),
        (Weekday::Fri, wire::DayOfWeek::Friday),
        (Weekday::Sat, wire::DayOfWeek::Saturday),
    ];
    week.into_iter().filter(|(day, _)| days.includes(*day)).map(|(_, name)| name).collect()
}

fn retention(retention: Retention) -> wire::RetentionPolicyDescription {
    wire::RetentionPolicyDescription::Basic(wire::BasicRetentionPolicyDescription {
        retention_duration: retention.duration().to_string(),
        minimum_number_of_backups: Some(i64::try_from(retention.minimum).unwrap_or(i64::MAX)),
    })
}

fn storage(storage: StorageSpec, friendly_name: Option<String>) -> wire::BackupStorageDescription {
    use wire::BackupStorageDescription as Wire;
    match storage {
        StorageSpec::AzureBlob(blob) => Wire::AzureBlobStore(wire::AzureBlobBackupStorageDescription {
            friendly_name,
            connection_string: blob.connection_string.to_string(),
            container_name: blob.container,
        }),
        StorageSpec::FileShare(share) => Wire::FileShare(file_share(share, friendly_name)),
        StorageSpec::DsmsAzureBlob { source_location, container } => {
            Wire::DsmsAzureBlobStore(wire::DsmsAzureBlobBackupStorageDescription {
                friendly_name,
                storage_credentials_source_location: source_location,
                container_name: container,
            })
        }
        StorageSpec::ManagedIdentity(identity) => {
            Wire::ManagedIdentityAzureBlobStore(managed_identity(identity, friendly_name))
        }
    }
}

fn file_share(share: FileShare, friendly_name: Option<String>) -> wire::FileShareBackupStorageDescription {
    let (primary_user_name, primary_password) = user(share.primary);
    let (secondary_user_name, secondary_password) = user(share.secondary);
    wire::FileShareBackupStorageDescription {
        friendly_name,
        path: share.path,
        primary_user_name,
        primary_password,
        secondary_user_name,
        secondary_password,
    }
}

/// A user and the mask of its password, if it has one.
fn user(credentials: Option<Credentials>) -> (Option<String>, Option<String>) {
    let Some(Credentials { user, password }) = credentials else { return (None, None) };
    (Some(user), (!password.expose().is_empty()).then(|| Secret::MASK.to_owned()))
}

fn managed_identity(
    identity: ManagedIdentity,
    friendly_name: Option<String>,
) -> wire::ManagedIdentityAzureBlobBackupStorageDescription {
    wire::ManagedIdentityAzureBlobBackupStorageDescription {
        friendly_name,
        managed_identity_type: match identity.kind {
            ManagedIdentityKind::Vmss => wire::ManagedIdentityType::Vmss,
            ManagedIdentityKind::Cluster => wire::ManagedIdentityType::Cluster,
        },
        blob_service_uri: identity.blob_service,
        container_name: identity.container,
        managed_identity_client_id: identity.client_id,
    }
}

fn compression(compression: Compression) -> wire::BackupCompressionType {
    match compression {
        Compression::ClusterDefined => wire::BackupCompressionType::ClusterDefined,
        Compression::Zip => wire::BackupCompressionType::Zip,
        Compression::Zstandard => wire::BackupCompressionType::Zstandard,
    }
}

fn quick_recovery(quick_recovery: QuickRecovery) -> wire::BackupQuickRecovery {
    match quick_recovery {
        QuickRecovery::Disabled => wire::BackupQuickRecovery::Disabled,
        QuickRecovery::FromPrimary => wire::BackupQuickRecovery::FromPrimary,
    }
}
