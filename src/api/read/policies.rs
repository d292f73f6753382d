//! Policies as they are sent. Every refusal begins with the path of the property that was wrong.

use std::fmt::Display;

use chrono::{NaiveTime, Timelike, Weekday};

use super::super::{
    ApiError,
    wire::{
        BackupCompressionType, BackupPolicyDescription, BackupQuickRecovery, BackupScheduleDescription,
        BackupScheduleFrequencyType, BackupStorageDescription, BasicRetentionPolicyDescription, DayOfWeek,
        FrequencyBasedBackupScheduleDescription, RetentionPolicyDescription, TimeBasedBackupScheduleDescription,
    },
};
use crate::domain::{
    Compression, Days, Interval, Policy, PolicyError, PolicyName, QuickRecovery, Retention, RunTimes, Schedule, Secret,
    Span,
};

/// The name of a policy; `at` is where it was given.
pub(in crate::api) fn policy_name(given: &str, at: &str) -> Result<PolicyName, ApiError> {
    PolicyName::parse(given).map_err(wrong(at))
}

/// A policy under this name; the one in the body does not count.
pub(in crate::api) fn policy(name: PolicyName, given: BackupPolicyDescription) -> Result<Policy, ApiError> {
    check_passwords(&given.storage)?;
    Ok(Policy {
        name,
        auto_restore_on_data_loss: given.auto_restore_on_data_loss,
        max_incrementals: u8::try_from(given.max_incremental_backups).map_err(wrong("MaxIncrementalBackups"))?,
        schedule: schedule(given.schedule)?,
        friendly_name: friendly_name(&given.storage).cloned(),
        storage: super::storage(given.storage, "Storage")?,
        retention: given.retention_policy.map(retention).transpose()?,
        compression: given.compression_type.map(compression),
        quick_recovery: given.quick_recovery.map(quick_recovery),
    })
}

fn schedule(given: BackupScheduleDescription) -> Result<Schedule, ApiError> {
    match given {
        BackupScheduleDescription::FrequencyBased(FrequencyBasedBackupScheduleDescription { interval }) => {
            let at = "Schedule.Interval";
            let read = Interval::new(span(&interval, at)?);
            Ok(Schedule::Frequency(read.map_err(|why| unfit(at, &interval, &why))?))
        }
        BackupScheduleDescription::TimeBased(given) => run_times(given).map(Schedule::Time),
    }
}

/// Only the time of day counts, in UTC and in whole seconds. The days of a daily schedule mean nothing.
fn run_times(given: TimeBasedBackupScheduleDescription) -> Result<RunTimes, ApiError> {
    let days = match given.schedule_frequency_type {
        BackupScheduleFrequencyType::Daily => Days::Daily,
        BackupScheduleFrequencyType::Weekly => Days::weekly(given.run_days.into_iter().flatten().map(weekday)),
        BackupScheduleFrequencyType::Invalid => {
            let why = "'Invalid' is only a placeholder; give Daily or Weekly";
            return Err(wrong("Schedule.ScheduleFrequencyType")(why));
        }
    };
    let times = given.run_times.iter().map(|instant| whole_second(instant.time()));
    RunTimes::new(days, times).map_err(|error| match error {
        PolicyError::NoDays => wrong("Schedule.RunDays")(error),
        _ => wrong("Schedule.RunTimes")(error),
    })
}

fn whole_second(time: NaiveTime) -> NaiveTime {
    time.with_nanosecond(0).unwrap_or(time)
}

fn weekday(day: DayOfWeek) -> Weekday {
    match day {
        DayOfWeek::Sunday => Weekday::Sun,
        DayOfWeek::Monday => Weekday::Mon,
        DayOfWeek::Tuesday => Weekday::Tue,
        DayOfWeek::Wednesday => Weekday::Wed,
        DayOfWeek::Thursday => Weekday::Thu,
        DayOfWeek::Friday => Weekday::Fri,
        DayOfWeek::Saturday => Weekday::Sat,
    }
}

fn retention(given: RetentionPolicyDescription) -> Result<Retention, ApiError> {
    let RetentionPolicyDescription::Basic(BasicRetentionPolicyDescription {
        retention_duration,
        minimum_number_of_backups,
    }) = given;
    let at = "RetentionPolicy.RetentionDuration";
    let minimum = u64::try_from(minimum_number_of_backups.unwrap_or(0));
    let minimum = minimum.map_err(wrong("RetentionPolicy.MinimumNumberOfBackups"))?;
    let read = Retention::new(span(&retention_duration, at)?, minimum);
    read.map_err(|why| unfit(at, &retention_duration, &why))
}

/// As it was `given`: in its normal form its sender may not know it again.
fn unfit(at: &str, given: &str, why: &PolicyError) -> ApiError {
    wrong(at)(format!("'{given}' cannot be used: {why}"))
}

fn span(given: &str, at: &str) -> Result<Span, ApiError> {
    Span::parse(given).map_err(wrong(at))
}

fn compression(given: BackupCompressionType) -> Compression {
    match given {
        BackupCompressionType::ClusterDefined => Compression::ClusterDefined,
        BackupCompressionType::Zip => Compression::Zip,
        BackupCompressionType::Zstandard => Compression::Zstandard,
    }
}

fn quick_recovery(given: BackupQuickRecovery) -> QuickRecovery {
    match given {
        BackupQuickRecovery::Disabled => QuickRecovery::Disabled,
        BackupQuickRecovery::FromPrimary => QuickRecovery::FromPrimary,
    }
}

fn friendly_name(storage: &BackupStorageDescription) -> Option<&String> {
    use BackupStorageDescription as Wire;
    match storage {
        Wire::AzureBlobStore(blob) => blob.friendly_name.as_ref(),
        Wire::FileShare(share) => share.friendly_name.as_ref(),
        Wire::DsmsAzureBlobStore(dsms) => dsms.friendly_name.as_ref(),
        Wire::ManagedIdentityAzureBlobStore(identity) => identity.friendly_name.as_ref(),
    }
}

/// A password without a user means nothing and goes. But a masked one means something: the stored one shall stay.
fn check_passwords(storage: &BackupStorageDescription) -> Result<(), ApiError> {
    let BackupStorageDescription::FileShare(share) = storage else { return Ok(()) };
    for (slot, user, password) in [
        ("Primary", &share.primary_user_name, &share.primary_password),
        ("Secondary", &share.secondary_user_name, &share.secondary_password),
    ] {
        if user.is_none() && password.as_deref() == Some(Secret::MASK) {
            let why = format!("'****' stands for the stored password of a user; give {slot}UserName too");
            return Err(wrong(&format!("Storage.{slot}Password"))(why));
        }
    }
    Ok(())
}

fn wrong<E: Display>(at: &str) -> impl FnOnce(E) -> ApiError {
    move |why| ApiError::invalid(format!("{at}: {why}"))
}
