//! One backup: snapshot, pack, upload, look again, commit.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::time;
use uuid::Uuid;

use super::{
    Engine, Hosted, Turn,
    base::{Base, full_instead},
    blocking,
    bounds::Run,
    copy::{CopyError, copy, write_failed},
    end::End,
    named,
    record::{self, Made},
    resume::usable,
    survey::said,
};
use crate::{
    archive::{self, Draft, PackError, Packing, Place, Resumption, Staged, Storage, WriteError},
    domain::{BackupPoint, DataLoss, Failure, FailureCode, Location, PartitionId, StorageSpec, words},
    job::{BackupJob, Event, State},
    ledger::{LedgerError, PartitionRecord, Wrote},
    source::{Found, Snapshot, SourceError},
};

/// How often a state that changes under the reader is read anew before the backup fails.
const ATTEMPTS: u32 = 3;

/// How long a store that does not answer is left alone. The network's business, so not the product's clock.
const PAUSE: Duration = Duration::from_secs(5);

/// The log of a directory has no positions of its own, so it is counted in blocks of this many bytes.
const LSN_BLOCK: u64 = 64 * 1024;

impl Engine {
    pub(super) async fn run_backup(&self, hosted: &Hosted, job: &BackupJob, turn: &Turn) -> Result<(), LedgerError> {
        let run = Run::of(hosted.partition.id, job);
        let end = Box::pin(self.backup(run, hosted, job, turn)).await;
        if let (Some(journal), false) = (self.journal(job.id), matches!(end, Err(End::Ledger(_)))) {
            journal.remove();
        }
        let is_lost = matches!(end, Err(End::Lost(_)));
        let event = match end {
            Ok(()) => return Ok(()),
            Err(End::Ledger(error)) => return Err(error),
            Err(End::Failed(failure) | End::Changed(failure) | End::Lost(failure)) => Some(Event::Fail(failure)),
            Err(End::Expired(waited)) => Some(Event::Expire(expired(job, waited.as_deref()))),
            Err(End::Withdrawn) => None,
        };
        let left = self.take_back(run).await?;
        self.end_backup(run, event, left.as_deref()).await?;
        if is_lost { self.survey(run.partition).await } else { Ok(()) }
    }

    async fn backup(&self, run: Run, hosted: &Hosted, job: &BackupJob, turn: &Turn) -> Result<(), End> {
        let committing = job.state == State::Committing;
        let _turn = self.turn(run, committing, turn).await?;
        tracing::info!(partition = %run.partition, job = %job.id, "backup begins");
        let storage = self.unless_withdrawn(run, async { Ok(self.open(&job.task.storage).await?) }).await?;
        if committing && self.is_settled(run, hosted, job, &storage).await? {
            return Ok(());
        }
        self.within(run, self.refuse_gone(run, job, &storage)).await?;
        let slot = self.slot(run, &self.backups.free).await?;
        let work = Box::pin(self.at_work(run, hosted, job, &storage));
        self.backups.lending(slot, || storage.waits().is_some(), work).await
    }

    async fn at_work(&self, run: Run, hosted: &Hosted, job: &BackupJob, storage: &Storage) -> Result<(), End> {
        let again = self.within(run, self.take_up(hosted, job, storage)).await?;
        self.start(run).await?;
        // A storage that does not answer is tried again until the deadline; then it is the reason.
        let waits = || storage.waits().map(|error| words(&error));
        let attempts = Box::pin(self.attempts(hosted, job, storage, again));
        let staged = self.within_or_tell(run, waits, attempts).await?;
        self.step_backup(run, Event::Commit).await?;
        let point = self.settled(run, self.commit(job, storage, staged)).await?;
        tracing::info!(partition = %run.partition, job = %job.id, location = %point.location, "backed up");
        self.complete_backup(run, hosted, job, &point).await
    }

