//! What a policy's retention would do, as it is answered.

use super::super::wire;
use crate::{
    domain::BackupPoint,
    ops::{Action, Hold, RetentionPlan, Verdict},
};

/// A page of a plan.
pub(in crate::api) fn retention_plan(plan: RetentionPlan) -> wire::PagedRetentionVerdictList {
    wire::PagedRetentionVerdictList {
        continuation_token: plan.verdicts.next.unwrap_or_default(),
        items: plan.verdicts.items.into_iter().map(verdict).collect(),
        planned_at_utc: plan.planned_at,
        blocked: plan.blocked,
    }
}

fn verdict(verdict: Verdict) -> wire::RetentionVerdict {
    let point = verdict.point.as_ref();
    wire::RetentionVerdict {
        backup_id: point.map(|point| point.id),
        backup_chain_id: point.map(|point| point.chain_id),
        application_name: verdict.place.application.to_string(),
        service_name: verdict.place.service.to_string(),
        partition_id: verdict.place.partition.0,
        backup_location: verdict.location.0,
        backup_type: point.map(kind),
        creation_time_utc: point.map_or(verdict.time, |point| point.created),
        action: match verdict.action {
            Action::Keep => wire::RetentionAction::Keep,
            Action::Delete => wire::RetentionAction::Delete,
        },
        deletable_from_utc: verdict.deletable_from,
        holds: verdict.holds.iter().map(hold).collect(),
        reason: verdict.reason,
    }
}

fn kind(point: &BackupPoint) -> wire::BackupType {
    if point.is_full() { wire::BackupType::Full } else { wire::BackupType::Incremental }
}

fn hold(hold: &Hold) -> wire::RetentionHold {
    use wire::RetentionHold as Wire;
    match hold {
        Hold::NotExpired => Wire::NotExpired,
        Hold::MinimumNumberOfBackups => Wire::MinimumNumberOfBackups,
        Hold::NewestExpiredChain => Wire::NewestExpiredChain,
        Hold::NeededByNewerBackup => Wire::NeededByNewerBackup,
        Hold::NoRetentionPolicy => Wire::NoRetentionPolicy,
        Hold::RestoreInProgress => Wire::RestoreInProgress,
        Hold::DataLoss => Wire::DataLoss,
        Hold::Unreadable => Wire::Unreadable,
        Hold::Stray(_) => Wire::Stray,
    }
}
