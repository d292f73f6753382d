"""Every error code that the served document names for a published operation, provoked with the official Python client.

One table has them all. The last test holds it against the document: a code that is documented and not provoked here is a
failure, and so is one that is provoked and not documented. Left out are `E_FAIL`, which only a defect or a broken machine
can cause, and `FABRIC_E_TIMEOUT` of what asks the ledger alone, which answers at once.
"""

import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from azure.servicefabric import models
from kit import official, state, wait
from kit.azurite import Azurite, azure_storage
from kit.lab import HIGH, LOW, NORTH, SINGLE, SOUTH, STATELESS, UNKNOWN, Lab
from kit.official import refusal
from kit.policies import policy, schedule
from kit.proxy import Proxy
from kit.rest import request
from kit.server import Server

NOT_A_GUID, NOT_A_SERVICE, NOT_AN_APPLICATION, NOT_A_NAME, NOT_A_TOKEN = "not-a-guid", "Lab", "Lab~", "x" * 1025, "nonsense"
RANGES, REGIONS, SINGLES, WEB = "Lab~Ranges", "Lab~deep~Regions", "Lab~Single", "Lab~Web"
TOO_MUCH = "x" * (5 << 20)
# A place in the store where nothing lies.
NOWHERE = f"Lab\\Ranges\\{LOW.id}\\2018-01-01 09.00.55.zip"

INVALID, UNAVAILABLE, TIMEOUT = "E_INVALIDARG", "FABRIC_E_COMMUNICATION_ERROR", "FABRIC_E_TIMEOUT"
DENIED, STATE_IS_NOT_KEPT, TOO_LARGE = "E_ACCESSDENIED", "FABRIC_E_INVALID_FOR_STATELESS_SERVICES", "FABRIC_E_VALUE_TOO_LARGE"
NO_PARTITION, NO_SERVICE = "FABRIC_E_PARTITION_NOT_FOUND", "FABRIC_E_SERVICE_DOES_NOT_EXIST"
NO_APPLICATION, NO_POLICY = "FABRIC_E_APPLICATION_NOT_FOUND", "FABRIC_E_BACKUP_POLICY_NOT_EXISTING"
NOT_ENABLED, ENABLED = "FABRIC_E_BACKUP_NOT_ENABLED", "FABRIC_E_BACKUP_IS_ENABLED"
EXISTS, OTHER_REQUEST = "FABRIC_E_BACKUP_POLICY_ALREADY_EXISTING", "FABRIC_E_SEQUENCE_NUMBER_CHECK_FAILED"
BACKUP_RUNS, RESTORE_RUNS = "FABRIC_E_BACKUP_IN_PROGRESS", "FABRIC_E_RESTORE_IN_PROGRESS"
MISMATCH, UNSAFE = "FABRIC_E_RESTORE_SOURCE_TARGET_PARTITION_MISMATCH", "FABRIC_E_RESTORE_SAFE_CHECK_FAILED"

# With what status each comes.
STATUS = {
    **dict.fromkeys((INVALID, STATE_IS_NOT_KEPT, ENABLED, MISMATCH), 400),
    DENIED: 403,
    **dict.fromkeys((NO_PARTITION, NO_SERVICE, NO_APPLICATION, NO_POLICY, NOT_ENABLED), 404),
    **dict.fromkeys((EXISTS, OTHER_REQUEST, BACKUP_RUNS, RESTORE_RUNS), 409),
    TOO_LARGE: 413,
    UNSAFE: 500,
    **dict.fromkeys((TIMEOUT, UNAVAILABLE), 504),
}


