//! How a job ends without a result, and how errors become words for the progress.

use std::error::Error;

use super::record::Withdrawn;
use crate::{
    domain::{Failure, FailureCode, words},
    ledger::LedgerError,
    source::SourceError,
};

/// Why the work on a job stopped.
#[derive(Debug)]
pub(super) enum End {
    /// It cannot be done.
    Failed(Failure),
    /// By schedule, and there is nothing to back up where a state was seen before. Has been noted as a loss of data.
    Lost(Failure),
    /// Its deadline passed, while something was waited for if this says what.
    Expired(Option<String>),
    /// Somebody cancelled it, or ended it already.
    Withdrawn,
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

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Withdrawn> for End {
    fn from(_: Withdrawn) -> Self {
        Self::Withdrawn
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
        SourceError::Unswappable { .. } | SourceError::Busy { .. } | SourceError::List(_) | SourceError::Io { .. } => {
            FailureCode::Other
        }
    };
    End::Failed(Failure::new(code, words(whole)))
}
