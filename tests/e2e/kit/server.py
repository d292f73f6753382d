"""The server under test: one process with its data directory, started as a person would start it."""

import re
from pathlib import Path

from . import tools, wait
from .api import Api
from .process import Process
from .rest import request

_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


class Server:
    """`home/data` is its data directory. Without a configuration it is the quickstart."""

    def __init__(self, home: Path, config: str | None = None):
        self.data = home / "data"
        self._process = Process(home, "server")
        self._config = None if config is None else home / "fabric-backup.toml"
        if config is not None:
            self._config.write_text(config)
        self.address: str | None = None
        self.banner: list[str] = []
        self.api = Api(lambda: self.address)
        # What the program is started by, such as `env`.
        self._before: list = []

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> "Server":
        """Returns when it says that it is ready; its port is new each time."""
        config = [] if self._config is None else ["--config", self._config]
        self._process.start([*self._before, tools.SERVER, "serve", *config, "--listen", "127.0.0.1:0", "--data-dir", self.data])
        self.banner = self._process.first_lines(3)
        found = _ADDRESS.search(self.banner[0])
        assert found, f"no address in the first line: {self.banner}"
        self.address = found.group()
        wait.until("the server to be ready", lambda: request(self.address, "GET", "/readyz").status == 200)
        return self

    def kill(self) -> None:
        self._process.kill()

    def stop(self, seconds: float = 60) -> int:
        return self._process.stop(seconds)

    def log(self) -> str:
        return self._process.err.read_text(errors="replace") + self._process.out.read_text(errors="replace")
