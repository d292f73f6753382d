//! The composition root: reads the command line and the configuration, starts telemetry, wires the floors together.
//!
//! It is the only module that knows all the others, and nothing below may import it. It decides nothing about backups:
//! what a configuration means is turned into [`Settings`] once, and the floors below are handed plain values.

mod announce;
pub mod cli;
mod config;
mod quickstart;
mod serve;
mod settings;
mod telemetry;

pub use settings::{HostedPartition, Settings, SourceSettings};
