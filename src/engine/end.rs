//! How a job ends without a result, and how errors become words for the progress.

use std::error::Error;

use crate::{
    domain::{Failure, FailureCode},
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

/// More than this of a message nobody reads; a path alone can have 64 KiB.
const LONGEST: usize = 2000;

/// An error and its causes in one line, outermost first. Of one that is too long, the beginning and the end.
pub(super) fn words(error: &dyn Error) -> String {
    let text = causes(error);
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= LONGEST {
        return text;
    }
    let (start, end) = (&letters[..LONGEST / 2], &letters[letters.len() - LONGEST / 2..]);
    start.iter().chain(&[' ', '…', ' ']).chain(end).collect()
}

fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Moves a job on. An event that its state does not allow is a defect; it is logged and the job stays as it is, which is
/// the safe side: nothing final is ever taken back.
pub(super) fn apply<T, O>(job: &mut Job<T, O>, event: Event<O>) {
    if let Err(illegal) = job.apply(event) {
        tracing::error!(job = %job.id, %illegal, "a job was moved against its table");
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{LONGEST, words};

    #[derive(Debug, thiserror::Error)]
    #[error("outside")]
    struct Outer(#[source] io::Error);

    #[test]
    fn causes_follow_the_error_that_they_caused() {
        assert_eq!(words(&Outer(io::Error::other("inside"))), "outside: inside");
    }

    #[test]
    fn a_message_that_nobody_could_read_keeps_its_beginning_and_its_end() {
        let text = words(&Outer(io::Error::other(format!("{}the end", "ä".repeat(90_000)))));
        assert!(text.starts_with("outside: ä") && text.ends_with("the end"));
        assert_eq!(text.chars().count(), LONGEST + 3);
    }
}