@pytest.fixture(scope="module")
def world(lab, azurite):
    """The lab with policies of every kind, a backup, and jobs that hang: LOW has a backup, HIGH a restore that do not end.

    Nothing is enabled but what a case enables itself.
    """
    api, container = official.client(lab.address), f"codes-{uuid.uuid4()}"
    # By default this client repeats a GET that was answered with 5xx, and in the end raises an error of its own instead.
    api.config.retry_policy.policy.status_forcelist = []
    stalling, cut = Proxy(azurite.port).start(), Proxy(azurite.port).start()
    wrong_key = azurite.storage(container)["ConnectionString"].replace("AccountKey=Eby8", "AccountKey=AAAA")
    made = SimpleNamespace(
        api=api,
        share=official.share(lab.share("codes")),
        good=official.blobs(azurite.storage(container)),
        stalled=official.blobs(azurite.storage(container, stalling.port)),
        dead=official.blobs(azurite.storage(container, cut.port)),
        refusing=official.blobs(azure_storage(wrong_key, container)),
        lab=lab,
    )
    for name, storage in (("Share", made.share), ("Refusing", made.refusing), ("Dead", made.dead), ("Stalled", made.stalled), ("Used", made.share)):
        api.create_backup_policy(policy(name, storage))
    made.low, made.south = (backed_up(lab, api, partition, made.good) for partition in (LOW, SOUTH))
    made.other = backed_up(lab, api, HIGH, made.good)
    cut.cut()
    hold(made, azurite, container, stalling)
    yield made
    stalling.release()
    for proxy in (stalling, cut):
        proxy.close()


def backed_up(lab: Lab, api, partition, storage) -> models.BackupProgressInfo:
    state.replace(lab.state(partition), state.make_bulk, 1, 41)
    api.backup_partition(partition.id, backup_storage=storage)
    done = official.backup_ended(api, partition.id)
    assert done.backup_state == "Success", done.failure_error
    return done


def hold(made, azurite: Azurite, container: str, stalling: Proxy) -> None:
    """Makes the stalled storage take every request and answer none, with a backup of LOW and a restore of HIGH within it."""
    stalling.hold(azurite.fetching(container, made.other.backup_location))
    made.api.restore_partition(HIGH.id, description(made.other, made.stalled))
    wait.until("the restore to hang", lambda: stalling.holding)
    stalling.hold(container.encode())
    made.api.backup_partition(LOW.id, backup_storage=made.stalled)
    wait.until("the backup to hang", lambda: stalling.holding > 1)


def description(done, storage, **changes) -> models.RestorePartitionDescription:
    given = {"backup_id": done.backup_id, "backup_location": done.backup_location, "backup_storage": storage, **changes}
    return models.RestorePartitionDescription(**given)


def some_backup(storage=None) -> models.RestorePartitionDescription:
    return models.RestorePartitionDescription(backup_id=UNKNOWN, backup_location=NOWHERE, backup_storage=storage)


def query(storage, **changes) -> models.GetBackupByStorageQueryDescription:
    entity = models.PartitionBackupEntity(service_name=LOW.service, partition_id=LOW.id)
    return models.GetBackupByStorageQueryDescription(storage=storage, backup_entity=entity, **changes)


def large(name: str) -> models.BackupPolicyDescription:
    return policy(name, models.FileShareBackupStorageDescription(path="/", friendly_name=TOO_MUCH))


def with_enabled(world, level: str, entity: str, name: str, call: Callable) -> None:
    """`call` while a policy is enabled there, and only then."""
    getattr(world.api, f"enable_{level}_backup")(entity, name)
    try:
        call()
    finally:
        getattr(world.api, f"disable_{level}_backup")(entity, None)


@dataclass(frozen=True)
class Case:
    """A call that is to be refused with a code."""

    operation: str
    code: str
    call: Callable
    # Level, entity and policy that must be enabled for it.
    enabled: tuple[str, str, str] | None = None

    def __str__(self) -> str:
        return f"{self.operation}-{self.code}"


