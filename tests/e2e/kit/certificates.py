"""An authority for tests, and certificates of a server and a client that it vouches for, made by openssl."""

import subprocess
from pathlib import Path

from . import tools

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Authority:
    """`ca`, `server` and `client` in `home`, each with `.pem` and `.key`."""

    def __init__(self, home: Path):
        home.mkdir(parents=True)
        self.home = home
        ca = ["-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"]
        self._openssl("req", "-x509", *_KEY, *ca, "-addext", "basicConstraints=critical,CA:TRUE")
        self._issue("server", "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n")
        self._issue("client", "extendedKeyUsage=clientAuth\n")

    def file(self, name: str) -> Path:
        return self.home / name

    def _issue(self, name: str, extensions: str) -> None:
        (self.home / "extensions").write_text(f"basicConstraints=CA:FALSE\n{extensions}")
        self._openssl("req", *_KEY, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signing = ["-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
        self._openssl("x509", "-req", *signing, "-extfile", "extensions", "-out", f"{name}.pem")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run([tools.OPENSSL, *arguments], cwd=self.home, check=True, capture_output=True)
