//! From the wire to the domain. What the schema cannot say is checked here, and named by its field.

mod names;
mod policies;

pub(super) use names::{application, application_name, partition, service, service_name};
pub(super) use policies::{policy, policy_name};

use super::{
    ApiError,
    wire::{
        BackupEntity, BackupStorageDescription, FileShareBackupStorageDescription,
        ManagedIdentityAzureBlobBackupStorageDescription, ManagedIdentityType,
    },
};
use crate::{
    domain::{
        ApplicationName, AzureBlob, Credentials, FileShare, ManagedIdentity, ManagedIdentityKind, NameError,
        PartitionId, Secret, ServiceName, StorageSpec,
    },
    ops::{Depth, Page, Scope},
};

/// How thoroughly a backup is verified.
pub(super) fn depth(level: i64) -> Result<Depth, ApiError> {
    Depth::of_level(level).ok_or_else(|| ApiError::invalid(format!("Level: {level} is none of 1, 2 and 3.")))
}

/// A storage; `at` is the property it came in.
pub(super) fn storage(given: BackupStorageDescription, at: &str) -> Result<StorageSpec, ApiError> {
    use BackupStorageDescription as Wire;
    Ok(match given {
        Wire::AzureBlobStore(blob) => StorageSpec::AzureBlob(AzureBlob {
            connection_string: Secret::new(blob.connection_string),
            container: blob.container_name,
        }),
        Wire::FileShare(share) => StorageSpec::FileShare(file_share(share)),
        Wire::DsmsAzureBlobStore(dsms) => StorageSpec::DsmsAzureBlob {
            source_location: dsms.storage_credentials_source_location,
            container: dsms.container_name,
        },
        Wire::ManagedIdentityAzureBlobStore(identity) => StorageSpec::ManagedIdentity(managed_identity(identity, at)?),
    })
}

fn file_share(share: FileShareBackupStorageDescription) -> FileShare {
    FileShare {
        path: share.path,
        primary: credentials(share.primary_user_name, share.primary_password),
        secondary: credentials(share.secondary_user_name, share.secondary_password),
    }
}

/// A password without a user means nothing; a user without a password has an empty one.
fn credentials(user: Option<String>, password: Option<String>) -> Option<Credentials> {
    user.map(|user| Credentials { user, password: Secret::new(password.unwrap_or_default()) })
}

fn managed_identity(
    identity: ManagedIdentityAzureBlobBackupStorageDescription,
    at: &str,
) -> Result<ManagedIdentity, ApiError> {
    let kind = match identity.managed_identity_type {
        ManagedIdentityType::Vmss => ManagedIdentityKind::Vmss,
        ManagedIdentityType::Cluster => ManagedIdentityKind::Cluster,
        ManagedIdentityType::Invalid => {
            let message = format!("{at}.ManagedIdentityType: 'Invalid' is only a placeholder; give VMSS or Cluster");
            return Err(ApiError::invalid(message));
        }
    };
    Ok(ManagedIdentity {
        kind,
        client_id: identity.managed_identity_client_id,
        blob_service: identity.blob_service_uri,
        container: identity.container_name,
    })
}

/// Whose backups are asked for.
pub(super) fn scope(given: BackupEntity) -> Result<Scope, ApiError> {
    match given {
        BackupEntity::Application(entity) => {
            let name = given_as(entity.application_name, "BackupEntity.ApplicationName")?;
            Ok(Scope::Application(named(ApplicationName::parse(&name), "BackupEntity.ApplicationName")?))
        }
        BackupEntity::Service(entity) => Ok(Scope::Service(service_of_entity(entity.service_name)?)),
        BackupEntity::Partition(entity) => {
            let id = given_as(entity.partition_id, "BackupEntity.PartitionId")?;
            Ok(Scope::Partition(service_of_entity(entity.service_name)?, PartitionId(id)))
        }
    }
}

fn service_of_entity(name: Option<String>) -> Result<ServiceName, ApiError> {
    let name = given_as(name, "BackupEntity.ServiceName")?;
    named(ServiceName::parse(&name), "BackupEntity.ServiceName")
}

fn given_as<T>(value: Option<T>, at: &str) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::invalid(format!("{at}: missing, and this kind of BackupEntity needs it")))
}

fn named<T>(name: Result<T, NameError>, at: &str) -> Result<T, ApiError> {
    name.map_err(|error| ApiError::invalid(format!("{at}: {error}")))
}

/// A page; the schema keeps `limit` from being negative.
pub(super) fn page(token: Option<String>, limit: i64) -> Page {
    Page { token, limit: u64::try_from(limit).unwrap_or(0) }
}

/// A timeout in minutes; the schema keeps it within a year.
pub(super) fn minutes(given: i64) -> u32 {
    u32::try_from(given).unwrap_or(u32::MAX)
}
