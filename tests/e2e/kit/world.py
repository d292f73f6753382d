"""A node and everybody who may hold its backups in Azure or hand out what opens them there."""

from collections.abc import Sequence
from pathlib import Path

from .azurite import Azurite
from .certificates import Authority
from .credentials import Endpoint, SecretsServer, token
from .lab import Lab

BEARER = "b3arer-0f-this-n0de"
IDENTITY_HEADER = "h3ader-0f-this-n0de"


class Node(Lab):
    """A lab with more settings, started by way of the programs `before`."""

    def __init__(self, home: Path, more: str, before: Sequence = ()):
        self._more = more
        super().__init__(home)
        self._before = [*before]

    def _toml(self) -> str:
        return self._more + super()._toml()


class World:
    """A server that trusts one authority, an Azurite over https, and those who hand out credentials. `is_hosted`: its environment
    names an endpoint for tokens, as a host does that runs it."""

    def __init__(self, home: Path, more: str = "", kind: type[Azurite] = Azurite, is_hosted: bool = False):
        self.authority = Authority(home / "certificates")
        files = {name: str(self.authority.file(name)) for name in ("ca.pem", "client.pem", "client.key")}
        self.bearer = home / "bearer"
        self.bearer.write_text(BEARER + "\n")
        self.identities, self.secrets = Endpoint().start(), SecretsServer(self.authority).start()
        self.azurite = kind(home / "azurite-https", self.authority).start()
        settings = f"""
            [storage]
            ca_files = ["{files["ca.pem"]}"]
            lowercase_containers = true
            [storage.managed_identity]
            machine_endpoint = "{self.identities.url}"
            [storage.dsms]
            allow = ["127.0.0.1"]
            client_certificate_file = "{files["client.pem"]}"
            client_key_file = "{files["client.key"]}"
            ca_files = ["{files["ca.pem"]}"]
            bearer_token_file = "{self.bearer}"
            """
        environment = [f"IDENTITY_ENDPOINT={self.identities.url}/host", f"IDENTITY_HEADER={IDENTITY_HEADER}"]
        self.lab = Node(home / "lab", settings + more, ["env", *environment] if is_hosted else []).start()
        self.token, self.identities.answer = token()

    def stop(self) -> None:
        self.lab.kill()
        self.azurite.kill()
        self.identities.stop()
        self.secrets.stop()

    def identity(self, container: str, kind: str = "Cluster") -> dict:
        return {
            "StorageKind": "ManagedIdentityAzureBlobStore",
            "BlobServiceUri": f"{self.azurite.endpoint}/",
            "ContainerName": container,
            "ManagedIdentityType": kind,
        }

    def secret(self, container: str, which: str = "") -> dict:
        return {
            "StorageKind": "DsmsAzureBlobStore",
            "StorageCredentialsSourceLocation": self.secrets.url + which,
            "ContainerName": container,
        }