def again_with_another_body(first: Callable, second: Callable) -> None:
    """The same Idempotency-Key for two requests."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    first(headers)
    second(headers)


def keyed_backups(world) -> None:
    again_with_another_body(
        lambda key: (
            world.api.backup_partition(SINGLE.id, backup_storage=world.share, custom_headers=key),
            official.backup_ended(world.api, SINGLE.id),
        ),
        lambda key: world.api.backup_partition(SINGLE.id, backup_storage=world.good, custom_headers=key),
    )


def keyed_restores(world) -> None:
    done = backed_up(world.lab, world.api, SINGLE, world.share)
    again_with_another_body(
        lambda key: (
            world.api.restore_partition(SINGLE.id, description(done, world.share), custom_headers=key),
            official.restore_ended(world.api, SINGLE.id),
        ),
        lambda key: world.api.restore_partition(SINGLE.id, some_backup(world.share), custom_headers=key),
    )


# First those that need the jobs that hang, which give up after some 20 s.
JOBS = [
    Case("BackupPartition", RESTORE_RUNS, lambda w: w.api.backup_partition(HIGH.id, backup_storage=w.share)),
    Case("BackupPartition", BACKUP_RUNS, lambda w: w.api.backup_partition(LOW.id, backup_storage=w.share)),
    Case("RestorePartition", RESTORE_RUNS, lambda w: w.api.restore_partition(HIGH.id, description(w.other, w.good))),
    Case("RestorePartition", BACKUP_RUNS, lambda w: w.api.restore_partition(LOW.id, description(w.low, w.good))),
    Case("BackupPartition", INVALID, lambda w: w.api.backup_partition(SINGLE.id, backup_timeout=0)),
    Case("BackupPartition", STATE_IS_NOT_KEPT, lambda w: w.api.backup_partition(STATELESS.id, backup_storage=w.share)),
    Case("BackupPartition", NO_PARTITION, lambda w: w.api.backup_partition(UNKNOWN)),
    Case("BackupPartition", NOT_ENABLED, lambda w: w.api.backup_partition(NORTH.id)),
    Case("BackupPartition", OTHER_REQUEST, keyed_backups),
    Case("BackupPartition", TOO_LARGE, lambda w: w.api.backup_partition(SINGLE.id, backup_storage=large("any").storage)),
    Case("GetPartitionBackupProgress", INVALID, lambda w: w.api.get_partition_backup_progress(NOT_A_GUID)),
    Case("GetPartitionBackupProgress", NO_PARTITION, lambda w: w.api.get_partition_backup_progress(UNKNOWN)),
    Case("RestorePartition", INVALID, lambda w: w.api.restore_partition(SINGLE.id, some_backup(w.share), restore_timeout=0)),
    Case("RestorePartition", MISMATCH, lambda w: w.api.restore_partition(NORTH.id, description(w.low, w.good))),
    Case("RestorePartition", STATE_IS_NOT_KEPT, lambda w: w.api.restore_partition(STATELESS.id, some_backup(w.share))),
    Case("RestorePartition", DENIED, lambda w: w.api.restore_partition(NORTH.id, some_backup(w.refusing))),
    Case("RestorePartition", NO_PARTITION, lambda w: w.api.restore_partition(UNKNOWN, some_backup(w.share))),
    Case("RestorePartition", NOT_ENABLED, lambda w: w.api.restore_partition(NORTH.id, some_backup())),
    Case("RestorePartition", OTHER_REQUEST, keyed_restores),
    Case("RestorePartition", TOO_LARGE, lambda w: w.api.restore_partition(SINGLE.id, description(w.low, large("any").storage))),
    Case("RestorePartition", UNSAFE, lambda w: w.api.restore_partition(NORTH.id, some_backup(w.good))),
    Case("RestorePartition", TIMEOUT, lambda w: w.api.restore_partition(NORTH.id, some_backup(w.stalled), timeout=1)),
    Case("GetPartitionRestoreProgress", INVALID, lambda w: w.api.get_partition_restore_progress(NOT_A_GUID)),
    Case("GetPartitionRestoreProgress", NO_PARTITION, lambda w: w.api.get_partition_restore_progress(UNKNOWN)),
]

LISTS = [
    Case("GetPartitionBackupList", INVALID, lambda w: w.api.get_partition_backup_list(NOT_A_GUID)),
    Case("GetPartitionBackupList", STATE_IS_NOT_KEPT, lambda w: w.api.get_partition_backup_list(STATELESS.id)),
    Case("GetPartitionBackupList", NO_PARTITION, lambda w: w.api.get_partition_backup_list(UNKNOWN)),
    Case("GetPartitionBackupList", NOT_ENABLED, lambda w: w.api.get_partition_backup_list(HIGH.id)),
    Case("GetServiceBackupList", INVALID, lambda w: w.api.get_service_backup_list(NOT_A_SERVICE)),
    Case("GetServiceBackupList", STATE_IS_NOT_KEPT, lambda w: w.api.get_service_backup_list(WEB)),
    Case("GetServiceBackupList", NO_SERVICE, lambda w: w.api.get_service_backup_list("Lab~Range")),
    Case("GetServiceBackupList", NOT_ENABLED, lambda w: w.api.get_service_backup_list(RANGES)),
    Case("GetApplicationBackupList", INVALID, lambda w: w.api.get_application_backup_list(NOT_AN_APPLICATION)),
    Case("GetApplicationBackupList", NO_APPLICATION, lambda w: w.api.get_application_backup_list("La")),
    Case("GetBackupsFromBackupLocation", INVALID, lambda w: w.api.get_backups_from_backup_location(query(w.share), continuation_token=NOT_A_TOKEN)),
    Case("GetBackupsFromBackupLocation", TOO_LARGE, lambda w: w.api.get_backups_from_backup_location(query(large("any").storage))),
    Case("GetBackupsFromBackupLocation", TIMEOUT, lambda w: w.api.get_backups_from_backup_location(query(w.stalled), timeout=1)),
]

# Lists ask the storage of the policy in force.
TROUBLED = [("partition", SINGLE.id), ("service", SINGLES), ("application", "Lab")]
for _level, _entity in TROUBLED:
    for _policy, _code, _more in (("Refusing", DENIED, {}), ("Stalled", TIMEOUT, {"timeout": 1})):
        LISTS.append(
            Case(
                f"Get{_level.capitalize()}BackupList",
                _code,
                lambda w, level=_level, entity=_entity, more=_more: getattr(w.api, f"get_{level}_backup_list")(entity, **more),
                (_level, _entity, _policy),
            )
        )

POLICIES = [
    Case("CreateBackupPolicy", INVALID, lambda w: w.api.create_backup_policy(policy("New", w.share, schedule=schedule("PT1S")))),
    Case("CreateBackupPolicy", EXISTS, lambda w: w.api.create_backup_policy(policy("Share", w.share))),
    Case("CreateBackupPolicy", TOO_LARGE, lambda w: w.api.create_backup_policy(large("New"))),
    Case("CreateBackupPolicy", TIMEOUT, lambda w: w.api.create_backup_policy(policy("New", w.stalled), timeout=1, validate_connection=True)),
    Case("GetBackupPolicyList", INVALID, lambda w: w.api.get_backup_policy_list(continuation_token=NOT_A_TOKEN)),
    Case("GetBackupPolicyByName", INVALID, lambda w: w.api.get_backup_policy_by_name(NOT_A_NAME)),
    Case("GetBackupPolicyByName", NO_POLICY, lambda w: w.api.get_backup_policy_by_name("share")),
    Case("UpdateBackupPolicy", INVALID, lambda w: w.api.update_backup_policy(policy("Share", w.share, schedule=schedule("PT1S")), "Share")),
    Case("UpdateBackupPolicy", NO_POLICY, lambda w: w.api.update_backup_policy(policy("share", w.share), "share")),
    Case("UpdateBackupPolicy", TOO_LARGE, lambda w: w.api.update_backup_policy(large("Share"), "Share")),
    Case("UpdateBackupPolicy", TIMEOUT, lambda w: w.api.update_backup_policy(policy("Share", w.stalled), "Share", timeout=1, validate_connection=True)),
    Case("DeleteBackupPolicy", INVALID, lambda w: w.api.delete_backup_policy(NOT_A_NAME)),
    Case("DeleteBackupPolicy", ENABLED, lambda w: w.api.delete_backup_policy("Used"), ("partition", SOUTH.id, "Used")),
    Case("DeleteBackupPolicy", NO_POLICY, lambda w: w.api.delete_backup_policy("share")),
    Case("GetAllEntitiesBackedUpByPolicy", INVALID, lambda w: w.api.get_all_entities_backed_up_by_policy("Share", continuation_token=NOT_A_TOKEN)),
    Case("GetAllEntitiesBackedUpByPolicy", NO_POLICY, lambda w: w.api.get_all_entities_backed_up_by_policy("share")),
]

CONTROLS = [
    Case("EnableApplicationBackup", NO_APPLICATION, lambda w: w.api.enable_application_backup("La", "Share")),
    Case("EnableServiceBackup", NO_SERVICE, lambda w: w.api.enable_service_backup("Lab~Range", "Share")),
    Case("EnableServiceBackup", STATE_IS_NOT_KEPT, lambda w: w.api.enable_service_backup(WEB, "Share")),
    Case("EnablePartitionBackup", NO_PARTITION, lambda w: w.api.enable_partition_backup(UNKNOWN, "Share")),
    Case("EnablePartitionBackup", STATE_IS_NOT_KEPT, lambda w: w.api.enable_partition_backup(STATELESS.id, "Share")),
    Case("DisablePartitionBackup", NO_PARTITION, lambda w: w.api.disable_partition_backup(UNKNOWN, None)),
    Case("GetApplicationBackupConfigurationInfo", NOT_ENABLED, lambda w: w.api.get_application_backup_configuration_info("Lab")),
    Case("GetServiceBackupConfigurationInfo", NOT_ENABLED, lambda w: w.api.get_service_backup_configuration_info(RANGES)),
    Case("GetServiceBackupConfigurationInfo", NO_SERVICE, lambda w: w.api.get_service_backup_configuration_info("Lab~Range")),
    Case("GetPartitionBackupConfigurationInfo", NO_PARTITION, lambda w: w.api.get_partition_backup_configuration_info(UNKNOWN)),
]
for _verb in ("suspend", "resume"):
    CONTROLS += [
        Case(f"{_verb.capitalize()}ServiceBackup", NO_SERVICE, lambda w, verb=_verb: getattr(w.api, f"{verb}_service_backup")("Lab~Range")),
        Case(f"{_verb.capitalize()}PartitionBackup", NO_PARTITION, lambda w, verb=_verb: getattr(w.api, f"{verb}_partition_backup")(UNKNOWN)),
    ]
for _level, _malformed, _entity in (
    ("application", NOT_AN_APPLICATION, "Lab"),
    ("service", NOT_A_SERVICE, RANGES),
    ("partition", NOT_A_GUID, HIGH.id),
):
    for _verb, _more in (("enable", ("Share",)), ("disable", (None,)), ("suspend", ()), ("resume", ())):
        _operation, _method = f"{_verb.capitalize()}{_level.capitalize()}Backup", f"{_verb}_{_level}_backup"
        CONTROLS.append(
            Case(_operation, INVALID, lambda w, method=_method, entity=_malformed, more=_more: getattr(w.api, method)(entity, *more))
        )
        if _verb != "enable":
            CONTROLS.append(
                Case(_operation, NOT_ENABLED, lambda w, method=_method, entity=_entity, more=_more: getattr(w.api, method)(entity, *more))
            )
    _enable = f"Enable{_level.capitalize()}Backup"
    CONTROLS += [
        Case(_enable, NO_POLICY, lambda w, level=_level, entity=_entity: getattr(w.api, f"enable_{level}_backup")(entity, "share")),
        Case(_enable, TOO_LARGE, lambda w, level=_level, entity=_entity: getattr(w.api, f"enable_{level}_backup")(entity, TOO_MUCH)),
        Case(
            f"Get{_level.capitalize()}BackupConfigurationInfo",
            INVALID,
            lambda w, level=_level, entity=_malformed: getattr(w.api, f"get_{level}_backup_configuration_info")(entity),
        ),
    ]

CASES = [*JOBS, *LISTS, *POLICIES, *CONTROLS]

# Each takes as long as the service tries to reach the store, so they are made at once, with the policy on the application.
UNREACHABLE = [
    Case("RestorePartition", UNAVAILABLE, lambda w: w.api.restore_partition(NORTH.id, some_backup(w.dead))),
    Case("GetPartitionBackupList", UNAVAILABLE, lambda w: w.api.get_partition_backup_list(NORTH.id)),
    Case("GetServiceBackupList", UNAVAILABLE, lambda w: w.api.get_service_backup_list(REGIONS)),
    Case("GetApplicationBackupList", UNAVAILABLE, lambda w: w.api.get_application_backup_list("Lab")),
]

# A service of the lab has a storage by default, so this one is provoked elsewhere.
ALONE = Case("GetApplicationBackupList", NOT_ENABLED, lambda w: None)

# The body of these is one boolean, which this client cannot make large.
SMALL = ("DisableApplicationBackup", "DisableServiceBackup", "DisablePartitionBackup")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_documented_code_arrives_with_its_status(world, case):
    if case.enabled is None:
        refused(world, case)
    else:
        with_enabled(world, *case.enabled, lambda: refused(world, case))


def test_a_store_that_cannot_be_reached_is_told_by_every_operation_that_asks_it(world):
    with ThreadPoolExecutor(len(UNREACHABLE)) as pool:
        with_enabled(world, "application", "Lab", "Dead", lambda: list(pool.map(lambda case: refused(world, case), UNREACHABLE)))


def test_an_application_without_a_policy_and_a_storage_is_not_enabled(tmp_path):
    server = Server(tmp_path / "bare", '[[applications]]\nname = "fabric:/Bare"\n').start()
    try:
        refusal(ALONE.code, official.client(server.address).get_application_backup_list, "Bare")
    finally:
        server.kill()


def refused(world, case: Case) -> None:
    seen = []

    def call():
        try:
            case.call(world)
        except models.FabricErrorException as error:
            seen.append(error.response.status_code)
            raise

    refusal(case.code, call)
    assert seen == [STATUS[case.code]], case


def documented(lab) -> dict[str, set[str]]:
    """By published operation, the codes in its description, E_FAIL left out."""
    document = request(lab.address, "GET", "/openapi.json").json()
    operations = [it for item in document["paths"].values() for it in item.values() if isinstance(it, dict)]
    published = [it for it in operations if "operationId" in it and not it.get("x-extension")]
    assert len(published) == 29
    return {it["operationId"]: set(re.findall(r"^- \d{3} `(\w+)`", it["description"], re.MULTILINE)) - {"E_FAIL"} for it in published}


def test_every_documented_code_of_every_operation_is_provoked_here(lab):
    given = {(case.operation, case.code) for case in (*CASES, *UNREACHABLE, ALONE)}
    asks_a_store = {operation for operation, code in given if code == TIMEOUT}
    expected = {
        (operation, code)
        for operation, codes in documented(lab).items()
        for code in codes
        if (code != TIMEOUT or operation in asks_a_store) and (code != TOO_LARGE or operation not in SMALL)
    }
    assert expected - given == set(), "documented and not provoked"
    assert given - expected == set(), "provoked and not documented"
