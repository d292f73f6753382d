//! What is wrong, as it is answered.

use super::super::wire;
use crate::{
    domain::Entity,
    ops::{Trouble, TroubleKind},
};

/// All that is wrong.
pub(in crate::api) fn health(troubles: Vec<Trouble>) -> wire::BackupHealth {
    let health_state = if troubles.is_empty() { wire::BackupHealthState::Ok } else { wire::BackupHealthState::Warning };
    wire::BackupHealth { health_state, events: troubles.into_iter().map(event).collect() }
}

fn event(trouble: Trouble) -> wire::BackupHealthEvent {
    let entity = trouble.entity.as_ref();
    wire::BackupHealthEvent {
        kind: match trouble.kind {
            TroubleKind::DataLoss => wire::BackupHealthEventKind::DataLoss,
            TroubleKind::BackupFailing => wire::BackupHealthEventKind::BackupFailing,
            TroubleKind::RetentionBlocked => wire::BackupHealthEventKind::RetentionBlocked,
            TroubleKind::CleanupFailing => wire::BackupHealthEventKind::CleanupFailing,
        },
        application_name: entity.map(|entity| entity.application().to_string()),
        service_name: entity.and_then(Entity::service).map(ToString::to_string),
        partition_id: entity.and_then(Entity::partition).map(|id| id.0),
        policy_name: trouble.policy.map(|policy| policy.to_string()),
        since_utc: trouble.since,
        description: trouble.description,
    }
}
