"""The client that Microsoft publishes, unmodified: azure-servicefabric from PyPI."""

from typing import Any

import pytest
from azure.servicefabric import ServiceFabricClientAPIs, models
from msrest.authentication import Authentication

from . import wait
from .api import ENDED


def client(address: str) -> ServiceFabricClientAPIs:
    """As its documentation makes one for a cluster without security."""
    return ServiceFabricClientAPIs(Authentication(), base_url=address)


def backup_ended(api: ServiceFabricClientAPIs, partition: str) -> models.BackupProgressInfo:
    return wait.until("the backup to end", lambda: _ended(api.get_partition_backup_progress(partition), "backup_state"), 120)


def restore_ended(api: ServiceFabricClientAPIs, partition: str) -> models.RestoreProgressInfo:
    return wait.until("the restore to end", lambda: _ended(api.get_partition_restore_progress(partition), "restore_state"), 120)


def refusal(code: str, call, *args: Any, **kwargs: Any) -> str:
    """The message with which the call was refused; fails unless the client raised exactly this code."""
    with pytest.raises(models.FabricErrorException) as raised:
        call(*args, **kwargs)
    error = raised.value.error.error
    assert error.code == code, f"{error.code}: {error.message}"
    assert error.message
    return error.message


def share(description: dict) -> models.FileShareBackupStorageDescription:
    return models.FileShareBackupStorageDescription(path=description["Path"])


def blobs(description: dict) -> models.AzureBlobBackupStorageDescription:
    return models.AzureBlobBackupStorageDescription(
        connection_string=description["ConnectionString"], container_name=description["ContainerName"]
    )


def _ended(progress: Any, field: str) -> Any:
    return progress if progress is not None and getattr(progress, field) in ENDED else None
