//! `backup`, `restore`, `verify`, `progress` and `cancel`: the jobs of a partition, asked of a server.

use chrono::{DateTime, Utc};
use clap::{Args, value_parser};
use tokio::signal::ctrl_c;
use uuid::Uuid;

use super::{
    exit::CliError,
    screen::{Screen, note},
    server::{Server, ask},
    times,
};
use crate::client::{Backup, Client, Kind, Which};

pub(super) const BACKUP_HELP: &str = "\
Examples:
  fabric-backup backup fabric:/CalcApp/CalcService --wait
  fabric-backup backup 1daae3f5-7fd6-42e9-b1ba-8c05f873994d --timeout 120

Without --wait the command ends as soon as the server has taken the job. With it, Ctrl-C ends the waiting, not the backup.

Exit codes: 0 accepted, or complete with --wait; 1 the backup failed; 2 the command line cannot be used; \
3 the server cannot be reached; 4 it refused; 130 stopped waiting.";

pub(super) const RESTORE_HELP: &str = "\
Examples:
  fabric-backup restore fabric:/CalcApp/CalcService --latest --wait
  fabric-backup restore 1daae3f5-7fd6-42e9-b1ba-8c05f873994d --at '2026-03-04 12:00:00' --wait

The state that is replaced is kept beside the new one until the next restore. If the restore fails, the state stays as it is.

Exit codes: 0 accepted, or complete with --wait; 1 the restore failed; 2 the command line cannot be used; \
3 the server cannot be reached; 4 it refused, or there is no such backup; 130 stopped waiting.";

pub(super) const VERIFY_HELP: &str = "\
Examples:
  fabric-backup verify fabric:/CalcApp/CalcService --wait
  fabric-backup verify 1daae3f5-7fd6-42e9-b1ba-8c05f873994d --level 3 --wait

Exit codes: 0 accepted, or whole with --wait; 1 the backup is damaged or could not be looked at; 2 the command line cannot be \
used; 3 the server cannot be reached; 4 it refused, or there is no such backup; 130 stopped waiting.";

pub(super) const PROGRESS_HELP: &str = "\
Examples:
  fabric-backup progress fabric:/CalcApp/CalcService --follow
  fabric-backup progress 1daae3f5-7fd6-42e9-b1ba-8c05f873994d --restore --json

Exit codes: 0 it is complete or goes on; 1 it failed; 2 the command line cannot be used; 3 the server cannot be reached; \
4 it refused, or no such job was ever asked for; 130 stopped following.";

pub(super) const CANCEL_HELP: &str = "\
Example:
  fabric-backup cancel fabric:/CalcApp/CalcService --restore

What is stopped ends within five seconds as a failure with the code E_ABORT; a partition whose restore is stopped stays as it was.

Exit codes: 0 it will be stopped; 2 the command line cannot be used; 3 the server cannot be reached; 4 it refused, or nothing runs.";

/// A year, which is as long as the server lets a job take.
const LONGEST: i64 = 525_600;

/// Which partition, and who is asked about it.
#[derive(Args)]
struct Target {
    /// GUID of the partition, or the name of its service (`fabric:/App/Service`) if that has one partition only.
    partition: String,
    #[command(flatten)]
    server: Server,
}

/// What the orders have in common.
#[derive(Args)]
struct Order {
    #[command(flatten)]
    target: Target,
    /// Wait for the end, and show how far it is.
    #[arg(long)]
    wait: bool,
    /// Minutes after which the server gives the job up.
    #[arg(long, value_name = "MINUTES", value_parser = value_parser!(u32).range(1..=LONGEST))]
    timeout: Option<u32>,
    /// Print lines of JSON, as happens anyway when the output is no terminal.
    #[arg(long)]
    json: bool,
}

/// Which backup of the partition.
#[derive(Args)]
#[group(multiple = false)]
struct Chosen {
    /// The backup with this id.
    #[arg(long, value_name = "ID")]
    backup: Option<Uuid>,
    /// The newest backup; this one is taken too when nothing is said.
    #[arg(long)]
    latest: bool,
    /// The newest backup that was not taken after this time, such as 2026-03-04T12:05:09Z; a time without a zone is in UTC.
    #[arg(long, value_name = "TIME", value_parser = times::time)]
    at: Option<DateTime<Utc>>,
}

/// Which job of the partition.
#[derive(Args)]
#[group(multiple = false)]
struct Job {
    /// The restore, not the backup.
    #[arg(long)]
    restore: bool,
    /// The verification, not the backup.
    #[arg(long)]
    verify: bool,
}

/// `backup`.
#[derive(Args)]
pub(super) struct BackUp {
    #[command(flatten)]
    order: Order,
}

