//! A client of a running service: asks for jobs, follows them, and finds partitions and backups.
//!
//! Owns requests over HTTP and what their answers mean. Knows the service by its published API alone, so that it works
//! with one that is older or newer, and keeps what it does not know of an answer. Prints nothing; what a refusal means
//! to whoever called is said in words by [`ClientError`].

mod backups;
mod error;
mod events;
mod follow;
mod job;
mod partition;
mod progress;
mod request;

pub use backups::{Backup, Entity, Which, Within};
pub use error::{ClientError, Refusal};
pub use follow::Following;
pub use job::Kind;
pub use progress::{Progress, Stand};
pub use request::Client;
