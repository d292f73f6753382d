"""A configured server with one partition of every kind, each with a state directory of its own."""

import json
from dataclasses import dataclass
from pathlib import Path

from .server import Server

APPLICATION = "fabric:/Lab"
LOWEST, HIGHEST = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class Partition:
    id: str
    service: str
    kind: str = "Singleton"
    low: int = 0
    high: int = 0
    name: str = ""
    stateful: bool = True
    persisted: bool = True

    @property
    def folder(self) -> str:
        """Where its backups lie in a store."""
        inner = self.service.removeprefix(APPLICATION + "/").replace("/", "$")
        return f"Lab/{inner}/{self.id}"

    def entity(self) -> dict:
        return {"EntityKind": "Partition", "ServiceName": self.service, "PartitionId": self.id}


SINGLE = Partition("11111111-0000-4000-8000-00000000abcd", "fabric:/Lab/Single")
LOW = Partition("22222222-0000-4000-8000-000000000001", "fabric:/Lab/Ranges", "Int64Range", low=LOWEST, high=-1)
HIGH = Partition("22222222-0000-4000-8000-000000000002", "fabric:/Lab/Ranges", "Int64Range", low=0, high=HIGHEST)
NORTH = Partition("33333333-0000-4000-8000-000000000001", "fabric:/Lab/deep/Regions", "Named", name="north")
SOUTH = Partition("33333333-0000-4000-8000-000000000002", "fabric:/Lab/deep/Regions", "Named", name="south")
STATELESS = Partition("44444444-0000-4000-8000-000000000000", "fabric:/Lab/Web", stateful=False, persisted=False)
VOLATILE = Partition("55555555-0000-4000-8000-000000000000", "fabric:/Lab/Cache", persisted=False)
ALL = (SINGLE, LOW, HIGH, NORTH, SOUTH, STATELESS, VOLATILE)
UNKNOWN = "99999999-0000-4000-8000-000000000000"
# The partitions of this service have a storage by default; those of the others have none.
WITH_DEFAULT_STORAGE = SINGLE.service
# The share of the published example, mounted at home/mounted.
MOUNTED = r"\\myshare\backupshare"


class Lab(Server):
    """`home/shares` is the file share root, `home/state/<partition id>` a partition's state."""

    def __init__(self, home: Path):
        self.home = home
        self.shares = home / "shares"
        self.mounted = home / "mounted"
        for folder in (self.shares, self.mounted, *(self.state(partition) for partition in ALL if partition.persisted)):
            folder.mkdir(parents=True)
        super().__init__(home, self._toml())

    def state(self, partition: Partition) -> Path:
        return self.home / "state" / partition.id

    def share(self, name: str) -> dict:
        """A BackupStorageDescription of a folder under the root, which is there: listing one that is not is an error."""
        (self.shares / name).mkdir(exist_ok=True)
        return {"StorageKind": "FileShare", "Path": str(self.shares / name)}

    def _toml(self) -> str:
        lines = ["[file_share]", f"roots = [{_text(self.shares)}]", "[file_share.mounts]", f"{_text(MOUNTED)} = {_text(self.mounted)}"]
        lines += ["[[applications]]", f"name = {_text(APPLICATION)}"]
        for service in dict.fromkeys(partition.service for partition in ALL):
            lines += self._service(service, [partition for partition in ALL if partition.service == service])
        return "\n".join(lines) + "\n"

    def _service(self, name: str, partitions: list[Partition]) -> list[str]:
        lines = ["[[applications.services]]", f"name = {_text(name)}", 'manifest_version = "7.1.2"']
        lines.append(f"kind = {_text('stateful' if partitions[0].stateful else 'stateless')}")
        if partitions[0].stateful:
            lines.append(f"persisted = {_text(partitions[0].persisted)}")
        if name == WITH_DEFAULT_STORAGE:
            lines.append(f"backup_storage = {{ storage_kind = \"FileShare\", path = {_text(self.shares / 'default')} }}")
        for partition in partitions:
            lines += self._partition(partition)
        return lines

    def _partition(self, partition: Partition) -> list[str]:
        lines = ["[[applications.services.partitions]]", f"id = {_text(partition.id)}", f"kind = {_text(partition.kind)}"]
        if partition.kind == "Int64Range":
            lines += [f"low = {partition.low}", f"high = {partition.high}"]
        if partition.kind == "Named":
            lines.append(f"name = {_text(partition.name)}")
        if partition.persisted:
            lines.append(f"source = {{ directory = {_text(self.state(partition))} }}")
        return lines


class PacedLab(Lab):
    """So slow, in bytes a second, that things happen in the middle of a backup."""

    def __init__(self, home: Path, bytes_per_second: int):
        self.bytes_per_second = bytes_per_second
        super().__init__(home)

    def _toml(self) -> str:
        return f"[storage]\nmax_bytes_per_second = {self.bytes_per_second}\n" + super()._toml()


def _text(value) -> str:
    """A TOML value; JSON's strings and booleans are also TOML's."""
    return json.dumps(value if isinstance(value, bool) else str(value))
