"""A local file share whose disk is full, and one where a file stands in its place."""

import subprocess

import pytest
from kit import state
from kit.lab import LOW


@pytest.fixture
def small_disk(fresh_lab):
    """A folder below the root of file shares with a disk of 8 MiB of its own."""
    disk = fresh_lab.shares / "small"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", disk], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_fails_the_backup_in_clear_words_and_leaves_nothing(fresh_lab, small_disk):
    storage = {"StorageKind": "FileShare", "Path": str(small_disk)}
    state.replace(fresh_lab.state(LOW), state.make_bulk, 64, 51)
    assert fresh_lab.api.backup(LOW.id, storage).status == 202
    ended = fresh_lab.api.backup_ended(LOW.id)
    assert ended["BackupState"] == "Failure", ended
    assert "no space is left" in ended["FailureError"]["Message"], ended
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []
    assert fresh_lab.api.backups_in(storage, LOW.entity()) == []


def test_a_file_in_the_place_of_a_share_is_told_and_not_listed_as_empty(fresh_lab):
    (fresh_lab.shares / "file").write_text("x")
    storage = {"StorageKind": "FileShare", "Path": str(fresh_lab.shares / "file")}
    (item,) = fresh_lab.api.backups_in(storage, LOW.entity())
    assert "is not a directory" in item["FailureError"]["Message"], item
