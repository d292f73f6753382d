use std::{error::Error, fmt, sync::Arc};

use crate::domain::FailureCode;

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The object, or the container or directory that should hold it, is not there.
    NotFound,
    /// The key is taken; nothing was written.
    AlreadyExists,
    /// The store knows us and says no, or does not know us.
    AccessDenied,
    /// No answer, or only that the store is busy: the same call may succeed later.
    Unreachable,
    /// No room is left.
    Full,
    /// The store cannot hold what was given.
    Invalid,
    /// It has lost what it had taken of an upload: another upload may succeed.
    Vanished,
    /// Anything else.
    Other,
}

/// One call that failed: the store, what was tried on which key, and why, in words a person can act on.
///
/// Holds no secret in any of its texts; its cause is the [`source`](Error::source) and not repeated in the message.
#[derive(Debug)]
pub struct StorageError {
    kind: ErrorKind,
    store: Arc<str>,
    operation: &'static str,
    key: String,
    reason: String,
    store_missing: bool,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StorageError {
    pub(super) fn new(kind: ErrorKind, store: &str, operation: &'static str, key: &str) -> Self {
        let reason = usual_reason(kind).to_owned();
        Self { kind, store: store.into(), operation, key: key.to_owned(), reason, store_missing: false, source: None }
    }

    pub(super) fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    pub(super) fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(super) fn store_is_missing(mut self) -> Self {
        self.store_missing = true;
        self
    }

    /// What a caller can decide by.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What it is for the record of a job and for a caller of the API.
    pub fn code(&self) -> FailureCode {
        match self.kind {
            ErrorKind::NotFound => FailureCode::NotFound,
            ErrorKind::AccessDenied => FailureCode::AccessDenied,
            ErrorKind::Unreachable => FailureCode::Unreachable,
            ErrorKind::Invalid => FailureCode::InvalidArgument,
            ErrorKind::AlreadyExists | ErrorKind::Full | ErrorKind::Vanished | ErrorKind::Other => FailureCode::Other,
        }
    }

    /// Whether `NotFound` speaks of the whole container or directory rather than of one object.
    pub fn is_store_missing(&self) -> bool {
        self.store_missing
    }

    /// The key, or the prefix of a listing.
    pub fn key(&self) -> &str {
        &self.key
    }
}

fn usual_reason(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "it is not there",
        ErrorKind::AlreadyExists => "that name is already taken",
        ErrorKind::AccessDenied => "access is denied",
        ErrorKind::Unreachable => "the store cannot be reached",
        ErrorKind::Full => "no space is left",
        ErrorKind::Invalid => "the store cannot hold it",
        ErrorKind::Vanished => "what was written so far is gone from the store",
        ErrorKind::Other => "it failed",
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, operation, key, reason, .. } = self;
        write!(f, "{store}: cannot {operation} '{key}': {reason}")
    }
}

impl Error for StorageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
