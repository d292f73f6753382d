//! The command line: what can be asked for.
//!
//! Some commands serve, some ask a service that runs (as [`crate::client`] does), some read a storage with no service at
//! all. What the exit code then says is in `exit`; `docs/CLI.md` tells it to people.

mod exit;
mod extract;
mod jobs;
mod list;
mod screen;
mod serve;
mod server;
mod store;
mod table;
mod times;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::{config, serve as service};
use exit::{CliError, EXIT_CODES};

/// Consistent, verified backups of stateful partitions behind Service Fabric's Backup Restore REST API.
///
/// Without a command the API is served. The commands backup, restore, list, progress, verify and cancel ask a server
/// that runs; extract and list-store read a storage when there is none.
#[derive(Parser)]
#[command(version, after_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Options,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API; what happens too when no command is given.
    #[command(after_help = EXIT_CODES)]
    Serve(serve::Options),
    /// Take a backup of a partition.
    #[command(after_help = jobs::BACKUP_HELP)]
    Backup(jobs::BackUp),
    /// Bring a backup of a partition back.
    #[command(after_help = jobs::RESTORE_HELP)]
    Restore(jobs::Restore),
    /// List the backups of a partition, a service or an application.
    #[command(after_help = list::HELP)]
    List(list::List),
    /// Show how the latest backup, restore or verification of a partition stands.
    #[command(after_help = jobs::PROGRESS_HELP)]
    Progress(jobs::Watch),
    /// Look whether a backup of a partition is whole.
    #[command(after_help = jobs::VERIFY_HELP)]
    Verify(jobs::Verify),
    /// Stop the backup, restore or verification of a partition that runs.
    #[command(after_help = jobs::CANCEL_HELP)]
    Cancel(jobs::Cancel),
    /// Restore a backup into a directory from the storage alone, without a server.
    #[command(after_help = extract::HELP)]
    Extract(extract::Extract),
    /// List the backups on a storage, without a server.
    #[command(after_help = list::STORE_HELP)]
    ListStore(list::ListStore),
    /// Print the JSON Schema of the configuration file.
    ConfigSchema,
    /// Print the document that `/openapi.json` serves.
    Openapi,
}

/// Does what the command line asks for.
pub fn run() -> ExitCode {
    let line = CommandLine::parse();
    let done = line.command.map_or_else(|| serve::serve(line.serve), obey);
    done.map_or_else(|error| exit::fail(&error), |()| ExitCode::SUCCESS)
}

fn obey(command: Command) -> Result<(), CliError> {
    match command {
        Command::Serve(options) => serve::serve(options),
        Command::Backup(asked) => asked.run(),
        Command::Restore(asked) => asked.run(),
        Command::List(asked) => asked.run(),
        Command::Progress(asked) => asked.run(),
        Command::Verify(asked) => asked.run(),
        Command::Cancel(asked) => asked.run(),
        Command::Extract(asked) => asked.run(),
        Command::ListStore(asked) => asked.run(),
        Command::ConfigSchema => screen::print(format_args!("{:#}", config::schema().as_value())),
        Command::Openapi => screen::print(service::openapi()?),
    }
}
