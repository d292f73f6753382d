//! The operations that are built, as calls of the use cases. The rest keeps the trait's 501.

use chrono::{DateTime, Utc};
use futures::StreamExt;
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    ApiError,
    events::{self, Events},
    operations::{
        BackupPartitionQuery, CreateBackupPolicyQuery, GetAllEntitiesBackedUpByPolicyQuery,
        GetApplicationBackupConfigurationInfoQuery, GetApplicationBackupListQuery, GetApplicationInfoListQuery,
        GetBackupPolicyListQuery, GetBackupRetentionPlanQuery, GetBackupsFromBackupLocationQuery,
        GetPartitionBackupListQuery, GetPartitionInfoListQuery, GetServiceBackupConfigurationInfoQuery,
        GetServiceBackupListQuery, GetServiceInfoListQuery, Operations, RestorePartitionQuery, UpdateBackupPolicyQuery,
        VerifyPartitionBackupQuery,
    },
    read, tell,
    wire::{
        BackupHealth, BackupPartitionDescription, BackupPolicyDescription, BackupProgressInfo,
        DisableBackupDescription, EnableBackupDescription, GetBackupByStorageQueryDescription,
        PagedApplicationInfoList, PagedBackupConfigurationInfoList, PagedBackupEntityList, PagedBackupInfoList,
        PagedBackupPolicyDescriptionList, PagedRetentionVerdictList, PagedServiceInfoList,
        PagedServicePartitionInfoList, PartitionBackupConfigurationInfo, RestorePartitionDescription,
        RestoreProgressInfo, ServicePartitionInfo, VerifyBackupDescription, VerifyProgressInfo,
    },
};
use crate::{
    domain::PartitionId,
    ops::{BackupRequest, Ops, Query, RestoreRequest, Stream, VerifyRequest},
};

/// The service behind the routes.
#[derive(Clone)]
pub(super) struct Service(pub(super) Ops, pub(super) watch::Receiver<bool>);

