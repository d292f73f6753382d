//! A storage as the configuration writes it, turned into the storage of the domain.
//!
//! What can be told without contacting anything is asked of [`Stores`]; the storage may be down while the node starts.

use std::{env, fs, ops::Range, path::Path};

use super::{
    fault::Fault,
    file::{At, BackupStorage, ManagedIdentityType, StorageKind},
};
use crate::{
    domain::{AzureBlob, Credentials, FileShare, ManagedIdentity, ManagedIdentityKind, Secret, StorageSpec},
    storage::{SpecError, Stores},
};

/// Reads a storage that `stores` would open; its relative paths start at `base`.
pub(super) fn spec(base: &Path, stores: &Stores, written: &At<BackupStorage>) -> Result<StorageSpec, Fault> {
    refuse_foreign_keys(written.get())?;
    let spec = match written.get().storage_kind.get() {
        StorageKind::FileShare => StorageSpec::FileShare(file_share(base, written)?),
        StorageKind::AzureBlobStore => StorageSpec::AzureBlob(azure_blob(base, written)?),
        StorageKind::ManagedIdentityAzureBlobStore => StorageSpec::ManagedIdentity(managed_identity(written)?),
        StorageKind::DsmsAzureBlobStore => {
            let place = written.get().storage_credentials_source_location.as_ref();
            StorageSpec::DsmsAzureBlob {
                source_location: required(written, "storage_credentials_source_location", place)?.get().clone(),
                container: container(written)?,
            }
        }
    };
    match stores.check(&spec) {
        // The operator allows what he writes here.
        Ok(()) | Err(SpecError::NotAllowed { .. } | SpecError::ShareNotAllowed { .. }) => Ok(spec),
        Err(error) => Err(Fault::new(blamed(written, &error), error.to_string())),
    }
}

/// The key that an error is about.
fn blamed(written: &At<BackupStorage>, error: &SpecError) -> Range<usize> {
    let storage = written.get();
    let connection = [&storage.connection_string, &storage.connection_string_env];
    let connection = connection.into_iter().find_map(|key| key.as_ref().map(At::span));
    let key = match error {
        SpecError::Container { .. } => storage.container_name.as_ref().map(At::span),
        SpecError::BlobService { .. } => place(storage.blob_service_uri.as_ref()),
        SpecError::SecretLocation | SpecError::SecretsNotAllowed { .. } => {
            place(storage.storage_credentials_source_location.as_ref())
        }
        SpecError::ConnectionString(_) => connection.or(storage.connection_string_file.as_ref().map(At::span)),
        _ => storage.path.as_ref().map(At::span),
    };
    key.unwrap_or(written.span())
}

/// Where a key stands, if it is there.
fn place<T>(key: Option<&At<T>>) -> Option<Range<usize>> {
    key.map(At::span)
}

fn refuse_foreign_keys(storage: &BackupStorage) -> Result<(), Fault> {
    let share = [
        place(storage.path.as_ref()),
        place(storage.primary_user_name.as_ref()),
        place(storage.primary_password.as_ref()),
        place(storage.secondary_user_name.as_ref()),
        place(storage.secondary_password.as_ref()),
    ];
    let secret = [place(storage.storage_credentials_source_location.as_ref())];
    let container = [place(storage.container_name.as_ref())];
    let connection = [
        place(storage.connection_string.as_ref()),
        place(storage.connection_string_env.as_ref()),
        place(storage.connection_string_file.as_ref()),
    ];
    let identity = [
        place(storage.managed_identity_type.as_ref()),
        place(storage.managed_identity_client_id.as_ref()),
        place(storage.blob_service_uri.as_ref()),
    ];
    let (foreign, kind) = match storage.storage_kind.get() {
        StorageKind::FileShare => ([&container[..], &connection, &identity, &secret], "a FileShare"),
        StorageKind::AzureBlobStore => ([&share[..], &identity, &secret, &[]], "an AzureBlobStore"),
        StorageKind::ManagedIdentityAzureBlobStore => {
            ([&share[..], &connection, &secret, &[]], "a ManagedIdentityAzureBlobStore")
        }
        StorageKind::DsmsAzureBlobStore => ([&share[..], &connection, &identity, &[]], "a DsmsAzureBlobStore"),
    };
    let foreign = foreign.into_iter().flatten().flatten().next();
    foreign.map_or(Ok(()), |at| Err(Fault::new(at.clone(), format!("{kind} has no such key"))))
}

