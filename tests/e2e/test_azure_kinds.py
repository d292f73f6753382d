"""Each kind of Azure storage with the body of the document's own example, real names and keys in their place."""

from datetime import UTC, datetime, timedelta

import pytest
from kit import state, wait
from kit.azurite import KEY, Azurite, RotatingAzurite, azure_storage
from kit.front import Reader
from kit.lab import HIGH, LOW, NORTH, SINGLE, SOUTH
from kit.proxy import Proxy
from kit.state import MIB
from kit.world import IDENTITY_HEADER, World

PATIENCE = 400


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("kinds"), is_hosted=True)
    yield world
    world.stop()


def comes_back(lab, partition, storage, seed) -> dict:
    """202, Success, listed, restored equal."""
    root = lab.state(partition)
    state.replace(root, state.make_varied, seed)
    before = state.picture(root)
    done = lab.api.backup_now(partition.id, storage)
    (item,) = lab.api.backups_in(storage, partition.entity())
    assert item["BackupId"] == done["BackupId"], item
    state.clear(root)
    lab.api.restore_now(partition.id, item, storage)
    assert state.differences(before, state.picture(root)) == []
    return done


def fails(lab, partition, storage) -> str:
    """The words with which a backup ends that cannot succeed."""
    assert lab.api.backup(partition.id, storage).status == 202
    ended = lab.api.backup_ended(partition.id, PATIENCE)
    assert ended["BackupState"] == "Failure", ended
    return ended["FailureError"]["Message"]


def test_a_connection_string_whose_container_has_capitals_as_in_the_document(world, container):
    comes_back(world.lab, SINGLE, world.azurite.storage(container.replace("backups", "BackupContainer")), 61)


@pytest.mark.parametrize(("kind", "place", "header"), [("Cluster", "/given/out/host", IDENTITY_HEADER), ("VMSS", "/given/out", None)])
def test_a_managed_identity(world, container, kind, place, header):
    comes_back(world.lab, LOW, world.identity(container, kind), 62)
    endpoint = world.identities
    headers = [headers for path, headers in zip(endpoint.asked, endpoint.headers, strict=True) if path.split("?")[0] == place]
    assert [it.get("x-identity-header") for it in headers] == [header], "asked once, as a token is kept while it is good"


def test_credentials_from_a_server(world, container):
    world.secrets.answer = (200, {"ConnectionString": world.azurite.connection_string()})
    comes_back(world.lab, HIGH, world.secret(container), 63)


def test_a_signature_that_ends_in_the_middle_of_a_backup_is_replaced_by_the_one_of_the_server(world, container):
    lab, root = world.lab, world.lab.state(NORTH)
    state.replace(root, state.make_bulk, 192, 64)
    before = state.picture(root)
    world.azurite.create_container(container)
    end = datetime.now(UTC) + timedelta(seconds=3)
    forms = [{"BlobEndpoint": world.azurite.endpoint, "SharedAccessSignature": world.azurite.signature(container, it)} for it in (end, None)]
    world.secrets.answer = (200, forms[0])
    storage = world.secret(container, "?rotated")
    assert lab.api.backup(NORTH.id, storage).status == 202
    wait.until("the server to be asked", lambda: any("rotated" in path for path in world.secrets.asked), 60)
    world.secrets.answer = (200, forms[1])
    ended = lab.api.backup_ended(NORTH.id, PATIENCE)
    assert ended["BackupState"] == "Success", ended
    # If the upload was faster than the signature, what follows meets its end.
    wait.until("the signature to end", lambda: datetime.now(UTC) > end + timedelta(seconds=1), 30)
    state.clear(root)
    lab.api.restore_now(NORTH.id, ended, storage)
    assert state.differences(before, state.picture(root)) == []
    assert len([path for path in world.secrets.asked if "rotated" in path]) == 2


@pytest.fixture
def rotating(tmp_path):
    """An Azurite whose key changes, and the way to it that can be held up."""
    azurite = RotatingAzurite(tmp_path / "rotating").start()
    proxy = Proxy(azurite.port).start()
    yield azurite, proxy
    proxy.close()
    azurite.kill()