    /// A storage that backups of the partition lie in and that is not there is away, most often a share that is not mounted:
    /// no backup by schedule makes another in its place.
    async fn refuse_gone(&self, run: Run, job: &BackupJob, storage: &Storage) -> Result<(), End> {
        let store = self.catalog.identity(&job.task.storage).map_err(|e| End::failed(e.code(), &e))?;
        let record = self.ledger.partition(run.partition).await?;
        let is_due = |it: &PartitionRecord| record::is_scheduled(it, run.job) && it.filled.contains(&store);
        if record.is_none_or(|record| !is_due(&record)) {
            return Ok(());
        }
        let is_there = storage.is_there().await.map_err(|e| End::failed(e.code(), &e))?;
        if is_there { Ok(()) } else { Err(End::Failed(away(&job.task.storage))) }
    }

    /// Begins, unless what is there is not the state that the schedule is about.
    async fn start(&self, run: Run) -> Result<(), End> {
        let lost = self.advance(run, |record| {
            record::wanted(record::backup(record, run.job))?;
            let lost = record.data_loss.clone().filter(|_| record::is_scheduled(record, run.job));
            if let (None, Some(mine)) = (&lost, record::backup(record, run.job)) {
                record::apply(mine, Event::Start);
            }
            Ok(lost)
        });
        lost.await?.map_or(Ok(()), |lost| Err(End::Failed(waits(&lost))))
    }

    async fn step_backup(&self, run: Run, event: Event<BackupPoint>) -> Result<(), End> {
        self.advance(run, |record| {
            record::wanted(record::backup(record, run.job)).map(|mine| record::apply(mine, event.clone()))
        })
        .await
    }

    /// Makes the backup visible. Where the answer is lost with the store, it is asked until it tells.
    async fn commit(&self, job: &BackupJob, storage: &Storage, staged: Staged) -> Result<BackupPoint, End> {
        let location = staged.location().clone();
        let error = match staged.commit().await {
            Ok(metadata) => return Ok(metadata.point),
            Err(error) => error,
        };
        let found = match error.code() {
            FailureCode::Unreachable => self.committed(job, storage, &location).await?,
            _ => None,
        };
        found.ok_or_else(|| End::failed(error.code(), &error))
    }

    /// Looks whether the backup that somebody was about to commit is there, and ends its job then, however late it is;
    /// otherwise the job begins again.
    async fn is_settled(&self, run: Run, hosted: &Hosted, job: &BackupJob, storage: &Storage) -> Result<bool, End> {
        let Some(location) = &job.task.attempt else { return Ok(false) };
        let Some(point) = self.unless_withdrawn(run, self.committed(job, storage, location)).await? else {
            self.step_backup(run, Event::Interrupt).await?;
            return Ok(false);
        };
        self.complete_backup(run, hosted, job, &point).await?;
        Ok(true)
    }

    /// Asks the store until it answers or the deadline passes: nobody else can tell whether the backup exists.
    async fn committed(
        &self,
        job: &BackupJob,
        storage: &Storage,
        location: &Location,
    ) -> Result<Option<BackupPoint>, End> {
        loop {
            match archive::committed(storage, location, job.id).await {
                Err(error) if error.code() == FailureCode::Unreachable && self.clock.now() < job.deadline => {
                    time::sleep(PAUSE).await;
                }
                found => return found.map_err(|error| End::failed(error.code(), &error)),
            }
        }
    }

    async fn attempts(
        &self,
        hosted: &Hosted,
        job: &BackupJob,
        storage: &Storage,
        mut again: Option<Resumption>,
    ) -> Result<Staged, End> {
        let mut base = Base::open(job, storage, &self.spools).await?;
        for attempt in 1..ATTEMPTS {
            match self.attempt(hosted, job, storage, &mut base, &mut again).await {
                Err(End::Changed(why)) => tracing::info!(job = %job.id, attempt, why = why.message, "reading anew"),
                end => return end,
            }
        }
        self.attempt(hosted, job, storage, &mut base, &mut again).await
    }

