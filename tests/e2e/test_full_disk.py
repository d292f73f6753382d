"""A local file share whose disk is full, and one where a file stands in its place."""

import subprocess

import pytest
from kit import state
from kit.lab import LOW, Lab


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


@pytest.fixture
def lab_with_a_small_spool(request, tmp_path):
    """A server whose directory for what is too much for memory has only so much of its own."""
    lab = Lab(tmp_path / "home")
    spool = lab.data / "spool"
    spool.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={request.param}", "none", spool], check=True)
    lab.start()
    yield lab, spool
    lab.kill()
    subprocess.run(["umount", "--lazy", spool], check=True)


@pytest.mark.parametrize(("lab_with_a_small_spool", "is_list"), [("1m", True), ("2m", False)], indirect=["lab_with_a_small_spool"])
def test_a_full_data_directory_fails_jobs_in_clear_words_and_leaves_nothing(lab_with_a_small_spool, is_list):
    """The list of so many files is larger than what is kept in memory, and than the disk; or there is room for it, but not for
    the manifest besides."""
    lab, spool = lab_with_a_small_spool
    storage = lab.share("files")
    for number in range(40_000):
        (lab.state(LOW) / f"{number:06}").write_bytes(number.to_bytes(4, "little"))
    assert lab.api.backup(LOW.id, storage).status == 202
    ended = lab.api.backup_ended(LOW.id)
    assert ended["BackupState"] == "Failure", ended
    message = ended["FailureError"]["Message"]
    assert f"cannot be kept in '{spool}'" in message and ("list of the state's files" in message) == is_list, message
    assert [path for path in (lab.shares / "files").rglob("*") if path.is_file()] == []
    assert subprocess.run(["du", "-s", spool], check=True, capture_output=True, text=True).stdout.split()[0] == "0"
