//! What the service or the network said, in our words.
//!
//! Keeps the status, the service's error code and the first line of its message. It drops everything else, because a
//! URL can hold a SAS and the details of a 403 repeat what was signed.

use std::error::Error;

use object_store::client::HttpError;

use super::{ErrorKind, StorageError, requests::Answer};

#[derive(Debug)]
pub(super) enum Trouble {
    /// The service answered, with an error.
    Refused { status: u16, code: String, detail: String },
    /// No answer came: the request may or may not have been carried out.
    Lost { detail: String },
    /// Somebody else's blob has that name.
    Taken,
    /// The container is missing, and this happened when it was to be made.
    NoContainer(Box<Trouble>),
    /// Anything else.
    Other { detail: String },
}

/// The cause of a [`StorageError`], without secrets.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cause(String);

impl Trouble {
    pub(super) fn lost(error: &HttpError) -> Self {
        Self::Lost { detail: deepest(error).to_string() }
    }

    pub(super) fn refused(answer: &Answer) -> Self {
        let body = String::from_utf8_lossy(answer.body());
        let header = answer.headers().get("x-ms-error-code").and_then(|code| code.to_str().ok()).map(str::to_owned);
        let code = header.unwrap_or_else(|| element(&body, "Code"));
        Self::Refused { status: answer.status().as_u16(), code, detail: element(&body, "Message") }
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

    /// Azure answers 416; Azurite answers something that `object_store` does not accept.
    pub(super) fn may_be_past_the_end(&self) -> bool {
        self.has_status(416) || matches!(self, Self::Other { .. })
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// Another blob, or our own first attempt, has the name. Its commit also drops the blocks of the other uploads.
    pub(super) fn is_conflict(&self) -> bool {
        ["BlobAlreadyExists", "ConditionNotMet", "InvalidBlockList"].iter().any(|code| self.has_code(code))
    }

    /// The same request may succeed a moment later.
    pub(super) fn may_pass(&self) -> bool {
        self.kind() == ErrorKind::Unreachable
    }

    fn has_status(&self, wanted: u16) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == wanted)
    }

    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { code, .. } if code == "ContainerBeingDeleted" => ErrorKind::Unreachable,
            Self::Refused { status, .. } => kind_of(*status),
            Self::Lost { .. } => ErrorKind::Unreachable,
            Self::Taken => ErrorKind::AlreadyExists,
            Self::NoContainer(inner) => inner.kind(),
            Self::Other { .. } => ErrorKind::Other,
        }
    }

    /// Adds reason and cause to an error that names store, operation and key.
    pub(super) fn into_error(self, error: StorageError, container: &str) -> StorageError {
        match self {
            Self::Refused { status, code, detail } => {
                let missing = code == "ContainerNotFound";
                let reason = format!("status {status} {code}: {}", advice(status, &code, container));
                let error = if missing { error.store_is_missing() } else { error };
                error.because(reason).caused_by(Cause(detail))
            }
            Self::Lost { detail } | Self::Other { detail } => error.caused_by(Cause(detail)),
            Self::Taken => error,
            Self::NoContainer(inner) => not_made(*inner, error, container),
        }
    }
}

fn not_made(inner: Trouble, error: StorageError, container: &str) -> StorageError {
    let why = match &inner {
        Trouble::Refused { status, code, .. } => {
            format!("status {status} {code}: {}", advice(*status, code, container))
        }
        _ => "no answer".to_owned(),
    };
    let reason = format!("container {container} does not exist and could not be made: {why}");
    inner.into_error(error, container).because(reason)
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

fn advice(status: u16, code: &str, container: &str) -> String {
    let fixed = match (status, code) {
        (_, "ContainerNotFound") => return format!("container {container} does not exist"),
        (_, "ContainerBeingDeleted") => return format!("container {container} is being deleted; try again later"),
        (_, "AuthenticationFailed" | "InvalidAuthenticationInfo") => "the account key or SAS is refused",
        (
            _,
            "AuthorizationPermissionMismatch" | "AuthorizationResourceTypeMismatch" | "AuthorizationServiceMismatch",
        ) => "the SAS does not allow this; it must allow to read, list, create, write and delete",
        (_, "AuthorizationSourceIPMismatch" | "AuthorizationProtocolMismatch") => {
            "the SAS does not allow this address or protocol"
        }
        (_, "AuthorizationFailure") => "the account key or SAS is refused, or the account's network rules forbid it",
        (_, "AccountIsDisabled") => "the account is disabled",
        (401 | 403, _) => "access is denied",
        (404, _) => "it is not there",
        (409 | 412, _) => "that name is already taken",
        (408 | 429 | 500..=504, _) => "the service is busy or failing; try again later",
        _ => "the service refused the request",
    };
    fixed.to_owned()
}

impl From<object_store::Error> for Trouble {
    fn from(error: object_store::Error) -> Self {
        chain(&error).find_map(status_in).or_else(|| lost_in(&error)).unwrap_or_else(|| {
            let what = if matches!(error, object_store::Error::Generic { .. }) { deepest(&error) } else { &error };
            Self::Other { detail: what.to_string() }
        })
    }
}

/// The status is only in the text: the error that holds it as a number is private to `object_store`.
fn status_in(error: &(dyn Error + 'static)) -> Option<Trouble> {
    let text = error.to_string();
    let (_, rest) = text.split_once("status code: ")?;
    let status = rest.get(..3)?.parse().ok()?;
    Some(Trouble::Refused { status, code: element(rest, "Code"), detail: element(rest, "Message") })
}

fn lost_in(error: &object_store::Error) -> Option<Trouble> {
    chain(error).find_map(|error| error.downcast_ref()).map(Trouble::lost)
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
