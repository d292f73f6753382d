"""What a backup holds can be taken out with 7-Zip and bsdtar alone, and it is the state."""

import os
import shutil
import subprocess

import pytest
from kit import state, tools
from kit.lab import SINGLE

# Both read file names and write messages in the encoding of the locale.
LOCALE = {**os.environ, "LC_ALL": "C.UTF-8"}
COMMANDS = {
    # -snld: 7-Zip 26 takes each link with ".." in it for dangerous, also one that stays inside.
    "7-Zip": lambda archive, into: [tools.SEVEN_ZIP, "x", "-y", "-snld", f"-o{into}", archive],
    "bsdtar": lambda archive, into: [tools.BSDTAR, "-x", "-p", "-f", archive, "-C", into],
}


@pytest.fixture(params=["varied", "bulk"])
def backup(request, lab):
    """The picture of a state, and the zip of its full backup."""
    root = lab.state(SINGLE)
    state.clear(root)
    if request.param == "varied":
        state.make_varied(root, 51)
    else:
        state.make_bulk(root, 48, 52)
    done = lab.api.backup_now(SINGLE.id, lab.share("tools"))
    return state.picture(root, subsecond=False), lab.shares / "tools" / done["BackupLocation"].replace("\\", "/")


def extract(tool, archive, into):
    into.mkdir()
    ran = subprocess.run(COMMANDS[tool](archive, into), capture_output=True, text=True, env=LOCALE, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran


@pytest.mark.parametrize("tool", COMMANDS)
def test_a_full_backup_extracts_to_a_tree_that_equals_the_state(backup, tool, tmp_path):
    picture, archive = backup
    extract(tool, archive, tmp_path / "out")
    shutil.rmtree(tmp_path / "out/.fabric-backup")
    assert state.differences(picture, state.picture(tmp_path / "out", subsecond=False)) == []


def test_7_zip_tests_every_entry_of_a_full_backup_as_good(backup):
    _, archive = backup
    ran = subprocess.run([tools.SEVEN_ZIP, "t", archive], capture_output=True, text=True, env=LOCALE, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Everything is Ok" in ran.stdout


def test_the_same_tools_refuse_an_archive_with_a_flipped_bit(backup, tmp_path):
    """Else the tests above could not fail."""
    _, archive = backup
    data = bytearray(archive.read_bytes())
    data[len(data) // 3] ^= 1
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(data)
    ran = subprocess.run([tools.SEVEN_ZIP, "t", damaged], capture_output=True, text=True, env=LOCALE, timeout=300, check=False)
    assert ran.returncode != 0
