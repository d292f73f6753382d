"""Names that may be named and lead where no store may be: refused when they are looked up, before anything is contacted."""

import contextlib
import socket

import pytest
from kit import state, wait
from kit.azurite import KEY, azure_storage
from kit.lab import HIGH, LOW, NORTH, SINGLE
from kit.world import Node

# What connects to 0.0.0.0 reaches this machine, so that a test can see whether somebody does.
HOSTS = """
127.0.0.1 localhost
169.254.169.254 metadata.test
0.0.0.0 nowhere.test
52.1.2.3 mixed.test
169.254.169.254 mixed.test
127.0.0.1 good.test
"""
NAMES = ("metadata.test", "nowhere.test", "mixed.test", "good.test")
KINDS = ("AzureBlobStore", "DsmsAzureBlobStore", "FileShare")
# In a mount namespace of its own, the node alone sees these names; the machine's own file stays as it is.
ALONE = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"']
SETTINGS = """
[storage]
allow = ["*.test"]
[storage.dsms]
allow = ["*.test"]
"""


@pytest.fixture(scope="module")
def listeners():
    """For each kind somebody who would be connected to."""
    with contextlib.ExitStack() as open_ones:
        servers = {kind: open_ones.enter_context(socket.create_server(("127.0.0.1", 0))) for kind in KINDS}
        for server in servers.values():
            server.setblocking(False)
        yield servers


@pytest.fixture(scope="module")
def node(tmp_path_factory, listeners):
    home = tmp_path_factory.mktemp("resolved")
    (home / "hosts").write_text(HOSTS)
    ports = "".join(f'"{name}" = {port(listeners["FileShare"])}\n' for name in NAMES)
    node = Node(home / "lab", f"{SETTINGS}[file_share.smb.ports]\n{ports}", [*ALONE, home / "hosts"]).start()
    for partition in (SINGLE, LOW, HIGH, NORTH):
        state.replace(node.state(partition), state.make_varied, 91)
    yield node
    node.kill()


def port(listener) -> int:
    return listener.getsockname()[1]


def visited(listener) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def storage(kind: str, host: str, port: int) -> dict:
    """Of each kind that is reached over a network, by a name that requests may name."""
    where = {"ContainerName": "backups"}
    match kind:
        case "AzureBlobStore":
            return azure_storage(f"AccountName=a;AccountKey={KEY};BlobEndpoint=http://{host}:{port}/a", "backups")
        case "DsmsAzureBlobStore":
            where |= {"StorageCredentialsSourceLocation": f"https://{host}:{port}/secret"}
        case "FileShare":
            where = {"Path": f"\\\\{host}\\backups", "PrimaryUserName": "u", "PrimaryPassword": "p"}
    return {"StorageKind": kind} | where


@pytest.mark.parametrize(("kind", "other"), zip(KINDS, (LOW, HIGH, NORTH), strict=True))
def test_a_name_is_judged_by_the_addresses_that_it_has(node, listeners, kind, other):
    listener = listeners[kind]
    for host, address in (("metadata.test", "169.254.169.254"), ("nowhere.test", "0.0.0.0"), ("mixed.test", "169.254.169.254")):
        assert node.api.backup(SINGLE.id, storage(kind, host, port(listener))).status == 202
        ended = node.api.backup_ended(SINGLE.id, 30)
        assert ended["BackupState"] == "Failure", ended
        assert f"the name leads to {address}, an address of a link-local network or a metadata service" in ended["FailureError"]["Message"]
        assert not visited(listener)
    # It is the address that is refused, and somebody who is sent there would be seen.
    assert node.api.backup(other.id, storage(kind, "good.test", port(listener))).status == 202
    wait.until("somebody to come", lambda: visited(listener), 30)
