"""File shares over SMB, without a mount, against Samba's smbd."""

import json
import signal
import subprocess
import time

import pytest
from kit import state, wait
from kit.lab import HIGH, LOW, NORTH, SINGLE, SOUTH, Lab
from kit.samba import OTHER_PASSWORD, OTHER_USER, PASSWORD, USER, Samba
from kit.state import MIB

# Longer than the server goes on trying a share that is gone.
PATIENCE = 400
WRONG = "wrong-password"


@pytest.fixture(scope="module")
def samba(tmp_path_factory):
    server = Samba(tmp_path_factory.mktemp("samba") / "home").start()
    yield server
    server.kill()


@pytest.fixture
def own_samba(tmp_path):
    """One that this test may kill."""
    server = Samba(tmp_path / "samba")
    yield server
    server.kill()


class Node(Lab):
    """A lab that reaches smbd where it listens."""

    def __init__(self, home, samba: Samba, more: str = ""):
        self._smb = f'[file_share.smb]\n{more}\n[file_share.smb.ports]\n"127.0.0.1" = {samba.port}\n'
        super().__init__(home)

    def _toml(self) -> str:
        return self._smb + super()._toml()


@pytest.fixture(scope="module")
def node(tmp_path_factory, samba):
    server = Node(tmp_path_factory.mktemp("node") / "home", samba).start()
    yield server
    server.kill()


@pytest.fixture
def own_node(tmp_path, own_samba):
    own_samba.start()
    server = Node(tmp_path / "node", own_samba, "answer_timeout_seconds = 10").start()
    yield server
    server.kill()


def failure(server, partition, storage) -> str:
    """What a backup that must fail says, without its secrets."""
    assert server.api.backup(partition.id, storage).status == 202
    ended = server.api.backup_ended(partition.id, PATIENCE)
    assert ended["BackupState"] == "Failure", ended
    message = ended["FailureError"]["Message"]
    for secret in (PASSWORD, OTHER_PASSWORD, WRONG):
        assert secret not in message
    return message


def comes_back(server, partition, backup, storage, before) -> None:
    state.clear(server.state(partition))
    server.api.restore_now(partition.id, backup, storage)
    assert state.differences(before, state.picture(server.state(partition))) == []


def test_the_published_example_works_against_a_share_and_comes_back_equal(node, samba):
    storage = samba.storage("team\\daily", other=(OTHER_USER, OTHER_PASSWORD))
    state.replace(node.state(SINGLE), state.make_varied, 41)
    before = state.picture(node.state(SINGLE))
    backup = node.api.backup_now(SINGLE.id, storage)
    (listed,) = node.api.backups_in(storage, SINGLE.entity())
    assert listed["BackupId"] == backup["BackupId"]
    stem = backup["BackupLocation"].replace("\\", "/").removesuffix(".zip")
    assert samba.files("team/daily") == [f"{stem}.bkmetadata", f"{stem}.zip"]
    comes_back(node, SINGLE, backup, storage, before)
    for secret in (PASSWORD, OTHER_PASSWORD):
        assert secret not in node.log()


@pytest.mark.parametrize("name", [f"TEST\\{USER}", f"{USER}@TEST"])
def test_a_user_may_be_written_with_a_domain(node, samba, name):
    state.replace(node.state(LOW), state.make_varied, 42)
    node.api.backup_now(LOW.id, samba.storage("names", user=(name, PASSWORD)))


def test_the_secondary_user_takes_over_when_the_primary_is_not_let_in(node, samba):
    state.replace(node.state(NORTH), state.make_varied, 43)
    before = state.picture(node.state(NORTH))
    storage = samba.storage("secondary", user=(USER, WRONG), other=(OTHER_USER, OTHER_PASSWORD))
    backup = node.api.backup_now(NORTH.id, storage)
    comes_back(node, NORTH, backup, storage, before)
    assert f'"user":"{OTHER_USER}"' in node.log(), "which user it is must be in the log"
    assert WRONG not in node.log() and OTHER_PASSWORD not in node.log()


def test_two_wrong_passwords_are_told_by_their_users(node, samba):
    storage = samba.storage("never", user=(USER, WRONG), other=(OTHER_USER, WRONG))
    message = failure(node, SOUTH, storage)
    assert USER in message and OTHER_USER in message and "password" in message, message
    assert not (samba.share / "never").exists()


