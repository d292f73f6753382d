"""The main job with the official Python client."""

from datetime import timedelta

import pytest
from azure.servicefabric import models
from kit import official, state
from kit.lab import HIGH, LOW, NORTH, SINGLE, SOUTH


@pytest.fixture
def api(lab):
    return official.client(lab.address)


@pytest.fixture(params=["default", "FileShare", "AzureBlobStore"])
def storage(request, lab, azurite, container):
    """Each storage as the client describes it; `None` is the default of the partition."""
    if request.param == "default":
        return None
    if request.param == "FileShare":
        return official.share(lab.share(container))
    return official.blobs(azurite.storage(container))


def entity(partition):
    return models.PartitionBackupEntity(service_name=partition.service, partition_id=partition.id)


def backup(api, partition, storage):
    assert api.backup_partition(partition.id, backup_storage=storage) is None
    done = official.backup_ended(api, partition.id)
    assert done.backup_state == "Success", done.failure_error
    return done


def found(api, partition, storage, **filters):
    query = models.GetBackupByStorageQueryDescription(storage=storage, backup_entity=entity(partition), **filters)
    return [item.backup_id for item in api.get_backups_from_backup_location(query).items]


def listed(api, partition, **filters):
    return [item.backup_id for item in api.get_partition_backup_list(partition.id, **filters).items]


def test_it_backs_up_follows_and_restores_with_each_storage(lab, api, storage):
    root = lab.state(SINGLE)
    state.replace(root, state.make_varied, 11)
    before = state.picture(root)
    done = backup(api, SINGLE, storage)
    assert done.failure_error is None
    state.replace(root, state.make_bulk, 1, 12)

    chosen = models.RestorePartitionDescription(
        backup_id=done.backup_id, backup_location=done.backup_location, backup_storage=storage
    )
    assert api.restore_partition(SINGLE.id, chosen) is None
    restored = official.restore_ended(api, SINGLE.id)
    assert restored.restore_state == "Success", restored.failure_error
    assert restored.restored_lsn == done.lsn_of_last_backup_record
    assert restored.restored_epoch == done.epoch_of_last_backup_record
    assert state.differences(before, state.picture(root)) == []


def test_before_the_first_job_both_progresses_are_none(fresh_lab):
    api = official.client(fresh_lab.address)
    assert api.get_partition_backup_progress(SOUTH.id) is None
    assert api.get_partition_restore_progress(SOUTH.id) is None


def test_it_filters_the_list_of_a_partition_by_time_and_by_latest(fresh_lab):
    api = official.client(fresh_lab.address)
    state.make_varied(fresh_lab.state(SINGLE))
    done = [backup(api, SINGLE, None) for _ in range(3)]
    ids = [one.backup_id for one in done]
    times = [one.time_stamp_utc for one in done]
    assert times == sorted(set(times)), "backups of one partition never share a second"
    second = timedelta(seconds=1)

    assert listed(api, SINGLE) == ids
    assert listed(api, SINGLE, latest=True) == ids[-1:]
    assert listed(api, SINGLE, start_date_time_filter=times[1]) == ids[1:], "both ends are included"
    assert listed(api, SINGLE, end_date_time_filter=times[1]) == ids[:2], "both ends are included"
    assert listed(api, SINGLE, start_date_time_filter=times[1], end_date_time_filter=times[1]) == ids[1:2]
    assert listed(api, SINGLE, end_date_time_filter=times[1], latest=True) == ids[1:2], "latest of the range"
    assert listed(api, SINGLE, start_date_time_filter=times[2] + second) == []
    assert listed(api, SINGLE, end_date_time_filter=times[0] - second) == []


@pytest.mark.parametrize("kind", ["FileShare", "AzureBlobStore"])
def test_it_lists_a_location_by_partition_service_and_application(lab, api, azurite, container, kind):
    storage = official.share(lab.share(container)) if kind == "FileShare" else official.blobs(azurite.storage(container))
    for partition in (LOW, HIGH, NORTH):
        state.replace(lab.state(partition), state.make_bulk, 1, 13)
    low, newer, high, north = (backup(api, partition, storage).backup_id for partition in (LOW, LOW, HIGH, NORTH))

    def of(entity, **filters):
        query = models.GetBackupByStorageQueryDescription(storage=storage, backup_entity=entity, **filters)
        return [item.backup_id for item in api.get_backups_from_backup_location(query).items]

    ranges = models.ServiceBackupEntity(service_name=LOW.service)
    everything = models.ApplicationBackupEntity(application_name="fabric:/Lab")
    assert of(entity(LOW)) == [low, newer]
    assert of(entity(LOW), latest=True) == [newer]
    assert of(ranges) == [low, newer, high]
    assert of(ranges, latest=True) == [newer, high]
    assert of(models.ServiceBackupEntity(service_name=NORTH.service)) == [north]
    assert sorted(of(everything)) == sorted([low, newer, high, north])
    assert of(models.ApplicationBackupEntity(application_name="fabric:/La")) == []
    assert of(entity(SOUTH)) == []


def test_it_reads_each_kind_of_partition_from_the_list(lab, api, container):
    storage = official.share(lab.share(container))
    for partition in (SINGLE, LOW, NORTH):
        backup(api, partition, storage)
    query = models.GetBackupByStorageQueryDescription(
        storage=storage, backup_entity=models.ApplicationBackupEntity(application_name="fabric:/Lab")
    )
    items = {item.partition_information.id: item for item in api.get_backups_from_backup_location(query).items}

    single, low, north = (items[partition.id].partition_information for partition in (SINGLE, LOW, NORTH))
    assert isinstance(single, models.SingletonPartitionInformation)
    assert isinstance(low, models.Int64RangePartitionInformation)
    assert (low.low_key, low.high_key) == (str(LOW.low), str(LOW.high))
    assert isinstance(north, models.NamedPartitionInformation)
    assert north.name == "north"
    assert {item.service_manifest_version for item in items.values()} == {"7.1.2"}
    assert {item.service_name for item in items.values()} == {SINGLE.service, LOW.service, NORTH.service}
    assert {item.application_name for item in items.values()} == {"fabric:/Lab"}
    assert {item.backup_type for item in items.values()} == {"Full"}


def test_it_pages_through_a_location(lab, api, container):
    storage = official.share(lab.share(container))
    taken = [backup(api, LOW, storage).backup_id for _ in range(3)]
    query = models.GetBackupByStorageQueryDescription(storage=storage, backup_entity=entity(LOW))

    pages, token = [], None
    while token is None or token:
        page = api.get_backups_from_backup_location(query, continuation_token=token, max_results=2)
        pages.append([item.backup_id for item in page.items])
        token = page.continuation_token or ""
    assert pages == [taken[:2], taken[2:]]
