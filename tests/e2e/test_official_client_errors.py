"""Every error that can be reached arrives in the official client as a FabricErrorException with its code."""

import re
import uuid
from pathlib import Path

import pytest
from azure.servicefabric import models
from kit import official, state, wait
from kit.azurite import azure_storage
from kit.lab import HIGH, LOW, NORTH, SINGLE, SOUTH, STATELESS, UNKNOWN, VOLATILE
from kit.official import refusal


API_MD = Path(__file__).parents[2] / "docs/API.md"


@pytest.fixture
def api(lab):
    return official.client(lab.address)


@pytest.fixture
def blobs(azurite, container):
    return official.blobs(azurite.storage(container))


@pytest.fixture
def stalled(azurite, container, proxy):
    """A blob store that takes every request for its container and answers none."""
    proxy.hold(container.encode())
    yield official.blobs(azurite.storage(container, proxy.port))
    proxy.release()


def restore_description(done, storage, **changes):
    given = {"backup_id": done.backup_id, "backup_location": done.backup_location, "backup_storage": storage, **changes}
    return models.RestorePartitionDescription(**given)


def backed_up(lab, api, partition, storage):
    state.replace(lab.state(partition), state.make_bulk, 1, 21)
    api.backup_partition(partition.id, backup_storage=storage)
    done = official.backup_ended(api, partition.id)
    assert done.backup_state == "Success", done.failure_error
    return done


def test_an_unknown_partition_is_not_found_by_any_operation_on_it(lab, api):
    share = official.share(lab.share("any"))
    some = models.RestorePartitionDescription(backup_id=UNKNOWN, backup_location="a", backup_storage=share)
    for call in (
        lambda: api.backup_partition(UNKNOWN),
        lambda: api.backup_partition(UNKNOWN, backup_storage=share),
        lambda: api.restore_partition(UNKNOWN, some),
        lambda: api.get_partition_backup_progress(UNKNOWN),
        lambda: api.get_partition_restore_progress(UNKNOWN),
        lambda: api.get_partition_backup_list(UNKNOWN),
    ):
        assert UNKNOWN in refusal("FABRIC_E_PARTITION_NOT_FOUND", call)


def test_a_malformed_partition_id_is_an_invalid_argument(api):
    for call in (api.backup_partition, api.get_partition_backup_progress, api.get_partition_backup_list):
        assert "not-a-guid" in refusal("E_INVALIDARG", call, "not-a-guid")


@pytest.mark.parametrize("minutes", [0, -5])
def test_a_timeout_of_no_minutes_is_an_invalid_argument(lab, api, minutes):
    share = official.share(lab.share("any"))
    assert "BackupTimeout" in refusal("E_INVALIDARG", api.backup_partition, SINGLE.id, backup_timeout=minutes)
    some = models.RestorePartitionDescription(backup_id=UNKNOWN, backup_location="a", backup_storage=share)
    assert "RestoreTimeout" in refusal("E_INVALIDARG", api.restore_partition, SINGLE.id, some, restore_timeout=minutes)


def test_a_share_outside_of_the_roots_is_an_invalid_argument_that_names_the_setting(lab, api, tmp_path):
    for path in (str(tmp_path), str(lab.shares / "../elsewhere"), str(lab.shares) + "x"):
        message = refusal("E_INVALIDARG", api.backup_partition, SINGLE.id, backup_storage=official.share({"Path": path}))
        assert "[file_share] roots" in message, message


@pytest.mark.parametrize(
    ("connection_string", "container", "names"),
    [
        ("", "good", "ConnectionString"),
        ("nonsense", "good", "ConnectionString"),
        ("AccountName=a", "good", "AccountKey"),
        ("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=not base64!", "good", "AccountKey"),
        ("DefaultEndpointsProtocol=ftp;AccountName=a;AccountKey=c2VjcmV0", "good", "DefaultEndpointsProtocol"),
        ("UseDevelopmentStorage=true", "With-Capitals", "ContainerName"),
        ("UseDevelopmentStorage=true", "a", "ContainerName"),
        ("UseDevelopmentStorage=true", "double--dash", "ContainerName"),
    ],
)
def test_a_blob_store_that_cannot_exist_is_an_invalid_argument_that_names_the_field(api, connection_string, container, names):
    storage = official.blobs(azure_storage(connection_string, container))
    message = refusal("E_INVALIDARG", api.backup_partition, SINGLE.id, backup_storage=storage)
    assert names in message, message
    assert "c2VjcmV0" not in message
    assert "not base64!" not in message