    /// Writes the data of one snapshot, going on with what is there of it if it may. Nothing is visible until the result is committed. A base that cannot be used is
    /// taken away, so that the next attempt goes without.
    async fn attempt(
        &self,
        hosted: &Hosted,
        job: &BackupJob,
        storage: &Storage,
        base: &mut Option<Base>,
        again: &mut Option<Resumption>,
    ) -> Result<Staged, End> {
        let source = hosted.source.clone().spooling(self.spools.clone());
        let snapshot = blocking(move || source.snapshot()).await;
        // What the snapshot saw is the state as of now: if anything changes later, the look before the end sees it and the
        // attempt fails.
        let at = self.clock.now().trunc_subsecs(0);
        let (run, absent) = (Run::of(hosted.partition.id, job), absence(&snapshot));
        if let Some(found) = &absent {
            self.refuse_lost(run, found).await?;
        }
        let snapshot = Arc::new(snapshot?);
        let packing = Packing {
            level: self.compression_level,
            spools: self.spools.clone(),
            ..Base::packing(base, snapshot.bytes(), job)
        };
        let journal = self.journal(job.id).filter(|_| hosted.source.has_stamps());
        let again = usable(again.take(), &snapshot, &packing, job).await;
        if let (None, Some(journal)) = (&again, &journal) {
            journal.remove();
        }
        let place = place(hosted);
        let named = match &again {
            Some(again) => again.named(),
            None => archive::free_second(storage, &place, at).await.map_err(|e| End::failed(e.code(), &e))?,
        };
        let (location, created) = (place.location(named), named.max(at));
        let left_out = notes(&snapshot);
        if let Some(note) = left_out.first() {
            tracing::warn!(partition = %hosted.partition.id, job = %job.id, note, "not all of the state can be backed up");
        }
        let record = self.note_attempt(run, &location, &left_out, absent.is_some()).await?;
        let meter = self.meters.of(job.id);
        meter.begin(snapshot.files(), snapshot.bytes());
        let draft = Draft {
            point: point(hosted, job.id, &record, location, created, &snapshot, base.as_ref()),
            source_kind: "directory".to_owned(),
            packing,
            policy: job.task.policy.clone(),
            state_bytes: snapshot.bytes(),
            journal,
        };
        let pack = move |packer: &mut _| copy(&snapshot, packer);
        let staged = match again {
            Some(again) => archive::stage_rest(storage, again, draft, meter, pack).await,
            None => archive::stage(storage, draft, meter, pack).await,
        };
        match &staged {
            Err(WriteError::Taken(_)) => self.forget_attempt(run).await?,
            Err(WriteError::Source(CopyError::Pack(PackError::Base(why)))) if base.take().is_some() => {
                full_instead(job, &words(why));
            }
            _ => {}
        }
        staged.map_err(|e| write_failed(&e))
    }

    /// Durable before the first byte, so that whoever finds the job knows where to look. Whether the state has content is
    /// noted too.
    async fn note_attempt(
        &self,
        run: Run,
        at: &Location,
        left_out: &[String],
        empty: bool,
    ) -> Result<PartitionRecord, End> {
        self.advance(run, |record| {
            let mine = record::wanted(record::backup(record, run.job))?;
            mine.task.attempt = Some(at.clone());
            mine.task.notes = left_out.to_vec();
            mine.task.empty = empty;
            record.had_state |= !empty;
            Ok(record.clone())
        })
        .await
    }

    /// What lies there is not ours to discard.
    async fn forget_attempt(&self, run: Run) -> Result<(), End> {
        self.advance(run, |record| {
            let mine = record::wanted(record::backup(record, run.job))?;
            mine.task.attempt = None;
            mine.task.notes.clear();
            Ok(())
        })
        .await
    }

    async fn complete_backup(
        &self,
        run: Run,
        hosted: &Hosted,
        job: &BackupJob,
        point: &BackupPoint,
    ) -> Result<(), End> {
        let at = self.clock.now();
        let store = self.catalog.identity(&job.task.storage).map_err(|e| End::failed(e.code(), &e))?;
        let wrote = job.task.policy.clone().map(|policy| Wrote { policy, store: store.clone() });
        self.advance(run, |record| {
            let made = Made { entity: hosted.partition.entity(), store: store.clone(), wrote: wrote.clone(), at };
            record::complete_backup(record, run.job, point, made)
        })
        .await
    }

