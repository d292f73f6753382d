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
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import UUID

from . import bkmetadata
from .leniency import Sent

_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*|\$root|\$logs|\$web")
_LOCATION = re.compile(r"[^\\/]+[\\/][^\\/]+[\\/][^\\/]+[\\/]\d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d(\.zip)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DURATION = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_NAME = re.compile(r"fabric:(/(?!\.{1,2}(/|\Z))[^/\\?#~$\x00-\x1f\x7f-\x9f]+)+")
# What `[storage] allow` lists by default.
_AZURE = ("core.windows.net", "core.chinacloudapi.cn", "core.usgovcloudapi.net", "core.cloudapi.de", "core.microsoft.scloud")
_SUFFIXES = (*(f".blob.{cloud}" for cloud in _AZURE), ".blob.storage.azure.net")


def reason(shares: "Shares", sent: Sent) -> str | None:
    """The rule that a request breaks although it is valid by its schema; none if there is no such rule."""
    query = {name.lower(): value for name, value in parse_qsl(urlsplit(sent.url).query)}
    if not _path_is_named(urlsplit(sent.url).path):
        return "the path names what cannot be named so"
    if query.get("continuationtoken"):
        return "the token is not one that this service gave"
    storage, body = _storage(sent), _body(sent)
    if storage is not None and (found := _storage_reason(shares, storage)):
        return found
    if any(not _is_policy_name(body[name]) for name in ("Name", "BackupPolicyName") if name in body):
        return "no policy can have that name"
    if "Schedule" in body and (found := _policy_reason(body)):
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


def _path_is_named(path: str) -> bool:
    found = re.match(r"/(applications|services|backuprestore/backuppolicies)/([^$]*?)/?(\Z|/(\$|%24)/)", path, re.IGNORECASE)
    if found is None:
        return True
    name = unquote(found.group(2), errors="surrogateescape")
    if found.group(1).lower().startswith("backup"):
        return _is_policy_name(name)
    full = "fabric:/" + name.replace("~", "/")
    deep = found.group(1).lower() == "applications" or "/" in full.removeprefix("fabric:/")
    return deep and _NAME.fullmatch(full) is not None and len(name.encode(errors="surrogateescape")) <= 255


def _is_policy_name(name: Any) -> bool:
    return isinstance(name, str) and bool(name.strip()) and len(name.encode(errors="surrogateescape")) <= 1024 and not _CONTROL.search(name)


def _policy_reason(policy: dict) -> str | None:
    schedule, retention = policy["Schedule"], policy.get("RetentionPolicy") or {}
    if "****" in (json.dumps(policy.get("Storage"))):
        return "there is no secret to keep"
    if "Interval" in schedule and not _is_interval(_seconds(schedule["Interval"])):
        return "the interval is out of bounds"
    if schedule.get("ScheduleKind") == "TimeBased":
        if not schedule.get("RunTimes") or schedule.get("ScheduleFrequencyType") == "Invalid":
            return "the schedule is never due"
        if schedule.get("ScheduleFrequencyType") == "Weekly" and not schedule.get("RunDays"):
            return "the schedule is never due"
    if "RetentionDuration" in retention and not 3600 <= (_seconds(retention["RetentionDuration"]) or 0) <= 10_000 * 365 * 86400:
        return "the retention is out of bounds"
    return None


def _is_interval(seconds: int | None) -> bool:
    return seconds is not None and seconds % 60 == 0 and 60 <= seconds <= 15 * 86400


def _seconds(duration: Any) -> int | None:
    """The length of an ISO 8601 duration of whole numbers; a month has 30 days, a year 365."""
    units = (365 * 86400, 30 * 86400, 7 * 86400, 86400, 3600, 60, 1)
    found = _DURATION.fullmatch(str(duration))
    return None if found is None else sum(int(number or 0) * unit for number, unit in zip(found.groups(), units, strict=True))


def _storage_reason(shares: Shares, storage: dict) -> str | None:
    kind = storage.get("StorageKind")
    if kind == "FileShare" and not shares.contains(storage.get("Path")):
        return "the path is not under a root and not mounted"
    if kind == "ManagedIdentityAzureBlobStore" and storage.get("ManagedIdentityType") == "Invalid":
        return "Invalid is a placeholder"
    if kind == "DsmsAzureBlobStore":
        return "no server of credentials is listed"
    if kind == "ManagedIdentityAzureBlobStore":
        uri = urlsplit(str(storage.get("BlobServiceUri")))
        if uri.scheme != "https" or not _may_be_named(uri.hostname):
            return "the account is none or may not be named"
        if not _CONTAINER.fullmatch(str(storage.get("ContainerName"))):
            return "Azure allows no such container name"
    if kind == "AzureBlobStore":
        if not _opens_an_account(storage.get("ConnectionString")):
            return "the connection string does not open an account"
        if _names_another_host(storage.get("ConnectionString")):
            return "the host may not be named"
        if not _CONTAINER.fullmatch(str(storage.get("ContainerName"))):
            return "Azure allows no such container name"
    return None


def _is_named(entity: dict) -> bool:
    kind = entity.get("EntityKind")
    name = entity.get("ApplicationName" if kind == "Application" else "ServiceName")
    return isinstance(name, str) and _NAME.fullmatch(name) is not None and (kind != "Partition" or bool(entity.get("PartitionId")))


def _may_be_named(host: str | None) -> bool:
    return host is not None and (host == "localhost" or host.startswith("127.") or host.endswith(_SUFFIXES))


def _names_another_host(connection_string: Any) -> bool:
    """Whether it names a host that nobody has listed."""
    parts = {key.strip().lower(): value.strip() for key, _, value in (part.partition("=") for part in str(connection_string).split(";"))}
    if "usedevelopmentstorage" in parts:
        return not _may_be_named(urlsplit(parts.get("developmentstorageproxyuri", "http://127.0.0.1")).hostname)
    if "blobendpoint" in parts:
        return not _may_be_named(urlsplit(parts["blobendpoint"]).hostname)
    return not _may_be_named(f"{parts.get('accountname')}.blob.{parts.get('endpointsuffix', 'core.windows.net')}".lower())


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