def test_without_a_storage_in_the_request_or_for_the_partition_backup_is_not_enabled(api):
    some = models.RestorePartitionDescription(backup_id=UNKNOWN, backup_location="a")
    refusal("FABRIC_E_BACKUP_NOT_ENABLED", api.backup_partition, LOW.id)
    refusal("FABRIC_E_BACKUP_NOT_ENABLED", api.restore_partition, LOW.id, some)
    refusal("FABRIC_E_BACKUP_NOT_ENABLED", api.get_partition_backup_list, LOW.id)


@pytest.mark.parametrize("partition", [STATELESS, VOLATILE], ids=["stateless", "not persisted"])
def test_a_partition_without_state_on_disk_cannot_be_backed_up(lab, api, partition):
    share = official.share(lab.share("any"))
    refusal("FABRIC_E_INVALID_FOR_STATELESS_SERVICES", api.backup_partition, partition.id, backup_storage=share)


def test_a_storage_on_a_host_that_nobody_means_is_refused(api):
    for storage in (
        models.DsmsAzureBlobBackupStorageDescription(storage_credentials_source_location="https://x/y", container_name="c-c"),
        models.ManagedIdentityAzureBlobBackupStorageDescription(
            managed_identity_type="Cluster", blob_service_uri="https://x/", container_name="c-c"
        ),
    ):
        refusal("E_INVALIDARG", api.backup_partition, SINGLE.id, backup_storage=storage)


def test_while_a_backup_runs_neither_a_backup_nor_a_restore_starts(lab, api, blobs, stalled, proxy):
    done = backed_up(lab, api, NORTH, blobs)
    api.backup_partition(NORTH.id, backup_storage=stalled)
    wait.until("the backup to hang", lambda: proxy.holding)
    refusal("FABRIC_E_BACKUP_IN_PROGRESS", api.backup_partition, NORTH.id, backup_storage=stalled)
    refusal("FABRIC_E_BACKUP_IN_PROGRESS", api.restore_partition, NORTH.id, restore_description(done, blobs))
    assert api.get_partition_backup_progress(NORTH.id).backup_state == "BackupInProgress"
    proxy.release()
    assert official.backup_ended(api, NORTH.id).backup_state == "Success"


def test_while_a_restore_runs_neither_a_backup_nor_a_restore_starts(lab, api, azurite, container, proxy):
    direct, through = (official.blobs(azurite.storage(container, port)) for port in (None, proxy.port))
    done = backed_up(lab, api, HIGH, direct)
    proxy.hold(azurite.fetching(container, done.backup_location))
    api.restore_partition(HIGH.id, restore_description(done, through))
    wait.until("the restore to hang", lambda: proxy.holding)
    refusal("FABRIC_E_RESTORE_IN_PROGRESS", api.backup_partition, HIGH.id, backup_storage=direct)
    refusal("FABRIC_E_RESTORE_IN_PROGRESS", api.restore_partition, HIGH.id, restore_description(done, direct))
    assert api.get_partition_restore_progress(HIGH.id).restore_state == "RestoreInProgress"
    proxy.release()
    assert official.restore_ended(api, HIGH.id).restore_state == "Success"


def test_a_restore_with_another_id_or_into_another_kind_key_or_name_is_a_mismatch(lab, api, blobs):
    low, north = (backed_up(lab, api, partition, blobs) for partition in (LOW, NORTH))
    for target, description in (
        (LOW, restore_description(low, blobs, backup_id=str(uuid.uuid4()))),
        (HIGH, restore_description(low, blobs)),
        (SINGLE, restore_description(low, blobs)),
        (SOUTH, restore_description(north, blobs)),
    ):
        refusal("FABRIC_E_RESTORE_SOURCE_TARGET_PARTITION_MISMATCH", api.restore_partition, target.id, description)


def test_a_restore_from_where_no_backup_is_says_which_location(lab, api, blobs):
    done = backed_up(lab, api, LOW, blobs)
    for location in (done.backup_location.replace(".zip", "x.zip"), f"Lab\\Ranges\\{LOW.id}\\2018-01-01 09.00.55.zip"):
        description = restore_description(done, blobs, backup_location=location)
        assert location in refusal("FABRIC_E_RESTORE_SAFE_CHECK_FAILED", api.restore_partition, LOW.id, description)


