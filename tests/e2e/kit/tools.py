"""Where the programs are that nobody here wrote. A missing one fails the run and says how to get it."""

import os
import shutil
import subprocess
from pathlib import Path

SERVER = Path(os.environ["FB_BIN"])
TOOLS = Path(os.environ["FB_TOOLS"])
ARTIFACTS = Path(os.environ["FB_ARTIFACTS"])
AZURITE = TOOLS / "azurite/node_modules/.bin/azurite-blob"
SCHEMATHESIS = TOOLS / "venv/bin/schemathesis"
PYTHON_GENERATOR = TOOLS / "venv/bin/openapi-python-client"
TYPESCRIPT = TOOLS / "typescript/node_modules"
CHROMIUM = Path("/usr/bin/chromium")
CHROMEDRIVER = Path("/usr/bin/chromedriver")
SEVEN_ZIP = Path("/usr/bin/7zz")
BSDTAR = Path("/usr/bin/bsdtar")
SMBD = Path("/usr/sbin/smbd")
PDBEDIT = Path("/usr/bin/pdbedit")
OPENSSL = Path("/usr/bin/openssl")
CC = Path("/usr/bin/cc")

_HOW_TO_GET = {
    SERVER: "cargo build",
    AZURITE: "npm install --prefix $FB_TOOLS/azurite azurite@3.35.0",
    SCHEMATHESIS: "$FB_TOOLS/venv/bin/pip install -r tests/e2e/requirements.txt",
    PYTHON_GENERATOR: "$FB_TOOLS/venv/bin/pip install -r tests/e2e/requirements.txt",
    TYPESCRIPT / ".bin/tsc": "npm install of tests/e2e/clients/typescript/package.json in $FB_TOOLS/typescript",
    CHROMIUM: "apt-get install chromium",
    CHROMEDRIVER: "apt-get install chromium-driver",
    SEVEN_ZIP: "apt-get install 7zip",
    BSDTAR: "apt-get install libarchive-tools",
    SMBD: "apt-get install samba",
    PDBEDIT: "apt-get install samba",
    OPENSSL: "apt-get install openssl",
    CC: "apt-get install build-essential",
}


def missing() -> list[str]:
    """One line for each tool that is not there or cannot do what is asked of it."""
    lines = [f"{path} is missing: {how}" for path, how in _HOW_TO_GET.items() if not os.access(path, os.X_OK)]
    if shutil.which("node") is None:
        lines.append("node is missing: Azurite and the TypeScript client run on it")
    if SEVEN_ZIP.exists() and not _seven_zip_reads_zstd():
        lines.append(f"{SEVEN_ZIP} does not know zstd: apt-get update && apt-get install 7zip (24.05 or newer)")
    return lines


def _seven_zip_reads_zstd() -> bool:
    listing = subprocess.run([SEVEN_ZIP, "i"], capture_output=True, text=True, check=False).stdout
    return "zstd" in listing.lower()
