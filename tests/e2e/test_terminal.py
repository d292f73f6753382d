"""The command line at a terminal: the bar fits its line in any locale, and bears that the terminal is resized."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

import pytest
from kit import state, tools
from kit.lab import SINGLE, PacedLab

CONTROL = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def lab(tmp_path):
    server = PacedLab(tmp_path / "paced", 6_000_000).start()
    state.replace(server.state(SINGLE), state.make_bulk, 24, 91)
    yield server
    server.kill()


def resize(terminal: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def read(terminal: int) -> bytes:
    """Nothing once the other side is closed, which Linux tells as an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def at_terminal(lab, arguments, columns, locale, then=None) -> tuple[bytes, int]:
    """What a command draws, and how it ends. `then` is the width that the terminal gets when the bar is there."""
    terminal, other = pty.openpty()
    resize(terminal, columns)
    environment = {**os.environ, "LC_ALL": locale, "TERM": "xterm", "FABRIC_BACKUP_SERVER": lab.address}
    command = subprocess.Popen([tools.SERVER, *arguments], stdin=other, stdout=other, stderr=other, env=environment)
    os.close(other)
    drawn = b""
    while more := read(terminal):
        drawn += more
        if then and b"[=" in drawn:
            resize(terminal, then)
            then = None
    os.close(terminal)
    assert then is None, f"there was no bar: {drawn}"
    return drawn, command.wait(30)


def lines(drawn: bytes) -> list[str]:
    return [line.rstrip() for line in re.split(r"[\r\n]+", CONTROL.sub(b"", drawn).decode("ascii"))]


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("columns", [80, 200])
def test_the_bar_fits_its_line_and_a_sentence_stays(lab, columns, locale):
    drawn, code = at_terminal(lab, ["backup", SINGLE.service, "--wait"], columns, locale)
    shown = lines(drawn)
    bars = [line for line in shown if line.startswith("backing up [")]
    assert code == 0 and bars and any("=>" in bar or "==]" in bar for bar in bars), shown
    assert all(columns // 2 < len(bar) <= columns and bar.endswith("left") for bar in bars), bars
    assert f"the backup of partition {SINGLE.id} is complete" in shown[-2], shown[-3:]


@pytest.mark.parametrize("columns", [30, 120])
def test_a_terminal_that_is_resized_meanwhile_changes_nothing_about_the_end(lab, columns):
    drawn, code = at_terminal(lab, ["backup", SINGLE.service, "--wait"], 80, "C.UTF-8", then=columns)
    assert code == 0 and "is complete" in lines(drawn)[-2], drawn[-600:]
