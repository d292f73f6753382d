//! Logs: readable lines on a terminal, JSON otherwise, always on standard error.
//!
//! Standard output belongs to what the program was asked to print.

use std::{
    io::{self, IsTerminal},
    panic,
};

use tracing_subscriber::{EnvFilter, filter::FromEnvError, filter::LevelFilter, fmt};

/// The SMB client writes every message to its log, what it holds included. Nobody means that by `RUST_LOG=trace`.
const QUIET: [&str; 3] = ["smb=off", "smb_transport=off", "sspi=off"];

/// Starts logging; `RUST_LOG` says what, `info` by default.
pub(super) fn start() -> Result<(), FromEnvError> {
    let mut filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env()?;
    for directive in QUIET {
        filter = filter.add_directive(directive.parse()?);
    }
    // It would tell of a failed write on the same standard error, and panic when that fails too.
    let logs = fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    if io::stderr().is_terminal() {
        logs.init();
    } else {
        logs.json().flatten_event(true).init();
    }
    panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        tracing::error!(panic = panic.payload_as_str(), at, "a defect: a thread panicked");
    }));
    Ok(())
}
