//! `list` and `list-store`: which backups there are, told by a server or by a storage.

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::Value;

use super::{
    exit::CliError,
    screen::{note, print},
    server::{Server, ask},
    store::{StoreArgs, folder},
    table::{self, Row},
    times,
};
use crate::{
    archive::{Filter, Scope},
    client::{Client, ClientError, Entity, Within},
    domain::{ApplicationName, ServiceName},
};

pub(super) const HELP: &str = "\
Examples:
  fabric-backup list fabric:/CalcApp/CalcService
  fabric-backup list --application fabric:/CalcApp --latest
  fabric-backup list 1daae3f5-7fd6-42e9-b1ba-8c05f873994d --from 2026-03-01T00:00:00Z --json

The oldest backup is first.

Exit codes: 0 listed, if only none; 2 the command line cannot be used; 3 the server cannot be reached; 4 it refused.";

pub(super) const STORE_HELP: &str = "\
Examples:
  fabric-backup list-store /srv/backups
  fabric-backup list-store azure:calc-backups CalcApp --latest
  fabric-backup list-store /srv/backups 'CalcApp/CalcService/1daae3f5-7fd6-42e9-b1ba-8c05f873994d'

What is shown as LOCATION is what extract takes.

Exit codes: 0 listed, if only none; 1 the storage failed; 2 the command line cannot be used; 3 the storage cannot be reached; \
4 it refused, or is not there.";

/// Which of the backups.
#[derive(Args)]
struct Period {
    /// Only the newest backup of each partition, within the times.
    #[arg(long)]
    latest: bool,
    /// Only backups that were not taken before this time, such as 2026-03-04T12:05:09Z.
    #[arg(long, value_name = "TIME", value_parser = times::time)]
    from: Option<DateTime<Utc>>,
    /// Only backups that were not taken after this time.
    #[arg(long, value_name = "TIME", value_parser = times::time)]
    to: Option<DateTime<Utc>>,
    /// Print each backup as a line of JSON.
    #[arg(long)]
    json: bool,
}

/// Whose backups.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// GUID of a partition, or the name of its service (`fabric:/App/Service`) if that has one partition only.
    partition: Option<String>,
    /// All backups of this application (`fabric:/App`).
    #[arg(long, value_name = "NAME", value_parser = application)]
    application: Option<ApplicationName>,
    /// All backups of this service (`fabric:/App/Service`).
    #[arg(long, value_name = "NAME", value_parser = service)]
    service: Option<ServiceName>,
}

/// `list`.
#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    server: Server,
}

/// `list-store`.
#[derive(Args)]
pub(super) struct ListStore {
    #[command(flatten)]
    store: StoreArgs,
    /// Only what lies in this folder of the store: an application, a service, a partition.
    #[arg(value_name = "FOLDER")]
    prefix: Option<String>,
    #[command(flatten)]
    period: Period,
}

impl List {
    pub(super) fn run(self) -> Result<(), CliError> {
        let Self { whose, period, server } = self;
        ask(async {
            let client = server.client()?;
            let entity = whose.entity(&client).await?;
            let within = Within { from: period.from, to: period.to, latest: period.latest };
            show(&client.backups(&entity, &within).await?, period.json)
        })
    }
}

impl ListStore {
    pub(super) fn run(self) -> Result<(), CliError> {
        let Self { store, prefix, period } = self;
        ask(async {
            let store = store.open()?;
            let scope = Scope::Below(folder(prefix.as_deref().unwrap_or_default()));
            let filter = Filter { start: period.from, end: period.to, latest: period.latest, ..Filter::default() };
            let found = store.list(&scope, &filter).await?;
            show(&found.iter().map(table::told).collect::<Vec<_>>(), period.json)
        })
    }
}

impl Whose {
    async fn entity(self, client: &Client) -> Result<Entity, ClientError> {
        match self {
            Self { application: Some(name), .. } => Ok(Entity::Application(name)),
            Self { service: Some(name), .. } => Ok(Entity::Service(name)),
            Self { partition, .. } => {
                client.partition(partition.as_deref().unwrap_or_default()).await.map(Entity::Partition)
            }
        }
    }
}

fn show(items: &[Value], json: bool) -> Result<(), CliError> {
    if json {
        return items.iter().try_for_each(print);
    }
    if items.is_empty() {
        note("no backups");
        return Ok(());
    }
    print(table::head())?;
    items.iter().map(Row::of).try_for_each(print)
}

fn application(text: &str) -> Result<ApplicationName, String> {
    ApplicationName::parse(text).map_err(|error| error.to_string())
}

fn service(text: &str) -> Result<ServiceName, String> {
    ServiceName::parse(text).map_err(|error| error.to_string())
}
