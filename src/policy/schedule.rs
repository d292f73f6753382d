use chrono::{DateTime, Datelike, Days, TimeDelta, Utc};

use crate::domain::{Failure, PartitionId, RunFailure, RunLog, RunTimes, Schedule, Span};

/// How often a scheduled backup that failed is tried again before the schedule goes on.
const RETRIES: u32 = 5;
const RETRY_DELAY: Span = Span::minutes(1);

/// When a partition's next scheduled backup is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When it begins.
    pub at: DateTime<Utc>,
    /// When it would begin by the schedule alone.
    pub nominal: DateTime<Utc>,
    /// Why then.
    pub why: WhyDue,
}

/// Why a backup is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyDue {
    /// The interval since the last one is over.
    Interval,
    /// One of the times of day.
    TimeOfDay,
    /// The one before failed; this is the retry of this number, from 1.
    Retry(u32),
}

/// When the next scheduled backup of `partition` is due, under a schedule that runs as it does since `since`. If that
/// time is past, it was missed and is due at once; it counts once, since the schedule goes on from its end.
pub fn due(schedule: &Schedule, since: DateTime<Utc>, log: &RunLog, partition: PartitionId, jitter: Span) -> Due {
    if let Some(retry) = retry(since, log) {
        return retry;
    }
    let anchor = anchor(since, log);
    let (nominal, why) = match schedule {
        Schedule::Frequency(interval) => (interval.span().after(anchor), WhyDue::Interval),
        Schedule::Time(times) => (first_after(times, anchor), WhyDue::TimeOfDay),
    };
    Due { at: jittered(nominal, partition, jitter).max(anchor), nominal, why }
}

/// The time from which the schedule goes on: the end of the latest run, and the time that it was for if it ended before.
fn anchor(since: DateTime<Utc>, log: &RunLog) -> DateTime<Utc> {
    let ended = log.ended.filter(|it| *it >= since);
    ended.map_or(since, |ended| log.nominal.map_or(ended, |nominal| nominal.max(ended)))
}

/// The retry that a failure under the present schedule calls for.
fn retry(since: DateTime<Utc>, log: &RunLog) -> Option<Due> {
    let failure = log.failure.as_ref().filter(|it| log.failures > 0 && it.at >= since)?;
    let at = RETRY_DELAY.after(failure.at);
    Some(Due { at, nominal: log.nominal.unwrap_or(at), why: WhyDue::Retry(log.failures) })
}

/// The first of `times` that is later than `anchor`; the end of all time if there is none.
fn first_after(times: &RunTimes, anchor: DateTime<Utc>) -> DateTime<Utc> {
    let dates = (0..=7).map_while(|days| anchor.date_naive().checked_add_days(Days::new(days)));
    let dates = dates.filter(|date| times.days().includes(date.weekday()));
    let mut runs = dates.flat_map(|date| times.times().map(move |time| date.and_time(time).and_utc()));
    runs.find(|run| *run > anchor).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Moves `nominal` by less than `jitter` either way, always by the same for the same partition and time.
fn jittered(nominal: DateTime<Utc>, partition: PartitionId, jitter: Span) -> DateTime<Utc> {
    let reach = jitter.as_seconds().saturating_mul(1000);
    let mut hash = blake3::Hasher::new();
    hash.update(partition.0.as_bytes()).update(&nominal.timestamp().to_le_bytes());
    let mut drawn = [0; 8];
    hash.finalize_xof().fill(&mut drawn);
    let Some(offset) = u64::from_le_bytes(drawn).checked_rem(reach.saturating_mul(2)) else { return nominal };
    let offset = i64::try_from(offset).unwrap_or(0) - i64::try_from(reach).unwrap_or(0);
    TimeDelta::try_milliseconds(offset).and_then(|it| nominal.checked_add_signed(it)).unwrap_or(nominal)
}

/// Notes that the backup that was `due` begins. Without it a backup that jitter put before its time would be due again.
pub fn started(log: &mut RunLog, due: &Due) {
    log.nominal = Some(due.nominal);
    if !matches!(due.why, WhyDue::Retry(_)) {
        log.failures = 0;
    }
}

/// Notes that the scheduled backup that ended at `at` is there.
pub fn succeeded(log: &mut RunLog, at: DateTime<Utc>) {
    *log = RunLog { ended: Some(at), succeeded: Some(at), failures: 0, failure: None, nominal: log.nominal };
}

/// Notes that a scheduled backup failed at `at`. Once its retries are used up the schedule goes on.
pub fn failed(log: &mut RunLog, at: DateTime<Utc>, why: Failure) {
    let since = log.failure.as_ref().map_or(at, |it| it.since);
    log.failure = Some(RunFailure { at, since, why });
    log.failures = log.failures.saturating_add(1);
    if log.failures > RETRIES {
        log.failures = 0;
        log.ended = Some(at);
    }
}

/// Takes what is remembered as later than `now` for what was just now: the clock was ahead when it was written down, and
/// until that time comes again no backup would be due. Tells whether there was any. A time that a run was for may be
/// ahead by the `jitter`.
pub fn correct(log: &mut RunLog, now: DateTime<Utc>, jitter: Span) -> bool {
    let before = log.clone();
    let soonest = |at: DateTime<Utc>| at.min(now);
    (log.ended, log.succeeded) = (log.ended.map(soonest), log.succeeded.map(soonest));
    log.nominal = log.nominal.map(|nominal| nominal.min(jitter.after(now)));
    if let Some(failure) = &mut log.failure {
        (failure.at, failure.since) = (soonest(failure.at), soonest(failure.since));
    }
    *log != before
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
