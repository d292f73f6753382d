//! Backup and restore jobs: what they are asked to do and which states they may pass through.
//!
//! Owns the one transition table that both kinds share and their map to the published states. Pure: it neither reads a
//! clock nor stores anything. A state moves only by [`Job::apply`], so that no job can skip its commit step or leave a
//! final state.
//!
//! `Committing` is the point of no return. It is durable before the one write that makes the result visible (the
//! metadata of a backup, the swap of a restore), so that after a crash the job's owner knows to look whether that write
//! happened. A deadline has no power any more from there on: a job that says `Timeout` has left nothing visible.

mod meter;
mod meters;
mod progress;
mod verify;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use meter::{Measured, Meter, Stage};
pub use meters::{Metered, Meters};
pub use progress::Progress;
pub use verify::{Checked, Depth, Finding, Verified, VerifyJob, VerifyTask};

use crate::domain::{BackupPoint, Failure, Location, PolicyName, StorageSpec, Wanted, WhyFull};

/// A backup of one partition.
pub type BackupJob = Job<BackupTask, BackupPoint>;

/// What is told of a backup: of its task only what it left out, and so no credentials.
pub type ToldBackup = Job<Vec<String>, BackupPoint>;
/// A restore of one partition.
pub type RestoreJob = Job<RestoreTask, Restored>;

/// A piece of work that was accepted and must end, with a reason if it does not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job<Task, Outcome> {
    /// The identity of the job. A backup takes it as its own.
    pub id: Uuid,
    /// When it was accepted.
    pub requested: DateTime<Utc>,
    /// When it times out.
    pub deadline: DateTime<Utc>,
    /// What to do.
    pub task: Task,
    /// How far it has come.
    pub state: State<Outcome>,
    /// Whether it was told to end. It then fails, at whatever stage it is, and leaves nothing.
    #[serde(default)]
    pub cancelled: bool,
    /// When work on it began; anew after it was interrupted.
    #[serde(default)]
    pub started: Option<DateTime<Utc>>,
    /// What it had moved when this was written; none if that was not known yet.
    #[serde(default)]
    pub measured: Option<Measured>,
}

/// What a backup is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupTask {
    /// Where the backup goes.
    pub storage: StorageSpec,
    /// Where the running attempt writes. Durable before its first byte, so that a crash leaves no unknown object.
    pub attempt: Option<Location>,
    /// What the running attempt leaves out, in words: sockets and devices.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Whether the running attempt found nothing in the state.
    #[serde(default)]
    pub empty: bool,
    /// The policy whose backup it is: the one in force when it was accepted, if the backup goes to that policy's storage.
    #[serde(default)]
    pub policy: Option<PolicyName>,
    /// Which kind of backup was decided on.
    #[serde(default = "requested")]
    pub wanted: Wanted,
}

fn requested() -> Wanted {
    Wanted::Full(WhyFull::Requested)
}

impl BackupTask {
    /// A requested backup that nobody has begun, made for no policy.
    pub fn new(storage: StorageSpec) -> Self {
        Self { storage, attempt: None, notes: Vec::new(), empty: false, policy: None, wanted: requested() }
    }
}

/// What a restore is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreTask {
    /// Where the backup lies.
    pub storage: StorageSpec,
    /// The backup, as its metadata told when the restore was accepted.
    pub point: BackupPoint,
    /// Whether nobody asked for it: the partition lost its state and its policy says to restore.
    #[serde(default)]
    pub automatic: bool,
}

/// What a restore that succeeded leaves to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// When the restored state took the place of the old one.
    pub finished: DateTime<Utc>,
}

/// How far a job has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State<Outcome> {
    /// Durable, not begun (or to begin again after a crash).
    Accepted,
    /// Someone works on it.
    Running,
    /// About to make the result visible.
    Committing,
    /// Done.
    Succeeded(Outcome),
    /// Given up.
    Failed(Failure),
    /// Given up because its deadline passed.
    TimedOut(Failure),
}

/// What can happen to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<Outcome> {
    /// A worker takes it.
    Start,
    /// Everything is prepared; the visible write comes next.
    Commit,
    /// The visible write is there.
    Complete(Outcome),
    /// It cannot be done.
    Fail(Failure),
    /// The deadline passed.
    Expire(Failure),
    /// The worker is gone and the visible write did not happen.
    Interrupt,
}

/// An event that the state does not allow. Always a defect of ours, never the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {state} cannot {event}")]
pub struct Illegal {
    state: &'static str,
    event: &'static str,
}

