"""Policies as the official client describes them."""

from typing import Any

from azure.servicefabric import models


def schedule(interval: str = "PT12H") -> models.FrequencyBasedBackupScheduleDescription:
    return models.FrequencyBasedBackupScheduleDescription(interval=interval)


def daily(*times: str, days: list | None = None) -> models.TimeBasedBackupScheduleDescription:
    """Times of day such as `09:00:00`; on some days of the week if they are given."""
    kind = "Daily" if days is None else "Weekly"
    run_times = [f"0001-01-01T{time}Z" for time in times]
    return models.TimeBasedBackupScheduleDescription(schedule_frequency_type=kind, run_days=days, run_times=run_times)


def retention(duration: str, minimum: int = 0) -> models.BasicRetentionPolicyDescription:
    return models.BasicRetentionPolicyDescription(retention_duration=duration, minimum_number_of_backups=minimum)


def policy(name: str, storage: Any, **changes: Any) -> models.BackupPolicyDescription:
    given = {"auto_restore_on_data_loss": False, "max_incremental_backups": 3, "schedule": schedule(), **changes}
    return models.BackupPolicyDescription(name=name, storage=storage, **given)
