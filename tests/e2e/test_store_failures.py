"""The store fails: the job ends with words a person can act on, and nothing half-written is ever listed."""

import time

import pytest
from kit import state, wait
from kit.azurite import Azurite, azure_storage
from kit.lab import HIGH, LOW, SINGLE, SOUTH, PacedLab
from kit.proxy import Proxy
from kit.state import MIB

# Longer than the server goes on trying a store that is gone.
PATIENCE = 400


@pytest.fixture
def own_azurite(tmp_path):
    """A blob store that this test may kill."""
    store = Azurite(tmp_path / "azurite").start()
    yield store
    store.kill()


@pytest.fixture
def paced_lab(tmp_path):
    server = PacedLab(tmp_path / "paced", 12_000_000).start()
    yield server
    server.kill()


def test_a_store_that_is_gone_in_the_middle_of_an_upload_is_waited_for_until_the_deadline_and_leaves_no_metadata(lab, azurite, container, proxy):
    state.replace(lab.state(SINGLE), state.make_bulk, 64, 31)
    proxy.cut_after(20 * MIB)
    assert lab.api.backup(SINGLE.id, azurite.storage(container, proxy.port), BackupTimeout=1).status == 202
    wait.until("the cut", lambda: proxy.is_cut, 60)
    ended = lab.api.backup_ended(SINGLE.id, PATIENCE)
    assert ended["BackupState"] == "Timeout", ended
    message = ended["FailureError"]["Message"]
    assert container in message and "cannot be reached" in message, ended
    assert azurite.blobs(container) == {}
    assert lab.api.backups_in(azurite.storage(container), SINGLE.entity()) == []


def test_a_store_that_comes_back_soon_costs_no_backup(lab, azurite, container, proxy):
    state.replace(lab.state(LOW), state.make_bulk, 64, 32)
    before = state.picture(lab.state(LOW))
    proxy.cut_after(20 * MIB)
    assert lab.api.backup(LOW.id, azurite.storage(container, proxy.port)).status == 202
    wait.until("the cut", lambda: proxy.is_cut, 60)
    proxy.mend()
    ended = lab.api.backup_ended(LOW.id, PATIENCE)
    assert ended["BackupState"] == "Success", ended
    state.clear(lab.state(LOW))
    lab.api.restore_now(LOW.id, ended, azurite.storage(container))
    assert state.differences(before, state.picture(lab.state(LOW))) == []


def test_a_blob_store_that_is_killed_while_it_is_written_to_and_comes_back_costs_no_backup(lab, own_azurite, container):
    """Azurite itself forgets its last seconds when it is killed, the container with them; so there is nothing before."""
    root, storage = lab.state(HIGH), own_azurite.storage(container)
    state.replace(root, state.make_bulk, 96, 33)
    before = state.picture(root)
    assert lab.api.backup(HIGH.id, storage).status == 202
    wait.until("the backup to run", lambda: lab.api.backup_progress(HIGH.id)["BackupState"] == "BackupInProgress")
    own_azurite.kill()
    own_azurite.start()
    ended = lab.api.backup_ended(HIGH.id, PATIENCE)
    assert ended["BackupState"] == "Success", ended
    state.clear(root)
    lab.api.restore_now(HIGH.id, ended, storage)
    assert state.differences(before, state.picture(root)) == []


# So many bytes of an upload may be on their way at once.
IN_FLIGHT = 64 * MIB


def test_a_blob_store_that_is_away_for_a_while_costs_no_backup_and_is_sent_again_only_what_was_on_its_way(paced_lab, own_azurite, container):
    lab, between = paced_lab, Proxy(own_azurite.port).start()
    try:
        root, storage = lab.state(HIGH), own_azurite.storage(container, between.port)
        state.replace(root, state.make_bulk, 320, 40)
        assert lab.api.backup(HIGH.id, storage).status == 202
        wait.until("more than half of it", lambda: between.passed_up > 110 * MIB, 60)
        assert own_azurite.stop() == 0
        time.sleep(20)
        own_azurite.start()
        ended = lab.api.backup_ended(HIGH.id, PATIENCE)
        assert ended["BackupState"] == "Success", ended
        stored = sum(own_azurite.blobs(container).values())
        assert between.passed_up < stored + IN_FLIGHT + MIB, f"{between.passed_up} bytes were sent for {stored}"
    finally:
        between.close()
    before = state.picture(root)
    state.clear(root)
    lab.api.restore_now(HIGH.id, ended, own_azurite.storage(container))
    assert state.differences(before, state.picture(root)) == []


