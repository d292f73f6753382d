//! Who is asked, where, and by what right.

use std::sync::Arc;

use object_store::azure::{AzureAccessKey, AzureCredential, split_sas};
use url::Url;

use super::{Trouble, lease::Lease};
use crate::storage::connection_string::{Account, Credential};

/// An account and what opens it. Has no `Debug`, since that of its credential shows it.
pub(super) struct Entry {
    pub(super) account: String,
    pub(super) endpoint: Url,
    pub(super) credential: AzureCredential,
}

/// What the words of a refusal speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    KeyOrSignature,
    Identity,
}

#[derive(Clone)]
pub(super) enum Access {
    /// As a connection string says, for good.
    Given(Arc<Entry>),
    /// Handed out for a time.
    Leased(Arc<Lease>, Proof),
}

impl Entry {
    pub(super) fn of(account: &Account) -> Result<Self, Trouble> {
        let endpoint = Url::parse(&account.endpoint).map_err(|error| Trouble::Other { detail: error.to_string() })?;
        let credential = match &account.credential {
            Credential::Key(key) => {
                let key = AzureAccessKey::try_new(key.expose()).map_err(object_store::Error::from)?;
                AzureCredential::AccessKey(key)
            }
            Credential::Signature(signature) => AzureCredential::SASToken(split_sas(signature.expose())?),
        };
        Ok(Self { account: account.name.clone(), endpoint, credential })
    }
}

impl Access {
    pub(super) fn proof(&self) -> Proof {
        match self {
            Self::Given(_) => Proof::KeyOrSignature,
            Self::Leased(_, proof) => *proof,
        }
    }

    pub(super) async fn entry(&self) -> Result<Arc<Entry>, Trouble> {
        match self {
            Self::Given(entry) => Ok(Arc::clone(entry)),
            Self::Leased(lease, _) => lease.entry().await,
        }
    }

    /// Another one in the place of one that was refused, if there is any.
    pub(super) async fn instead_of(&self, refused: &Arc<Entry>) -> Option<Arc<Entry>> {
        match self {
            Self::Given(_) => None,
            Self::Leased(lease, _) => lease.instead_of(refused).await,
        }
    }
}