def test_a_share_that_is_not_there_is_told_by_its_name(node, samba):
    message = failure(node, SOUTH, samba.storage(share="nosuchshare"))
    assert "nosuchshare" in message and "no share" in message, message


def test_a_host_that_is_not_allowed_is_refused_and_the_setting_named(node, samba):
    storage = samba.storage() | {"Path": "\\\\fileserver\\backups"}
    answer = node.api.backup(SOUTH.id, storage)
    assert answer.status == 400, str(answer)
    assert "[file_share.smb.ports]" in answer.message, answer.message
    without_user = {"StorageKind": "FileShare", "Path": "\\\\127.0.0.1\\backups"}
    answer = node.api.backup(SOUTH.id, without_user)
    assert answer.status == 400 and "PrimaryUserName" in answer.message, str(answer)


def test_a_server_where_nobody_listens_is_told(own_node, own_samba):
    own_samba.kill()
    message = failure(own_node, SOUTH, own_samba.storage())
    assert "refuses connections" in message and str(own_samba.port) in message, message


def test_a_server_killed_in_the_middle_of_an_upload_and_started_again_costs_no_backup(own_node, own_samba):
    state.replace(own_node.state(HIGH), state.make_bulk, 256, 44)
    before = state.picture(own_node.state(HIGH))
    storage = own_samba.storage("killed")
    assert own_node.api.backup(HIGH.id, storage).status == 202
    wait.until("the upload to have begun", lambda: written(own_samba) > 8 * MIB)
    own_samba.kill()
    assert not [name for name in own_samba.files() if name.endswith(".zip")], "it ended before it was killed"
    own_samba.start()
    backup = own_node.api.backup_ended(HIGH.id, PATIENCE)
    assert backup["BackupState"] == "Success", backup
    assert len(own_samba.files("killed")) == 2
    comes_back(own_node, HIGH, backup, storage, before)


def test_a_server_that_stalls_for_half_a_minute_costs_no_backup(own_node, own_samba):
    state.replace(own_node.state(HIGH), state.make_bulk, 256, 45)
    before = state.picture(own_node.state(HIGH))
    storage = own_samba.storage("stalled")
    assert own_node.api.backup(HIGH.id, storage).status == 202
    wait.until("the upload to have begun", lambda: written(own_samba) > 8 * MIB)
    own_samba.signal(signal.SIGSTOP)
    time.sleep(30)
    own_samba.signal(signal.SIGCONT)
    backup = own_node.api.backup_ended(HIGH.id, PATIENCE)
    assert backup["BackupState"] == "Success", backup
    assert len(own_samba.files("stalled")) == 2
    comes_back(own_node, HIGH, backup, storage, before)


def test_a_server_that_says_pending_before_each_answer_does_not_make_an_upload_stand_still(tmp_path, own_samba, monkeypatch):
    monkeypatch.setenv("RUST_LOG", "info,fabric_backup::storage::smb=debug")
    own_samba.slow_down().start()
    node = Node(tmp_path / "node", own_samba, "answer_timeout_seconds = 10").start()
    try:
        state.replace(node.state(HIGH), state.make_bulk, 512, 47)
        before = state.picture(node.state(HIGH))
        storage = own_samba.storage("pending")
        backup = node.api.backup_now(HIGH.id, storage)
        assert "the connection was lost" not in node.log(), "it stood still until the answer was too late"
        counted = interim_answers(node)
        assert len(counted) >= 2 and all(48 < count <= 64 for count in counted), f"each is left in time: {counted}"
        comes_back(node, HIGH, backup, storage, before)
    finally:
        node.kill()


def interim_answers(server) -> list[int]:
    """Of each connection that has ended."""
    lines = [json.loads(line) for line in server.log().splitlines() if "interim_answers" in line]
    return [line["interim_answers"] for line in lines]


def test_a_full_disk_is_told_and_leaves_nothing(own_node, own_samba):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", own_samba.share], check=True)
    try:
        state.replace(own_node.state(HIGH), state.make_bulk, 64, 46)
        message = failure(own_node, HIGH, own_samba.storage("full"))
        assert "no space is left" in message, message
        assert own_samba.files() == []
        assert own_node.api.backups_in(own_samba.storage("full"), HIGH.entity()) == []
    finally:
        own_samba.kill()
        subprocess.run(["umount", "--lazy", own_samba.share], check=True)


def written(samba: Samba) -> int:
    return sum(path.stat().st_size for path in samba.share.rglob("*") if path.is_file())
