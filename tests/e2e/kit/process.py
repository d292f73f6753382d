"""Child processes that are never left behind."""

import signal
import subprocess
from pathlib import Path

from . import wait


class Process:
    """One program at a time, its output in files under `home`."""

    def __init__(self, home: Path, name: str):
        home.mkdir(parents=True, exist_ok=True)
        self.out = home / f"{name}.out"
        self.err = home / f"{name}.err"
        self._child: subprocess.Popen | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None, "it does not run"
        return self._child.pid

    def start(self, command: list) -> None:
        assert self._child is None, "it runs already"
        with self.out.open("wb") as out, self.err.open("ab") as err:
            self._child = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    def first_lines(self, count: int, seconds: float = 30) -> list[str]:
        """The first lines on its standard output; fails with its last words if it ends before."""

        def probe():
            lines = self.out.read_text().splitlines(keepends=True)
            if len(lines) >= count and lines[count - 1].endswith("\n"):
                return [line.rstrip("\n") for line in lines[:count]]
            code = self._child.poll()
            assert code is None, f"ended with {code}: {self.last_words()}"
            return None

        return wait.until(f"{count} lines in {self.out}", probe, seconds)

    def last_words(self) -> str:
        return self.err.read_text(errors="replace")[-4000:]

    def send(self, number: signal.Signals) -> None:
        assert self._child is not None, "it does not run"
        self._child.send_signal(number)

    def kill(self) -> None:
        """SIGKILL: what a crash or a pulled plug of the process looks like."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def stop(self, seconds: float = 30) -> int:
        """SIGTERM; its exit code. Killed if it does not end in time, which fails the test."""
        child = self._child
        assert child is not None, "it does not run"
        child.send_signal(signal.SIGTERM)
        try:
            return child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running {seconds} s after SIGTERM: {self.last_words()}") from None
        finally:
            self.kill()
