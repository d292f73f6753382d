//! What a record becomes after the clock was ahead and was set right.

use chrono::{DateTime, Utc};

use crate::{domain::Span, ledger::PartitionRecord, policy};

/// Takes what a record remembers as later than `now` for what was just now. Tells whether there was any. Jobs keep their
/// times: they end all the same, and the backups that they made say when.
pub(super) fn correct(record: &mut PartitionRecord, now: DateTime<Utc>, jitter: Span) -> bool {
    let mut is_ahead = policy::correct(&mut record.runs, now, jitter);
    let completed = record.tip.as_mut().map(|tip| &mut tip.completed);
    let lost = record.data_loss.as_mut().map(|loss| &mut loss.since);
    for time in completed.into_iter().chain(lost).filter(|time| **time > now) {
        (*time, is_ahead) = (now, true);
    }
    is_ahead
}