def test_a_store_that_refuses_the_key_denies_access(lab, api, azurite, container, blobs):
    done = backed_up(lab, api, LOW, blobs)
    wrong = azurite.storage(container)["ConnectionString"].replace("AccountKey=Eby8", "AccountKey=AAAA")
    refused = official.blobs(azure_storage(wrong, container))
    message = refusal("E_ACCESSDENIED", api.restore_partition, LOW.id, restore_description(done, refused))
    assert container in message
    assert "AAAA" not in message


def test_a_store_that_cannot_be_reached_is_a_communication_error(lab, api, blobs, container, proxy, azurite):
    done = backed_up(lab, api, LOW, blobs)
    through = official.blobs(azurite.storage(container, proxy.port))
    proxy.cut()
    message = refusal("FABRIC_E_COMMUNICATION_ERROR", api.restore_partition, LOW.id, restore_description(done, through))
    assert container in message


def test_a_body_that_is_too_large_is_refused_in_a_way_that_the_client_understands(lab, api):
    share = models.FileShareBackupStorageDescription(path=lab.share("any")["Path"], friendly_name="x" * (5 << 20))
    refusal("FABRIC_E_VALUE_TOO_LARGE", api.backup_partition, SINGLE.id, backup_storage=share)


def test_the_codes_in_the_documentation_are_the_codes_reached_here():
    table = [line for line in API_MD.read_text().splitlines() if re.match(r"\| \d{3} \|", line)]
    documented = set(re.findall(r"`(\w*E_\w+)`", "\n".join(table)))
    files = Path(__file__).parent.glob("test_official_client*.py")
    reached = {code for file in files for code in re.findall(r'refusal\(\s*"(\w+)"', file.read_text())}
    # Of operations and headers that the published client does not know, and of what only a defect or a broken machine causes.
    ours = {"FABRIC_E_KEY_NOT_FOUND", "FABRIC_E_SEQUENCE_NUMBER_CHECK_FAILED", "FABRIC_E_OPERATION_NOT_COMPLETE", "E_FAIL"}
    assert reached == documented - ours


def test_a_request_that_does_not_finish_within_its_timeout_is_ended(api, stalled):
    query = models.GetBackupByStorageQueryDescription(
        storage=stalled, backup_entity=models.PartitionBackupEntity(service_name=LOW.service, partition_id=LOW.id)
    )
    assert "timeout of 1 s" in refusal("FABRIC_E_TIMEOUT", api.get_backups_from_backup_location, query, timeout=1)
    some = models.RestorePartitionDescription(backup_id=UNKNOWN, backup_location=f"Lab\\Ranges\\{LOW.id}\\2018-01-01 09.00.55.zip", backup_storage=stalled)
    refusal("FABRIC_E_TIMEOUT", api.restore_partition, LOW.id, some, timeout=1)


def test_a_backup_and_a_restore_that_take_longer_than_their_minute_end_as_timeout(lab, api, azurite, container, proxy):
    direct, through = (official.blobs(azurite.storage(container, port)) for port in (None, proxy.port))
    done = backed_up(lab, api, LOW, direct)
    state.replace(lab.state(LOW), state.make_varied, 22)
    changed = state.picture(lab.state(LOW))
    before = azurite.blobs(container)

    proxy.hold(f"PUT /devstoreaccount1/{container}/".encode())
    proxy.slow_down(4096)
    api.restore_partition(LOW.id, restore_description(done, through), restore_timeout=1)
    api.backup_partition(HIGH.id, backup_storage=through, backup_timeout=1)
    restored, saved = official.restore_ended(api, LOW.id), official.backup_ended(api, HIGH.id)
    proxy.release()

    assert (restored.restore_state, restored.failure_error.code) == ("Timeout", "FABRIC_E_TIMEOUT")
    assert (saved.backup_state, saved.failure_error.code) == ("Timeout", "FABRIC_E_TIMEOUT")
    assert "1 minute" in restored.failure_error.message
    assert "1 minute" in saved.failure_error.message
    assert azurite.blobs(container) == before, "a backup that timed out leaves nothing that could be listed"
    assert state.differences(changed, state.picture(lab.state(LOW))) == [], "a restore that timed out changes nothing"