fn file_share(base: &Path, written: &At<BackupStorage>) -> Result<FileShare, Fault> {
    let storage = written.get();
    let path = required(written, "path", storage.path.as_ref())?;
    let local = !path.get().starts_with(r"\\");
    Ok(FileShare {
        path: if local { base.join(path.get()).display().to_string() } else { path.get().clone() },
        primary: credentials(storage.primary_user_name.as_ref(), storage.primary_password.as_ref())?,
        secondary: credentials(storage.secondary_user_name.as_ref(), storage.secondary_password.as_ref())?,
    })
}

fn credentials(user: Option<&At<String>>, password: Option<&At<String>>) -> Result<Option<Credentials>, Fault> {
    match (user, password) {
        (None, None) => Ok(None),
        (Some(user), Some(password)) => {
            Ok(Some(Credentials { user: user.get().clone(), password: Secret::new(password.get()) }))
        }
        (Some(user), None) => Err(user.fault("the password of this user is missing")),
        (None, Some(password)) => Err(password.fault("the user name of this password is missing")),
    }
}

fn azure_blob(base: &Path, written: &At<BackupStorage>) -> Result<AzureBlob, Fault> {
    let container = container(written)?;
    Ok(AzureBlob { connection_string: connection_string(base, written)?, container })
}

fn container(written: &At<BackupStorage>) -> Result<String, Fault> {
    Ok(required(written, "container_name", written.get().container_name.as_ref())?.get().clone())
}

fn managed_identity(written: &At<BackupStorage>) -> Result<ManagedIdentity, Fault> {
    let storage = written.get();
    let kind = storage.managed_identity_type.as_ref();
    let kind = kind.ok_or_else(|| written.fault("the key `managed_identity_type` is missing"))?;
    Ok(ManagedIdentity {
        kind: match kind.get() {
            ManagedIdentityType::Cluster => ManagedIdentityKind::Cluster,
            ManagedIdentityType::Vmss => ManagedIdentityKind::Vmss,
        },
        client_id: storage.managed_identity_client_id.as_ref().map(|id| id.get().clone()),
        blob_service: required(written, "blob_service_uri", storage.blob_service_uri.as_ref())?.get().clone(),
        container: container(written)?,
    })
}

fn connection_string(base: &Path, written: &At<BackupStorage>) -> Result<Secret, Fault> {
    let storage = written.get();
    match (&storage.connection_string, &storage.connection_string_file, &storage.connection_string_env) {
        (Some(text), None, None) => secret(text, text.get()),
        (None, Some(file), None) => {
            let path = base.join(file.get());
            let text = fs::read_to_string(&path)
                .map_err(|error| file.fault(format!("'{}' cannot be read: {error}", path.display())))?;
            secret(file, text.trim())
        }
        (None, None, Some(name)) => {
            let text = env::var(name.get())
                .map_err(|_| name.fault(format!("the environment variable '{}' is not set", name.get())))?;
            secret(name, &text)
        }
        _ => Err(written.fault(
            "an AzureBlobStore has exactly one of connection_string, connection_string_file, connection_string_env",
        )),
    }
}

fn secret<T>(key: &At<T>, text: &str) -> Result<Secret, Fault> {
    if text.is_empty() {
        return Err(key.fault("the connection string is empty"));
    }
    Ok(Secret::new(text))
}

fn required<'a>(
    written: &At<BackupStorage>,
    name: &str,
    value: Option<&'a At<String>>,
) -> Result<&'a At<String>, Fault> {
    let value = value.ok_or_else(|| written.fault(format!("the key `{name}` is missing")))?;
    if value.get().is_empty() {
        return Err(value.fault("must not be empty"));
    }
    Ok(value)
}
