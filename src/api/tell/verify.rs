//! How a verification goes and what it found, as it is answered.

use chrono::{DateTime, Utc};

use super::{
    super::wire,
    failure, never,
    progress::{Moved, number},
};
use crate::ops::{Checked, Finding, State, VerifyJob};

/// The progress of the latest verification.
pub(in crate::api) fn verify_progress(job: VerifyJob, now: DateTime<Utc>) -> wire::VerifyProgressInfo {
    let moved = Moved::of(&job.progress(now));
    let checked = job.task.checked;
    let counted = |count: fn(&Checked) -> u64| checked.as_ref().map(|checked| number(count(checked)));
    let (blocks_checked, bytes_checked) = (counted(|it| it.blocks), counted(|it| it.bytes));
    let damages_found = counted(|it| it.damages);
    let (state, finished, why) = match job.state {
        State::Accepted => (wire::VerifyState::Accepted, None, None),
        State::Running | State::Committing => (wire::VerifyState::VerifyInProgress, None, None),
        State::Succeeded(done) => (wire::VerifyState::Success, Some(done.finished), None),
        State::Failed(why) => (wire::VerifyState::Failure, None, Some(why)),
        State::TimedOut(why) => (wire::VerifyState::Timeout, None, Some(why)),
    };
    wire::VerifyProgressInfo {
        verify_state: state,
        time_stamp_utc: finished.unwrap_or_else(never),
        backup_id: job.task.backup,
        backup_location: job.task.location.0,
        level: job.task.depth.level(),
        blocks_checked,
        bytes_checked,
        damages_found,
        findings: checked.unwrap_or_default().findings.into_iter().map(finding).collect(),
        failure_error: why.map(failure),
        bytes_total: moved.bytes_total,
        bytes_processed: moved.bytes_processed,
        bytes_stored: moved.bytes_stored,
        files_total: moved.files_total,
        files_processed: moved.files_processed,
        percent_complete: moved.percent,
        started_utc: moved.started,
        estimated_completion_utc: moved.completion,
        stage_milliseconds: moved.stages,
    }
}

fn finding(finding: Finding) -> wire::VerifyFinding {
    wire::VerifyFinding {
        backup_location: finding.backup.0,
        file: finding.file,
        offset: finding.offset.map(number),
        reason: finding.why,
    }
}
