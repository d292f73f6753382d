//! What policies mean: which one covers a partition, when its next backup is due, and what may be deleted.
//!
//! Owns the rules and their reasons. Pure: it is handed what is enabled, what is known of runs and backups, and the time;
//! it neither stores nor deletes anything. The same arguments always give the same answer, so that a plan that was cut
//! short is simply made again.

mod cleaning;
mod configuration;
mod effective;
mod retention;
mod schedule;

pub use cleaning::cleaned;
pub use configuration::{Configuration, configuration};
pub use effective::{Effective, effective, is_enabled_within, since, suspension};
pub use retention::{Action, Held, Hold, Plan, Verdict, retention};
pub use schedule::{Due, WhyDue, correct, due, failed, started, succeeded};

#[cfg(test)]
#[path = "policy/coverage_tests.rs"]
mod coverage_tests;

#[cfg(test)]
#[path = "policy/model_tests.rs"]
mod model_tests;
