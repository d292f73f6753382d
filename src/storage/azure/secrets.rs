//! Credentials of an account from a server that keeps secrets, in the protocol of docs/API.md.
//!
//! Which hosts are asked, and as whom, is the operator's word. What the server says is trusted with keys but not with
//! addresses: the account that it names must be one that requests may name.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use url::Url;

use super::{
    Trouble,
    access::Entry,
    lease::Issued,
    retry::{Patience, patiently},
    trouble::UNTRUSTED,
};
use crate::{
    clock::Clock,
    domain::Secret,
    storage::{ErrorKind, StoreSettings, allow::host_of, connection_string::Account},
};

const PATIENCE: Patience = Patience { attempt: Duration::from_secs(10), whole: Some(Duration::from_secs(30)) };

/// A longer answer is none.
const LONGEST: usize = 64 << 10;

/// One secret of a server.
pub(in crate::storage) struct SecretSource {
    pub(in crate::storage) http: reqwest::Client,
    pub(in crate::storage) url: Url,
    /// A file, read anew for each question.
    pub(in crate::storage) bearer: Option<PathBuf>,
    pub(in crate::storage) settings: Arc<StoreSettings>,
    /// For people.
    pub(in crate::storage) name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answered {
    connection_string: Option<Secret>,
    account_name: Option<String>,
    account_key: Option<Secret>,
    shared_access_signature: Option<Secret>,
    blob_endpoint: Option<String>,
    endpoint_suffix: Option<String>,
    expires_on: Option<DateTime<Utc>>,
}

impl SecretSource {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn issue(&self, clock: &Clock) -> Result<Issued, Trouble> {
        let answered = patiently(clock, PATIENCE, || self.ask()).await.map_err(|trouble| self.explain(trouble))?;
        let account =
            Account::parse(&answered.connection_string()).map_err(|error| self.strange(&error.to_string()))?;
        let entry = Entry::of(&account)?;
        let host = host_of(&entry.endpoint);
        if self.settings.allow.check(&host).is_err() {
            let reason =
                format!("{} names the host '{host}', which the setting [storage] allow does not list", self.name);
            return Err(Trouble::NoCredentials { kind: ErrorKind::Invalid, reason, detail: String::new() });
        }
        Ok(Issued { entry, ends: answered.expires_on })
    }

    async fn ask(&self) -> Result<Answered, Trouble> {
        let request = self.http.get(self.url.clone()).header("Accept", "application/json");
        let request = match self.bearer()? {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        };
        let mut answer = request.send().await.map_err(|error| self.unanswered(error))?;
        if !answer.status().is_success() {
            let (status, code, detail) = (answer.status().as_u16(), String::new(), String::new());
            return Err(Trouble::Refused { status, code, detail, retry_after: None });
        }
        let mut body = Vec::new();
        while let Some(more) = answer.chunk().await.map_err(|error| self.unanswered(error))? {
            body.extend_from_slice(&more);
            if body.len() > LONGEST {
                return Err(self.strange("it is too long"));
            }
        }
        // What is wrong where could show what is there.
        serde_json::from_slice(&body).map_err(|_| self.strange("it is no JSON object with these properties"))
    }

    fn bearer(&self) -> Result<Option<Secret>, Trouble> {
        let Some(file) = &self.bearer else { return Ok(None) };
        let text = fs::read_to_string(file).map_err(|error| Trouble::NoCredentials {
            kind: ErrorKind::AccessDenied,
            reason: "the file of the setting [storage.dsms] bearer_token_file cannot be read".to_owned(),
            detail: error.to_string(),
        })?;
        Ok(Some(Secret::new(text.trim())))
    }

    /// A server that ends the connection for our certificate does so every time.
    fn unanswered(&self, error: reqwest::Error) -> Trouble {
        match Trouble::unanswered(&error.without_url()) {
            Trouble::Lost { detail } if detail.contains("fatal alert") => Trouble::NoCredentials {
                kind: ErrorKind::AccessDenied,
                reason: format!(
                    "{} ends the connection: does it accept [storage.dsms] client_certificate_file?",
                    self.name
                ),
                detail,
            },
            trouble => trouble,
        }
    }

    fn explain(&self, trouble: Trouble) -> Trouble {
        let name = &self.name;
        let (kind, reason) = match &trouble {
            Trouble::Refused { status: 401 | 403, .. } => (
                ErrorKind::AccessDenied,
                format!(
                    "{name} does not accept this node: see [storage.dsms] client_certificate_file and bearer_token_file"
                ),
            ),
            Trouble::Refused { status: 404, .. } => {
                (ErrorKind::NotFound, format!("{name} knows no secret at StorageCredentialsSourceLocation"))
            }
            Trouble::Refused { status, .. } => (ErrorKind::Unreachable, format!("{name} answers with status {status}")),
            Trouble::Lost { .. } => (ErrorKind::Unreachable, format!("{name} cannot be reached")),
            Trouble::Untrusted { .. } => {
                (ErrorKind::Unreachable, format!("{name}: {UNTRUSTED} or [storage.dsms] ca_files"))
            }
            _ => return trouble,
        };
        Trouble::NoCredentials { kind, reason, detail: trouble.into_detail() }
    }

    fn strange(&self, what: &str) -> Trouble {
        let reason = format!("the answer of {} is not as docs/API.md describes it: {what}", self.name);
        Trouble::NoCredentials { kind: ErrorKind::Other, reason, detail: String::new() }
    }
}

impl Answered {
    /// Every form in the words of one.
    fn connection_string(&self) -> Secret {
        if let Some(whole) = &self.connection_string {
            return whole.clone();
        }
        let secret = |it: &Option<Secret>| it.as_ref().map(|it| it.expose().to_owned());
        let parts = [
            ("AccountName", self.account_name.clone()),
            ("AccountKey", secret(&self.account_key)),
            ("SharedAccessSignature", secret(&self.shared_access_signature)),
            ("BlobEndpoint", self.blob_endpoint.clone()),
            ("EndpointSuffix", self.endpoint_suffix.clone()),
        ];
        let parts = parts.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
        Secret::new(parts.collect::<Vec<_>>().join(";"))
    }
}
