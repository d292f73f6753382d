"""A process that writes through a mapping moves no file times while its pages are dirty: the backup must notice all the same."""

import subprocess
import sys

from kit.lab import SINGLE

SIZE = 48 << 20

# Writes the same counter to both ends of the file, for ever: a whole state has the same one twice.
WRITER = f"""
import mmap, struct, sys
with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), {SIZE}) as pages:
    print("writing", flush=True)
    count = 0
    while True:
        count += 1
        number = struct.pack("<Q", count)
        pages[:8] = number
        pages[-8:] = number
"""


def file_system_of(path) -> str:
    return subprocess.run(["stat", "-f", "-c", "%T", path], check=True, capture_output=True, text=True).stdout.strip()


def test_a_state_that_is_written_through_a_mapping_is_never_backed_up_torn(lab):
    counter = lab.state(SINGLE) / "counter"
    assert file_system_of(lab.state(SINGLE)) != "tmpfs", "tmpfs never tells: set TMPDIR to a directory on a disk"
    counter.write_bytes(bytes(SIZE))
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(counter)], stdout=subprocess.PIPE)
    try:
        assert writer.stdout.readline() == b"writing\n"
        assert lab.api.backup(SINGLE.id, lab.share("mapped")).status == 202
        progress = lab.api.backup_ended(SINGLE.id)
    finally:
        writer.kill()
        writer.wait()
    assert progress["BackupState"] == "Failure", progress
    assert "counter" in progress["FailureError"]["Message"]
