//! The command line: what can be asked for, and what the exit code then says.
//!
//! 0: done, or stopped as asked. 1: it failed while running. 2: the command line, `RUST_LOG` or the configuration
//! cannot be used, and nothing was started or created.

use std::{
    error::Error,
    fs, io,
    io::Write,
    iter,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf, absolute},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tracing_subscriber::filter::FromEnvError;

use super::{
    config::{self, ConfigError, Overrides},
    quickstart::{self, QuickstartError},
    serve::{self, ServeError},
    settings::{DEFAULT_DATA_DIR, Settings},
    telemetry,
};

const EXIT_CODES: &str = "Exit codes: 0 done or stopped as asked, 1 failed while running, \
                          2 command line or configuration cannot be used.";

/// Consistent, verified backups of stateful partitions behind Service Fabric's Backup Restore REST API.
#[derive(Parser)]
#[command(version, after_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeOptions,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API; what happens too when no command is given.
    #[command(after_help = EXIT_CODES)]
    Serve(ServeOptions),
    /// Print the JSON Schema of the configuration file.
    ConfigSchema,
    /// Print the document that `/openapi.json` serves.
    Openapi,
}

#[derive(Args)]
struct ServeOptions {
    /// Configuration file; without one a quickstart application with real records is served.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on, before what the configuration says [default: 127.0.0.1:19080].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Data directory, before what the configuration says [default: ./fabric-backup-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// How long threads that still read or write may take once everything else has ended.
const LAST_GRACE: Duration = Duration::from_secs(5);

/// Why the program ends with another code than 0.
#[derive(Debug, thiserror::Error)]
enum CliError {
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
}

impl CliError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::LogFilter(_) => ExitCode::from(2),
            Self::Listen { .. }
            | Self::Directory { .. }
            | Self::Quickstart(_)
            | Self::Serve(_)
            | Self::Runtime(_)
            | Self::Output(_) => ExitCode::FAILURE,
        }
    }
}

/// Does what the command line asks for.
pub fn run() -> ExitCode {
    let line = CommandLine::parse();
    let done = match line.command {
        None => serve(line.serve),
        Some(Command::Serve(options)) => serve(options),
        Some(Command::ConfigSchema) => print(&format!("{:#}", config::schema().as_value())),
        Some(Command::Openapi) => serve::openapi().map_err(CliError::from).and_then(|document| print(&document)),
    };
    done.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS)
}

fn fail(error: &CliError) -> ExitCode {
    let causes = iter::successors(Some(error as &dyn Error), |error| (*error).source());
    let chain: Vec<String> = causes.map(ToString::to_string).collect();
    // When standard error is gone too, the exit code is all that is left to say it with.
    let _ = writeln!(io::stderr(), "fabric-backup: {}", chain.join(": "));
    error.exit_code()
}

fn print(text: &str) -> Result<(), CliError> {
    writeln!(io::stdout(), "{text}").map_err(CliError::Output)
}

fn serve(options: ServeOptions) -> Result<(), CliError> {
    telemetry::start().map_err(CliError::LogFilter)?;
    allow_many_files();
    let quickstart = options.config.is_none();
    let settings = settings(options)?;
    let runtime = tokio::runtime::Runtime::new().map_err(CliError::Runtime)?;
    let served = runtime.block_on(async {
        let listen = settings.listen;
        let listener = TcpListener::bind(listen).await.map_err(|source| CliError::Listen { listen, source })?;
        create_directories(&settings)?;
        if quickstart {
            quickstart::prepare(&settings)?;
        }
        Ok(serve::run(settings, listener).await?)
    });
    // A thread that is stuck in a file system must not keep the process.
    runtime.shutdown_timeout(LAST_GRACE);
    served
}

/// Every connection and every open file counts against a soft limit that is low by tradition; the hard one is meant.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

fn settings(options: ServeOptions) -> Result<Settings, CliError> {
    let ServeOptions { config, listen, data_dir } = options;
    if let Some(file) = config {
        return Ok(config::load(&file, Overrides { listen, data_dir })?);
    }
    let path = data_dir.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR));
    let path = absolute(&path).map_err(|source| CliError::Directory { path, source })?;
    Ok(quickstart::settings(path, listen))
}

/// Only this user may read what the data directory holds.
fn create_directories(settings: &Settings) -> Result<(), CliError> {
    let own = iter::once(&settings.data_dir).chain(&settings.file_share.share_roots);
    own.map(PathBuf::as_path).try_for_each(|path: &Path| {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).map_err(|source| CliError::Directory { path: path.to_owned(), source })
    })
}
