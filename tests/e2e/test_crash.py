"""The process is killed at many moments of a backup and of a restore: no job is lost, nothing half-done shows.

The moments are spread over the time that an undisturbed run takes, by a fixed seed, so that a failure can be repeated.
"""

import random
import time

import pytest
from kit import bkmetadata, state
from kit.lab import SINGLE, Lab

MEBIBYTES = 256
KILLS = 6
SEED = 20181


@pytest.fixture
def storage(request, fresh_lab, azurite, container):
    if request.param == "FileShare":
        return fresh_lab.share("crash")
    return azurite.storage(container)


both_stores = pytest.mark.parametrize("storage", ["FileShare", "AzureBlobStore"], indirect=True)


def moments(whole: float) -> list[float]:
    """One in each of as many equal parts of the time, so that the start, the middle and the end all have theirs."""
    rng = random.Random(SEED)
    part = whole / KILLS
    return [part * (number + rng.random()) for number in range(KILLS)]


def shortest(call) -> float:
    """The seconds of the quicker of two runs: on a busy machine the next one may well be quicker still."""
    marks = [time.monotonic()]
    for _ in range(2):
        call()
        marks.append(time.monotonic())
    return min(marks[1] - marks[0], marks[2] - marks[1])


def crash(lab: Lab, after: float) -> None:
    """The one wait here that is not for a level: the moment of the crash is what is being varied."""
    time.sleep(after)
    lab.kill()


@both_stores
def test_a_backup_survives_a_kill_at_any_moment_or_fails_with_a_reason(fresh_lab, storage):
    lab, api = fresh_lab, fresh_lab.api
    state.make_bulk(lab.state(SINGLE), MEBIBYTES, SEED)
    succeeded = set()
    whole = shortest(lambda: succeeded.add(api.backup_now(SINGLE.id, storage)["BackupId"]))

    unfinished = 0
    for moment in moments(whole):
        assert api.backup(SINGLE.id, storage).status == 202
        crash(lab, moment)
        lab.start()
        unfinished += api.backup_progress(SINGLE.id)["BackupState"] in {"Accepted", "BackupInProgress"}
        ended = api.backup_ended(SINGLE.id)
        if ended["BackupState"] == "Success":
            assert ended["BackupId"] not in succeeded, "this is the job before; the accepted one is lost"
            succeeded.add(ended["BackupId"])
        else:
            assert ended["FailureError"]["Message"], ended
        assert {item["BackupId"] for item in api.backups_in(storage, SINGLE.entity())} == succeeded

    assert unfinished >= KILLS // 3, f"only {unfinished} kills came while the backup ran"
    for item in api.backups_in(storage, SINGLE.entity()):
        state.clear(lab.state(SINGLE))
        api.restore_now(SINGLE.id, item, storage)
        assert (lab.state(SINGLE) / f"made-with-seed-{SEED}").exists(), item


@both_stores
def test_a_restore_killed_at_any_moment_leaves_the_old_state_or_the_new_one_whole(fresh_lab, storage):
    lab, api, root = fresh_lab, fresh_lab.api, fresh_lab.state(SINGLE)
    state.make_bulk(root, MEBIBYTES, SEED)
    new = state.picture(root)
    backup = api.backup_now(SINGLE.id, storage)
    whole = shortest(lambda: api.restore_now(SINGLE.id, backup, storage))

    unfinished = 0
    for number, moment in enumerate(moments(whole)):
        state.replace(root, state.make_bulk, 24, number)
        old = state.picture(root)
        assert api.restore(SINGLE.id, backup, storage).status == 202
        crash(lab, moment)
        assert state.picture(root) in (old, new), "the state is mixed while the service is down"
        lab.start()
        unfinished += api.restore_progress(SINGLE.id)["RestoreState"] in {"Accepted", "RestoreInProgress"}
        ended = api.restore_ended(SINGLE.id)
        expected = new if ended["RestoreState"] == "Success" else old
        assert state.differences(expected, state.picture(root)) == [], ended
        if ended["RestoreState"] != "Success":
            assert ended["FailureError"]["Message"], ended

    assert unfinished >= KILLS // 3, f"only {unfinished} kills came while the restore ran"


def test_a_job_accepted_just_before_a_kill_is_there_after_the_restart(fresh_lab):
    lab, api = fresh_lab, fresh_lab.api
    state.make_varied(lab.state(SINGLE))
    seen = set()
    for _ in range(KILLS):
        assert api.backup(SINGLE.id).status == 202
        lab.kill()
        lab.start()
        ended = api.backup_ended(SINGLE.id)
        assert ended["BackupState"] == "Success", ended
        assert ended["BackupId"] not in seen, "this is the job before; the accepted one is lost"
        seen.add(ended["BackupId"])
    records = sorted((lab.shares / "default" / SINGLE.folder).glob("*.bkmetadata"))
    assert {bkmetadata.parse(record.read_bytes()).guid("BackupId") for record in records} == seen


def test_a_sigterm_during_a_backup_ends_the_process_in_time_and_the_job_goes_on_later(fresh_lab, azurite, container, proxy):
    lab, api = fresh_lab, fresh_lab.api
    state.make_varied(lab.state(SINGLE))
    proxy.hold(container.encode())
    storage = azurite.storage(container, proxy.port)
    assert api.backup(SINGLE.id, storage).status == 202
    assert lab.stop() == 0
    proxy.release()
    lab.start()
    assert api.backup_ended(SINGLE.id)["BackupState"] == "Success"
    assert len(azurite.blobs(container)) == 2
