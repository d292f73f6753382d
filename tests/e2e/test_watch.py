"""Progress that is watched, and backups that are verified, by the program as people run it."""

import http.client
import json
import os
import selectors
import socket
import time
from pathlib import Path

import pytest
from kit import quickstart, state, wait
from kit.api import ENDED, VERSION, Api
from kit.lab import SINGLE, PacedLab

COUNTERS = ["BytesTotal", "BytesProcessed", "BytesStored", "FilesTotal", "FilesProcessed"]
STAGES = ["Read", "Hash", "Compress", "Write", "Throttled"]


@pytest.fixture
def api(fresh_quickstart):
    return Api(lambda: fresh_quickstart.address)


def fill(server, files=20, size=1 << 20):
    """Gives the state of the quickstart something to do; how many bytes and files it has then."""
    root = quickstart.state(server)
    for index in range(files):
        (root / f"file{index}").write_bytes(os.urandom(size))
    found = [path for path in root.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in found), len(found)


def events(server, what, started=None):
    """Every event of a stream until it ends by itself: (id, what it tells)."""
    host, port = server.address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    path = f"/Partitions/{quickstart.ID}/$/{what}?api-version={VERSION['api-version']}"
    connection.request("GET", path, headers={"Accept": "text/event-stream"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    assert answer.headers["Content-Type"] == "text/event-stream"
    told, fields = [], {}
    for line in answer:
        line = line.decode().rstrip("\n")
        if line.startswith(":"):
            continue
        if line:
            name, value = line.split(": ", 1)
            fields[name] = value
        elif fields:
            assert fields["event"] == "progress"
            told.append((int(fields["id"]), json.loads(fields["data"])))
            fields = {}
    connection.close()
    assert [number for number, _ in told] == list(range(1, len(told) + 1))
    return [object for _, object in told]


def is_whole(progress, size, files):
    """All counters of a job that succeeded are there and fit each other."""
    assert (int(progress["BytesTotal"]), int(progress["FilesTotal"])) == (size, files), progress
    assert progress["BytesProcessed"] == progress["BytesTotal"], progress
    assert progress["FilesProcessed"] == progress["FilesTotal"], progress
    assert 0 < int(progress["BytesStored"]), progress
    assert progress["PercentComplete"] == 100 and "EstimatedCompletionUtc" not in progress, progress
    assert list(progress["StageMilliseconds"]) == STAGES
    assert progress["StartedUtc"].endswith("Z")


def test_a_backup_and_a_restore_are_watched_to_their_end(fresh_quickstart, api):
    size, files = fill(fresh_quickstart)
    for job, ask, what, field in [
        ("backup", lambda: api.backup(quickstart.ID), "GetBackupProgress", "BackupState"),
        ("restore", lambda: api.restore(quickstart.ID, api.backup_progress(quickstart.ID)), "GetRestoreProgress", "RestoreState"),
    ]:
        before = state.picture(quickstart.state(fresh_quickstart))
        assert ask().status == 202
        told = events(fresh_quickstart, what)
        assert told[-1][field] == "Success", (job, told[-1])
        assert all(one[field] not in ENDED for one in told[:-1])
        percents = [one["PercentComplete"] for one in told if "PercentComplete" in one]
        assert percents == sorted(percents) and all(percent < 100 for percent in percents[:-1])
        is_whole(told[-1], size, files)
        assert told[-1] == (api.backup_progress if job == "backup" else api.restore_progress)(quickstart.ID)
        assert state.picture(quickstart.state(fresh_quickstart)) == before


def test_what_never_ran_is_told_once_and_errors_are_json(fresh_quickstart, api):
    for what in ["GetBackupProgress", "GetRestoreProgress", "GetVerifyProgress"]:
        assert events(fresh_quickstart, what) == [None]
    answer = api.get("/Partitions/11111111-2222-4333-8444-555555555555/$/GetBackupProgress")
    assert answer.status == 404


def watch(server, partition, then=""):
    """A connection that asks for events, and whatever else."""
    host, port = server.address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    path = f"/Partitions/{partition}/$/GetBackupProgress?api-version=6.4"
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n{then}".encode())
    return connection


def read_to_end(connections) -> dict:
    """What each was told until its answer ended."""
    told = {connection: b"" for connection in connections}
    with selectors.DefaultSelector() as waiting:
        for connection in connections:
            waiting.register(connection, selectors.EVENT_READ)
        while waiting.get_map():
            ready = waiting.select(60)
            assert ready, f"{len(waiting.get_map())} streams tell nothing more and do not end"
            for connection in (key.fileobj for key, _ in ready):
                more = connection.recv(65536)
                told[connection] += more
                if not more or told[connection].endswith(b"0\r\n\r\n"):
                    waiting.unregister(connection)
    return told


@pytest.fixture
def paced(tmp_path):
    """A backup of its partition takes a few seconds."""
    server = PacedLab(tmp_path / "paced", 2_000_000).start()
    state.replace(server.state(SINGLE), state.make_bulk, 24, 92)
    yield server
    server.kill()


def test_hundreds_watch_one_backup_and_every_one_who_stays_sees_its_end(paced):
    assert paced.api.backup(SINGLE.id).status == 202
    everybody = [watch(paced, SINGLE.id) for _ in range(500)]
    assert all(connection.recv(12) == b"HTTP/1.1 200" for connection in everybody)
    for left in everybody[:100]:
        left.close()
    before = time.monotonic()
    assert paced.api.backup_progress(SINGLE.id)["BackupState"] == "BackupInProgress"
    assert time.monotonic() - before < 5, "whoever asks once does not wait for the watchers"
    for what in read_to_end(everybody[100:]).values():
        assert what.count(b'"Success"') == 1 and what.endswith(b"0\r\n\r\n"), what[-600:]
    for connection in everybody[100:]:
        connection.close()
    assert paced.api.backup_progress(SINGLE.id)["BackupState"] == "Success"
    assert peak(paced.pid) < 200 << 20, "bytes in memory"


def peak(pid) -> int:
    """The most memory that a process ever had."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) << 10


def test_a_server_that_is_told_to_stop_lets_hundreds_of_watchers_go_and_leaves_one_who_never_reads(paced):
    assert paced.api.backup(SINGLE.id).status == 202
    everybody = [watch(paced, SINGLE.id) for _ in range(200)]
    assert all(connection.recv(12) == b"HTTP/1.1 200" for connection in everybody)
    # Its answers are more than the connection holds.
    stuck = watch(paced, SINGLE.id, then="GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
    host, port = paced.address.removeprefix("http://").split(":")
    also_stuck = socket.create_connection((host, int(port)))
    also_stuck.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
    before = time.monotonic()
    paced.stop()
    assert time.monotonic() - before < 12
    for connection in (*everybody, stuck, also_stuck):
        connection.close()
    paced.start()
    assert paced.api.backup_ended(SINGLE.id, 60)["BackupState"] == "Success"


def test_a_server_that_is_told_to_stop_does_not_wait_for_its_watchers(fresh_quickstart, api):
    fill(fresh_quickstart)
    assert api.backup(quickstart.ID).status == 202
    host, port = fresh_quickstart.address.removeprefix("http://").split(":")
    idle = socket.create_connection((host, int(port)))
    path = f"/Partitions/{quickstart.ID}/$/GetBackupProgress?api-version=6.4"
    idle.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n".encode())
    assert idle.recv(12) == b"HTTP/1.1 200"
    before = time.monotonic()
    fresh_quickstart.stop()
    assert time.monotonic() - before < 9
    idle.close()


def verify(api, backup, level):
    body = {"BackupId": backup["BackupId"], "BackupLocation": backup["BackupLocation"], "Level": level}
    answer = api.post(f"/Partitions/{quickstart.ID}/$/VerifyBackup", body)
    assert answer.status == 202, str(answer)

    def ended():
        progress = api.get(f"/Partitions/{quickstart.ID}/$/GetVerifyProgress").json()
        return progress if progress["VerifyState"] in ENDED else None

    return wait.until("the verification to end", ended, 60)


def test_a_backup_is_verified_and_a_damaged_one_is_found(fresh_quickstart, api):
    size, files = fill(fresh_quickstart)
    backup = api.backup_now(quickstart.ID)
    for level in [1, 2, 3]:
        progress = verify(api, backup, level)
        assert progress["VerifyState"] == "Success" and progress["Findings"] == [], progress
    [zip] = fresh_quickstart.data.rglob("shares/**/*.zip")
    whole = zip.read_bytes()
    middle = len(whole) // 2
    zip.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    assert verify(api, backup, 1)["VerifyState"] == "Success"
    for level in [2, 3]:
        progress = verify(api, backup, level)
        assert progress["VerifyState"] == "Failure", progress
        assert progress["FailureError"]["Code"] == "FABRIC_E_RESTORE_SAFE_CHECK_FAILED"
        assert progress["Findings"][0]["File"].startswith("file"), progress
        assert progress["Findings"][0]["BackupLocation"] == backup["BackupLocation"]
    zip.write_bytes(whole[:-1])
    assert verify(api, backup, 1)["VerifyState"] == "Failure"
