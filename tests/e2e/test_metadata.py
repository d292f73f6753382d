"""A real `.bkmetadata`, read by a parser that shares nothing with the server, says what the API says."""

import json

import pytest
from kit import bkmetadata, rest, state
from kit.lab import LOW, NORTH, SINGLE

ZERO = "00000000-0000-0000-0000-000000000000"
# Service Fabric writes these, in this order.
PUBLISHED = [
    "BackupTime",
    "ParentBackupLocation",
    "BackupLocation",
    "BackupId",
    "ParentBackupId",
    "BackupChainId",
    "BackupEpoch",
    "BackupLsn",
    "PartitionKind",
    "PartitionKey",
    "ServiceManifestVersion",
]


class InShare:
    def __init__(self, lab, name):
        self.description, self._root = lab.share(name), lab.shares / name

    def read(self, name):
        return (self._root / name).read_bytes()

    def names(self):
        return sorted(str(path.relative_to(self._root)) for path in self._root.rglob("*") if path.is_file())


class InContainer:
    def __init__(self, azurite, name):
        azurite.create_container(name)
        self.description, self._azurite, self._name = azurite.storage(name), azurite, name

    def read(self, name):
        return self._azurite.read(self._name, name)

    def names(self):
        return sorted(self._azurite.blobs(self._name))


@pytest.fixture(params=["FileShare", "AzureBlobStore"])
def store(request, lab, azurite, container):
    return InShare(lab, container) if request.param == "FileShare" else InContainer(azurite, container)


def taken(lab, store, partition):
    """A backup as the list shows it, and its metadata as it lies in the store."""
    state.replace(lab.state(partition), state.make_varied, 41)
    lab.api.backup_now(partition.id, store.description)
    (item,) = lab.api.backups_in(store.description, partition.entity())
    return item, bkmetadata.parse(store.read(metadata_name(item)))


def metadata_name(item):
    return item["BackupLocation"].replace("\\", "/").removesuffix(".zip") + ".bkmetadata"


@pytest.mark.parametrize("partition", [SINGLE, LOW, NORTH], ids=lambda partition: partition.kind)
def test_both_checksums_hold_and_each_property_is_what_the_api_answers(lab, store, partition):
    item, metadata = taken(lab, store, partition)
    expected = [name for name in PUBLISHED if not (name == "PartitionKey" and partition.kind == "Singleton")]
    assert [name for name in metadata.properties if not name.startswith("FabricBackup.")] == expected

    assert metadata.guid("BackupId") == item["BackupId"] != ZERO
    assert metadata.guid("BackupChainId") == item["BackupChainId"] == item["BackupId"]
    assert metadata.guid("ParentBackupId") == ZERO
    assert metadata.text("ParentBackupLocation") == ""
    assert metadata.text("BackupLocation") == item["BackupLocation"]
    assert f"{metadata.time('BackupTime'):%Y-%m-%dT%H:%M:%SZ}" == item["CreationTimeUtc"]
    epoch = item["EpochOfLastBackupRecord"]
    assert [str(number) for number in metadata.integers("BackupEpoch")] == [epoch["DataLossVersion"], epoch["ConfigurationVersion"]]
    assert str(*metadata.integers("BackupLsn")) == item["LsnOfLastBackupRecord"]
    assert metadata.text("ServiceManifestVersion") == item["ServiceManifestVersion"] == "7.1.2"
    assert metadata.partition_kind() == item["PartitionInformation"]["ServicePartitionKind"] == partition.kind
    if partition.kind == "Int64Range":
        assert metadata.integers("PartitionKey") == (partition.low, partition.high)
    if partition.kind == "Named":
        assert metadata.text("PartitionKey") == partition.name


def test_a_backup_is_two_files_named_by_the_second_it_was_taken_in_the_folder_of_its_partition(lab, store):
    item, metadata = taken(lab, store, NORTH)
    stem = f"{NORTH.folder}/{metadata.time('BackupTime'):%Y-%m-%d %H.%M.%S}"
    assert store.names() == [f"{stem}.bkmetadata", f"{stem}.zip"]
    assert item["BackupLocation"] == f"{stem}.zip".replace("/", "\\")


def test_a_metadata_file_with_one_flipped_bit_is_not_taken_for_a_backup(lab, container):
    store = InShare(lab, container)
    item, _ = taken(lab, store, SINGLE)
    path = lab.shares / container / metadata_name(item)
    damaged = bytearray(path.read_bytes())
    damaged[10] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(bkmetadata.Damaged):
        bkmetadata.parse(path.read_bytes())
    listed = lab.api.backups_in(store.description, SINGLE.entity())
    assert all(found["FailureError"] for found in listed), json.dumps(listed)
    answer = lab.api.restore(SINGLE.id, item, store.description)
    assert isinstance(answer, rest.Answer)
    assert answer.status in {400, 500}, str(answer)
