"""Protects a partition with a client that openapi-python-client made from the served document.

python client.py ADDRESS PARTITION SHARE: prints what it saw as JSON. The generated package `fabric_backup` must be importable.
"""

import json
import sys
import time
from uuid import UUID

from fabric_backup import Client
from fabric_backup.api.backup import backup_partition, get_partition_backup_list, get_partition_backup_progress
from fabric_backup.api.partitions import enable_partition_backup, get_partition_backup_configuration_info
from fabric_backup.api.policies import create_backup_policy, get_backup_policy_by_name
from fabric_backup.api.restore import get_partition_restore_progress, restore_partition
from fabric_backup.models import (
    BackupPartitionDescription,
    BackupPolicyDescription,
    EnableBackupDescription,
    FabricError,
    FileShareBackupStorageDescription,
    FileShareBackupStorageDescriptionStorageKind,
    FrequencyBasedBackupScheduleDescription,
    FrequencyBasedBackupScheduleDescriptionScheduleKind,
    RestorePartitionDescription,
)

ENDED = {"Success", "Failure", "Timeout"}


def done(operation, *path, **rest):
    """The answer, or an exception with the code and message that the service gave."""
    reply = operation.sync_detailed(*path, client=client, **rest)
    if isinstance(reply.parsed, FabricError):
        raise RuntimeError(f"{reply.status_code} {reply.parsed.error.code}: {reply.parsed.error.message}")
    return reply.parsed


def end(operation, state):
    """Asks until the job has ended."""
    while (progress := done(operation, partition)) is None or state(progress) not in ENDED:
        time.sleep(0.2)
    return progress


address, partition, share = sys.argv[1], UUID(sys.argv[2]), sys.argv[3]
client = Client(base_url=address)
policy = BackupPolicyDescription(
    name="from Python",
    auto_restore_on_data_loss=False,
    max_incremental_backups=3,
    schedule=FrequencyBasedBackupScheduleDescription(
        schedule_kind=FrequencyBasedBackupScheduleDescriptionScheduleKind.FREQUENCYBASED, interval="PT12H"
    ),
    storage=FileShareBackupStorageDescription(
        storage_kind=FileShareBackupStorageDescriptionStorageKind.FILESHARE, path=share
    ),
)

done(create_backup_policy, body=policy)
done(enable_partition_backup, partition, body=EnableBackupDescription(backup_policy_name=policy.name))
in_force = done(get_partition_backup_configuration_info, partition)

done(backup_partition, partition, body=BackupPartitionDescription())
backup = end(get_partition_backup_progress, lambda progress: progress.backup_state)
items = done(get_partition_backup_list, partition).items
latest = items[-1]

chosen = RestorePartitionDescription(backup_id=latest.backup_id, backup_location=latest.backup_location)
done(restore_partition, partition, body=chosen)
restore = end(get_partition_restore_progress, lambda progress: progress.restore_state)

kept = done(get_backup_policy_by_name, policy.name)
twice = create_backup_policy.sync_detailed(client=client, body=policy)
refused = {"status": twice.status_code, "code": twice.parsed.error.code}
listed = [str(item.backup_id) for item in items]
seen = {"policy": kept.to_dict(), "interval": kept.schedule.interval, "inForce": in_force.to_dict(), "backup": backup.to_dict()}
print(json.dumps({**seen, "listed": listed, "restore": restore.to_dict(), "refused": refused}))
