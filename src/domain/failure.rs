use serde::{Deserialize, Serialize};

/// How a job ended that did not succeed: a code for programs and words for people.
///
/// The words say which path, store or status was the reason and what can be done. They hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For programs.
    pub code: FailureCode,
    /// For people.
    pub message: String,
}

impl Failure {
    /// A failure with its reason in words.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The kinds of failure that a caller can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureCode {
    /// Something given was wrong: a storage that cannot exist, a location that is no backup.
    InvalidArgument,
    /// This version cannot do it yet.
    NotBuilt,
    /// The storage or the state refused this process.
    AccessDenied,
    /// A file or an object that must be there is not.
    NotFound,
    /// The deadline passed.
    Timeout,
    /// The storage cannot be reached.
    Unreachable,
    /// A backup's bytes are not what was written.
    Damaged,
    /// The work was given up on purpose.
    Aborted,
    /// Anything else.
    Other,
}
