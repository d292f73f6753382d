"""The main job with nothing but HTTP: back up, follow, list, restore, and the bytes are back."""

import re
import subprocess

from kit import quickstart as hosted
from kit import state, wait
from kit.lab import HIGH, LOW, NORTH, SINGLE, SOUTH

ZERO = "00000000-0000-0000-0000-000000000000"
SECOND = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def test_the_quickstart_takes_a_backup_lists_it_and_restores_it(quickstart):
    api, root = quickstart.api, hosted.state(quickstart)
    before = state.picture(root)
    assert any(entry[0] == "file" and entry[3] > 0 for entry in before.values()), "the quickstart has no records"
    assert api.backup_progress(hosted.ID) is None
    assert api.restore_progress(hosted.ID) is None

    answer = api.post(f"/Partitions/{hosted.ID}/$/Backup", {})
    assert (answer.status, answer.body) == (202, b"")
    done = api.backup_ended(hosted.ID)
    assert done["BackupState"] == "Success", done
    assert done["FailureError"] is None
    assert SECOND.fullmatch(done["TimeStampUtc"])

    (item,) = api.get(f"/Partitions/{hosted.ID}/$/GetBackups").json()["Items"]
    assert item["BackupId"] == item["BackupChainId"] == done["BackupId"] != ZERO
    assert item["BackupLocation"] == done["BackupLocation"]
    assert item["CreationTimeUtc"] == done["TimeStampUtc"]
    assert item["BackupType"] == "Full"
    assert (item["ApplicationName"], item["ServiceName"]) == ("fabric:/CalcApp", "fabric:/CalcApp/CalcService")
    assert item["PartitionInformation"] == {
        "ServicePartitionKind": "Int64Range",
        "Id": hosted.ID,
        "LowKey": "-9223372036854775808",
        "HighKey": "9223372036854775807",
    }

    state.replace(root, state.make_varied)
    answer = api.restore(hosted.ID, item)
    assert (answer.status, answer.body) == (202, b"")
    restored = api.restore_ended(hosted.ID)
    assert restored["RestoreState"] == "Success", restored
    assert restored["RestoredLsn"] == item["LsnOfLastBackupRecord"]
    assert restored["RestoredEpoch"] == item["EpochOfLastBackupRecord"]
    assert SECOND.fullmatch(restored["TimeStampUtc"])
    assert state.differences(before, state.picture(root)) == []


def test_the_three_lines_say_where_it_listens_where_swagger_ui_is_and_a_curl_that_works(fresh_quickstart):
    where, swagger, curl = fresh_quickstart.banner
    assert fresh_quickstart.address in where
    assert f"{fresh_quickstart.address}/swagger-ui/" in swagger
    command = curl[curl.index("curl ") :]
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert "202 Accepted" in ran.stdout, ran.stdout
    assert fresh_quickstart.api.backup_ended(hosted.ID)["BackupState"] == "Success"


def test_an_empty_body_and_an_absent_one_and_a_null_storage_all_mean_the_default_storage(lab):
    state.replace(lab.state(SINGLE), state.make_varied)
    path = f"/Partitions/{SINGLE.id}/$/Backup"
    taken = []
    for body in ({}, None, {"BackupStorage": None}, b"null"):
        assert lab.api.post(path, body).status == 202, body
        taken.append(lab.api.backup_ended(SINGLE.id)["BackupId"])
    listed = lab.api.get(f"/Partitions/{SINGLE.id}/$/GetBackups").json()["Items"]
    assert [item["BackupId"] for item in listed][-4:] == taken


def test_every_kind_of_entry_comes_back_from_a_share_and_from_a_blob_store(lab, azurite, container):
    root = lab.state(NORTH)
    for storage in (lab.share("every-kind"), azurite.storage(container)):
        state.replace(root, state.make_varied, 5)
        before = state.picture(root)
        backup = lab.api.backup_now(NORTH.id, storage)
        state.replace(root, state.make_bulk, 2, 6)
        lab.api.restore_now(NORTH.id, backup, storage)
        assert state.differences(before, state.picture(root)) == []


def test_a_container_signature_is_enough_to_back_up_and_restore(lab, azurite, container):
    azurite.create_container(container)
    storage = azurite.sas_storage(container)
    state.replace(lab.state(SOUTH), state.make_varied, 7)
    before = state.picture(lab.state(SOUTH))
    backup = lab.api.backup_now(SOUTH.id, storage)
    state.clear(lab.state(SOUTH))
    lab.api.restore_now(SOUTH.id, backup, storage)
    assert state.differences(before, state.picture(lab.state(SOUTH))) == []


def test_another_server_that_knows_only_the_storage_finds_the_backup_and_restores_it(lab, fresh_lab, azurite, container):
    """As after the loss of a cluster."""
    storage = azurite.storage(container)
    state.replace(lab.state(LOW), state.make_varied, 8)
    before = state.picture(lab.state(LOW))
    lab.api.backup_now(LOW.id, storage)

    (item,) = fresh_lab.api.backups_in(storage, LOW.entity())
    fresh_lab.api.restore_now(LOW.id, item, storage)
    assert state.differences(before, state.picture(fresh_lab.state(LOW))) == []


def test_while_a_backup_runs_its_progress_says_so_and_a_second_one_and_a_restore_get_409(lab, azurite, container, proxy):
    state.replace(lab.state(HIGH), state.make_varied, 9)
    earlier = lab.api.backup_now(HIGH.id, azurite.storage(container))
    storage = azurite.storage(container, proxy.port)
    proxy.hold(container.encode())

    assert lab.api.backup(HIGH.id, storage).status == 202
    wait.until("the backup to hang", lambda: proxy.holding)
    progress = lab.api.backup_progress(HIGH.id)
    assert progress | {
        "BackupState": "BackupInProgress",
        "TimeStampUtc": "0001-01-01T00:00:00Z",
        "BackupId": ZERO,
        "BackupLocation": None,
        "EpochOfLastBackupRecord": None,
        "LsnOfLastBackupRecord": "0",
        "FailureError": None,
    } == progress
    second, restore = lab.api.backup(HIGH.id, storage), lab.api.restore(HIGH.id, earlier, azurite.storage(container))
    proxy.release()

    assert (second.status, second.code) == (409, "FABRIC_E_BACKUP_IN_PROGRESS")
    assert (restore.status, restore.code) == (409, "FABRIC_E_BACKUP_IN_PROGRESS")
    assert lab.api.backup_ended(HIGH.id)["BackupState"] == "Success"


def test_the_service_ends_by_itself_on_sigterm(fresh_quickstart):
    assert fresh_quickstart.stop() == 0
