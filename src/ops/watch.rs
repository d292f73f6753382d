//! Progress as it changes: the same answers as the questions give, as long as they may still change.
//!
//! Nothing runs for a watcher but what it asks: a stream that is not polled does nothing, one that is dropped is gone.

use std::time::Duration;

use futures::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use tokio::{sync::watch, time, time::Instant};

use super::{Error, Ops, RestoreProgress};
use crate::{
    domain::PartitionId,
    job::{Job, ToldBackup, VerifyJob},
};

/// Whose numbers move is told of it so often at most.
const PACE: Duration = Duration::from_millis(250);

/// A wake-up of the ledger is mostly about others: so often at most is the record read again.
const REST: Duration = Duration::from_millis(20);

/// What is told. Ends with the job, or with an error.
pub type Stream<T> = BoxStream<'static, Result<T, Error>>;

/// What can be watched.
trait Watched: Clone + PartialEq + Send + 'static {
    /// Whether it changes no more by itself.
    fn is_final(&self) -> bool;

    /// Without the numbers that move all the time.
    fn still(&self) -> Self;
}

/// Asks for the progress once.
type Question<T> = fn(Ops, PartitionId) -> BoxFuture<'static, Result<T, Error>>;

impl Ops {
    /// The progress of the latest backup that was asked for, at once and whenever it changes, until no backup runs.
    pub fn watch_backup(&self, id: PartitionId) -> Result<Stream<Option<ToldBackup>>, Error> {
        self.watch(id, |ops, id| async move { ops.backup_progress(id).await }.boxed())
    }

    /// The same of the latest restore.
    pub fn watch_restore(&self, id: PartitionId) -> Result<Stream<RestoreProgress>, Error> {
        self.watch(id, |ops, id| async move { ops.restore_progress(id).await }.boxed())
    }

    /// The same of the latest verification.
    pub fn watch_verify(&self, id: PartitionId) -> Result<Stream<Option<VerifyJob>>, Error> {
        self.watch(id, |ops, id| async move { ops.verify_progress(id).await }.boxed())
    }

    fn watch<T: Watched>(&self, id: PartitionId, question: Question<T>) -> Result<Stream<T>, Error> {
        self.hosted(id)?;
        let watch = Watch { ops: self.clone(), id, question, changes: self.ledger.watch(), told: None };
        let told = stream::unfold(Some(watch), async |watch| {
            let mut watch = watch?;
            let told = watch.next().await?;
            let goes_on = told.is_ok();
            Some((told, goes_on.then_some(watch)))
        });
        Ok(told.boxed())
    }
}

/// One watcher.
struct Watch<T> {
    ops: Ops,
    id: PartitionId,
    question: Question<T>,
    changes: watch::Receiver<u64>,
    told: Option<(T, Instant)>,
}

impl<T: Watched> Watch<T> {
    /// What is new; none once nothing will be.
    async fn next(&mut self) -> Option<Result<T, Error>> {
        loop {
            match &self.told {
                Some((told, _)) if told.is_final() => return None,
                Some(_) => self.wait().await,
                None => {}
            }
            // Before the look, lest a change during it be missed.
            self.changes.mark_unchanged();
            match (self.question)(self.ops.clone(), self.id).await {
                Ok(now) if self.is_due(&now) => {
                    self.told = Some((now.clone(), Instant::now()));
                    return Some(Ok(now));
                }
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Whether it is to be told now: another state at once, other numbers in their time.
    fn is_due(&self, now: &T) -> bool {
        let Some((told, at)) = &self.told else { return true };
        told.still() != now.still() || (told != now && at.elapsed() >= PACE)
    }

    /// Waits for the next write to the ledger, or until numbers may be told again.
    async fn wait(&mut self) {
        time::sleep(REST).await;
        tokio::select! {
            _ = self.changes.changed() => {}
            () = time::sleep(PACE.saturating_sub(REST)) => {}
        }
    }
}

impl<T, O> Watched for Option<Job<T, O>>
where
    Job<T, O>: Clone + PartialEq + Send + 'static,
{
    fn is_final(&self) -> bool {
        self.as_ref().is_none_or(|job| !job.state.is_active())
    }

    fn still(&self) -> Self {
        self.clone().map(|job| Job { measured: None, ..job })
    }
}

impl Watched for RestoreProgress {
    fn is_final(&self) -> bool {
        self.job.is_final()
    }

    fn still(&self) -> Self {
        Self { job: self.job.still(), data_loss: self.data_loss.clone() }
    }
}
