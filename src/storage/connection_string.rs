//! Azure's connection strings: which account, where, and with which secret.
//!
//! Its errors name keys of the string, never values: a value may be the secret, or part of it.

use std::collections::BTreeMap;

use url::Url;

use crate::domain::Secret;

/// What Azurite and the old emulator answer to; published by Microsoft, no secret.
const DEVELOPMENT_ACCOUNT: &str = "devstoreaccount1";
const DEVELOPMENT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const DEVELOPMENT_PORT: u16 = 10000;

/// Keys that mean something here, and those of other services, which mean nothing to us.
const KNOWN: [&str; 15] = [
    "DefaultEndpointsProtocol",
    "AccountName",
    "AccountKey",
    "EndpointSuffix",
    "BlobEndpoint",
    "SharedAccessSignature",
    "UseDevelopmentStorage",
    "DevelopmentStorageProxyUri",
    "BlobSecondaryEndpoint",
    "QueueEndpoint",
    "QueueSecondaryEndpoint",
    "TableEndpoint",
    "TableSecondaryEndpoint",
    "FileEndpoint",
    "FileSecondaryEndpoint",
];

/// A storage account as its connection string describes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    /// Without a slash at its end.
    pub(super) endpoint: String,
    pub(super) credential: Credential,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credential {
    Key(Secret),
    Signature(Secret),
}

/// What is wrong with a connection string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    /// Not `key=value`.
    #[error("part {part} of the connection string is not of the form key=value")]
    NotKeyValue {
        /// Counted from 1.
        part: usize,
    },
    /// What is shown instead of one.
    #[error(
        "'****' is what is shown instead of a connection string that is kept; only the update of a policy takes it for the one that the policy has: send the connection string itself"
    )]
    Masked,
    /// A key that no connection string has; its text may be a piece of a secret and is not shown.
    #[error(
        "part {part} of the connection string has a key that is not known; known are AccountName, AccountKey, BlobEndpoint, DefaultEndpointsProtocol, EndpointSuffix, SharedAccessSignature and UseDevelopmentStorage"
    )]
    UnknownKey {
        /// Counted from 1.
        part: usize,
    },
    /// A key that is there twice.
    #[error("the connection string has {key} more than once")]
    Twice {
        /// Which.
        key: &'static str,
    },
    /// A key that is needed.
    #[error("the connection string has no {key}")]
    Missing {
        /// Which.
        key: &'static str,
    },
    /// A value that cannot be used.
    #[error("the connection string's {key} {why}")]
    Value {
        /// Of which key.
        key: &'static str,
        /// In words that go on after its name.
        why: &'static str,
    },
}

use ConnectionStringError::{Masked, Missing, NotKeyValue, Twice, UnknownKey, Value};

type Fields<'a> = BTreeMap<&'static str, &'a str>;

impl Account {
    pub(super) fn parse(text: &Secret) -> Result<Self, ConnectionStringError> {
        if text.is_mask() {
            return Err(Masked);
        }
        let fields = fields(text.expose())?;
        if fields.contains_key("UseDevelopmentStorage") {
            return development(&fields);
        }
        let endpoint = match fields.get("BlobEndpoint") {
            Some(endpoint) => blob_endpoint(endpoint)?,
            None => default_endpoint(&fields)?,
        };
        let name = match fields.get("AccountName") {
            Some(name) => account_name(name)?.to_owned(),
            None => name_in(&endpoint),
        };
        Ok(Self { name, endpoint: trimmed(&endpoint), credential: credential(&fields)? })
    }
}

fn fields(text: &str) -> Result<Fields<'_>, ConnectionStringError> {
    let mut fields = Fields::new();
    for (index, part) in text.split(';').map(str::trim).enumerate().filter(|(_, part)| !part.is_empty()) {
        let (key, value) = part.split_once('=').ok_or(NotKeyValue { part: index + 1 })?;
        let known = KNOWN.iter().find(|known| known.eq_ignore_ascii_case(key.trim()));
        let key = *known.ok_or(UnknownKey { part: index + 1 })?;
        if fields.insert(key, value.trim()).is_some() {
            return Err(Twice { key });
        }
    }
    fields.retain(|_, value| !value.is_empty());
    Ok(fields)
}

