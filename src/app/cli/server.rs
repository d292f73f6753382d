//! Which server a command asks, and the runtime it asks from.

use clap::Args;
use tokio::runtime::Builder;

use super::exit::CliError;
use crate::{client::Client, clock::Clock};

/// What every command has that asks a server.
#[derive(Args)]
pub(super) struct Server {
    /// Address of the server.
    #[arg(
        long = "server",
        value_name = "URL",
        env = "FABRIC_BACKUP_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:19080"
    )]
    url: String,
}

impl Server {
    /// A client of it.
    pub(super) fn client(&self) -> Result<Client, CliError> {
        Ok(Client::new(&self.url, Clock::system())?)
    }
}

/// Waits for what is asked of a server, here on this thread.
pub(super) fn ask(work: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?.block_on(work)
}
