//! `serve`: from the options to a service that listens.

use std::{
    fs, iter,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;

use super::exit::CliError;
use crate::{
    app::{
        config::{self, Overrides},
        quickstart, serve,
        settings::{DEFAULT_DATA_DIR, Settings},
        telemetry,
    },
    domain::words,
    storage::Rates,
};

/// What can be said of serving.
#[derive(Clone, Args)]
pub(super) struct Options {
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

/// Serves until told to stop.
pub(super) fn serve(options: Options) -> Result<(), CliError> {
    telemetry::start().map_err(CliError::LogFilter)?;
    allow_many_files();
    let quickstart = options.config.is_none();
    let again = options.clone();
    let settings = settings(options)?;
    let runtime = tokio::runtime::Runtime::new().map_err(CliError::Runtime)?;
    let served = runtime.block_on(async {
        let listen = settings.listen;
        let listener = TcpListener::bind(listen).await.map_err(|source| CliError::Listen { listen, source })?;
        create_directories(&settings)?;
        if quickstart {
            quickstart::prepare(&settings)?;
        }
        Ok(serve::run(settings, listener, move || rates(&again)).await?)
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

fn settings(options: Options) -> Result<Settings, CliError> {
    let Options { config, listen, data_dir } = options;
    if let Some(file) = config {
        return Ok(config::load(&file, Overrides { listen, data_dir })?);
    }
    let path = data_dir.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR));
    let path = absolute(&path).map_err(|source| CliError::Directory { path, source })?;
    Ok(quickstart::settings(path, listen))
}

/// The bounds of the stores as the configuration says them now; none without one, and if it cannot be used.
fn rates(options: &Options) -> Option<Rates> {
    options.config.as_ref()?;
    let read = settings(options.clone()).inspect_err(|error| {
        tracing::error!(reason = words(error), "the configuration cannot be read anew; nothing is changed");
    });
    read.ok().map(|settings| settings.file_share.rates)
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
