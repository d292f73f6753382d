"""States that are not plain trees of files at rest."""

import os
import stat
import threading

import pytest
from kit import state
from kit.lab import HIGH, LOW, NORTH, SINGLE, SOUTH
from kit.state import MIB


def ended(lab, partition, storage):
    assert lab.api.backup(partition.id, storage).status == 202
    return lab.api.backup_ended(partition.id)


def test_sockets_and_pipes_are_left_out_and_everything_else_is_kept(lab):
    root, storage = lab.state(SINGLE), lab.share("odd")
    state.replace(root, state.make_varied, 61)
    expected = state.picture(root)
    os.mkfifo(root / "hollow/pipe")
    # Not by bind: the address of a socket has room for 107 bytes, and a checkout may lie deeper than that.
    os.mknod(root / "deep/socket", stat.S_IFSOCK | 0o600)
    stamp = os.stat(root / "hollow").st_mtime_ns, os.stat(root / "deep").st_mtime_ns
    backup = lab.api.backup_now(SINGLE.id, storage)
    state.clear(root)
    lab.api.restore_now(SINGLE.id, backup, storage)
    for name, when in zip(("hollow", "deep"), stamp, strict=True):
        expected[name] = (*expected[name][:2], when)
    assert state.differences(expected, state.picture(root)) == []
    assert "pipe" in lab.log()
    assert "socket" in lab.log()


def test_a_name_that_is_not_utf_8_fails_the_backup_and_is_named(lab):
    storage = lab.share("not-utf-8")
    state.make_varied(lab.state(LOW))
    with open(os.fsencode(lab.state(LOW)) + b"/deep/bad\xff\xfename", "wb"):
        pass
    progress = ended(lab, LOW, storage)
    assert progress["BackupState"] == "Failure", progress
    assert "deep/bad" in progress["FailureError"]["Message"]
    assert lab.api.backups_in(storage, LOW.entity()) == []


def test_a_state_that_is_gone_fails_the_backup_and_is_named(lab):
    state.clear(lab.state(HIGH))
    lab.state(HIGH).rmdir()
    progress = ended(lab, HIGH, lab.share("gone"))
    assert progress["BackupState"] == "Failure", progress
    assert str(lab.state(HIGH)) in progress["FailureError"]["Message"]


def test_an_empty_state_is_backed_up_and_restored_as_an_empty_one(lab):
    root, storage = lab.state(NORTH), lab.share("empty")
    state.clear(root)
    backup = lab.api.backup_now(NORTH.id, storage)
    state.make_varied(root)
    lab.api.restore_now(NORTH.id, backup, storage)
    assert list(root.iterdir()) == []


def test_links_out_of_the_state_are_kept_as_links_and_never_followed(lab, tmp_path):
    root, storage = lab.state(SOUTH), lab.share("links")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"not part of the state")
    state.clear(root)
    (root / "file").symlink_to(tmp_path / "outside/secret")
    (root / "folder").symlink_to("../" * 20 + str(tmp_path / "outside")[1:])
    before = state.picture(root)
    backup = lab.api.backup_now(SOUTH.id, storage)
    archive = lab.shares / "links" / backup["BackupLocation"].replace("\\", "/")
    assert b"not part of the state" not in archive.read_bytes()
    state.clear(root)
    lab.api.restore_now(SOUTH.id, backup, storage)
    assert state.differences(before, state.picture(root)) == []
    assert (tmp_path / "outside/secret").read_bytes() == b"not part of the state"


class Rewriter:
    """Fills a file with one byte value after the other, in place, as fast as it can."""

    def __init__(self, path):
        self._path, self._stop = path, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        value = 0
        with self._path.open("r+b", buffering=0) as file:
            while not self._stop.is_set():
                value = (value + 1) % 256
                for offset in range(0, 16 * MIB, MIB):
                    file.seek(offset)
                    file.write(bytes([value]) * MIB)


def was_once_so(content: bytes) -> bool:
    """At every moment the file begins with the newest value, and the rest still has the one before it."""
    values = [content[0], *(after for before, after in zip(content[::4096], content[4096::4096], strict=False) if after != before)]
    return len(values) == 1 or (len(values) == 2 and values[0] == (values[1] + 1) % 256)


@pytest.mark.parametrize("attempt", range(3))
def test_a_file_that_changes_while_it_is_read_is_never_stored_mixed(lab, attempt):
    root, storage = lab.state(SINGLE), lab.share(f"changing-{attempt}")
    state.clear(root)
    busy = root / "busy"
    busy.write_bytes(bytes(16 * MIB))
    with Rewriter(busy):
        progress = ended(lab, SINGLE, storage)
    if progress["BackupState"] == "Success":
        lab.api.restore_now(SINGLE.id, progress, storage)
        assert was_once_so(busy.read_bytes()), "the stored file is a mix of two moments"
    else:
        assert "busy" in progress["FailureError"]["Message"], progress
        assert lab.api.backups_in(storage, SINGLE.entity()) == []
