//! Wires the floors together and serves until it is told to stop.
//!
//! The order matters: the state of every partition is put in order before the first request is answered. When told to
//! stop, requests and jobs are given the same time to end, side by side.

use std::{fs::DirBuilder, io, os::unix::fs::DirBuilderExt, time::Duration};

use axum::ServiceExt;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time,
};

use super::{
    announce::announce,
    settings::{HostedPartition, Settings, SourceSettings},
};
use crate::{
    api,
    archive::Catalog,
    clock::Clock,
    engine::{Engine, Hosted, SAFE_DISTANCE},
    ledger::{Ledger, LedgerError},
    ops::{Inventory, Ops},
    reconcile::Reconciler,
    retention::Keeper,
    source::Source,
    spool::Spools,
    storage::{Rates, Stores},
};

/// How long requests and jobs may take to end when the service is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The socket, a signal or standard output failed.
    #[error("cannot serve")]
    Io(#[from] io::Error),
    /// Nobody does the jobs any more.
    #[error("the background work ended unexpectedly; the log says where")]
    Jobs,
    /// The document cannot be written as JSON.
    #[error("cannot write the document")]
    Document(#[from] serde_json::Error),
}

/// Serves `settings` on `listener` until SIGTERM or SIGINT. On SIGHUP asks `rates` for the bounds of the stores, which may have none.
pub(super) async fn run(
    settings: Settings,
    listener: TcpListener,
    rates: impl Fn() -> Option<Rates> + Send + 'static,
) -> Result<(), ServeError> {
    let clock = Clock::system();
    let ledger = Ledger::open(&settings.ledger_file(), &settings.ledger_key)?;
    let stores = Stores::new(settings.file_share.clone(), clock.clone());
    let catalog = Catalog::new(stores.clone());
    tokio::spawn(change_rates(signal(SignalKind::hangup())?, stores, rates));
    let (journals, spools) = (settings.journals(), settings.spools());
    for directory in [&journals, &spools] {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let engine =
        Engine::new(hosted(&settings), catalog.clone(), ledger.clone(), clock.clone(), settings.max_jobs.get())
            .compressing(settings.compression_level)
            .resuming(journals, SAFE_DISTANCE)
            .spooling(Spools::in_directory(spools));
    let meters = engine.meters();
    let keeper = Keeper::new(catalog.clone(), ledger.clone(), clock.clone());
    let reconciler =
        Reconciler::new(engine, catalog.clone(), keeper.clone(), ledger.clone(), clock.clone(), settings.rules);
    reconciler.recover().await?;
    let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (stop, stopped) = watch::channel(false);
    let jobs = tokio::spawn(reconciler.run(stopped.clone(), GRACE));
    let ops = Ops::new(inventory(&settings), catalog, ledger, keeper, meters, clock.clone());
    let edge = api::service(ops, clock, stopped.clone());
    if !listener.local_addr()?.ip().is_loopback() {
        tracing::warn!("whoever can reach this address can take and restore backups: there is no authentication yet");
    }
    if let Err(error) = announce(&mut io::stdout(), &settings, listener.local_addr()?) {
        tracing::warn!(%error, "nobody reads standard output");
    }
    tokio::spawn(stop_on(signals, stop));
    let serving = async { Ok(serve(listener, edge, stopped.clone()).await?) };
    let working = async {
        // Accepting what nobody will do is worse than being started anew.
        if jobs.await.is_err() || !*stopped.borrow() { Err(ServeError::Jobs) } else { Ok(()) }
    };
    tokio::try_join!(serving, working)?;
    Ok(())
}

/// Answers requests until told to stop, then lets the open ones end.
async fn serve(listener: TcpListener, edge: api::Edge, stopped: watch::Receiver<bool>) -> io::Result<()> {
    let told = |mut stopped: watch::Receiver<bool>| async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let served = axum::serve(listener, edge.into_make_service()).with_graceful_shutdown(told(stopped.clone()));
    tokio::select! {
        ended = async { served.await } => ended,
        () = async { told(stopped).await; time::sleep(GRACE).await } => Ok(()),
    }
}

async fn change_rates(mut hangup: Signal, stores: Stores, rates: impl Fn() -> Option<Rates>) {
    while hangup.recv().await.is_some() {
        if let Some(rates) = rates() {
            tracing::info!(?rates, "told to read the bounds of the stores anew");
            stores.set_rates(rates);
        }
    }
}

async fn stop_on((mut terminate, mut interrupt): (Signal, Signal), stop: watch::Sender<bool>) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("told to stop");
    stop.send_replace(true);
}

fn hosted(settings: &Settings) -> Vec<Hosted> {
    let persisted = settings.partitions.iter().filter_map(|hosted| match hosted {
        HostedPartition { partition, source: Some(SourceSettings::Directory { path, always_read }) } => {
            let source = Source::directory(path).always_read(*always_read);
            Some(Hosted { partition: partition.clone(), source })
        }
        HostedPartition { source: None, .. } => None,
    });
    persisted.collect()
}

fn inventory(settings: &Settings) -> Inventory {
    let partitions = settings.partitions.iter().map(|hosted| hosted.partition.clone());
    Inventory::new(settings.applications.clone(), settings.services.clone(), partitions)
}

/// The document that `/openapi.json` serves.
pub(super) fn openapi() -> Result<String, ServeError> {
    Ok(serde_json::to_string_pretty(api::document())?)
}
