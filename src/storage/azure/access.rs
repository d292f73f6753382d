//! Who is asked, where, and by what right.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
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
    Key,
    Signature,
    /// Whichever was handed out.
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

    fn proof(&self) -> Proof {
        if let AzureCredential::SASToken(_) = self.credential { Proof::Signature } else { Proof::Key }
    }

    /// Since when a signature is over, as it says itself.
    pub(super) fn ended(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let AzureCredential::SASToken(parts) = &self.credential else { return None };
        let (_, end) = parts.iter().find(|(name, _)| name == "se")?;
        time_of(end).filter(|end| *end <= now)
    }
}

impl Access {
    pub(super) fn proof(&self) -> Proof {
        match self {
            Self::Given(entry) => entry.proof(),
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

/// In each of the forms that Azure takes: a second, a minute, or a day.
fn time_of(text: &str) -> Option<DateTime<Utc>> {
    let second = || DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    let minute = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%MZ").ok();
    let day = || text.parse().ok().and_then(|day: NaiveDate| day.and_hms_opt(0, 0, 0));
    second().or_else(|| minute().or_else(day).map(|time| time.and_utc()))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::{Entry, Proof};
    use crate::{domain::Secret, storage::connection_string::Account};

    fn entry(connection_string: &str) -> Entry {
        Entry::of(&Account::parse(&Secret::new(connection_string)).unwrap()).unwrap()
    }

    #[test]
    fn a_signature_tells_when_it_ends_in_every_form_of_a_time_and_a_key_does_not() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let now = at("2026-01-02T03:04:05Z");
        for (end, ended) in [
            ("2026-01-02T03:04:05Z", Some("2026-01-02T03:04:05Z")),
            ("2026-01-02T03%3A04%3A00Z", Some("2026-01-02T03:04:00Z")),
            ("2026-01-02T03:04Z", Some("2026-01-02T03:04:00Z")),
            ("2026-01-02", Some("2026-01-02T00:00:00Z")),
            ("2026-01-02T03:04:06Z", None),
            ("soon", None),
        ] {
            let entry = entry(&format!("BlobEndpoint=http://h/a;SharedAccessSignature=se={end}&sig=x"));
            assert_eq!((entry.ended(now), entry.proof()), (ended.map(at), Proof::Signature), "{end}");
        }
        let key = entry("AccountName=a;AccountKey=a2V5");
        assert_eq!((key.ended(now), key.proof()), (None, Proof::Key));
    }
}
