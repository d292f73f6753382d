"""Every secret that a storage of any kind is opened with is used, rightly and wrongly, and then looked for everywhere."""

import base64
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from kit import state
from kit.azurite import KEY, RotatingAzurite, azure_storage
from kit.lab import SINGLE
from kit.samba import OTHER_PASSWORD, OTHER_USER, PASSWORD, USER, Samba
from kit.world import BEARER, World

WRONG_KEY = "d3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXk="
WRONG_PASSWORD = "wr0ng-password"
BACKUPS = "/BackupRestore/BackupPolicies"


@pytest.fixture
def samba(tmp_path):
    server = Samba(tmp_path / "samba").start()
    yield server
    server.kill()


@pytest.fixture
def world(tmp_path, samba, monkeypatch):
    """Everything that is asked for in a log, of this program and of the libraries in it."""
    monkeypatch.setenv("RUST_LOG", "trace")
    ports = f'\n[file_share.smb.ports]\n"127.0.0.1" = {samba.port}\n'
    world = World(tmp_path / "traced", ports, RotatingAzurite)
    yield world
    world.stop()


def spellings(secret: str) -> dict[str, bytes]:
    """How a secret may be written down."""
    plain = secret.encode()
    return {
        "plain": plain,
        "UTF-16": secret.encode("utf-16-le"),
        "hexadecimal": plain.hex().encode(),
        "base64": base64.b64encode(plain).rstrip(b"="),
        "in a URL": quote(secret, safe="").encode(),
        "in a form": quote_plus(secret).encode(),
        "a list of numbers": ", ".join(map(str, plain)).encode(),
    }


def sig(signature: str) -> str:
    return signature.split("sig=")[1].split("&")[0]


def policy(name: str, storage: dict) -> dict:
    return {
        "Name": name,
        "AutoRestoreOnDataLoss": False,
        "MaxIncrementalBackups": 3,
        "Schedule": {"ScheduleKind": "FrequencyBased", "Interval": "PT12H"},
        "Storage": storage,
    }


def goes_well(lab, storage: dict, seed: int) -> list[str]:
    """A policy, a backup, a list and a restore; what was answered."""
    api, said = lab.api, []
    name = f"Policy{seed}"
    said.append(api.post(f"{BACKUPS}/$/Create", policy(name, storage), ValidateConnection="true"))
    assert said[-1].status == 201, said[-1]
    said.append(api.get(f"{BACKUPS}/{name}"))
    state.replace(lab.state(SINGLE), state.make_varied, seed)
    done = api.backup_now(SINGLE.id, storage)
    said += [done, api.backups_in(storage, SINGLE.entity()), api.backup_progress(SINGLE.id)]
    api.restore_now(SINGLE.id, done, storage)
    said += [api.restore_progress(SINGLE.id)]
    return [str(it) for it in said]


def goes_wrong(lab, storage: dict, seed: int) -> list[str]:
    """The same, where nobody is let in."""
    api = lab.api
    said = [api.post(f"{BACKUPS}/$/Create", policy(f"Policy{seed}", storage), ValidateConnection="true")]
    assert said[0].status == 400, said[0]
    state.replace(lab.state(SINGLE), state.make_varied, seed)
    assert api.backup(SINGLE.id, storage).status == 202
    said.append(api.backup_ended(SINGLE.id, 300))
    assert said[-1]["BackupState"] == "Failure", said[-1]
    said.append(api.backups_in(storage, SINGLE.entity(), timeout=300))
    return [str(it) for it in said]


def everywhere(lab, said: list[str]) -> dict[str, bytes]:
    """What the server has shown, logged, kept, and been started with."""
    places = {"an answer": "\n".join(said).encode(), "the command line": Path(f"/proc/{lab.pid}/cmdline").read_bytes()}
    places["the log"] = lab.log().encode()
    files = [path for path in lab.data.rglob("*") if path.is_file() and path.name != "ledger.key"]
    return places | {path.name: path.read_bytes() for path in files}


def test_no_secret_of_any_kind_is_shown_in_a_log_at_trace_an_answer_the_ledger_or_the_command_line(world, samba, container):
    lab, azurite, said = world.lab, world.azurite, []
    azurite.create_container(container)
    first = azurite.signature(container)
    said += goes_well(lab, azurite.storage(container), 1)
    said += goes_well(lab, azure_storage(f"BlobEndpoint={azurite.endpoint};SharedAccessSignature={first}", container), 2)
    # From here on the key is one that only the server of secrets hands out.
    azurite.rotate()
    second = azurite.signature(container)
    world.secrets.answer = (200, {"ConnectionString": azurite.connection_string()})
    said += goes_well(lab, world.secret(container, "?key"), 3)
    world.secrets.answer = (200, {"BlobEndpoint": azurite.endpoint, "SharedAccessSignature": second})
    said += goes_well(lab, world.secret(container, "?signature"), 4)
    said += goes_well(lab, world.identity(container), 5)
    said += goes_well(lab, samba.storage("one", user=(USER, PASSWORD)), 6)
    said += goes_well(lab, samba.storage("two", user=(USER, WRONG_PASSWORD), other=(OTHER_USER, OTHER_PASSWORD)), 7)

    said += goes_wrong(lab, azure_storage(azurite.connection_string().replace(azurite.key, WRONG_KEY), container), 8)
    said += goes_wrong(lab, azure_storage(f"BlobEndpoint={azurite.endpoint};SharedAccessSignature={first}", container), 9)
    world.secrets.answer = (200, {"ConnectionString": azurite.connection_string().replace(azurite.key, WRONG_KEY)})
    said += goes_wrong(lab, world.secret(container, "?wrong"), 10)
    world.secrets.answer = (200, {"AccountKey": azurite.key, "BlobEndpoint": 5})
    said += goes_wrong(lab, world.secret(container, "?broken"), 11)
    wrong = (USER, WRONG_PASSWORD)
    said += goes_wrong(lab, samba.storage("three", user=wrong, other=(OTHER_USER, WRONG_PASSWORD)), 12)

    client_key = "".join(world.authority.file("client.key").read_text().splitlines()[1:-1])
    secrets = [KEY, azurite.key, sig(first), sig(second), world.token, BEARER, client_key, PASSWORD, OTHER_PASSWORD]
    places = everywhere(lab, said)
    assert b'"TRACE"' in places["the log"], "it is not at trace"
    assert f'"user":"{OTHER_USER}"'.encode() in places["the log"], "the second user was not let in"
    for secret in [*secrets, WRONG_KEY, WRONG_PASSWORD]:
        for spelling, text in spellings(secret).items():
            for place, content in places.items():
                at = content.find(text)
                assert at < 0, f"{spelling} in {place}: {content[max(0, at - 300) : at + 40]!r}"


def test_the_search_finds_what_is_there(world, samba):
    """Whom a log at trace names is found in it, so a password would be too."""
    goes_well(world.lab, samba.storage("found"), 20)
    places = everywhere(world.lab, [])
    assert any(text in places["the log"] for text in spellings(USER).values())
    assert spellings(str(world.lab.data))["plain"] in places["the command line"]
