"""The operations under test as plain calls, and the wait for their jobs."""

from typing import Any
from urllib.parse import quote, urlencode

from . import wait
from .rest import JSON, Answer, request

ENDED = {"Success", "Failure", "Timeout"}
VERSION = {"api-version": "6.4"}


class Api:
    """Plain HTTP calls to one server; takes the address anew for each call, since a restart changes it."""

    def __init__(self, address):
        self._address = address

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Answer:
        target = f"{path}?{urlencode({**query, **VERSION}, quote_via=quote)}"
        return request(self._address(), method, target, body, {} if body is None else {"Content-Type": JSON})

    def get(self, path: str, **query: Any) -> Answer:
        return self.call("GET", path, **query)

    def post(self, path: str, body: Any = None, **query: Any) -> Answer:
        return self.call("POST", path, body, **query)

    def backup(self, partition: str, storage: dict | None = None, **query: Any) -> Answer:
        body = {} if storage is None else {"BackupStorage": storage}
        return self.post(f"/Partitions/{partition}/$/Backup", body, **query)

    def backup_progress(self, partition: str) -> Any:
        return self._progress(f"/Partitions/{partition}/$/GetBackupProgress")

    def backup_ended(self, partition: str, seconds: float = 120) -> dict:
        """The last word on the backup that was asked for last."""
        return self._ended("backup", lambda: self.backup_progress(partition), "BackupState", seconds)

    def backup_now(self, partition: str, storage: dict | None = None, seconds: float = 120) -> dict:
        """Takes a backup that must succeed."""
        answer = self.backup(partition, storage)
        assert answer.status == 202, str(answer)
        progress = self.backup_ended(partition, seconds)
        assert progress["BackupState"] == "Success", progress
        return progress

    def restore(self, partition: str, backup: dict, storage: dict | None = None, **query: Any) -> Answer:
        """`backup` is anything with BackupId and BackupLocation: a progress or an item of a list."""
        body = {key: backup[key] for key in ("BackupId", "BackupLocation")}
        if storage is not None:
            body["BackupStorage"] = storage
        return self.post(f"/Partitions/{partition}/$/Restore", body, **query)

    def restore_progress(self, partition: str) -> Any:
        return self._progress(f"/Partitions/{partition}/$/GetRestoreProgress")

    def restore_ended(self, partition: str, seconds: float = 120) -> dict:
        return self._ended("restore", lambda: self.restore_progress(partition), "RestoreState", seconds)

    def restore_now(self, partition: str, backup: dict, storage: dict | None = None, seconds: float = 120) -> dict:
        """Restores, which must succeed."""
        answer = self.restore(partition, backup, storage)
        assert answer.status == 202, str(answer)
        progress = self.restore_ended(partition, seconds)
        assert progress["RestoreState"] == "Success", progress
        return progress

    def backups_in(self, storage: dict, entity: dict, **query: Any) -> list[dict]:
        """All that GetBackupsFromBackupLocation lists."""
        answer = self.post("/BackupRestore/$/GetBackups", {"Storage": storage, "BackupEntity": entity}, **query)
        assert answer.status == 200, str(answer)
        return answer.json()["Items"]

    def _progress(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status == 200, str(answer)
        return answer.json()

    def _ended(self, job: str, read, field: str, seconds: float) -> dict:
        def probe():
            progress = read()
            return progress if progress and progress[field] in ENDED else None

        return wait.until(f"the {job} to end", probe, seconds)


def partition_entity(partition: str, service: str) -> dict:
    """A partition as GetBackupsFromBackupLocation names it."""
    return {"EntityKind": "Partition", "ServiceName": service, "PartitionId": partition}
