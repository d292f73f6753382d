"""Why the service refuses some requests that are valid by its schemas: rules that no schema can say.

As in `leniency`, a reason is proved from the request, and from what lies in the store, never from the answer.
"""

import base64
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from . import bkmetadata
from .leniency import Sent

_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*|\$root|\$logs|\$web")
_LOCATION = re.compile(r"[^\\/]+[\\/][^\\/]+[\\/][^\\/]+[\\/]\d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d(\.zip)?")
_NAME = re.compile(r"fabric:(/(?!\.{1,2}(/|\Z))[^/\\?#~$\x00-\x1f\x7f-\x9f]+)+")
NOT_BUILT_KINDS = {"DsmsAzureBlobStore", "ManagedIdentityAzureBlobStore"}
# docs/API.md lists the same.
BUILT = {
    "BackupPartition",
    "GetPartitionBackupProgress",
    "GetPartitionBackupList",
    "GetBackupsFromBackupLocation",
    "RestorePartition",
    "GetPartitionRestoreProgress",
}


def not_built(operation_id: str, sent: Sent) -> bool:
    """Whether 501 is the documented answer: the operation, or the kind of storage it names, is not built yet."""
    storage = _storage(sent)
    return operation_id not in BUILT or (storage or {}).get("StorageKind") in NOT_BUILT_KINDS


def reason(shares: "Shares", sent: Sent) -> str | None:
    """The rule that a request breaks although it is valid by its schema; none if there is no such rule."""
    query = {name.lower(): value for name, value in parse_qsl(urlsplit(sent.url).query)}
    if query.get("continuationtoken"):
        return "the token is not one that this service gave"
    storage, body = _storage(sent), _body(sent)
    if storage is not None and (found := _storage_reason(shares, storage)):
        return found
    entity = body.get("BackupEntity")
    if isinstance(entity, dict) and not _is_named(entity):
        return "the entity has no name of its kind"
    location = body.get("BackupLocation")
    if isinstance(location, str) and not _LOCATION.fullmatch(location):
        return "the location is no location of a backup"
    return None


def is_another_backup(shares: "Shares", sent: Sent) -> bool:
    """Whether the backup that lies at the location has another id than the request says."""
    metadata = shares.metadata(sent)
    return metadata is not None and bkmetadata.parse(metadata.read_bytes()).guid("BackupId") != str(UUID(_body(sent)["BackupId"]))


def is_no_backup(shares: "Shares", sent: Sent) -> bool:
    """Whether a location is given and no backup lies there."""
    return "BackupLocation" in _body(sent) and shares.metadata(sent) is None


@dataclass(frozen=True)
class Shares:
    """The file shares of the server under test: the one root, and the default storage in it."""

    root: str
    default: str

    def metadata(self, sent: Sent) -> Path | None:
        """The metadata file that a request to restore names, if it is there."""
        location = _body(sent).get("BackupLocation")
        folder = (_storage(sent) or {"Path": self.default}).get("Path")
        if not isinstance(location, str) or not _LOCATION.fullmatch(location) or not self.contains(folder):
            return None
        path = Path(folder, location.replace("\\", "/").removesuffix(".zip") + ".bkmetadata")
        return path if path.is_file() else None

    def contains(self, path: Any) -> bool:
        if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
            return False
        normal = os.path.normpath(path)
        return normal == self.root or normal.startswith(self.root + "/")


def _storage_reason(shares: Shares, storage: dict) -> str | None:
    kind = storage.get("StorageKind")
    if kind == "FileShare" and not shares.contains(storage.get("Path")):
        return "the path is not under a root and not mounted"
    if kind == "ManagedIdentityAzureBlobStore" and storage.get("ManagedIdentityType") == "Invalid":
        return "Invalid is a placeholder"
    if kind == "AzureBlobStore":
        if not _opens_an_account(storage.get("ConnectionString")):
            return "the connection string does not open an account"
        if not _CONTAINER.fullmatch(str(storage.get("ContainerName"))):
            return "Azure allows no such container name"
    return None


def _is_named(entity: dict) -> bool:
    kind = entity.get("EntityKind")
    name = entity.get("ApplicationName" if kind == "Application" else "ServiceName")
    return isinstance(name, str) and _NAME.fullmatch(name) is not None and (kind != "Partition" or bool(entity.get("PartitionId")))


def _opens_an_account(connection_string: Any) -> bool:
    parts = dict(part.split("=", 1) for part in str(connection_string).split(";") if "=" in part)
    if parts.get("UseDevelopmentStorage", "").lower() == "true":
        return True
    if "SharedAccessSignature" in parts:
        return "BlobEndpoint" in parts or "AccountName" in parts
    try:
        return bool(parts.get("AccountName")) and bool(base64.b64decode(parts.get("AccountKey", ""), validate=True))
    except ValueError:
        return False


def _storage(sent: Sent) -> dict | None:
    body = _body(sent)
    storage = body.get("BackupStorage") or body.get("Storage")
    return storage if isinstance(storage, dict) else None


def _body(sent: Sent) -> dict:
    try:
        body = json.loads(sent.body or b"{}")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
