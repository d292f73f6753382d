//! What can be told of a job at one moment beside its state. Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Job, Measured, State};

/// How far a job is, and when it may be done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// When work on it began.
    pub started: Option<DateTime<Utc>>,
    /// What it has moved; none until it is known what there is to move.
    pub measured: Option<Measured>,
    /// How much of it is done, in percent. 100 only once it has succeeded.
    pub percent: Option<u8>,
    /// When it is done if it goes on as it went so far. None until something is done, nor once it has ended.
    pub completion: Option<DateTime<Utc>>,
}

impl<T, O> Job<T, O> {
    /// What can be told of it at `now`.
    pub fn progress(&self, now: DateTime<Utc>) -> Progress {
        let going_on = self.state.has_begun().then_some(()).and(self.started.zip(self.measured));
        Progress {
            started: self.started,
            measured: self.measured,
            percent: self.percent(),
            completion: going_on.and_then(|(started, measured)| completion(started, now, &measured)),
        }
    }

    fn percent(&self) -> Option<u8> {
        if matches!(self.state, State::Succeeded(_)) {
            return Some(100);
        }
        let (done, total) = self.measured.as_ref()?.share()?;
        u8::try_from(u128::from(done) * 100 / u128::from(total)).ok().map(|percent| percent.min(99))
    }
}

impl Measured {
    /// Whether it says anything: until it is known what there is to move, everything is zero.
    pub fn is_known(&self) -> bool {
        self.bytes_total > 0 || self.files_total > 0
    }

    /// How much is done of how much: bytes; files where there are no bytes. Never more than all.
    fn share(&self) -> Option<(u64, u64)> {
        let of = |done: u64, total: u64| (total > 0).then_some((done.min(total), total));
        of(self.bytes_processed, self.bytes_total).or_else(|| of(self.files_processed, self.files_total))
    }
}

/// Goes on at the rate since the start.
fn completion(started: DateTime<Utc>, now: DateTime<Utc>, measured: &Measured) -> Option<DateTime<Utc>> {
    let (done, total) = measured.share().filter(|(done, _)| *done > 0)?;
    let elapsed = u128::try_from((now - started).num_milliseconds()).ok()?;
    let left = elapsed * u128::from(total - done) / u128::from(done);
    now.checked_add_signed(TimeDelta::try_milliseconds(i64::try_from(left).ok()?)?)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use uuid::Uuid;

    use super::{Measured, Progress};
    use crate::{
        domain::{Failure, FailureCode},
        job::{Job, State},
    };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn bytes(processed: u64, total: u64) -> Measured {
        Measured { bytes_processed: processed, bytes_total: total, files_total: 1, ..Measured::default() }
    }

    /// The percentage and the completion, in seconds, at second 10 of a job that began at second 2.
    fn told(state: State<()>, measured: Option<Measured>) -> (Option<u8>, Option<i64>) {
        let job = Job { state, measured, started: Some(at(2)), ..Job::new(Uuid::nil(), at(0), at(99), ()) };
        let Progress { percent, completion, started, .. } = job.progress(at(10));
        assert_eq!(started, Some(at(2)));
        (percent, completion.map(|it| it.timestamp()))
    }

    #[test]
    fn a_running_job_is_done_when_the_rest_has_gone_at_the_rate_so_far() {
        assert_eq!(told(State::Running, Some(bytes(20, 100))), (Some(20), Some(10 + 32)));
        assert_eq!(told(State::Running, Some(bytes(u64::MAX / 2, u64::MAX))), (Some(49), Some(10 + 8)));
    }

    #[test]
    fn nothing_is_foretold_until_there_is_something_to_go_by() {
        assert_eq!(told(State::Running, None), (None, None));
        assert_eq!(told(State::Running, Some(bytes(0, 100))), (Some(0), None));
        assert_eq!(told(State::Running, Some(bytes(1, u64::MAX))), (Some(0), None));
        let job = Job::<(), ()>::new(Uuid::nil(), at(0), at(99), ());
        assert_eq!(job.progress(at(10)), Progress::default());
    }

    #[test]
    fn a_clock_that_was_set_back_foretells_nothing() {
        let job = Job::<(), ()> {
            state: State::Running,
            measured: Some(bytes(1, 2)),
            started: Some(at(20)),
            ..Job::new(Uuid::nil(), at(0), at(99), ())
        };
        assert_eq!(job.progress(at(10)).completion, None);
    }

    #[test]
    fn only_success_is_a_hundred_percent() {
        assert_eq!(told(State::Running, Some(bytes(100, 100))), (Some(99), Some(10)));
        assert_eq!(told(State::Committing, Some(bytes(101, 100))), (Some(99), Some(10)));
        assert_eq!(told(State::Succeeded(()), Some(bytes(99, 100))), (Some(100), None));
        assert_eq!(told(State::Succeeded(()), None), (Some(100), None));
        let failed = State::Failed(Failure::new(FailureCode::Other, "why"));
        assert_eq!(told(failed, Some(bytes(50, 100))), (Some(50), None));
    }

    #[test]
    fn where_there_are_no_bytes_files_count() {
        let files = Measured { files_processed: 1, files_total: 4, ..Measured::default() };
        assert_eq!(told(State::Running, Some(files)), (Some(25), Some(10 + 24)));
    }
}
