//! `extract`: restores a backup from a storage alone, into a directory that is new or empty.
//!
//! The tree grows beside the directory and takes its place when every block was verified and all is on disk. Whatever goes
//! wrong before, and Ctrl-C too, leaves nothing.

use std::{
    fs, io,
    path::{self, Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use clap::Args;
use indicatif::{BinaryBytes, ProgressBar};
use serde_json::json;
use tokio::{runtime::Runtime, signal::ctrl_c, task::spawn_blocking};

use super::{
    exit::CliError,
    screen::{advance, bar, is_read_by_program, note, print},
    store::{Store, StoreArgs, folder},
    times,
};
use crate::{
    archive::{Archive, ExtractError, Filter, ReadError, Scope, Sink, SinkFile, parse_location},
    clock::Clock,
    domain::{Entry, FailureCode, Location, words},
    source::{FileSink, Sealed, Source, SourceError, Staging},
    spool::Spools,
    storage::Storage,
};

pub(super) const HELP: &str = r"Examples:
  fabric-backup list-store /srv/backups
  fabric-backup extract /srv/backups 'CalcApp\CalcService\1daae3f5-7fd6-42e9-b1ba-8c05f873994d\2026-03-04 12.05.09.zip' ./restored
  fabric-backup extract /srv/backups CalcApp/CalcService/1daae3f5-7fd6-42e9-b1ba-8c05f873994d --latest ./restored
  fabric-backup extract azure:calc-backups CalcApp/CalcService/1daae3f5-7fd6-42e9-b1ba-8c05f873994d --at '2026-03-04 12:00:00' ./restored

The directory appears when it is complete: every block was verified, and all is on disk.

Exit codes: 0 complete; 1 the backup is damaged, or the disk failed; 2 the command line cannot be used, or DEST is not empty; 3 the storage cannot be reached; 4 it refused, or there is no such backup; 130 stopped with Ctrl-C.";

/// `extract`.
#[derive(Args)]
pub(super) struct Extract {
    #[command(flatten)]
    store: StoreArgs,
    /// Location of the backup, as the API and list-store show it or with slashes; with --latest or --at the folder of a
    /// partition.
    location: String,
    /// Directory to make; it must not exist, or be empty.
    dest: PathBuf,
    #[command(flatten)]
    chosen: Chosen,
    /// Print the result as a line of JSON, as happens anyway when the output is no terminal.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[group(multiple = false)]
struct Chosen {
    /// The newest backup in the folder.
    #[arg(long)]
    latest: bool,
    /// The newest backup in the folder that was not taken after this time, such as 2026-03-04T12:05:09Z; a time without a
    /// zone is in UTC.
    #[arg(long, value_name = "TIME", value_parser = times::time)]
    at: Option<DateTime<Utc>>,
}

/// Why nothing was extracted.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExtractFailure {
    /// There is something already.
    #[error("'{}' cannot be made: {why}", path.display())]
    Dest {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It cannot be looked at.
    #[error("'{}' cannot be looked at", path.display())]
    Unseen {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No backup is in the folder.
    #[error("there is no backup {when}in '{folder}'; 'fabric-backup list-store' shows those there are")]
    Nothing {
        /// Up to which time.
        when: String,
        /// Where it was looked for.
        folder: String,
    },
    /// Several partitions are in the folder.
    #[error("'{0}' holds backups of several partitions: give the folder of one, App/Service/partition id")]
    Several(String),
    /// The newest one cannot be used. An older one is not taken in silence.
    #[error("the newest backup there cannot be used; give the location of another one, or --at an earlier time")]
    Newest(#[source] ReadError),
    /// The backup cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be brought back whole.
    #[error(transparent)]
    Extract(#[from] ExtractError<SourceError>),
    /// The tree could not be put in place.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Ctrl-C.
    #[error("stopped; nothing is left of it")]
    Stopped,
}

impl Extract {
    pub(super) fn run(self) -> Result<(), CliError> {
        let dest = destination(&self.dest)?;
        let source = Source::directory(&dest);
        let runtime = Runtime::new().map_err(CliError::Runtime)?;
        let done = runtime.block_on(self.extract(&source, &dest));
        // Threads that still hold the tree drop it; only then nothing of it is left to be tidied up.
        drop(runtime);
        if let Err(error) = source.tidy() {
            note(format_args!(
                "fabric-backup: what is beside '{}' cannot be removed: {}",
                dest.display(),
                words(&error)
            ));
        }
        done
    }

    async fn extract(&self, source: &Source, dest: &Path) -> Result<(), CliError> {
        let (archive, sealed) = tokio::select! {
            sealed = self.seal(source, dest) => sealed?,
            Ok(()) = ctrl_c() => return Err(ExtractFailure::Stopped.into()),
        };
        sealed.land().map_err(ExtractFailure::from)?;
        self.tell(&archive, dest)
    }

    /// The whole tree, verified and durable, beside the place where it will lie.
    async fn seal(&self, source: &Source, dest: &Path) -> Result<(Archive, Sealed), CliError> {
        let store = self.store.open()?;
        let location = self.chosen.location(&store, &self.location).await?;
        // Where the tree will be there is room for what the manifest takes.
        let spools = Spools::in_directory(dest.parent().unwrap_or(dest));
        let archive = open(&store.storage().await?, &location, &spools).await?;
        let staging = source.stage(Clock::system().uuid()).map_err(ExtractFailure::from)?;
        let bar = bar("extracting", self.json);
        let tree = Tree { staging, bar, total: archive.content().plain_bytes };
        // The bar stands until all is on disk.
        let Tree { staging, bar, .. } = archive.extract(tree, Arc::default()).await.map_err(ExtractFailure::from)?;
        let sealing = spawn_blocking(move || staging.seal()).await;
        bar.finish_and_clear();
        let sealed = sealing.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        Ok((archive, sealed.map_err(ExtractFailure::from)?))
    }

    fn tell(&self, archive: &Archive, dest: &Path) -> Result<(), CliError> {
        let (point, content) = (archive.point(), archive.content());
        if is_read_by_program(self.json) {
            return print(json!({
                "BackupId": point.id,
                "BackupLocation": point.location.0,
                "CreationTimeUtc": point.created,
                "Destination": dest.display().to_string(),
                "FilesTotal": content.files.to_string(),
                "BytesTotal": content.plain_bytes.to_string(),
            }));
        }
        let (files, bytes) = (content.files, BinaryBytes(content.plain_bytes));
        print(format_args!("'{}' holds backup '{}': {files} files, {bytes}", dest.display(), point.location))
    }
}

impl Chosen {
    async fn location(&self, store: &Store, given: &str) -> Result<Location, CliError> {
        if !self.latest && self.at.is_none() {
            return Ok(parse_location(given).map_err(ReadError::from).map_err(ExtractFailure::from)?);
        }
        let location = self.newest(store, given).await?;
        note(format_args!("extracting backup '{location}'"));
        Ok(location)
    }

    async fn newest(&self, store: &Store, given: &str) -> Result<Location, CliError> {
        let filter = Filter { end: self.at, latest: true, ..Filter::default() };
        let mut found = store.list(&Scope::Below(folder(given)), &filter).await?;
        let newest =
            found.pop().ok_or_else(|| ExtractFailure::Nothing { when: self.when(), folder: given.to_owned() })?;
        if !found.is_empty() {
            return Err(ExtractFailure::Several(given.to_owned()).into());
        }
        newest.point.map_err(ExtractFailure::Newest)?;
        Ok(newest.location)
    }

    fn when(&self) -> String {
        self.at.map_or_else(String::new, |time| format!("up to {} ", time.format("%Y-%m-%d %H:%M:%S UTC")))
    }
}

async fn open(storage: &Storage, location: &Location, spools: &Spools) -> Result<Archive, ExtractFailure> {
    Ok(Archive::open(storage, location, spools).await?)
}

/// The absolute path, if a tree can be put there.
fn destination(given: &Path) -> Result<PathBuf, ExtractFailure> {
    let unseen = |source| ExtractFailure::Unseen { path: given.to_owned(), source };
    let refuse = |why| Err(ExtractFailure::Dest { path: given.to_owned(), why });
    let path = path::absolute(given).map_err(unseen)?;
    match fs::symlink_metadata(&path) {
        Err(_) if !path.parent().is_some_and(Path::is_dir) => refuse("the directory that is to hold it does not exist"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path),
        Err(error) => Err(unseen(error)),
        Ok(there) if !there.is_dir() => refuse("something that is not a directory is there already"),
        Ok(_) if fs::read_dir(&path).map_err(unseen)?.next().is_some() => refuse("it is there already and not empty"),
        Ok(_) => Ok(path),
    }
}

impl ExtractFailure {
    /// What kind of failure it is.
    pub(super) fn code(&self) -> FailureCode {
        match self {
            Self::Dest { .. } | Self::Unseen { .. } | Self::Several(_) => FailureCode::InvalidArgument,
            Self::Nothing { .. } => FailureCode::NotFound,
            // The command line is right, only the backup is another program's.
            Self::Read(ReadError::Foreign(_)) => FailureCode::NotBuilt,
            Self::Newest(error) | Self::Read(error) => error.code(),
            // That nobody waits is said by `Stopped`: here a thread died.
            Self::Extract(ExtractError::Stopped) | Self::Source(_) => FailureCode::Other,
            Self::Extract(error) => error.code(|_| FailureCode::Other),
            Self::Stopped => FailureCode::Aborted,
        }
    }
}

/// A staging tree as the sink of an archive; the bar moves with it.
struct Tree {
    staging: Staging,
    bar: ProgressBar,
    total: u64,
}

/// One file of it.
struct File {
    sink: FileSink,
    bar: ProgressBar,
}

impl Sink for Tree {
    type Error = SourceError;
    type File = File;

    fn directory(&mut self, entry: &Entry) -> Result<(), SourceError> {
        self.staging.directory(entry)
    }

    fn symlink(&mut self, entry: &Entry) -> Result<(), SourceError> {
        self.staging.symlink(entry)
    }

    fn file(&mut self, entry: &Entry) -> Result<File, SourceError> {
        advance(&self.bar, self.bar.position(), self.total);
        Ok(File { sink: self.staging.file(entry)?, bar: self.bar.clone() })
    }

    fn complete(&mut self, entry: &Entry) -> Result<(), SourceError> {
        self.staging.complete(entry)
    }
}

impl SinkFile for File {
    type Error = SourceError;

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), SourceError> {
        self.bar.inc(data.len() as u64);
        self.sink.write_at(offset, data)
    }

    fn rest(&self) {
        self.sink.rest();
    }

    fn finish(self) -> Result<(), SourceError> {
        self.sink.finish()
    }
}
