//! How a job stands, as the service tells it: an older one tells less, a newer one more.

use std::fmt;

use serde_json::Value;

use super::{error::Refusal, job::Kind};

/// What the service said of a job. Kept as it came, so that nothing of it is lost on the way to who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Which job.
    pub kind: Kind,
    /// Every word of it: an object, or null where there is nothing to tell.
    pub told: Value,
}

/// Where a job is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stand {
    /// None was ever asked for.
    Never,
    /// It waits for its turn.
    Waiting,
    /// It works.
    Running,
    /// It did what it was asked to.
    Done,
    /// It ended otherwise.
    Ended(Refusal),
}

impl Progress {
    /// Where the job is.
    pub fn stand(&self) -> Stand {
        match self.told[self.kind.state()].as_str() {
            None | Some("Invalid") => Stand::Never,
            Some("Accepted") => Stand::Waiting,
            Some("Success") => Stand::Done,
            Some(state @ ("Failure" | "Timeout")) => Stand::Ended(self.why(state)),
            // A stage that came later is still no end.
            Some(_) => Stand::Running,
        }
    }

    /// Whether nothing will change any more.
    pub fn is_over(&self) -> bool {
        matches!(self.stand(), Stand::Never | Stand::Done | Stand::Ended(_))
    }

    /// A text of the service's, if it said it.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.told[name].as_str().filter(|text| !text.is_empty())
    }

    /// A number of the service's, if it said it: those of 64 bits come as texts.
    pub fn number(&self, name: &str) -> Option<u64> {
        let value = &self.told[name];
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    fn why(&self, state: &str) -> Refusal {
        let told = Refusal::read(&self.told["FailureError"]);
        told.unwrap_or_else(|| Refusal { code: state.to_owned(), message: "the server says no more".to_owned() })
    }
}

impl fmt::Display for Stand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never asked for"),
            Self::Waiting => f.write_str("waiting"),
            Self::Running => f.write_str("running"),
            Self::Done => f.write_str("complete"),
            Self::Ended(why) => write!(f, "failed: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Kind, Progress, Stand};

    fn restore(told: Value) -> Progress {
        Progress { kind: Kind::Restore, told }
    }

    #[test]
    fn the_states_of_the_service_are_understood() {
        let stand = |state: &str| restore(json!({ "RestoreState": state })).stand();
        assert_eq!(stand("Accepted"), Stand::Waiting);
        assert_eq!(stand("RestoreInProgress"), Stand::Running);
        assert_eq!(stand("Success"), Stand::Done);
        assert_eq!(stand("Invalid"), Stand::Never);
        assert!(matches!(stand("Timeout"), Stand::Ended(why) if why.code == "Timeout"));
        assert_eq!(restore(Value::Null).stand(), Stand::Never);
    }

    #[test]
    fn what_a_failed_job_says_is_why_it_failed() {
        let told = json!({"RestoreState": "Failure", "FailureError": {"Code": "E_ABORT", "Message": "stopped"}});
        let progress = restore(told);
        assert!(progress.is_over());
        assert!(
            matches!(progress.stand(), Stand::Ended(why) if (why.code.as_str(), why.message.as_str()) == ("E_ABORT", "stopped"))
        );
    }

    #[test]
    fn numbers_are_read_as_texts_too_and_may_be_missing() {
        let progress = restore(json!({"BytesTotal": "18446744073709551615", "FilesTotal": 3, "BytesProcessed": null}));
        assert_eq!(progress.number("BytesTotal"), Some(u64::MAX));
        assert_eq!(progress.number("FilesTotal"), Some(3));
        assert_eq!((progress.number("BytesProcessed"), progress.number("BytesStored")), (None, None));
    }
}