impl Service {
    /// What is told of a job, as events.
    fn events<T: Send + 'static, W: Send + 'static>(
        &self,
        told: Stream<T>,
        tell: fn(T, DateTime<Utc>) -> W,
    ) -> Events<W> {
        let ops = self.0.clone();
        let answers = told.map(move |told| Ok(tell(told?, ops.now())));
        events::until(self.1.clone(), answers).boxed()
    }
}

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

    async fn get_backup_retention_plan(
        &self,
        backup_policy_name: String,
        query: GetBackupRetentionPlanQuery,
    ) -> Result<PagedRetentionVerdictList, ApiError> {
        let name = read::policy_name(&backup_policy_name, "backupPolicyName")?;
        let page = read::page(query.continuation_token, query.max_results);
        Ok(tell::retention_plan(self.0.retention_plan(&name, page).await?))
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
        idempotency_key: Option<String>,
        body: Option<BackupPartitionDescription>,
    ) -> Result<(), ApiError> {
        let named = body.and_then(|body| body.backup_storage);
        let storage = named.map(|named| read::storage(named, "BackupStorage")).transpose()?;
        let minutes = read::minutes(query.backup_timeout);
        let asked = BackupRequest { storage, minutes, incremental: query.incremental, key: idempotency_key };
        Ok(self.0.backup_partition(PartitionId(partition_id), asked).await?)
    }

    async fn get_partition_backup_progress(&self, partition_id: Uuid) -> Result<Option<BackupProgressInfo>, ApiError> {
        Ok(self.0.backup_progress(PartitionId(partition_id)).await?.map(|job| tell::backup_progress(job, self.0.now())))
    }

    async fn watch_get_partition_backup_progress(
        &self,
        partition_id: Uuid,
    ) -> Result<Events<Option<BackupProgressInfo>>, ApiError> {
        let told = self.0.watch_backup(PartitionId(partition_id))?;
        Ok(self.events(told, |job, now| job.map(|job| tell::backup_progress(job, now))))
    }

    async fn get_partition_backup_list(
        &self,
        partition_id: Uuid,
        query: GetPartitionBackupListQuery,
    ) -> Result<PagedBackupInfoList, ApiError> {
        let query = Query {
            start: query.start_date_time_filter,
            end: query.end_date_time_filter,
            latest: query.latest,
            page: read::page(query.continuation_token, query.max_results),
        };
        Ok(tell::backups(self.0.backups(read::partition(partition_id), query).await?))
    }

    async fn get_backups_from_backup_location(
        &self,
        query: GetBackupsFromBackupLocationQuery,
        body: GetBackupByStorageQueryDescription,
    ) -> Result<PagedBackupInfoList, ApiError> {
        let scope = read::scope(body.backup_entity)?;
        let storage = read::storage(body.storage, "Storage")?;
        let query = Query {
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
        idempotency_key: Option<String>,
        body: RestorePartitionDescription,
    ) -> Result<(), ApiError> {
        let storage = body.backup_storage.map(|named| read::storage(named, "BackupStorage")).transpose()?;
        let request = RestoreRequest { backup: body.backup_id, location: body.backup_location, storage };
        let minutes = read::minutes(query.restore_timeout);
        Ok(self.0.restore_partition(PartitionId(partition_id), request, minutes, idempotency_key).await?)
    }

    async fn get_partition_restore_progress(
        &self,
        partition_id: Uuid,
    ) -> Result<Option<RestoreProgressInfo>, ApiError> {
        let progress = self.0.restore_progress(PartitionId(partition_id)).await?;
        Ok(tell::restore_progress(progress, self.0.now()))
    }

    async fn watch_get_partition_restore_progress(
        &self,
        partition_id: Uuid,
    ) -> Result<Events<Option<RestoreProgressInfo>>, ApiError> {
        Ok(self.events(self.0.watch_restore(PartitionId(partition_id))?, tell::restore_progress))
    }

    async fn enable_application_backup(
        &self,
        application_id: String,
        body: EnableBackupDescription,
    ) -> Result<(), ApiError> {
        let name = read::policy_name(&body.backup_policy_name, "BackupPolicyName")?;
        Ok(self.0.enable(read::application(&application_id)?, name).await?)
    }

    async fn disable_application_backup(
        &self,
        application_id: String,
        body: Option<DisableBackupDescription>,
    ) -> Result<(), ApiError> {
        Ok(self.0.disable(read::application(&application_id)?, body.is_some_and(|body| body.clean_backup)).await?)
    }

    async fn suspend_application_backup(&self, application_id: String) -> Result<(), ApiError> {
        Ok(self.0.suspend(read::application(&application_id)?).await?)
    }

    async fn resume_application_backup(&self, application_id: String) -> Result<(), ApiError> {
        Ok(self.0.resume(read::application(&application_id)?).await?)
    }

    async fn get_application_backup_configuration_info(
        &self,
        application_id: String,
        query: GetApplicationBackupConfigurationInfoQuery,
    ) -> Result<PagedBackupConfigurationInfoList, ApiError> {
        let page = read::page(query.continuation_token, query.max_results);
        Ok(tell::configurations(self.0.configurations(read::application(&application_id)?, page).await?))
    }

    async fn get_application_backup_list(
        &self,
        application_id: String,
        query: GetApplicationBackupListQuery,
    ) -> Result<PagedBackupInfoList, ApiError> {
        let query = Query {
            start: query.start_date_time_filter,
            end: query.end_date_time_filter,
            latest: query.latest,
            page: read::page(query.continuation_token, query.max_results),
        };
        Ok(tell::backups(self.0.backups(read::application(&application_id)?, query).await?))
    }

    async fn enable_service_backup(&self, service_id: String, body: EnableBackupDescription) -> Result<(), ApiError> {
        let name = read::policy_name(&body.backup_policy_name, "BackupPolicyName")?;
        Ok(self.0.enable(read::service(&service_id)?, name).await?)
    }

    async fn disable_service_backup(
        &self,
        service_id: String,
        body: Option<DisableBackupDescription>,
    ) -> Result<(), ApiError> {
        Ok(self.0.disable(read::service(&service_id)?, body.is_some_and(|body| body.clean_backup)).await?)
    }

    async fn suspend_service_backup(&self, service_id: String) -> Result<(), ApiError> {
        Ok(self.0.suspend(read::service(&service_id)?).await?)
    }

    async fn resume_service_backup(&self, service_id: String) -> Result<(), ApiError> {
        Ok(self.0.resume(read::service(&service_id)?).await?)
    }

    async fn get_service_backup_configuration_info(
        &self,
        service_id: String,
        query: GetServiceBackupConfigurationInfoQuery,
    ) -> Result<PagedBackupConfigurationInfoList, ApiError> {
        let page = read::page(query.continuation_token, query.max_results);
        Ok(tell::configurations(self.0.configurations(read::service(&service_id)?, page).await?))
    }

    async fn get_service_backup_list(
        &self,
        service_id: String,
        query: GetServiceBackupListQuery,
    ) -> Result<PagedBackupInfoList, ApiError> {
        let query = Query {
            start: query.start_date_time_filter,
            end: query.end_date_time_filter,
            latest: query.latest,
            page: read::page(query.continuation_token, query.max_results),
        };
        Ok(tell::backups(self.0.backups(read::service(&service_id)?, query).await?))
    }

    async fn enable_partition_backup(&self, partition_id: Uuid, body: EnableBackupDescription) -> Result<(), ApiError> {
        let name = read::policy_name(&body.backup_policy_name, "BackupPolicyName")?;
        Ok(self.0.enable(read::partition(partition_id), name).await?)
    }

    async fn disable_partition_backup(
        &self,
        partition_id: Uuid,
        body: Option<DisableBackupDescription>,
    ) -> Result<(), ApiError> {
        Ok(self.0.disable(read::partition(partition_id), body.is_some_and(|body| body.clean_backup)).await?)
    }

    async fn suspend_partition_backup(&self, partition_id: Uuid) -> Result<(), ApiError> {
        Ok(self.0.suspend(read::partition(partition_id)).await?)
    }

    async fn resume_partition_backup(&self, partition_id: Uuid) -> Result<(), ApiError> {
        Ok(self.0.resume(read::partition(partition_id)).await?)
    }

    async fn get_partition_backup_configuration_info(
        &self,
        partition_id: Uuid,
    ) -> Result<Option<PartitionBackupConfigurationInfo>, ApiError> {
        let configuration = self.0.partition_configuration(read::partition(partition_id)).await?;
        Ok(configuration.and_then(tell::partition_configuration))
    }

    async fn cancel_partition_backup(&self, partition_id: Uuid) -> Result<(), ApiError> {
        Ok(self.0.cancel_backup(PartitionId(partition_id)).await?)
    }

    async fn cancel_partition_restore(&self, partition_id: Uuid) -> Result<(), ApiError> {
        Ok(self.0.cancel_restore(PartitionId(partition_id)).await?)
    }

    async fn verify_partition_backup(
        &self,
        partition_id: Uuid,
        query: VerifyPartitionBackupQuery,
        idempotency_key: Option<String>,
        body: VerifyBackupDescription,
    ) -> Result<(), ApiError> {
        let storage = body.backup_storage.map(|named| read::storage(named, "BackupStorage")).transpose()?;
        let depth = read::depth(body.level)?;
        let request = VerifyRequest { backup: body.backup_id, location: body.backup_location, storage, depth };
        let minutes = read::minutes(query.verify_timeout);
        Ok(self.0.verify_backup(PartitionId(partition_id), request, minutes, idempotency_key).await?)
    }

    async fn get_partition_verify_progress(&self, partition_id: Uuid) -> Result<Option<VerifyProgressInfo>, ApiError> {
        let job = self.0.verify_progress(PartitionId(partition_id)).await?;
        Ok(job.map(|job| tell::verify_progress(job, self.0.now())))
    }

    async fn watch_get_partition_verify_progress(
        &self,
        partition_id: Uuid,
    ) -> Result<Events<Option<VerifyProgressInfo>>, ApiError> {
        let told = self.0.watch_verify(PartitionId(partition_id))?;
        Ok(self.events(told, |job, now| job.map(|job| tell::verify_progress(job, now))))
    }

    async fn cancel_partition_verify(&self, partition_id: Uuid) -> Result<(), ApiError> {
        Ok(self.0.cancel_verify(PartitionId(partition_id)).await?)
    }

    async fn get_backup_health(&self) -> Result<BackupHealth, ApiError> {
        Ok(tell::health(self.0.health().await?))
    }

    async fn get_application_info_list(
        &self,
        query: GetApplicationInfoListQuery,
    ) -> Result<PagedApplicationInfoList, ApiError> {
        let page = read::page(query.continuation_token, query.max_results);
        Ok(tell::applications(self.0.applications(page).await?))
    }

    async fn get_service_info_list(
        &self,
        application_id: String,
        query: GetServiceInfoListQuery,
    ) -> Result<PagedServiceInfoList, ApiError> {
        let name = read::application_name(&application_id)?;
        Ok(tell::services(self.0.services(&name, read::page(query.continuation_token, 0)).await?))
    }

    async fn get_partition_info_list(
        &self,
        service_id: String,
        query: GetPartitionInfoListQuery,
    ) -> Result<PagedServicePartitionInfoList, ApiError> {
        let name = read::service_name(&service_id)?;
        Ok(tell::partitions(self.0.partitions(&name, read::page(query.continuation_token, 0)).await?))
    }

    async fn get_partition_info(&self, partition_id: Uuid) -> Result<ServicePartitionInfo, ApiError> {
        Ok(tell::partition(self.0.partition_facts(PartitionId(partition_id)).await?))
    }
}
