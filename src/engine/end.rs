//! How a job ends without a result, and how errors become words for the progress.

use std::error::Error;

use crate::{
    domain::{Failure, FailureCode, words},
    job::{Event, Job},
    ledger::LedgerError,
    source::SourceError,
};

/// Why the work on a job stopped.
#[derive(Debug)]
pub(super) enum End {
    /// It cannot be done.
    Failed(Failure),
    /// Its deadline passed.
    Expired,
    /// The state changed while it was read, or somebody took the name; a new attempt may fare better.
    Changed(Failure),
    /// The ledger failed, so the end cannot be written down either. The next activation tries again.
    Ledger(LedgerError),
}

impl End {
    pub(super) fn failed(code: FailureCode, error: &dyn Error) -> Self {
        Self::Failed(Failure::new(code, words(error)))
    }
}

impl From<LedgerError> for End {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<SourceError> for End {
    fn from(error: SourceError) -> Self {
        source_failed(&error, &error)
    }
}

/// What a [`SourceError`] means for the job. `whole` is the error that holds it, which knows more to say.
pub(super) fn source_failed(error: &SourceError, whole: &dyn Error) -> End {
    let code = match error {
        SourceError::Changed { .. } => return End::Changed(Failure::new(FailureCode::Other, words(whole))),
        SourceError::Root { .. } => FailureCode::NotFound,
        SourceError::Denied { .. } => FailureCode::AccessDenied,
        SourceError::NotUtf8 { .. } => FailureCode::InvalidArgument,
        SourceError::Refused { .. } => FailureCode::Damaged,
        SourceError::Unswappable { .. } | SourceError::Busy { .. } | SourceError::Io { .. } => FailureCode::Other,
    };
    End::Failed(Failure::new(code, words(whole)))
}

/// Moves a job on. An event that its state does not allow is a defect; it is logged and the job stays as it is, which is
/// the safe side: nothing final is ever taken back.
pub(super) fn apply<T, O>(job: &mut Job<T, O>, event: Event<O>) {
    if let Err(illegal) = job.apply(event) {
        tracing::error!(job = %job.id, %illegal, "a job was moved against its table");
    }
}