    /// Ends the job with `event`, or as cancelled. Nothing happens if somebody ended it already.
    async fn end_backup(
        &self,
        run: Run,
        event: Option<Event<BackupPoint>>,
        left: Option<&str>,
    ) -> Result<(), LedgerError> {
        let now = self.clock.now();
        tracing::warn!(partition = %run.partition, job = %run.job, ?event, left, "backup ends without a result");
        self.change(run.partition, |record| {
            let cancelled = record::backup(record, run.job).is_some_and(|mine| mine.cancelled);
            let event = event.clone().filter(|_| !cancelled);
            let event = event.unwrap_or_else(|| Event::Fail(cancelled_with(record::cancelled(record, run.job), left)));
            record::end_backup(record, run.job, event, now);
        })
        .await
    }

    /// Leaves the job unfinished only if there is no backup, and nothing of it in the store.
    pub(super) async fn give_up_backup(&self, id: PartitionId, job: &BackupJob) -> Result<(), LedgerError> {
        let run = Run::of(id, job);
        if let (State::Committing, Some(hosted), false) = (&job.state, self.hosted.get(&id), job.cancelled) {
            let Ok(storage) = self.open(&job.task.storage).await else { return Ok(()) };
            if matches!(self.is_settled(run, hosted, job, &storage).await, Ok(true)) {
                return Ok(());
            }
        }
        if let Some(journal) = self.journal(job.id) {
            journal.remove();
        }
        self.take_back(run).await.map(drop)
    }
}

/// What is there instead of a state, in words. Sockets and devices alone are no loss.
fn absence(snapshot: &Result<Snapshot, SourceError>) -> Option<String> {
    match snapshot {
        Ok(snapshot) => (snapshot.entries() == 0 && snapshot.skipped().count == 0).then(|| said(&Found::Empty)),
        Err(error @ SourceError::Root { .. }) => Some(words(error)),
        Err(_) => None,
    }
}

fn place(hosted: &Hosted) -> Place {
    let partition = &hosted.partition;
    Place { application: partition.application.clone(), service: partition.service.clone(), partition: partition.id }
}

fn point(
    hosted: &Hosted,
    id: Uuid,
    record: &PartitionRecord,
    location: Location,
    created: DateTime<Utc>,
    snapshot: &Snapshot,
    base: Option<&Base>,
) -> BackupPoint {
    let blocks = snapshot.bytes().div_ceil(LSN_BLOCK).max(1);
    BackupPoint {
        id,
        chain_id: base.map_or(id, |base| base.chain_id),
        parent: base.map(|base| base.parent.clone()),
        location,
        created,
        epoch: record.epoch,
        lsn: record.lsn.saturating_add(i64::try_from(blocks).unwrap_or(i64::MAX)),
        partition: hosted.partition.kind.clone(),
        manifest_version: hosted.partition.manifest_version.clone(),
    }
}

fn notes(snapshot: &Snapshot) -> Vec<String> {
    let skipped = snapshot.skipped();
    if skipped.count == 0 { Vec::new() } else { vec![skipped.to_string()] }
}

fn expired(job: &BackupJob, waited: Option<&str>) -> Failure {
    let minutes = (job.deadline - job.requested).max(TimeDelta::zero()).num_minutes();
    let hint = "ask again with a greater BackupTimeout";
    let message = match waited {
        Some(why) => format!("not backed up within {minutes} minutes, since the store was waited for: {why}; {hint}"),
        None => format!("not backed up within {minutes} minutes, nothing is left in the store; {hint}"),
    };
    Failure::new(FailureCode::Timeout, message)
}

fn away(storage: &StorageSpec) -> Failure {
    let message = format!(
        "{} holds backups of the partition and is not there now: mount it or bring it back; if it was taken away for good, ask for a backup, which makes it anew",
        named(storage)
    );
    Failure::new(FailureCode::Unreachable, message)
}

pub(super) fn waits(lost: &DataLoss) -> Failure {
    let message = format!(
        "the partition lost its state ({}); backups by schedule stop until it is restored or a backup of what is there now is asked for",
        lost.found
    );
    Failure::new(FailureCode::Aborted, message)
}

fn cancelled_with(why: Failure, left: Option<&str>) -> Failure {
    match left {
        Some(left) => Failure::new(why.code, format!("{}; {left}", why.message)),
        None => why,
    }
}
