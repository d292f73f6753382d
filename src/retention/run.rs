use chrono::{DateTime, Utc};
use tokio::{sync::watch, time};

use super::{
    HUNG, Keeper, LISTING, RetentionError,
    gather::{Folder, place, scope},
    sight::Sight,
};
use crate::{
    archive::{self, CatalogError, Place, Storage},
    domain::{BackupPoint, Entity, FailureCode, Location, Policy, Retention, Span, words},
    ledger::PolicyRecord,
};

/// What a run of retention came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// Nothing was deleted, for this reason.
    Blocked(String),
    /// It was done, as far as nothing was held.
    Done {
        /// How many backups were deleted.
        backups: usize,
        /// How much data without a commit record was.
        orphans: usize,
    },
}

impl Keeper {
    /// Deletes what the policy's retention does not keep, then data without a commit record that is older than `grace`.
    /// What cannot be deleted does not stop the rest, unless the storage is out of reach. Dropped or failed at any point
    /// it leaves backups that can be restored; the next run goes on.
    pub async fn run(&self, record: &PolicyRecord, grace: Span) -> Result<Run, RetentionError> {
        let policy = &record.policy;
        let Some(retention) = &policy.retention else { return Ok(Run::Done { backups: 0, orphans: 0 }) };
        if let Some(why) = self.blocked(policy).await? {
            return Ok(Run::Blocked(why));
        }
        let mut guard = Guard::new(self, record).await?;
        let storage = self.open(&policy.storage).await?;
        let (mut tally, now) = (Tally::default(), self.clock.now());
        for folder in self.gather(policy, &guard.sight).await? {
            tally.note_backups(self.thin(&storage, &mut guard, &folder, retention, now).await)?;
            tally.note_orphans(self.sweep(&storage, policy, &guard.sight, &folder.entity, grace.before(now)).await)?;
        }
        tally.done()
    }

    /// Deletes what goes of one partition, in its order and no further than that goes well.
    async fn thin(
        &self,
        storage: &Storage,
        guard: &mut Guard<'_>,
        folder: &Folder,
        retention: &Retention,
        now: DateTime<Utc>,
    ) -> Result<usize, RetentionError> {
        let order = folder.plan(Some(retention), now).order;
        for (deleted, point) in order.iter().enumerate() {
            if !guard.allows(&folder.entity, point).await? {
                return Ok(deleted);
            }
            time::timeout(HUNG, archive::remove(storage, &point.location)).await??;
            tracing::info!(policy = %guard.record.policy.name, location = %point.location, "retention deleted a backup");
        }
        Ok(order.len())
    }

    /// Deletes the data without a commit record of one partition. `sight` is older than the listing, so that an attempt
    /// that has become a backup meanwhile is among the attempts.
    async fn sweep(
        &self,
        storage: &Storage,
        policy: &Policy,
        sight: &Sight,
        entity: &Entity,
        before: DateTime<Utc>,
    ) -> Result<usize, RetentionError> {
        let Some(place) = place(entity).filter(|_| sight.scope.get(entity).is_some_and(|it| !it.data_loss)) else {
            return Ok(0);
        };
        let orphans = self.orphans(policy, &place, before).await?;
        let unknown: Vec<Location> = orphans.into_iter().filter(|it| !sight.attempts.contains(it)).collect();
        for location in &unknown {
            time::timeout(HUNG, archive::discard(storage, location)).await?.map_err(CatalogError::from)?;
            tracing::info!(policy = %policy.name, %location, "data without a commit record was deleted");
        }
        Ok(unknown.len())
    }

    async fn orphans(
        &self,
        policy: &Policy,
        place: &Place,
        before: DateTime<Utc>,
    ) -> Result<Vec<Location>, RetentionError> {
        match time::timeout(LISTING, self.catalog.orphans(&policy.storage, &scope(place), before)).await? {
            Ok(orphans) => Ok(orphans),
            Err(error) if error.is_store_missing() => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Says before each deletion whether it may still be.
struct Guard<'a> {
    keeper: &'a Keeper,
    record: &'a PolicyRecord,
    changes: watch::Receiver<u64>,
    sight: Sight,
    /// Whether the policy is still what it was when the run began; otherwise another run follows.
    is_same: bool,
}

impl<'a> Guard<'a> {
    async fn new(keeper: &'a Keeper, record: &'a PolicyRecord) -> Result<Self, RetentionError> {
        let changes = keeper.ledger.watch();
        let sight = keeper.sight(&record.policy).await?;
        Ok(Self { keeper, record, changes, sight, is_same: true })
    }

    async fn allows(&mut self, entity: &Entity, point: &BackupPoint) -> Result<bool, RetentionError> {
        if self.changes.has_changed().unwrap_or(true) {
            self.changes.mark_unchanged();
            self.look_again().await?;
        }
        let is_free = self.sight.scope.get(entity).is_some_and(|it| !it.data_loss);
        Ok(self.is_same && is_free && !self.sight.restores.need(&self.sight.store, point))
    }

    async fn look_again(&mut self) -> Result<(), RetentionError> {
        let found = self.keeper.ledger.policy(&self.record.policy.name).await?;
        self.is_same = found.as_ref() == Some(self.record);
        self.sight = self.keeper.sight(&self.record.policy).await?;
        Ok(())
    }
}

/// What was done, and the first thing that was not.
#[derive(Default)]
struct Tally {
    backups: usize,
    orphans: usize,
    failure: Option<RetentionError>,
}

impl Tally {
    fn note_backups(&mut self, result: Result<usize, RetentionError>) -> Result<(), RetentionError> {
        self.backups += self.note(result)?;
        Ok(())
    }

    fn note_orphans(&mut self, result: Result<usize, RetentionError>) -> Result<(), RetentionError> {
        self.orphans += self.note(result)?;
        Ok(())
    }

    /// Goes on after a failure that is one backup's own.
    fn note(&mut self, result: Result<usize, RetentionError>) -> Result<usize, RetentionError> {
        match result {
            Ok(count) => Ok(count),
            Err(error) if error.code() == FailureCode::Unreachable || matches!(error, RetentionError::Ledger(_)) => {
                Err(error)
            }
            Err(error) => {
                tracing::warn!(error = words(&error), "retention goes on with the next partition");
                self.failure.get_or_insert(error);
                Ok(0)
            }
        }
    }

    fn done(self) -> Result<Run, RetentionError> {
        match self.failure {
            Some(error) => Err(error),
            None => Ok(Run::Done { backups: self.backups, orphans: self.orphans }),
        }
    }
}
