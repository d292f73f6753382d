"""Samba's smbd with a configuration, two users and shares of its own, on a free port of this machine."""

import os
import signal
import socket
import subprocess
from pathlib import Path

from . import tools, wait

# Users of every Debian, so that none has to be made; Samba keeps passwords of its own.
USER, PASSWORD = "backup", "right-password"
OTHER_USER, OTHER_PASSWORD = "daemon", "other-password"


# Loaded into smbd before the C library: every write of data takes three milliseconds, so that the server says "pending"
# before it says "done", which it does after half of one. Samba has a module for this, which Debian leaves out.
_SLOW = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>

ssize_t pwrite(int file, const void *data, size_t count, off_t at) {
    ssize_t (*next)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
    if (count >= 65536) usleep(3000);
    return next(file, data, count, at);
}
"""


class Samba:
    """`home/share` is what the share `backups` holds."""

    def __init__(self, home: Path):
        self.home = home
        self.share = home / "share"
        self._child: subprocess.Popen | None = None
        self._environment = dict(os.environ)
        for folder in ("private", "lock", "state", "cache", "pid", "ncalrpc", "share"):
            (home / folder).mkdir(parents=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._config = home / "smb.conf"
        self._config.write_text(self._lines())
        for user, password in ((USER, PASSWORD), (OTHER_USER, OTHER_PASSWORD)):
            subprocess.run(
                [tools.PDBEDIT, f"--configfile={self._config}", "--create", "--password-from-stdin", "--user", user],
                input=f"{password}\n{password}\n",
                text=True,
                stdout=subprocess.DEVNULL,
                check=True,
            )

    def start(self) -> "Samba":
        """Returns when it listens."""
        assert self._child is None, "it runs already"
        command = [tools.SMBD, "--foreground", "--no-process-group", f"--configfile={self._config}"]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "process_group": 0}
        self._child = subprocess.Popen(command, env=self._environment, **quiet)
        wait.until("smbd to listen", self._listens)
        return self

    def slow_down(self) -> "Samba":
        """From the next start on it answers every write in two steps."""
        source, library = self.home / "slow.c", self.home / "slow.so"
        source.write_text(_SLOW)
        subprocess.run([tools.CC, "-shared", "-fPIC", "-O", "-o", library, source], check=True)
        self._environment["LD_PRELOAD"] = str(library)
        return self

    def kill(self) -> None:
        """With everything that it is doing: it has a process for each connection."""
        if self._child is not None:
            self.signal(signal.SIGKILL)
            self._child.wait()
            self._child = None

    def signal(self, number: int) -> None:
        os.killpg(self._child.pid, number)

    def storage(self, folder: str = "", share: str = "backups", user=(USER, PASSWORD), other=None) -> dict:
        """A BackupStorageDescription, as the published example writes it."""
        path = "\\\\127.0.0.1\\" + share + (f"\\{folder}" if folder else "")
        description = {"StorageKind": "FileShare", "Path": path, "PrimaryUserName": user[0], "PrimaryPassword": user[1]}
        if other is not None:
            description |= {"SecondaryUserName": other[0], "SecondaryPassword": other[1]}
        return description

    def files(self, folder: str = "") -> list[str]:
        """All files below a folder, unfinished ones too."""
        root = self.share / folder
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _lines(self) -> str:
        own = ["private dir", "lock directory", "state directory", "cache directory", "pid directory", "ncalrpc dir"]
        lines = ["[global]", "server role = standalone server", "workgroup = TEST", f"smb ports = {self.port}", "interfaces = lo"]
        lines += ["bind interfaces only = yes", "disable netbios = yes", "load printers = no", "printcap name = /dev/null"]
        lines += ["disable spoolss = yes", "map to guest = never", f"passdb backend = tdbsam:{self.home}/private/passdb.tdb"]
        lines += [f"{name} = {self.home / name.split()[0]}" for name in own]
        lines += [f"log file = {self.home}/log", "[backups]", f"path = {self.share}", "force user = root", "read only = no"]
        return "\n".join(lines) + "\n"