def changes_its_key_in_the_middle(lab, partition, storage, rotating, meanwhile=lambda: None) -> dict:
    """How a backup ends some of whose blocks went up before the key was changed and others after."""
    azurite, proxy = rotating
    proxy.hold_after(40 * MIB, b"comp=block&")
    assert lab.api.backup(partition.id, storage).status == 202
    wait.until("blocks to go up and others to wait", lambda: proxy.holding, 60)
    assert lab.api.backup_progress(partition.id)["BackupState"] == "BackupInProgress"
    azurite.rotate()
    meanwhile()
    proxy.release()
    return lab.api.backup_ended(partition.id, PATIENCE)


def test_an_account_key_that_is_changed_in_the_middle_of_a_backup_is_replaced_by_the_one_of_the_server(world, rotating, container):
    lab, root, (azurite, proxy) = world.lab, world.lab.state(NORTH), rotating
    state.replace(root, state.make_bulk, 192, 71)
    before = state.picture(root)
    azurite.create_container(container)
    storage = world.secret(container, "?changed")

    def hand_out():
        world.secrets.answer = (200, {"ConnectionString": azurite.connection_string(proxy.port)})

    hand_out()
    ended = changes_its_key_in_the_middle(lab, NORTH, storage, rotating, hand_out)
    assert ended["BackupState"] == "Success", ended
    assert len([path for path in world.secrets.asked if "changed" in path]) == 2, "once for all that was refused"
    (item,) = lab.api.backups_in(storage, NORTH.entity())
    state.clear(root)
    lab.api.restore_now(NORTH.id, item, storage)
    assert state.differences(before, state.picture(root)) == []


def test_an_account_key_that_is_changed_in_the_middle_fails_a_backup_that_has_no_other_and_is_told(world, rotating, container):
    lab, (azurite, proxy) = world.lab, rotating
    state.replace(lab.state(LOW), state.make_bulk, 192, 72)
    azurite.create_container(container)
    ended = changes_its_key_in_the_middle(lab, LOW, azurite.storage(container, proxy.port), rotating)
    assert ended["BackupState"] == "Failure", ended
    assert "the account key is refused: is it the present one?" in ended["FailureError"]["Message"], ended
    assert azurite.blobs(container) == {}
    # Who keeps secrets and does not know of the change cannot help either, and is named.
    world.secrets.answer = (200, {"ConnectionString": azurite.connection_string().replace(azurite.key, KEY)})
    assert "the account key or SAS that was handed out is refused" in fails(lab, LOW, world.secret(container, "?old"))
    assert azurite.blobs(container) == {}


def test_a_state_that_does_not_fit_into_short_blocks_goes_up_in_long_ones(fresh_lab, azurite, container):
    root = fresh_lab.state(SINGLE)
    state.replace(root, state.make_bulk, 256, 73)
    with (root / "zz-last").open("wb") as hole:
        hole.truncate(2 << 40)
    azurite.create_container(container)
    assert fresh_lab.api.backup(SINGLE.id, azurite.storage(container)).status == 202
    sizes = wait.until("two blocks", lambda: len(found := azurite.uncommitted(container)) > 1 and found, 60)
    assert {size / MIB for size in sizes} == {56}, "2 TiB in 40,000 blocks of whole 8 MiB"


def test_what_is_wrong_is_said_and_leaves_no_metadata(world, container):
    lab, azurite = world.lab, world.azurite
    state.replace(lab.state(SOUTH), state.make_varied, 65)
    azurite.create_container(container)
    wrong = "d3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXk="
    key = azurite.connection_string().replace(KEY, wrong)
    assert "the account key is refused" in fails(lab, SOUTH, azure_storage(key, container))
    end = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    old = azurite.signature(container, end)
    expired = f"BlobEndpoint={azurite.endpoint};SharedAccessSignature={old}"
    assert f"the SAS ended at {end:%Y-%m-%dT%H:%M:%SZ}" in fails(lab, SOUTH, azure_storage(expired, container))
    good = azurite.signature(container)
    forged = f"BlobEndpoint={azurite.endpoint};SharedAccessSignature={good.replace('sig=', 'sig=AAAA')}"
    assert "the SAS is refused" in fails(lab, SOUTH, azure_storage(forged, container))
    world.identities.answer = (400, {"error": "invalid_request", "error_description": "Identity not found"})
    unknown = {**world.identity(container), "ManagedIdentityClientId": "0000-unknown"}
    assert "no managed identity with the client id 0000-unknown" in fails(lab, SOUTH, unknown)
    world.secrets.answer = (403, {})
    assert "[storage.dsms]" in fails(lab, SOUTH, world.secret(container, "?nobody"))
    assert azurite.blobs(container) == {}


