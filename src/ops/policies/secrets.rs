//! What a masked secret means that comes back in an update.
//!
//! It is the stored one, if that would be sent nowhere but where it was meant for: a connection string names its account
//! itself; a password belongs to one user of one path.

use crate::domain::{AzureBlob, Credentials, FileShare, StorageSpec};

/// A masked secret that stands for none. The texts say which property it was sent as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Masked {
    /// As a connection string.
    #[error(
        "Storage.ConnectionString: '****' stands for the one that is stored with the policy, and there is none: \
         send the connection string itself"
    )]
    ConnectionString,
    /// As a password.
    #[error(
        "Storage.{0}: '****' stands for the one that is stored with the policy for the same Path and user name, and \
         there is none: send the password itself"
    )]
    Password(&'static str),
}

/// Whether any of its secrets is masked.
pub(super) fn is_masked(storage: &StorageSpec) -> bool {
    unmasked(storage.clone(), None).is_err()
}

/// The storage with its masked secrets taken from `stored`.
pub(super) fn unmasked(given: StorageSpec, stored: Option<&StorageSpec>) -> Result<StorageSpec, Masked> {
    Ok(match given {
        StorageSpec::AzureBlob(blob) => StorageSpec::AzureBlob(of_blob(blob, stored)?),
        StorageSpec::FileShare(share) => StorageSpec::FileShare(of_share(share, stored)?),
        other @ (StorageSpec::DsmsAzureBlob { .. } | StorageSpec::ManagedIdentity(_)) => other,
    })
}

fn of_blob(given: AzureBlob, stored: Option<&StorageSpec>) -> Result<AzureBlob, Masked> {
    match stored {
        _ if !given.connection_string.is_mask() => Ok(given),
        Some(StorageSpec::AzureBlob(stored)) => {
            Ok(AzureBlob { connection_string: stored.connection_string.clone(), ..given })
        }
        _ => Err(Masked::ConnectionString),
    }
}

fn of_share(given: FileShare, stored: Option<&StorageSpec>) -> Result<FileShare, Masked> {
    let stored = match stored {
        Some(StorageSpec::FileShare(stored)) if stored.path == given.path => Some(stored),
        _ => None,
    };
    Ok(FileShare {
        primary: of_user(given.primary, stored.and_then(|it| it.primary.as_ref()), "PrimaryPassword")?,
        secondary: of_user(given.secondary, stored.and_then(|it| it.secondary.as_ref()), "SecondaryPassword")?,
        path: given.path,
    })
}

fn of_user(
    given: Option<Credentials>,
    stored: Option<&Credentials>,
    property: &'static str,
) -> Result<Option<Credentials>, Masked> {
    match given {
        Some(given) if given.password.is_mask() => {
            let known = stored.filter(|stored| stored.user == given.user && !stored.password.expose().is_empty());
            known.cloned().map(Some).ok_or(Masked::Password(property))
        }
        given => Ok(given),
    }
}
