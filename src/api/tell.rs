//! From the domain to the wire: progress and lists, with the published values for "not yet".

mod controls;
mod health;
mod inventory;
mod policies;
mod progress;
mod retention;
mod verify;

pub(super) use controls::{configurations, partition_configuration};
pub(super) use health::health;
pub(super) use inventory::{applications, partition, partitions, services};
pub(super) use policies::{entities, policies, policy};
pub(super) use retention::retention_plan;
pub(super) use verify::verify_progress;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use uuid::Uuid;

use self::progress::Moved;
use super::wire;
use crate::{
    domain::{BackupPoint, Epoch, Failure, FailureCode, PartitionId, PartitionKind, words},
    ops::{Found, Item, Paged, RestoreJob, RestoreProgress, State, ToldBackup},
};

/// The progress of the latest backup. Until it is done its fields have the published placeholders.
pub(super) fn backup_progress(job: ToldBackup, now: DateTime<Utc>) -> wire::BackupProgressInfo {
    let moved = Moved::of(&job.progress(now));
    let state = match &job.state {
        State::Accepted => wire::BackupState::Accepted,
        State::Running | State::Committing => wire::BackupState::BackupInProgress,
        State::Succeeded(_) => wire::BackupState::Success,
        State::Failed(_) => wire::BackupState::Failure,
        State::TimedOut(_) => wire::BackupState::Timeout,
    };
    let (done, why) = match job.state {
        State::Succeeded(done) => (Some(done), None),
        State::Failed(why) | State::TimedOut(why) => (None, Some(why)),
        State::Accepted | State::Running | State::Committing => (None, None),
    };
    wire::BackupProgressInfo {
        backup_state: Some(state),
        time_stamp_utc: Some(done.as_ref().map_or_else(never, |point| point.created)),
        backup_id: Some(done.as_ref().map_or(Uuid::nil(), |point| point.id)),
        epoch_of_last_backup_record: done.as_ref().map(|point| epoch(point.epoch)),
        lsn_of_last_backup_record: Some(done.as_ref().map_or(0, |point| point.lsn)),
        notes: done.is_some().then_some(job.task).filter(|notes| !notes.is_empty()),
        backup_location: done.map(|point| point.location.0),
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

/// The progress of the latest restore, or that one is needed.
pub(super) fn restore_progress(progress: RestoreProgress, now: DateTime<Utc>) -> Option<wire::RestoreProgressInfo> {
    let data_loss =
        progress.data_loss.map(|loss| wire::DataLossInfo { detected_utc: loss.since, description: loss.found });
    let info = progress.job.map(|job| restore(job, now)).or_else(|| data_loss.is_some().then(no_restore))?;
    Some(wire::RestoreProgressInfo { data_loss, ..info })
}

/// What is being restored shows from the start; when it was done, only at the end.
fn restore(job: RestoreJob, now: DateTime<Utc>) -> wire::RestoreProgressInfo {
    let moved = Moved::of(&job.progress(now));
    let state = match &job.state {
        State::Accepted => wire::RestoreState::Accepted,
        State::Running | State::Committing => wire::RestoreState::RestoreInProgress,
        State::Succeeded(_) => wire::RestoreState::Success,
        State::Failed(_) => wire::RestoreState::Failure,
        State::TimedOut(_) => wire::RestoreState::Timeout,
    };
    let (finished, why) = match job.state {
        State::Succeeded(restored) => (Some(restored.finished), None),
        State::Failed(why) | State::TimedOut(why) => (None, Some(why)),
        State::Accepted | State::Running | State::Committing => (None, None),
    };
    let shown = why.is_none().then_some(&job.task.point);
    wire::RestoreProgressInfo {
        restore_state: Some(state),
        time_stamp_utc: finished.or(Some(never())),
        restored_epoch: shown.map(|point| epoch(point.epoch)),
        restored_lsn: Some(shown.map_or(0, |point| point.lsn)),
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
        ..no_restore()
    }
}

fn no_restore() -> wire::RestoreProgressInfo {
    wire::RestoreProgressInfo {
        restore_state: Some(wire::RestoreState::Invalid),
        time_stamp_utc: Some(never()),
        restored_epoch: None,
        restored_lsn: Some(0),
        failure_error: None,
        data_loss: None,
        bytes_total: None,
        bytes_processed: None,
        bytes_stored: None,
        files_total: None,
        files_processed: None,
        percent_complete: None,
        started_utc: None,
        estimated_completion_utc: None,
        stage_milliseconds: None,
    }
}

/// A page of backups. As in every published example its token is empty at the end.
pub(super) fn backups(listing: Paged<Item>) -> wire::PagedBackupInfoList {
    wire::PagedBackupInfoList {
        continuation_token: Some(listing.next.unwrap_or_default()),
        items: Some(listing.items.into_iter().map(item).collect()),
    }
}

fn item(item: Item) -> wire::BackupInfo {
    match item {
        Item::Backup(found) => backup(found),
        Item::Unlisted(why) => wire::BackupInfo { failure_error: Some(failure(why)), ..nothing() },
    }
}

fn backup(found: Found) -> wire::BackupInfo {
    let place = wire::BackupInfo {
        application_name: Some(found.place.application.to_string()),
        service_name: Some(found.place.service.to_string()),
        backup_location: Some(found.location.0),
        creation_time_utc: Some(found.time),
        ..nothing()
    };
    match found.point {
        Ok(point) => described(place, found.place.partition, point),
        Err(error) => {
            let why = Failure::new(error.code(), words(&error));
            wire::BackupInfo { failure_error: Some(failure(why)), ..place }
        }
    }
}

fn described(place: wire::BackupInfo, partition: PartitionId, point: BackupPoint) -> wire::BackupInfo {
    let kind = if point.is_full() { wire::BackupType::Full } else { wire::BackupType::Incremental };
    wire::BackupInfo {
        backup_id: Some(point.id),
        backup_chain_id: Some(point.chain_id),
        partition_information: Some(partition_information(partition, point.partition)),
        backup_type: Some(kind),
        epoch_of_last_backup_record: Some(epoch(point.epoch)),
        lsn_of_last_backup_record: Some(point.lsn),
        creation_time_utc: Some(point.created),
        service_manifest_version: Some(point.manifest_version),
        ..place
    }
}

/// An item that says nothing but, later, why.
fn nothing() -> wire::BackupInfo {
    wire::BackupInfo {
        backup_id: Some(Uuid::nil()),
        backup_chain_id: None,
        application_name: None,
        service_name: None,
        partition_information: None,
        backup_location: None,
        backup_type: None,
        epoch_of_last_backup_record: None,
        lsn_of_last_backup_record: None,
        creation_time_utc: None,
        service_manifest_version: None,
        failure_error: None,
    }
}

fn partition_information(id: PartitionId, kind: PartitionKind) -> wire::PartitionInformation {
    let id = Some(id.0);
    match kind {
        PartitionKind::Singleton => wire::PartitionInformation::Singleton(wire::SingletonPartitionInformation { id }),
        PartitionKind::Int64Range(range) => {
            let (low_key, high_key) = (Some(range.low), Some(range.high));
            wire::PartitionInformation::Int64Range(wire::Int64RangePartitionInformation { id, low_key, high_key })
        }
        PartitionKind::Named(name) => {
            wire::PartitionInformation::Named(wire::NamedPartitionInformation { id, name: Some(name) })
        }
    }
}

fn epoch(epoch: Epoch) -> wire::Epoch {
    wire::Epoch { configuration_version: Some(epoch.configuration), data_loss_version: Some(epoch.data_loss) }
}

fn failure(why: Failure) -> wire::FabricErrorError {
    wire::FabricErrorError { code: code(why.code), message: Some(why.message) }
}

/// The published name of each kind of failure.
pub(super) fn code(code: FailureCode) -> wire::FabricErrorCodes {
    use wire::FabricErrorCodes as Codes;
    match code {
        FailureCode::InvalidArgument => Codes::EInvalidarg,
        FailureCode::NotBuilt => Codes::ENotimpl,
        FailureCode::AccessDenied => Codes::EAccessdenied,
        FailureCode::NotFound => Codes::FabricEFileNotFound,
        FailureCode::Timeout => Codes::FabricETimeout,
        FailureCode::Unreachable => Codes::FabricECommunicationError,
        FailureCode::Damaged => Codes::FabricERestoreSafeCheckFailed,
        FailureCode::Aborted => Codes::EAbort,
        FailureCode::Other => Codes::EFail,
    }
}

/// The published value of a time that has not come.
fn never() -> DateTime<Utc> {
    NaiveDate::from_ymd_opt(1, 1, 1).unwrap_or_default().and_time(NaiveTime::MIN).and_utc()
}