def test_a_blob_store_that_forgot_blocks_in_a_crash_is_given_all_of_them_again(paced_lab, own_azurite, container):
    root, storage = paced_lab.state(LOW), own_azurite.storage(container)
    state.replace(root, state.make_bulk, 160, 41)
    assert paced_lab.api.backup(LOW.id, storage).status == 202
    wait.until("blocks", lambda: own_azurite.exists(container) and own_azurite.is_uploading(container), 60)
    assert own_azurite.stop() == 0
    own_azurite.forget_uploads()
    own_azurite.start()
    ended = paced_lab.api.backup_ended(LOW.id, PATIENCE)
    assert ended["BackupState"] == "Success", ended
    before = state.picture(root)
    state.clear(root)
    paced_lab.api.restore_now(LOW.id, ended, storage)
    assert state.differences(before, state.picture(root)) == []


def test_a_restore_whose_store_dies_changes_nothing_and_says_which_store(lab, azurite, container, proxy):
    root = lab.state(LOW)
    state.replace(root, state.make_bulk, 64, 34)
    backup = lab.api.backup_now(LOW.id, azurite.storage(container))
    state.replace(root, state.make_varied, 35)
    before = state.picture(root)
    proxy.hold(azurite.fetching(container, backup["BackupLocation"]))
    assert lab.api.restore(LOW.id, backup, azurite.storage(container, proxy.port)).status == 202
    wait.until("the restore to fetch", lambda: proxy.holding)
    proxy.cut()
    ended = lab.api.restore_ended(LOW.id, PATIENCE)
    assert ended["RestoreState"] == "Failure", ended
    assert container in ended["FailureError"]["Message"], ended
    assert state.differences(before, state.picture(root)) == []


def test_a_store_where_nobody_listens_fails_the_backup_and_lists_one_item_with_the_reason(lab, own_azurite, container):
    state.replace(lab.state(SOUTH), state.make_varied, 36)
    storage = own_azurite.storage(container)
    own_azurite.kill()
    assert lab.api.backup(SOUTH.id, storage).status == 202
    (item,) = lab.api.backups_in(storage, SOUTH.entity(), timeout=PATIENCE)
    assert item["BackupId"] == "00000000-0000-0000-0000-000000000000"
    assert item["FailureError"]["Message"]
    ended = lab.api.backup_ended(SOUTH.id, PATIENCE)
    assert ended["BackupState"] == "Failure", ended
    assert container in ended["FailureError"]["Message"], ended


def test_a_wrong_key_fails_the_backup_and_the_key_is_in_no_message_and_in_no_log(lab, azurite, container):
    state.replace(lab.state(SINGLE), state.make_varied, 37)
    key = "d3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXk="
    connection = f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={key};BlobEndpoint=http://127.0.0.1:{azurite.port}/devstoreaccount1"
    assert lab.api.backup(SINGLE.id, azure_storage(connection, container)).status == 202
    ended = lab.api.backup_ended(SINGLE.id, PATIENCE)
    assert ended["BackupState"] == "Failure", ended
    assert "403" in ended["FailureError"]["Message"] or "refused" in ended["FailureError"]["Message"], ended
    assert key not in str(ended)
    assert key not in lab.log()


@pytest.mark.parametrize("damage", ["flipped", "cut short", "gone"])
def test_a_damaged_backup_is_refused_and_the_state_stays_as_it_was(lab, damage):
    storage, root = lab.share(f"damaged-{damage}"), lab.state(SINGLE)
    state.replace(root, state.make_bulk, 8, 38)
    backup = lab.api.backup_now(SINGLE.id, storage)
    archive = lab.shares / f"damaged-{damage}" / backup["BackupLocation"].replace("\\", "/")
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0x40
    changed = {"flipped": bytes(data), "cut short": bytes(data[: len(data) // 2])}.get(damage)
    archive.unlink()
    if changed is not None:
        archive.write_bytes(changed)
    state.replace(root, state.make_varied, 39)
    before = state.picture(root)

    answer = lab.api.restore(SINGLE.id, backup, storage)
    if answer.status == 202:
        ended = lab.api.restore_ended(SINGLE.id)
        assert ended["RestoreState"] == "Failure", ended
        message = ended["FailureError"]["Message"]
    else:
        assert answer.status in {400, 404, 500}
        message = answer.message
    assert backup["BackupLocation"].rsplit("\\", 1)[1].removesuffix(".zip") in message, message
    assert state.differences(before, state.picture(root)) == []
