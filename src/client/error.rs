//! Why the service did not do what it was asked to, in words that say what to do next.

use std::fmt;

use serde_json::Value;

use crate::domain::NameError;

/// Why a request led to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not the address of a service.
    #[error("'{given}' is not the address of a server ({why}): give one such as http://127.0.0.1:19080")]
    Address {
        /// As given.
        given: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No client could be made, for example for want of root certificates.
    #[error("no HTTP client could be made")]
    Client(#[source] reqwest::Error),
    /// Nobody listens there, or the connection broke.
    #[error("the server {server} cannot be reached; is it running, and is --server its address?")]
    Unreachable {
        /// Its address.
        server: String,
        /// What the connection said.
        #[source]
        source: reqwest::Error,
    },
    /// Something answered that does not speak our API.
    #[error("{server} answered {status} {what}; is --server the address of fabric-backup?")]
    Strange {
        /// Its address.
        server: String,
        /// The status of the answer.
        status: u16,
        /// What is strange about it.
        what: &'static str,
    },
    /// The service refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Neither a GUID nor a name.
    #[error("'{given}' is neither the GUID of a partition nor the name of a service such as fabric:/App/Service")]
    NoPartition {
        /// As given.
        given: String,
        /// Why it is no name.
        #[source]
        source: NameError,
    },
    /// The service's name does not say which partition.
    #[error("{service} has {}: give the GUID of one", several(partitions))]
    Several {
        /// The service.
        service: String,
        /// Its partitions and their keys.
        partitions: Vec<String>,
    },
    /// What was asked for is not there.
    #[error("{0}")]
    Nothing(String),
}

/// What the service answered instead: a code for programs and words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// One of the published codes.
    pub code: String,
    /// In the service's words.
    pub message: String,
}

impl Refusal {
    /// Reads `{"Code", "Message"}`; none if it has no code.
    pub(super) fn read(error: &Value) -> Option<Self> {
        let text = |name: &str| error[name].as_str().map(str::to_owned);
        Some(Self { code: text("Code")?, message: text("Message").unwrap_or_default() })
    }

    /// What whoever works with the command line can do about it, where the service's words do not say it.
    fn advice(&self) -> Option<&'static str> {
        Some(match self.code.as_str() {
            "FABRIC_E_PARTITION_NOT_FOUND" | "FABRIC_E_SERVICE_DOES_NOT_EXIST" | "FABRIC_E_APPLICATION_NOT_FOUND" => {
                "GET /Applications of the server, and the links below it, show what it serves"
            }
            "FABRIC_E_BACKUP_IN_PROGRESS" => "'fabric-backup progress' follows it, 'fabric-backup cancel' stops it",
            "FABRIC_E_RESTORE_IN_PROGRESS" => {
                "'fabric-backup progress --restore' follows it, 'fabric-backup cancel --restore' stops it"
            }
            "FABRIC_E_OPERATION_NOT_COMPLETE" => {
                "'fabric-backup progress --verify' follows it, 'fabric-backup cancel --verify' stops it"
            }
            "FABRIC_E_COMMUNICATION_ERROR" | "FABRIC_E_TIMEOUT" => "the storage did not answer the server; try again",
            "E_ACCESSDENIED" => "the storage refuses the credentials that the server has for it",
            "FABRIC_E_RESTORE_SAFE_CHECK_FAILED" => {
                "'fabric-backup list' shows the backups; --backup or --at takes another"
            }
            "E_FAIL" => "the log of the server says more",
            _ => return None,
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        self.advice().map_or(Ok(()), |advice| write!(f, " ({advice})"))
    }
}

fn several(partitions: &[String]) -> String {
    match partitions {
        [] => "no partition here".to_owned(),
        some => format!("{} partitions ({})", some.len(), some.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Refusal;

    #[test]
    fn a_refusal_shows_its_code_its_words_and_what_to_do() {
        let busy = json!({"Code": "FABRIC_E_BACKUP_IN_PROGRESS", "Message": "one is running"});
        let text = Refusal::read(&busy).unwrap().to_string();
        assert!(text.starts_with("FABRIC_E_BACKUP_IN_PROGRESS: one is running (") && text.contains("cancel"), "{text}");
        assert_eq!(Refusal::read(&json!({"Message": "what?"})), None);
    }

    #[test]
    fn a_code_that_came_later_is_shown_as_it_is() {
        let new = json!({"Code": "FABRIC_E_NEW", "Message": "hm"});
        assert_eq!(Refusal::read(&new).unwrap().to_string(), "FABRIC_E_NEW: hm");
    }
}
