"""The process is killed in the middle of a backup: what the storage has of it by then is not sent again."""

import subprocess

import pytest
from kit import state, tools, wait
from kit.lab import SINGLE, PacedLab
from kit.proxy import Proxy
from kit.state import MIB

# Bytes are made safe every 256 MiB, or after 30 s.
SIZE = 900
BEFORE_THE_CRASH = 330 * MIB


@pytest.fixture
def lab(tmp_path):
    server = PacedLab(tmp_path / "paced", 30_000_000).start()
    yield server
    server.kill()


def partial(lab, share: str):
    """The one file that is being written."""
    found = list((lab.shares / share).rglob(".fabric-backup-unfinished-*"))
    return found[0] if found else None


def journals(lab) -> list:
    """Those that a backup can be gone on with."""
    return [path for path in (lab.data / "resume").iterdir() if not path.suffix]


def changed(root) -> None:
    """One file that was sent already, one that was not, one that is new and one that is gone."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.stat().st_size > MIB)
    for path in (files[3], files[-3]):
        with path.open("r+b") as file:
            file.write(b"changed since")
    (files[5].parent / "new").write_bytes(b"new" * 1000)
    files[7].unlink()


def test_a_backup_into_a_share_goes_on_in_the_file_that_is_there(lab):
    root, storage = lab.state(SINGLE), lab.share("resumed")
    state.make_bulk(root, SIZE, 51)
    assert lab.api.backup(SINGLE.id, storage).status == 202
    wait.until("more than what is safe", lambda: (file := partial(lab, "resumed")) and file.stat().st_size > BEFORE_THE_CRASH and journals(lab), 60)
    file = partial(lab, "resumed")
    lab.kill()
    inode, length = file.stat().st_ino, file.stat().st_size
    changed(root)
    before = state.picture(root)
    lab.start()
    wait.until("it to go on", lambda: "goes on where it was cut off" in lab.log(), 30)
    ended = lab.api.backup_ended(SINGLE.id)
    assert ended["BackupState"] == "Success", ended
    archive = lab.shares / "resumed" / ended["BackupLocation"].replace("\\", "/")
    assert archive.stat().st_ino == inode and length > BEFORE_THE_CRASH
    begun = archive.stem.replace(" ", "T").replace(".", ":") + "Z"
    assert ended["TimeStampUtc"] > begun, "its state is of the time after the crash"
    assert journals(lab) == []
    for tool in ([tools.SEVEN_ZIP, "t"], [tools.BSDTAR, "-tf"]):
        ran = subprocess.run([*tool, archive], capture_output=True, text=True, timeout=300, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    state.clear(root)
    lab.api.restore_now(SINGLE.id, ended, storage)
    assert state.differences(before, state.picture(root)) == []


def test_a_backup_into_azure_goes_on_with_the_blocks_that_are_there(lab, azurite, container):
    root, between = lab.state(SINGLE), Proxy(azurite.port).start()
    try:
        state.make_bulk(root, SIZE, 52)
        assert lab.api.backup(SINGLE.id, azurite.storage(container, between.port)).status == 202
        wait.until("more than what is safe", lambda: between.passed_up > BEFORE_THE_CRASH and journals(lab), 60)
        lab.kill()
        sent = between.passed_up
        changed(root)
        before = state.picture(root)
        lab.start()
        ended = lab.api.backup_ended(SINGLE.id)
        assert ended["BackupState"] == "Success", ended
        stored = sum(azurite.blobs(container).values())
        again = between.passed_up - sent
        assert again < stored - 200 * MIB, f"{again} of {stored} bytes were sent after {sent}"
    finally:
        between.close()
    assert journals(lab) == []
    state.clear(root)
    lab.api.restore_now(SINGLE.id, ended, azurite.storage(container))
    assert state.differences(before, state.picture(root)) == []


def test_a_backup_that_is_cancelled_after_a_crash_leaves_neither_file_nor_journal(lab):
    root, storage = lab.state(SINGLE), lab.share("cancelled")
    state.make_bulk(root, SIZE, 53)
    assert lab.api.backup(SINGLE.id, storage).status == 202
    wait.until("a journal", lambda: journals(lab), 60)
    lab.kill()
    lab.start()
    wait.until("it to go on", lambda: "goes on where it was cut off" in lab.log(), 30)
    assert lab.api.post(f"/Partitions/{SINGLE.id}/$/CancelBackup").status == 202
    assert lab.api.backup_ended(SINGLE.id)["BackupState"] == "Failure"
    wait.until("nothing to be left", lambda: partial(lab, "cancelled") is None and journals(lab) == [], 30)
