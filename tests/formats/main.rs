//! The format of backups, held against what is checked in and against tools that nobody here wrote.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod golden;
mod state;
mod tools;
