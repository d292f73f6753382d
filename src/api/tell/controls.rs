//! Which policies cover what, and what is suspended, as it is answered.

use super::super::wire;
use crate::{
    domain::{Entity, Level},
    ops::{Configuration, Paged},
};

/// A page of what holds in an application or service.
pub(in crate::api) fn configurations(page: Paged<Configuration>) -> wire::PagedBackupConfigurationInfoList {
    wire::PagedBackupConfigurationInfoList {
        continuation_token: Some(page.next.unwrap_or_default()),
        items: Some(page.items.into_iter().map(configuration).collect()),
    }
}

/// What holds for a partition.
pub(in crate::api) fn partition_configuration(
    configuration: Configuration,
) -> Option<wire::PartitionBackupConfigurationInfo> {
    match self::configuration(configuration) {
        wire::BackupConfigurationInfo::Partition(partition) => Some(partition),
        wire::BackupConfigurationInfo::Application(_) | wire::BackupConfigurationInfo::Service(_) => None,
    }
}

/// What is only suspended has no policy, and inherits it from nowhere.
fn configuration(configuration: Configuration) -> wire::BackupConfigurationInfo {
    use wire::BackupConfigurationInfo as Wire;
    let from = configuration.effective.as_ref().map_or(wire::BackupPolicyScope::Invalid, |it| policy_scope(it.from));
    let policy_name = configuration.effective.map(|effective| effective.policy.to_string());
    let policy_inherited_from = Some(from);
    let suspension_info = Some(suspension(configuration.suspension));
    match configuration.entity {
        Entity::Application(name) => Wire::Application(wire::ApplicationBackupConfigurationInfo {
            policy_name,
            policy_inherited_from,
            suspension_info,
            application_name: Some(name.to_string()),
        }),
        Entity::Service(_, name) => Wire::Service(wire::ServiceBackupConfigurationInfo {
            policy_name,
            policy_inherited_from,
            suspension_info,
            service_name: Some(name.to_string()),
        }),
        Entity::Partition(_, service, id) => Wire::Partition(wire::PartitionBackupConfigurationInfo {
            policy_name,
            policy_inherited_from,
            suspension_info,
            service_name: Some(service.to_string()),
            partition_id: Some(id.0),
        }),
    }
}

fn suspension(on: Option<Level>) -> wire::BackupSuspensionInfo {
    use wire::BackupSuspensionScope as Scope;
    let scope = match on {
        None => Scope::Invalid,
        Some(Level::Application) => Scope::Application,
        Some(Level::Service) => Scope::Service,
        Some(Level::Partition) => Scope::Partition,
    };
    wire::BackupSuspensionInfo { is_suspended: Some(on.is_some()), suspension_inherited_from: Some(scope) }
}

fn policy_scope(level: Level) -> wire::BackupPolicyScope {
    match level {
        Level::Application => wire::BackupPolicyScope::Application,
        Level::Service => wire::BackupPolicyScope::Service,
        Level::Partition => wire::BackupPolicyScope::Partition,
    }
}
