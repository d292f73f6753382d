//! What the service or the network said, in our words.
//!
//! Keeps the status, the service's error code and the first line of its message. It drops everything else, because a
//! URL can hold a SAS and the details of a 403 repeat what was signed.

use std::{error::Error, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use http::header::RETRY_AFTER;
use object_store::client::HttpError;

use super::{ErrorKind, StorageError, access::Proof, requests::Answer};
use crate::storage::allow::ForbiddenAddress;

#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// The service answered, with an error.
    Refused { status: u16, code: String, detail: String, retry_after: Option<Duration> },
    /// No answer came: the request may or may not have been carried out.
    Lost { detail: String },
    /// Whoever answered is not known to be whom we asked.
    Untrusted { detail: String },
    /// The name leads where no store is looked for.
    Forbidden { detail: String },
    /// Somebody else's blob has that name.
    Taken,
    /// The service does not know all blocks that it took.
    Vanished,
    /// The container is missing, and this happened when it was to be made.
    NoContainer(Box<Trouble>),
    /// Who hands out the credentials did not.
    NoCredentials { kind: ErrorKind, reason: String, detail: String },
    /// Anything else.
    Other { detail: String },
}

/// The cause of a [`StorageError`], without secrets.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cause(String);

impl Trouble {
    pub(super) fn lost(error: &HttpError) -> Self {
        Self::unanswered(error)
    }

    /// By the innermost cause, which names no URL.
    pub(super) fn unanswered(error: &(dyn Error + 'static)) -> Self {
        let detail = deepest(error).to_string();
        if chain(error).any(<dyn Error>::is::<ForbiddenAddress>) {
            return Self::Forbidden { detail };
        }
        // As rustls begins all that it says of certificates.
        if detail.starts_with("invalid peer certificate") { Self::Untrusted { detail } } else { Self::Lost { detail } }
    }

    pub(super) fn silence(for_so_long: Duration) -> Self {
        Self::Lost { detail: format!("no answer within {} s", for_so_long.as_secs()) }
    }

    pub(super) fn refused(answer: &Answer) -> Self {
        let body = String::from_utf8_lossy(answer.body());
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let code = header("x-ms-error-code").map_or_else(|| element(&body, "Code"), str::to_owned);
        // As a date it comes from nobody whom we ask.
        let retry_after = header(RETRY_AFTER.as_str()).and_then(|it| it.trim().parse().ok()).map(Duration::from_secs);
        Self::Refused { status: answer.status().as_u16(), code, detail: element(&body, "Message"), retry_after }
    }

    pub(super) fn while_making_the_container(self) -> Self {
        Self::NoContainer(Box::new(self))
    }

    pub(super) fn has_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == wanted)
    }

    pub(super) fn is_container_missing(&self) -> bool {
        self.has_code("ContainerNotFound")
    }

    pub(super) fn is_absence(&self) -> bool {
        self.has_status(404)
    }

    /// Other credentials may be accepted.
    pub(super) fn is_denial(&self) -> bool {
        self.has_status(401) || self.has_status(403) || self.has_code(NO_PROOF)
    }

    /// A denial of a signature whose time is over.
    pub(super) fn of_what_ended(self, end: DateTime<Utc>) -> Self {
        let Self::Refused { status, code, detail, .. } = self else { return self };
        let end = end.to_rfc3339_opts(SecondsFormat::Secs, true);
        let reason = format!("status {status} {code}: the SAS ended at {end}: one that lasts longer is needed");
        Self::NoCredentials { kind: ErrorKind::AccessDenied, reason, detail }
    }

    pub(super) fn is_past_the_end(&self) -> bool {
        self.has_status(416)
    }

    /// Another blob, or our own first attempt, has the name. Its commit also drops the blocks of the other uploads.
    pub(super) fn is_conflict(&self) -> bool {
        ["BlobAlreadyExists", "ConditionNotMet", "InvalidBlockList"].iter().any(|code| self.has_code(code))
    }

    /// Blocks of a commit are not there.
    pub(super) fn is_block_missing(&self) -> bool {
        self.has_code("InvalidBlockList")
    }

    /// The same request may succeed a moment later.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Lost { .. }) && self.kind() == ErrorKind::Unreachable
    }

    /// How long the service wants to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        if let Self::Refused { retry_after, .. } = self { *retry_after } else { None }
    }

    fn has_status(&self, wanted: u16) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == wanted)
    }

    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { code, .. } if code == "ContainerBeingDeleted" => ErrorKind::Unreachable,
            Self::Refused { code, .. } if code == NO_PROOF => ErrorKind::AccessDenied,
            Self::Refused { status, .. } => kind_of(*status),
            Self::Lost { .. } | Self::Untrusted { .. } => ErrorKind::Unreachable,
            Self::Forbidden { .. } => ErrorKind::Invalid,
            Self::Taken => ErrorKind::AlreadyExists,
            Self::Vanished => ErrorKind::Vanished,
            Self::NoContainer(inner) => inner.kind(),
            Self::NoCredentials { kind, .. } => *kind,
            Self::Other { .. } => ErrorKind::Other,
        }
    }

    /// Adds reason and cause to an error that names store, operation and key.
    pub(super) fn into_error(self, error: StorageError, container: &str, proof: Proof) -> StorageError {
        match self {
            Self::Refused { status, ref code, .. } => {
                let missing = code == "ContainerNotFound";
                let reason = format!("status {status} {code}: {}", advice(status, code, container, proof));
                let error = if missing { error.store_is_missing() } else { error };
                error.because(reason).caused_by(Cause(self.into_detail()))
            }
            Self::Untrusted { detail } => error.because(UNTRUSTED).caused_by(Cause(detail)),
            Self::Forbidden { detail } => error.because(detail),
            Self::NoCredentials { reason, detail, .. } => error.because(reason).caused_by(Cause(detail)),
            Self::Lost { detail } | Self::Other { detail } => error.caused_by(Cause(detail)),
            Self::Taken | Self::Vanished => error,
            Self::NoContainer(inner) => not_made(*inner, error, container, proof),
        }
    }

    /// What was said, word for word.
    pub(super) fn into_detail(self) -> String {
        match self {
            Self::Refused { detail, .. }
            | Self::Lost { detail }
            | Self::Untrusted { detail }
            | Self::Forbidden { detail }
            | Self::NoCredentials { detail, .. }
            | Self::Other { detail } => detail,
            Self::NoContainer(inner) => inner.into_detail(),
            Self::Taken | Self::Vanished => String::new(),
        }
    }
}

