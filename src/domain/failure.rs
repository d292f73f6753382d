use std::error::Error;

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

/// More than this of a message nobody reads; a path alone can have 64 KiB.
const LONGEST: usize = 2000;

/// An error and its causes in one line, outermost first. Of one that is too long, the beginning and the end.
pub fn words(error: &dyn Error) -> String {
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
