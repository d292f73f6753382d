"""Azurite, Microsoft's emulator of Azure Storage, as the blob store; and Microsoft's own client to look into it."""

import base64
import json
import os
import re
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient, ContainerSasPermissions, generate_container_sas

from . import tools, wait
from .certificates import Authority
from .process import Process

ACCOUNT = "devstoreaccount1"
# The one key that every Azurite has; it is published and opens nothing else.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
# Azurite 3.35 knows this version of the protocol; the client's own default may be newer.
_PROTOCOL = "2025-05-05"


class Azurite:
    """Over http, or with an authority over https, where it takes tokens too."""

    def __init__(self, home: Path, authority: Authority | None = None):
        self._home = home
        self._process = Process(home, "azurite")
        self._scheme, self._more, self._verify = "http", [], True
        self._before: list = []
        self.key = KEY
        if authority is not None:
            files = ["--cert", authority.file("server.pem"), "--key", authority.file("server.key")]
            self._scheme, self._more, self._verify = "https", ["--oauth", "basic", *files], str(authority.file("ca.pem"))
        self.port = 0

    @property
    def endpoint(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/{ACCOUNT}"

    def start(self) -> "Azurite":
        """On a free port the first time, on the same port again after that."""
        files = self._home / "blobs"
        files.mkdir(exist_ok=True)
        self._process.start(
            self._before
            + [tools.AZURITE, "--blobHost", "127.0.0.1", "--blobPort", self.port, "--location", files, "--silent", "--disableTelemetry"]
            + self._more
        )
        said = self._process.first_lines(2)[1]
        found = re.search(r"https?://127\.0\.0\.1:(\d+)", said)
        assert found, said
        self.port = int(found.group(1))
        return self

    def kill(self) -> None:
        self._process.kill()

    def stop(self) -> int:
        """SIGTERM: it keeps all that it took."""
        return self._process.stop()

    def forget_uploads(self) -> None:
        """Loses the blocks that are no blob yet, as a crash loses those of its last seconds."""
        database = self._home / "blobs" / "__azurite_db_blob__.json"
        content = json.loads(database.read_text())
        blocks = next(collection for collection in content["collections"] if collection["name"] == "$BLOCKS_COLLECTION$")
        assert blocks["data"], "there are none"
        blocks.update(data=[], idIndex=None)
        database.write_text(json.dumps(content))

    def pause(self, seconds: float) -> None:
        """Silent for so long: it takes connections and answers none."""
        self._process.send(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send(signal.SIGCONT)

    def connection_string(self, port: int | None = None) -> str:
        """With the account key; `port` leads through a proxy."""
        return (
            f"DefaultEndpointsProtocol={self._scheme};AccountName={ACCOUNT};AccountKey={self.key};"
            f"BlobEndpoint={self._scheme}://127.0.0.1:{port or self.port}/{ACCOUNT}"
        )

    def storage(self, container: str, port: int | None = None) -> dict:
        """A BackupStorageDescription."""
        return azure_storage(self.connection_string(port), container)

    def sas_storage(self, container: str) -> dict:
        """The same, knowing a signature for this container but not the key."""
        return azure_storage(f"BlobEndpoint={self.endpoint};SharedAccessSignature={self.signature(container)}", container)

    def signature(self, container: str, end: datetime | None = None) -> str:
        """That lets everything be done in a container for two hours, or until `end`."""
        return generate_container_sas(
            ACCOUNT,
            container,
            account_key=self.key,
            permission=ContainerSasPermissions(read=True, write=True, create=True, delete=True, list=True, add=True),
            expiry=end or datetime.now(UTC) + timedelta(hours=2),
        )

    def exists(self, container: str) -> bool:
        return self._client().get_container_client(container).exists()

    def create_container(self, container: str) -> None:
        self._client().create_container(container)

    def blobs(self, container: str) -> dict[str, int]:
        """Name and size of what is committed; nothing if the container does not exist."""
        client = self._client().get_container_client(container)
        return {blob.name: blob.size for blob in client.list_blobs()} if client.exists() else {}

    def is_uploading(self, container: str) -> bool:
        """Whether there are blocks that no commit has made a blob yet."""
        client = self._client().get_container_client(container)
        return any(blob.size == 0 for blob in client.list_blobs(include=["uncommittedblobs"]))

    def uncommitted(self, container: str) -> list[int]:
        """The sizes of the blocks that no commit has made a blob yet."""
        client = self._client().get_container_client(container)
        blobs = [client.get_blob_client(blob.name) for blob in client.list_blobs(include=["uncommittedblobs"])]
        return [block.size for blob in blobs for block in blob.get_block_list("uncommitted")[1]]

    def read(self, container: str, name: str) -> bytes:
        return self._client().get_blob_client(container, name).download_blob().readall()

    def fetching(self, container: str, location: str) -> bytes:
        """How a request for the content of what lies at a BackupLocation begins."""
        return f"GET /{ACCOUNT}/{container}/{quote(location.replace(chr(92), '/'))}".encode()

    def _client(self) -> BlobServiceClient:
        return BlobServiceClient.from_connection_string(self.connection_string(), api_version=_PROTOCOL, connection_verify=self._verify)


# Azurite reads its accounts from its environment once a minute: here from a file, ten times a second.
_ACCOUNTS_FROM_A_FILE = """
const { readFileSync } = require("node:fs");
const usual = globalThis.setInterval;
globalThis.setInterval = (work, pause, ...rest) => {
    if (pause !== 60000) return usual(work, pause, ...rest);
    return usual(() => { process.env.AZURITE_ACCOUNTS = readFileSync(__dirname + "/accounts", "utf8"); work(); }, 100, ...rest);
};
"""


class RotatingAzurite(Azurite):
    """One whose account key can be changed while it runs."""

    def __init__(self, home: Path, authority: Authority | None = None):
        super().__init__(home, authority)
        hook, self._accounts = home / "accounts.js", home / "accounts"
        hook.write_text(_ACCOUNTS_FROM_A_FILE)
        self._accounts.write_text(f"{ACCOUNT}:{KEY}")
        self._before = ["env", f"NODE_OPTIONS=--require {hook}"]

    def rotate(self) -> None:
        """Returns when a new key is the one that is good; `key` is it."""
        self.key = base64.b64encode(os.urandom(64)).decode()
        new = self._accounts.with_suffix(".new")
        new.write_text(f"{ACCOUNT}:{self.key}")
        new.rename(self._accounts)
        wait.until("the key to be changed", self._lets_in)

    def _lets_in(self) -> bool:
        try:
            return bool(self._client().get_account_information())
        except HttpResponseError:
            return False


def azure_storage(connection_string: str, container: str) -> dict:
    return {"StorageKind": "AzureBlobStore", "ConnectionString": connection_string, "ContainerName": container}
