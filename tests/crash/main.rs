//! What survives a death or a fault at any moment of a backup and a restore.
//!
//! Nothing here knows the steps of a job: a run that is left alone counts the moments before and after each write of the
//! ledger and each call of the store, and then every one of them is tried. A new write is covered without a new test.
//!
//! | module | what happens at the moment |
//! |---|---|
//! | `killed` | the process gets SIGKILL; another opens what it left |
//! | `scheduled` | the same, with a requested backup and one by schedule, which the next process finishes or cancels |
//! | `faulty_store` | the store fails, before or after it did what it was asked |
//! | `faulty_ledger` | the ledger fails, before or after it wrote |
//! | `panics` | our own code panics |
//! | `foreign` | somebody else writes to the same names |
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod app;
mod faulty_ledger;
mod faulty_store;
mod foreign;
mod killed;
mod panics;
mod scheduled;
mod script;
mod tree;
