"""How many bytes a second go to a storage, changed while a backup runs."""

import signal
import time

from kit import state, wait
from kit.lab import SINGLE, Lab

BOUND = "[storage]\nmax_bytes_per_second = 100_000\n"


class Node(Lab):
    """A lab whose settings change."""

    more = BOUND

    def _toml(self) -> str:
        return self.more + super()._toml()

    def change(self, more: str) -> None:
        self.more = more
        self._config.write_text(self._toml())
        self._process.send(signal.SIGHUP)


def test_a_bound_slows_a_backup_down_and_is_lifted_without_a_restart(tmp_path):
    node = Node(tmp_path / "lab").start()
    try:
        state.replace(node.state(SINGLE), state.make_bulk, 24, 81)
        storage = node.share("paced")
        assert node.api.backup(SINGLE.id, storage).status == 202
        time.sleep(10)
        assert node.api.backup_progress(SINGLE.id)["BackupState"] == "BackupInProgress", "24 MiB at 100 KB a second take 4 minutes"
        node.change("this is no TOML")
        wait.until("the log to say why", lambda: "the configuration cannot be read anew" in node.log(), 30)
        assert node.api.backup_progress(SINGLE.id)["BackupState"] == "BackupInProgress"
        node.change("")
        ended = node.api.backup_ended(SINGLE.id, 30)
        assert ended["BackupState"] == "Success"
        spent = {stage: int(milliseconds) for stage, milliseconds in ended["StageMilliseconds"].items()}
        assert spent["Throttled"] > 8000 > spent["Write"], f"what the bound held up is no writing: {spent}"
    finally:
        node.kill()