def test_a_wrong_role_a_missing_identity_and_an_endpoint_that_is_away_are_three_different_failures(tmp_path, container):
    world = World(tmp_path / "world")
    reader = Reader(world.azurite, world.authority).start()
    try:
        lab, azurite = world.lab, world.azurite
        state.replace(lab.state(SOUTH), state.make_varied, 74)
        azurite.create_container(container)

        def said(storage) -> str:
            words = fails(lab, SOUTH, storage)
            assert azurite.blobs(container) == {} and azurite.uncommitted(container) == [], words
            assert lab.api.backups_in(azurite.storage(container), SOUTH.entity()) == []
            assert world.token not in words
            return words

        read_only = {**world.identity(container), "BlobServiceUri": f"{reader.endpoint}/"}
        role = said(read_only)
        assert reader.refused, "it was not asked to write anything"
        assert "has no role that allows this: assign it Storage Blob Data Contributor" in role, role
        assert lab.api.backups_in(read_only, SOUTH.entity()) == [], "it may read all the same"

        world.identities.answer = (400, {"error": "invalid_request", "error_description": "Identity not found"})
        identity = said({**world.identity(container), "ManagedIdentityClientId": "0000-missing"})
        assert "knows no managed identity with the client id 0000-missing: assign it" in identity, identity

        world.identities.stop()
        endpoint = said({**world.identity(container), "ManagedIdentityClientId": "0000-away"})
        assert "cannot be reached: does this machine run in Azure, and is [storage.managed_identity] right?" in endpoint, endpoint
    finally:
        reader.stop()
        world.stop()


def test_a_container_that_is_not_there_fails_a_restore_in_words_and_is_not_made(world, container):
    lab = world.lab
    state.replace(lab.state(SINGLE), state.make_varied, 66)
    done = lab.api.backup_now(SINGLE.id, world.azurite.storage(container))
    before = state.picture(lab.state(SINGLE))
    missing = f"{container[:20]}-missing"
    answer = lab.api.restore(SINGLE.id, done, world.azurite.storage(missing))
    message = answer.message if answer.status != 202 else lab.api.restore_ended(SINGLE.id, PATIENCE)["FailureError"]["Message"]
    assert missing in message and "does not exist" in message, message
    assert not world.azurite.exists(missing)
    assert state.differences(before, state.picture(lab.state(SINGLE))) == []


def test_a_host_that_nobody_means_is_refused_and_the_setting_is_named(world, container):
    for host, words in (("evil.example", "[storage] allow"), ("169.254.169.254", "metadata service")):
        storage = azure_storage(f"AccountName=a;AccountKey={KEY};BlobEndpoint=https://{host}/a", container)
        answer = world.lab.api.backup(SINGLE.id, storage)
        assert (answer.status, answer.code) == (400, "E_INVALIDARG")
        assert words in answer.message and KEY not in answer.message


def test_a_server_that_is_silent_for_30_seconds_does_not_fail_an_upload(world, tmp_path, container):
    own = Azurite(tmp_path / "silent").start()
    try:
        lab, root = world.lab, world.lab.state(HIGH)
        state.replace(root, state.make_bulk, 256, 67)
        before = state.picture(root)
        own.create_container(container)
        assert lab.api.backup(HIGH.id, own.storage(container)).status == 202
        wait.until("the upload to run", lambda: own.is_uploading(container), 60)
        own.pause(30)
        ended = lab.api.backup_ended(HIGH.id, PATIENCE)
        assert ended["BackupState"] == "Success", ended["FailureError"]
        state.clear(root)
        lab.api.restore_now(HIGH.id, ended, own.storage(container))
        assert state.differences(before, state.picture(root)) == []
    finally:
        own.kill()