/// `restore`.
#[derive(Args)]
pub(super) struct Restore {
    #[command(flatten)]
    order: Order,
    #[command(flatten)]
    chosen: Chosen,
}

/// `verify`.
#[derive(Args)]
pub(super) struct Verify {
    #[command(flatten)]
    order: Order,
    #[command(flatten)]
    chosen: Chosen,
    /// How thorough: 1 looks at the records and the manifest, 2 at every block too, 3 restores to a place of its own.
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u8).range(1..=3))]
    level: u8,
}

/// `progress`.
#[derive(Args)]
pub(super) struct Watch {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    job: Job,
    /// Go on until the job is over.
    #[arg(long)]
    follow: bool,
    /// Print lines of JSON, as happens anyway when the output is no terminal.
    #[arg(long)]
    json: bool,
}

/// `cancel`.
#[derive(Args)]
pub(super) struct Cancel {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    job: Job,
}

impl Target {
    async fn find(&self) -> Result<(Client, Uuid), CliError> {
        let client = self.server.client()?;
        let partition = client.partition(&self.partition).await?;
        Ok((client, partition))
    }
}

impl BackUp {
    pub(super) fn run(self) -> Result<(), CliError> {
        let order = self.order;
        ask(async {
            let (client, partition) = order.target.find().await?;
            client.back_up(partition, order.timeout).await?;
            see_to_it(&client, Screen::new(Kind::Backup, partition, None, order.json), order.wait).await
        })
    }
}

impl Restore {
    pub(super) fn run(self) -> Result<(), CliError> {
        let Self { order, chosen } = self;
        ask(async {
            let (client, partition) = order.target.find().await?;
            let backup = client.backup(partition, chosen.which()).await?;
            announce("restoring", &backup);
            client.restore(partition, &backup, order.timeout).await?;
            see_to_it(&client, Screen::new(Kind::Restore, partition, Some(backup), order.json), order.wait).await
        })
    }
}

impl Verify {
    pub(super) fn run(self) -> Result<(), CliError> {
        let Self { order, chosen, level } = self;
        ask(async {
            let (client, partition) = order.target.find().await?;
            let backup = client.backup(partition, chosen.which()).await?;
            announce("verifying", &backup);
            client.verify(partition, &backup, level, order.timeout).await?;
            see_to_it(&client, Screen::new(Kind::Verify, partition, Some(backup), order.json), order.wait).await
        })
    }
}

impl Watch {
    pub(super) fn run(self) -> Result<(), CliError> {
        ask(async {
            let (client, partition) = self.target.find().await?;
            let screen = Screen::new(self.job.kind(), partition, None, self.json);
            if self.follow {
                return wait(&client, screen).await;
            }
            let progress = client.progress(partition, screen.kind).await?;
            screen.show(&progress)?;
            screen.tell(&progress)?;
            screen.judge(&progress)
        })
    }
}

impl Cancel {
    pub(super) fn run(self) -> Result<(), CliError> {
        ask(async {
            let (client, partition) = self.target.find().await?;
            let kind = self.job.kind();
            client.cancel(partition, kind).await?;
            note(format_args!("the {} of partition {partition} will be stopped", kind.word()));
            Ok(())
        })
    }
}

impl Chosen {
    fn which(&self) -> Which {
        match (self.backup, self.at) {
            (Some(id), _) => Which::Id(id),
            (None, Some(time)) => Which::NotAfter(time),
            (None, None) => Which::Latest,
        }
    }
}

impl Job {
    fn kind(&self) -> Kind {
        match (self.restore, self.verify) {
            (true, _) => Kind::Restore,
            (false, true) => Kind::Verify,
            (false, false) => Kind::Backup,
        }
    }
}

fn announce(doing: &str, backup: &Backup) {
    note(format_args!("{doing} backup {}, taken {}, '{}'", backup.id, backup.created, backup.location));
}

/// The server took the job.
async fn see_to_it(client: &Client, screen: Screen, to_its_end: bool) -> Result<(), CliError> {
    if to_its_end { wait(client, screen).await } else { screen.accepted() }
}

/// Shows a job until it is over, or until somebody has seen enough.
async fn wait(client: &Client, mut screen: Screen) -> Result<(), CliError> {
    screen.start();
    tokio::select! {
        over = follow(client, &screen) => over,
        Ok(()) = ctrl_c() => Err(CliError::Detached { kind: screen.kind, partition: screen.partition }),
    }
}

async fn follow(client: &Client, screen: &Screen) -> Result<(), CliError> {
    let mut following = client.follow(screen.partition, screen.kind);
    loop {
        let progress = following.change().await?;
        screen.show(&progress)?;
        if progress.is_over() {
            screen.tell(&progress)?;
            return screen.judge(&progress);
        }
    }
}
