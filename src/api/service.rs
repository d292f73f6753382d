//! The operations that are built, as calls of the use cases. The rest keeps the trait's 501.

use uuid::Uuid;

use super::{
    ApiError,
    operations::{
        BackupPartitionQuery, CreateBackupPolicyQuery, GetAllEntitiesBackedUpByPolicyQuery, GetBackupPolicyListQuery,
        GetBackupsFromBackupLocationQuery, GetPartitionBackupListQuery, Operations, RestorePartitionQuery,
        UpdateBackupPolicyQuery,
    },
    read, tell,
    wire::{
        BackupPartitionDescription, BackupPolicyDescription, BackupProgressInfo, GetBackupByStorageQueryDescription,
        PagedBackupEntityList, PagedBackupInfoList, PagedBackupPolicyDescriptionList, RestorePartitionDescription,
        RestoreProgressInfo,
    },
};
use crate::{
    domain::PartitionId,
    ops::{Ops, RestoreRequest},
};

/// The service behind the routes.
#[derive(Clone)]
pub(super) struct Service(pub(super) Ops);

impl Operations for Service {
    async fn create_backup_policy(
        &self,
        query: CreateBackupPolicyQuery,
        body: BackupPolicyDescription,
    ) -> Result<(), ApiError> {
        let name = read::policy_name(&body.name, "Name")?;
        Ok(self.0.create_policy(read::policy(name, body)?, query.validate_connection).await?)
    }

    async fn update_backup_policy(
        &self,
        backup_policy_name: String,
        query: UpdateBackupPolicyQuery,
        body: BackupPolicyDescription,
    ) -> Result<(), ApiError> {
        let name = read::policy_name(&backup_policy_name, "backupPolicyName")?;
        Ok(self.0.update_policy(read::policy(name, body)?, query.validate_connection).await?)
    }

    async fn delete_backup_policy(&self, backup_policy_name: String) -> Result<(), ApiError> {
        Ok(self.0.delete_policy(read::policy_name(&backup_policy_name, "backupPolicyName")?).await?)
    }

    async fn get_backup_policy_by_name(&self, backup_policy_name: String) -> Result<BackupPolicyDescription, ApiError> {
        let name = read::policy_name(&backup_policy_name, "backupPolicyName")?;
        Ok(tell::policy(self.0.policy(&name).await?))
    }

    async fn get_backup_policy_list(
        &self,
        query: GetBackupPolicyListQuery,
    ) -> Result<PagedBackupPolicyDescriptionList, ApiError> {
        let page = read::page(query.continuation_token, query.max_results);
        Ok(tell::policies(self.0.policies(page).await?))
    }

    async fn get_all_entities_backed_up_by_policy(
        &self,
        backup_policy_name: String,
        query: GetAllEntitiesBackedUpByPolicyQuery,
    ) -> Result<PagedBackupEntityList, ApiError> {
        let name = read::policy_name(&backup_policy_name, "backupPolicyName")?;
        let page = read::page(query.continuation_token, query.max_results);
        Ok(tell::entities(self.0.enabled_entities(&name, page).await?))
    }

    async fn backup_partition(
        &self,
        partition_id: Uuid,
        query: BackupPartitionQuery,
        _idempotency_key: Option<String>,
        body: Option<BackupPartitionDescription>,
    ) -> Result<(), ApiError> {
        let named = body.and_then(|body| body.backup_storage);
        let storage = named.map(|named| read::storage(named, "BackupStorage")).transpose()?;
        let minutes = read::minutes(query.backup_timeout);
        Ok(self.0.backup_partition(PartitionId(partition_id), storage, minutes).await?)
    }

    async fn get_partition_backup_progress(&self, partition_id: Uuid) -> Result<Option<BackupProgressInfo>, ApiError> {
        Ok(self.0.backup_progress(PartitionId(partition_id)).await?.map(tell::backup_progress))
    }

    async fn get_partition_backup_list(
        &self,
        partition_id: Uuid,
        query: GetPartitionBackupListQuery,
    ) -> Result<PagedBackupInfoList, ApiError> {
        Ok(tell::backups(self.0.partition_backups(PartitionId(partition_id), read::list(query)).await?))
    }

    async fn get_backups_from_backup_location(
        &self,
        query: GetBackupsFromBackupLocationQuery,
        body: GetBackupByStorageQueryDescription,
    ) -> Result<PagedBackupInfoList, ApiError> {
        let scope = read::scope(body.backup_entity)?;
        let storage = read::storage(body.storage, "Storage")?;
        let query = crate::ops::Query {
            start: body.start_date_time_filter,
            end: body.end_date_time_filter,
            latest: body.latest,
            page: read::page(query.continuation_token, query.max_results),
        };
        Ok(tell::backups(self.0.backups_in(storage, &scope, query).await?))
    }

    async fn restore_partition(
        &self,
        partition_id: Uuid,
        query: RestorePartitionQuery,
        _idempotency_key: Option<String>,
        body: RestorePartitionDescription,
    ) -> Result<(), ApiError> {
        let storage = body.backup_storage.map(|named| read::storage(named, "BackupStorage")).transpose()?;
        let request = RestoreRequest { backup: body.backup_id, location: body.backup_location, storage };
        let minutes = read::minutes(query.restore_timeout);
        Ok(self.0.restore_partition(PartitionId(partition_id), request, minutes).await?)
    }

    async fn get_partition_restore_progress(
        &self,
        partition_id: Uuid,
    ) -> Result<Option<RestoreProgressInfo>, ApiError> {
        Ok(self.0.restore_progress(PartitionId(partition_id)).await?.map(tell::restore_progress))
    }
}