fn development(fields: &Fields<'_>) -> Result<Account, ConnectionStringError> {
    if !fields["UseDevelopmentStorage"].eq_ignore_ascii_case("true") {
        return Err(Value { key: "UseDevelopmentStorage", why: "can only be true" });
    }
    let key = "DevelopmentStorageProxyUri";
    let mut url = url(key, fields.get(key).unwrap_or(&"http://127.0.0.1"))?;
    let with_port = url.port().is_some() || url.set_port(Some(DEVELOPMENT_PORT)).is_ok();
    if !with_port || url.path() != "/" {
        return Err(Value { key, why: "must be of the form http://host" });
    }
    let endpoint = format!("{url}{DEVELOPMENT_ACCOUNT}");
    let credential = Credential::Key(Secret::new(DEVELOPMENT_KEY));
    Ok(Account { name: DEVELOPMENT_ACCOUNT.to_owned(), endpoint, credential })
}

fn blob_endpoint(text: &str) -> Result<Url, ConnectionStringError> {
    url("BlobEndpoint", text)
}

fn default_endpoint(fields: &Fields<'_>) -> Result<Url, ConnectionStringError> {
    let name = account_name(fields.get("AccountName").ok_or(Missing { key: "AccountName or BlobEndpoint" })?)?;
    let protocol = fields.get("DefaultEndpointsProtocol").unwrap_or(&"https").to_ascii_lowercase();
    if !matches!(protocol.as_str(), "http" | "https") {
        return Err(Value { key: "DefaultEndpointsProtocol", why: "must be https or http" });
    }
    let suffix = fields.get("EndpointSuffix").unwrap_or(&"core.windows.net");
    let host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    if !suffix.chars().all(host) || suffix.starts_with('.') {
        return Err(Value { key: "EndpointSuffix", why: "must be a host name such as core.windows.net" });
    }
    url("EndpointSuffix", &format!("{protocol}://{name}.blob.{suffix}"))
}

fn url(key: &'static str, text: &str) -> Result<Url, ConnectionStringError> {
    let url = Url::parse(text).map_err(|_| Value { key, why: "is no URL" })?;
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !plain {
        return Err(Value { key, why: "must be an http or https URL without user, query or fragment" });
    }
    Ok(url)
}

fn account_name(name: &str) -> Result<&str, ConnectionStringError> {
    let fits = !name.is_empty() && name.len() <= 63 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits { Ok(name) } else { Err(Value { key: "AccountName", why: "must be letters and digits only" }) }
}

/// `account` in `https://account.blob.core.windows.net` and in `http://127.0.0.1:10000/account`.
pub(super) fn name_in(endpoint: &Url) -> String {
    let in_path = endpoint.path().trim_matches('/');
    if !in_path.is_empty() {
        return in_path.to_owned();
    }
    endpoint.domain().and_then(|domain| domain.split('.').next()).unwrap_or("of the endpoint").to_owned()
}

pub(super) fn trimmed(endpoint: &Url) -> String {
    endpoint.as_str().trim_end_matches('/').to_owned()
}

fn credential(fields: &Fields<'_>) -> Result<Credential, ConnectionStringError> {
    match (fields.get("AccountKey"), fields.get("SharedAccessSignature")) {
        (Some(_), Some(_)) => Err(Value { key: "AccountKey", why: "and SharedAccessSignature exclude each other" }),
        (Some(key), None) => account_key(fields, key),
        (None, Some(signature)) => shared_access_signature(signature.trim_start_matches('?')),
        (None, None) => Err(Missing { key: "AccountKey or SharedAccessSignature" }),
    }
}

fn account_key(fields: &Fields<'_>, key: &str) -> Result<Credential, ConnectionStringError> {
    if !fields.contains_key("AccountName") {
        return Err(Missing { key: "AccountName" });
    }
    if object_store::azure::AzureAccessKey::try_new(key).is_err() {
        return Err(Value { key: "AccountKey", why: "is no valid base64" });
    }
    Ok(Credential::Key(Secret::new(key)))
}

fn shared_access_signature(signature: &str) -> Result<Credential, ConnectionStringError> {
    match object_store::azure::split_sas(signature) {
        Ok(parts) if !parts.is_empty() => Ok(Credential::Signature(Secret::new(signature))),
        _ => Err(Value { key: "SharedAccessSignature", why: "is no signature such as sv=...&sig=..." }),
    }
}

#[cfg(test)]
#[path = "connection_string_tests.rs"]
mod tests;
