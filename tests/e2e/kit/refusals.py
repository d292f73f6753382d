"""Why the service refuses some requests that are valid by its schemas: rules that no schema can say.

As in `leniency`, a reason is proved from the request alone.
"""

import base64
import json
import os
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .leniency import Sent

_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*|\$root|\$logs|\$web")
_LOCATION = re.compile(r"[^\\/]+[\\/][^\\/]+[\\/][^\\/]+[\\/]\d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d(\.zip)?")
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


def reason(roots: list[str], sent: Sent) -> str | None:
    """The rule that a request breaks although it is valid by its schema; none if there is no such rule."""
    query = {name.lower(): value for name, value in parse_qsl(urlsplit(sent.url).query)}
    if query.get("continuationtoken"):
        return "the token is not one that this service gave"
    storage = _storage(sent)
    if storage is not None and (found := _storage_reason(roots, storage)):
        return found
    location = _body(sent).get("BackupLocation")
    if isinstance(location, str) and not _LOCATION.fullmatch(location):
        return "the location is no location of a backup"
    return None


def _storage_reason(roots: list[str], storage: dict) -> str | None:
    kind = storage.get("StorageKind")
    if kind == "FileShare" and not _is_under(roots, storage.get("Path")):
        return "the path is not under a root and not mounted"
    if kind == "AzureBlobStore":
        if not _opens_an_account(storage.get("ConnectionString")):
            return "the connection string does not open an account"
        if not _CONTAINER.fullmatch(str(storage.get("ContainerName"))):
            return "Azure allows no such container name"
    return None


def _is_under(roots: list[str], path: Any) -> bool:
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        return False
    normal = os.path.normpath(path)
    return any(normal == root or normal.startswith(root + "/") for root in roots)


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