/// Comes with 400 although it is about who asks.
const NO_PROOF: &str = "InvalidAuthenticationInfo";

const KEY_REFUSED: &str = "the account key is refused: is it the present one?";

/// What to do about a certificate that nobody vouches for.
pub(super) const UNTRUSTED: &str =
    "its certificate is not trusted: give the certificate of its authority in the setting [storage] ca_files";

fn not_made(inner: Trouble, error: StorageError, container: &str, proof: Proof) -> StorageError {
    let why = match &inner {
        Trouble::NoCredentials { reason, .. } => reason.clone(),
        Trouble::Refused { status, code, .. } => {
            format!("status {status} {code}: {}", advice(*status, code, container, proof))
        }
        _ => "no answer".to_owned(),
    };
    let reason = format!("container {container} does not exist and could not be made: {why}");
    inner.into_error(error, container, proof).because(reason)
}

fn kind_of(status: u16) -> ErrorKind {
    match status {
        401 | 403 => ErrorKind::AccessDenied,
        404 => ErrorKind::NotFound,
        408 | 429 | 500..=504 => ErrorKind::Unreachable,
        409 | 412 => ErrorKind::AlreadyExists,
        400 | 411 | 413 | 414 | 416 => ErrorKind::Invalid,
        507 => ErrorKind::Full,
        _ => ErrorKind::Other,
    }
}

fn advice(status: u16, code: &str, container: &str, proof: Proof) -> String {
    let fixed = match (status, code) {
        (_, "ContainerNotFound") => return format!("container {container} does not exist"),
        (_, "ContainerBeingDeleted") => return format!("container {container} is being deleted; try again later"),
        (_, "AccountIsDisabled") => "the account is disabled",
        (401 | 403, _) | (_, NO_PROOF) => denial(code, proof),
        (404, _) => "it is not there",
        (409 | 412, _) => "that name is already taken",
        (408 | 429 | 500..=504, _) => "the service is busy or failing; try again later",
        _ => "the service refused the request",
    };
    fixed.to_owned()
}

fn denial(code: &str, proof: Proof) -> &'static str {
    match (code, proof) {
        ("AuthenticationFailed" | NO_PROOF, Proof::Identity) => {
            "the managed identity's token is refused: is the account in the tenant of the identity?"
        }
        ("AuthorizationPermissionMismatch" | "AuthorizationFailure", Proof::Identity) => {
            "the managed identity has no role that allows this: assign it Storage Blob Data Contributor on the account or container"
        }
        ("AuthenticationFailed" | NO_PROOF, Proof::Key) => KEY_REFUSED,
        ("AuthenticationFailed" | NO_PROOF, Proof::Signature) => "the SAS is refused",
        ("AuthenticationFailed" | NO_PROOF, Proof::KeyOrSignature) => {
            "the account key or SAS that was handed out is refused"
        }
        (
            "AuthorizationPermissionMismatch" | "AuthorizationResourceTypeMismatch" | "AuthorizationServiceMismatch",
            _,
        ) => "the SAS does not allow this; it must allow to read, list, create, write and delete",
        ("AuthorizationSourceIPMismatch" | "AuthorizationProtocolMismatch", _) => {
            "the SAS does not allow this address or protocol"
        }
        ("AuthorizationFailure", Proof::Key) => {
            "the account key is refused: is it the present one? Or the account's network rules forbid it"
        }
        ("AuthorizationFailure", Proof::Signature) => "the SAS is refused, or the account's network rules forbid it",
        ("AuthorizationFailure", _) => {
            "the account key or SAS that was handed out is refused, or the account's network rules forbid it"
        }
        _ => "access is denied",
    }
}

impl From<object_store::Error> for Trouble {
    /// Of signing, which is all that it does here.
    fn from(error: object_store::Error) -> Self {
        Self::Other { detail: deepest(&error).to_string() }
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn deepest<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    chain(error).last().unwrap_or(error)
}

/// The first line of `<name>…</name>`.
fn element(xml: &str, name: &str) -> String {
    let inside = xml.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    inside.and_then(|(text, _)| text.lines().next()).unwrap_or_default().to_owned()
}

#[cfg(test)]
#[path = "trouble_tests.rs"]
mod tests;