/// The table. Every pair of state and event is written out or falls to the last, refusing line of its state.
pub fn transition<O>(state: &State<O>, event: Event<O>) -> Result<State<O>, Illegal> {
    use Event as E;
    use State as S;
    match (state, event) {
        (S::Accepted, E::Start) => Ok(S::Running),
        (S::Running, E::Commit) => Ok(S::Committing),
        (S::Committing, E::Complete(outcome)) => Ok(S::Succeeded(outcome)),
        (S::Accepted | S::Running | S::Committing, E::Fail(failure)) => Ok(S::Failed(failure)),
        (S::Accepted | S::Running, E::Expire(failure)) => Ok(S::TimedOut(failure)),
        (S::Accepted | S::Running | S::Committing, E::Interrupt) => Ok(S::Accepted),
        (
            S::Accepted | S::Running | S::Committing | S::Succeeded(_) | S::Failed(_) | S::TimedOut(_),
            event @ (E::Start | E::Commit | E::Complete(_) | E::Fail(_) | E::Expire(_) | E::Interrupt),
        ) => Err(Illegal { state: state.name(), event: event.name() }),
    }
}

impl<O> State<O> {
    /// Whether work remains; a partition has at most one such job of each kind.
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Accepted | Self::Running | Self::Committing)
    }

    /// Whether someone took it and has not ended it.
    pub fn has_begun(&self) -> bool {
        matches!(self, Self::Running | Self::Committing)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Committing => "committing",
            Self::Succeeded(_) => "succeeded",
            Self::Failed(_) => "failed",
            Self::TimedOut(_) => "timed out",
        }
    }
}

impl<O> Event<O> {
    fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Commit => "commit",
            Self::Complete(_) => "complete",
            Self::Fail(_) => "fail",
            Self::Expire(_) => "expire",
            Self::Interrupt => "be interrupted",
        }
    }
}

impl<T, O> Job<T, O> {
    /// A job as it is accepted.
    pub fn new(id: Uuid, requested: DateTime<Utc>, deadline: DateTime<Utc>, task: T) -> Self {
        let (state, cancelled, started, measured) = (State::Accepted, false, None, None);
        Self { id, requested, deadline, task, state, cancelled, started, measured }
    }

    /// The same job with another task.
    pub fn with<U>(&self, task: U) -> Job<U, O>
    where
        O: Clone,
    {
        let Self { id, requested, deadline, cancelled, started, measured, .. } = *self;
        Job { id, requested, deadline, task, state: self.state.clone(), cancelled, started, measured }
    }

    /// Moves the job on, or leaves it as it was.
    pub fn apply(&mut self, event: Event<O>) -> Result<(), Illegal> {
        self.state = transition(&self.state, event)?;
        if matches!(self.state, State::Accepted) {
            (self.started, self.measured) = (None, None);
        }
        Ok(())
    }

    /// Notes, after a step, when work on it began and what its meter said last.
    pub fn note(&mut self, now: DateTime<Utc>, measured: Option<Measured>) {
        if self.state.has_begun() {
            self.started = self.started.or(Some(now));
        }
        self.measured = measured.or(self.measured);
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, State, transition};
    use crate::domain::{Failure, FailureCode};

    fn failure() -> Failure {
        Failure::new(FailureCode::Other, "why")
    }

    fn states() -> [State<u8>; 6] {
        use State::{Accepted, Committing, Failed, Running, Succeeded, TimedOut};
        [Accepted, Running, Committing, Succeeded(1), Failed(failure()), TimedOut(failure())]
    }

    fn events() -> [Event<u8>; 6] {
        use Event::{Commit, Complete, Expire, Fail, Interrupt, Start};
        [Start, Commit, Complete(1), Fail(failure()), Expire(failure()), Interrupt]
    }

    /// Rows: accepted, running, committing, succeeded, failed, timed out. Columns: start, commit, complete, fail,
    /// expire, be interrupted. A letter is the state that follows, `-` a refusal.
    const TABLE: [&str; 6] = ["R--FTA", "-C-FTA", "--SF-A", "------", "------", "------"];

    #[test]
    fn every_pair_of_state_and_event_does_what_the_table_says() {
        for (state, row) in states().iter().zip(TABLE) {
            for (event, expected) in events().into_iter().zip(row.chars()) {
                let name = event.name();
                let letter = match transition(state, event) {
                    Err(_) => '-',
                    Ok(State::Accepted) => 'A',
                    Ok(State::Running) => 'R',
                    Ok(State::Committing) => 'C',
                    Ok(State::Succeeded(_)) => 'S',
                    Ok(State::Failed(_)) => 'F',
                    Ok(State::TimedOut(_)) => 'T',
                };
                assert_eq!(letter, expected, "{} + {name}", state.name());
            }
        }
    }

    #[test]
    fn a_job_is_active_until_it_has_an_end() {
        let active: Vec<bool> = states().iter().map(State::is_active).collect();
        assert_eq!(active, [true, true, true, false, false, false]);
    }
}
