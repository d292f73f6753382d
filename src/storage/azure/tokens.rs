//! Tokens of a managed identity, from the endpoint that the machine or the host of the service offers.
//!
//! The endpoint is the operator's word or Azure's fixed address, never a caller's. A missing identity, an endpoint that
//! does not answer and one that answers something else are told apart, since each is mended elsewhere.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::StatusCode;
use object_store::azure::AzureCredential;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{
    Trouble,
    access::Entry,
    lease::Issued,
    retry::{Patience, patiently},
};
use crate::{clock::Clock, domain::Secret, storage::ErrorKind};

/// The same in every cloud.
const RESOURCE: &str = "https://storage.azure.com/";

const PATIENCE: Patience = Patience { attempt: Duration::from_secs(5), whole: Some(Duration::from_secs(20)) };

/// An endpoint of either form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) enum TokenEndpoint {
    /// The machine's Instance Metadata Service.
    Machine(Url),
    /// What `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` name. Service Fabric's speaks a version of its own.
    Host { url: Url, header: Secret, service_fabric: bool },
}

/// Who gives tokens for one account.
pub(in crate::storage) struct TokenSource {
    pub(in crate::storage) http: reqwest::Client,
    pub(in crate::storage) endpoint: TokenEndpoint,
    pub(in crate::storage) client_id: Option<String>,
    /// What the tokens are for.
    pub(in crate::storage) account: String,
    pub(in crate::storage) blob_service: Url,
    /// For people.
    pub(in crate::storage) name: String,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    /// Seconds since 1970, as a number or as text.
    expires_on: Value,
}

impl TokenSource {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn issue(&self, clock: &Clock) -> Result<Issued, Trouble> {
        let answer = patiently(clock, PATIENCE, || self.ask()).await;
        let token = answer.map_err(|trouble| self.explain(trouble))?;
        let ends = token.ends().ok_or_else(|| self.strange("it says no time until which the token is good"))?;
        let credential = AzureCredential::BearerToken(token.access_token);
        let entry = Entry { account: self.account.clone(), endpoint: self.blob_service.clone(), credential };
        Ok(Issued { entry, ends: Some(ends) })
    }

    async fn ask(&self) -> Result<Token, Trouble> {
        let answer = self.request().send().await.map_err(|error| Trouble::unanswered(&error.without_url()))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| Trouble::unanswered(&error.without_url()))?;
        if !status.is_success() {
            return Err(refusal(status, &body));
        }
        serde_json::from_slice(&body).map_err(|_| self.strange("its answer holds no token"))
    }

    fn request(&self) -> reqwest::RequestBuilder {
        let (url, version, header) = match &self.endpoint {
            TokenEndpoint::Machine(url) => (url, "2018-02-01", ("Metadata", "true")),
            TokenEndpoint::Host { url, header, service_fabric: true } => {
                (url, "2019-07-01-preview", ("Secret", header.expose()))
            }
            TokenEndpoint::Host { url, header, .. } => (url, "2019-08-01", ("X-IDENTITY-HEADER", header.expose())),
        };
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", RESOURCE);
        if let Some(id) = &self.client_id {
            url.query_pairs_mut().append_pair("client_id", id);
        }
        self.http.get(url).header(header.0, header.1)
    }

    fn explain(&self, trouble: Trouble) -> Trouble {
        let name = &self.name;
        let (kind, reason) = match &trouble {
            Trouble::Refused { status: 400 | 404, .. } => (ErrorKind::AccessDenied, self.missing()),
            Trouble::Refused { status: 401 | 403, .. } => (
                ErrorKind::AccessDenied,
                format!("{name} refuses to give a token: is IDENTITY_HEADER that of this process?"),
            ),
            Trouble::Refused { status, .. } => {
                (ErrorKind::Unreachable, format!("{name} answers with status {status}; try again later"))
            }
            Trouble::Lost { .. } => (
                ErrorKind::Unreachable,
                format!(
                    "{name} cannot be reached: does this machine run in Azure, and is [storage.managed_identity] right?"
                ),
            ),
            Trouble::Untrusted { .. } => (ErrorKind::Unreachable, format!("{name}: {}", super::trouble::UNTRUSTED)),
            _ => return trouble,
        };
        Trouble::NoCredentials { kind, reason, detail: trouble.into_detail() }
    }

    fn missing(&self) -> String {
        match &self.client_id {
            Some(id) => format!(
                "{} knows no managed identity with the client id {id}: assign it, or correct ManagedIdentityClientId",
                self.name
            ),
            None => format!(
                "{} knows no managed identity to use: assign one, and give its ManagedIdentityClientId if there are several",
                self.name
            ),
        }
    }

    fn strange(&self, what: &str) -> Trouble {
        let reason = format!("{} is no endpoint for tokens: {what}", self.name);
        Trouble::NoCredentials { kind: ErrorKind::Other, reason, detail: String::new() }
    }
}

impl Token {
    fn ends(&self) -> Option<DateTime<Utc>> {
        let seconds = self.expires_on.as_i64().or_else(|| self.expires_on.as_str()?.parse().ok())?;
        DateTime::from_timestamp(seconds, 0)
    }
}

/// Azure describes 404 and 410 as passing. 404 is taken for a missing identity all the same, which nobody should wait for.
/// Both forms say in words of their own what is missing.
fn refusal(status: StatusCode, body: &[u8]) -> Trouble {
    let words: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = ["/error_description", "/error/message", "/message"].iter().find_map(|at| words.pointer(at)?.as_str());
    let detail = text.and_then(|text| text.lines().next()).unwrap_or_default().chars().take(300).collect();
    let status = if status == StatusCode::GONE { 503 } else { status.as_u16() };
    Trouble::Refused { status, code: String::new(), detail, retry_after: None }
}
