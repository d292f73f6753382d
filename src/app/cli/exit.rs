//! What the exit code says.
//!
//! 0: done, or stopped as asked. 1: it was begun and failed. 2: the command line, `RUST_LOG` or the configuration cannot be
//! used, and nothing was started or created. 3: the server or the storage cannot be reached. 4: it was refused, or is not
//! there. 130: Ctrl-C while waiting; the job goes on.

use std::{
    error::Error,
    io::{self, Write},
    iter,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use tracing_subscriber::filter::FromEnvError;
use uuid::Uuid;

use super::{extract::ExtractFailure, store::StoreError};
use crate::{
    app::{config::ConfigError, quickstart::QuickstartError, serve::ServeError},
    client::{ClientError, Kind, Refusal},
    domain::FailureCode,
};

/// For the end of every help text.
pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 done or stopped as asked, 1 failed, 2 command line or configuration cannot be used, \
3 server or storage cannot be reached, 4 refused or not there, 130 stopped waiting with Ctrl-C.";

/// Why the program ends with another code than 0.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    // No `#[source]`: the text of this error repeats its own causes.
    #[error("RUST_LOG cannot be used: {0}")]
    LogFilter(FromEnvError),
    #[error("cannot listen on {listen}; another program may listen there already, --listen chooses another address")]
    Listen { listen: SocketAddr, source: io::Error },
    #[error("cannot create the directory '{}'", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Quickstart(#[from] QuickstartError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the {} of partition {partition} failed: {why}", kind.word())]
    Job { kind: Kind, partition: Uuid, why: Refusal },
    #[error("partition {partition} has no {} to tell of: none was ever asked for", kind.word())]
    Never { kind: Kind, partition: Uuid },
    #[error(
        "not waiting any more; the {word} of partition {partition} goes on: 'fabric-backup progress {partition}{option} \
         --follow' shows it, 'fabric-backup cancel {partition}{option}' stops it",
        word = kind.word(), option = option(*kind)
    )]
    Detached { kind: Kind, partition: Uuid },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Extract(#[from] ExtractFailure),
}

/// How the commands say which kind of job is meant.
fn option(kind: Kind) -> &'static str {
    match kind {
        Kind::Backup => "",
        Kind::Restore => " --restore",
        Kind::Verify => " --verify",
    }
}

const FAILED: u8 = 1;
const UNUSABLE: u8 = 2;
const UNREACHABLE: u8 = 3;
const REFUSED: u8 = 4;
const INTERRUPTED: u8 = 130;

impl CliError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::LogFilter(_) => UNUSABLE,
            Self::Listen { .. }
            | Self::Directory { .. }
            | Self::Quickstart(_)
            | Self::Serve(_)
            | Self::Runtime(_)
            | Self::Output(_)
            | Self::Job { .. } => FAILED,
            Self::Never { .. } => REFUSED,
            Self::Detached { .. } => INTERRUPTED,
            Self::Client(error) => of_client(error),
            Self::Store(error) => of_failure(error.code()),
            Self::Extract(error) => of_failure(error.code()),
        }
    }
}

fn of_client(error: &ClientError) -> u8 {
    match error {
        ClientError::Address { .. } | ClientError::NoPartition { .. } | ClientError::Several { .. } => UNUSABLE,
        ClientError::Client(_) => FAILED,
        ClientError::Unreachable { .. } | ClientError::Strange { .. } => UNREACHABLE,
        ClientError::Refused(_) | ClientError::Nothing(_) => REFUSED,
    }
}

fn of_failure(code: FailureCode) -> u8 {
    match code {
        FailureCode::InvalidArgument => UNUSABLE,
        FailureCode::Unreachable | FailureCode::Timeout => UNREACHABLE,
        FailureCode::NotFound | FailureCode::AccessDenied | FailureCode::NotBuilt => REFUSED,
        FailureCode::Damaged | FailureCode::Other => FAILED,
        FailureCode::Aborted => INTERRUPTED,
    }
}

/// Says why on standard error, with all causes.
pub(super) fn fail(error: &CliError) -> ExitCode {
    let causes = iter::successors(Some(error as &dyn Error), |error| (*error).source());
    let chain: Vec<String> = causes.map(ToString::to_string).collect();
    // When standard error is gone too, the exit code is all that is left to say it with.
    let _ = writeln!(io::stderr(), "fabric-backup: {}", chain.join(": "));
    ExitCode::from(error.exit_code())
}
