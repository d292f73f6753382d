"""Periodic backup with the official Python client, unmodified: policies, enablement, suspension, lists, inventory."""

import datetime
import itertools

import pytest
from azure.servicefabric import models
from kit import official, state, wait
from kit.lab import HIGH, LOW, NORTH, SINGLE, SOUTH, STATELESS, UNKNOWN, VOLATILE
from kit.official import refusal
from kit.policies import daily, policy, retention, schedule

# What each level is called in the names of the client's methods, and an entity of it with state that is kept.
LEVELS = [("application", "Lab"), ("service", "Lab~Ranges"), ("partition", LOW.id)]
levels = pytest.mark.parametrize(("level", "entity"), LEVELS)


@pytest.fixture
def api(fresh_lab):
    return official.client(fresh_lab.address)


@pytest.fixture
def share(fresh_lab):
    return official.share(fresh_lab.share("policies"))


def call(api, verb, level, *arguments, **more):
    """`enable_service_backup` and its like."""
    return getattr(api, f"{verb}_{level}_backup")(*arguments, **more)


def configuration(api, level, entity, **more):
    return getattr(api, f"get_{level}_backup_configuration_info")(entity, **more)


def seen(info):
    """What a configuration says: of whom, which policy, from where, suspended where."""
    of = info.service_name if isinstance(info, models.ServiceBackupConfigurationInfo) else None
    of = info.application_name if isinstance(info, models.ApplicationBackupConfigurationInfo) else of
    of = info.partition_id if isinstance(info, models.PartitionBackupConfigurationInfo) else of
    return of, info.policy_name, info.policy_inherited_from, info.suspension_info.suspension_inherited_from


def names(page):
    return [item.name for item in page.items]


def pages(read, size):
    """All items, read `size` at a time."""
    token = None
    while token is None or token:
        page = read(continuation_token=token, max_results=size)
        assert len(page.items) <= size
        yield from page.items
        token = page.continuation_token or ""


def taken_by_schedule(api, partition, count, seconds=150):
    def enough():
        items = api.get_partition_backup_list(partition.id).items
        return items if len(items) >= count else None

    return wait.until(f"{count} backups by schedule", enough, seconds)


# Policies


def test_a_policy_is_created_read_listed_replaced_and_deleted(api, share):
    kept = retention("P3M", 20)
    assert api.create_backup_policy(policy("Daily", share, schedule=daily("17:00:00", "09:00:00"), retention_policy=kept)) is None

    read = api.get_backup_policy_by_name("Daily")
    assert (read.name, read.max_incremental_backups, read.auto_restore_on_data_loss) == ("Daily", 3, False)
    assert [time.strftime("%H:%M") for time in read.schedule.run_times] == ["09:00", "17:00"]
    assert read.schedule.schedule_frequency_type == "Daily"
    assert read.retention_policy.retention_duration == datetime.timedelta(days=90)
    assert read.retention_policy.minimum_number_of_backups == 20
    assert read.storage.path == share.path

    replaced = policy("Daily", share, schedule=schedule("PT4H5M"), max_incremental_backups=0)
    assert api.update_backup_policy(replaced, "Daily") is None
    read = api.get_backup_policy_by_name("Daily")
    assert read.schedule.interval == datetime.timedelta(hours=4, minutes=5)
    assert (read.max_incremental_backups, read.retention_policy) == (0, None)

    assert names(api.get_backup_policy_list()) == ["Daily"]
    assert api.delete_backup_policy("Daily") is None
    assert names(api.get_backup_policy_list()) == []


def test_policies_are_listed_by_name_in_pages(api, share):
    for name in ("c", "A", "b/1", "b 2", "täglich"):
        api.create_backup_policy(policy(name, share))
    everything = names(api.get_backup_policy_list())
    assert everything == sorted(["c", "A", "b/1", "b 2", "täglich"])
    assert [item.name for item in pages(api.get_backup_policy_list, 2)] == everything
    assert api.get_backup_policy_by_name("b/1").name == "b/1"


def test_a_secret_comes_back_as_asterisks_and_asterisks_keep_it(api, azurite, container, fresh_lab):
    blobs = official.blobs(azurite.storage(container))
    api.create_backup_policy(policy("Blobs", blobs), validate_connection=True)
    read = api.get_backup_policy_by_name("Blobs")
    assert read.storage.connection_string == "****"

    read.max_incremental_backups = 7
    api.update_backup_policy(read, "Blobs", validate_connection=True)
    assert api.get_backup_policy_by_name("Blobs").max_incremental_backups == 7
    assert names(api.get_backup_policy_list()) == ["Blobs"]

    api.enable_partition_backup(NORTH.id, "Blobs")
    state.replace(fresh_lab.state(NORTH), state.make_bulk, 1, 31)
    api.backup_partition(NORTH.id)
    assert official.backup_ended(api, NORTH.id).backup_state == "Success", "the stored secret still opens the store"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"schedule": schedule("PT30S")}, "Interval"),
        ({"schedule": schedule("PT10M30S")}, "Interval"),
        ({"schedule": schedule("PT0S")}, "Interval"),
        ({"schedule": schedule("-PT10M")}, "Interval"),
        ({"schedule": schedule("P16D")}, "Interval"),
        ({"schedule": daily()}, "RunTimes"),
        ({"schedule": daily("09:00:00", days=[])}, "RunDays"),
        ({"schedule": models.TimeBasedBackupScheduleDescription(schedule_frequency_type="Invalid", run_times=["0001-01-01T09:00:00Z"])}, "ScheduleFrequencyType"),
        ({"retention_policy": retention("PT59M")}, "RetentionDuration"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_by_the_name_of_its_field(api, share, changes, field):
    message = refusal("E_INVALIDARG", api.create_backup_policy, policy("Wrong", share, **changes))
    assert field in message, message
    assert names(api.get_backup_policy_list()) == []


def test_a_blank_name_and_a_wrong_storage_are_refused_by_field(api, share, tmp_path):
    assert "Name" in refusal("E_INVALIDARG", api.create_backup_policy, policy("  ", share))
    elsewhere = official.share({"Path": str(tmp_path)})
    assert "Path" in refusal("E_INVALIDARG", api.create_backup_policy, policy("Wrong", elsewhere))


def test_a_connection_is_tried_only_when_that_is_asked_for(api, azurite, container, proxy):
    through = official.blobs(azurite.storage(container, proxy.port))
    proxy.cut()
    message = refusal("E_INVALIDARG", api.create_backup_policy, policy("Cut", through), validate_connection=True)
    assert container in message, message
    assert api.create_backup_policy(policy("Cut", through)) is None
    refusal("E_INVALIDARG", api.update_backup_policy, policy("Cut", through), "Cut", validate_connection=True)
    wrong = azurite.storage(container)["ConnectionString"].replace("AccountKey=Eby8", "AccountKey=AAAA")
    refused = models.AzureBlobBackupStorageDescription(connection_string=wrong, container_name=container)
    assert "AAAA" not in refusal("E_INVALIDARG", api.create_backup_policy, policy("Key", refused), validate_connection=True)
    assert names(api.get_backup_policy_list()) == ["Cut"]


def test_a_validated_connection_leaves_nothing_behind(api, share, fresh_lab, azurite, container):
    api.create_backup_policy(policy("Share", share), validate_connection=True)
    api.create_backup_policy(policy("Blobs", official.blobs(azurite.storage(container))), validate_connection=True)
    assert [path for path in (fresh_lab.shares / "policies").rglob("*") if path.is_file()] == []
    assert not azurite.blobs(container)


def test_names_that_exist_and_names_that_do_not_are_told_apart(api, share):
    api.create_backup_policy(policy("Daily", share))
    refusal("FABRIC_E_BACKUP_POLICY_ALREADY_EXISTING", api.create_backup_policy, policy("Daily", share))
    for missing in (
        lambda: api.get_backup_policy_by_name("daily"),
        lambda: api.update_backup_policy(policy("daily", share), "daily"),
        lambda: api.delete_backup_policy("daily"),
        lambda: api.get_all_entities_backed_up_by_policy("daily"),
        lambda: api.enable_application_backup("Lab", "daily"),
        lambda: api.enable_service_backup("Lab~Ranges", "daily"),
        lambda: api.enable_partition_backup(LOW.id, "daily"),
    ):
        assert "daily" in refusal("FABRIC_E_BACKUP_POLICY_NOT_EXISTING", missing)


def test_a_policy_that_is_enabled_cannot_be_deleted(api, share):
    api.create_backup_policy(policy("Daily", share))
    api.enable_service_backup("Lab~Ranges", "Daily")
    assert "fabric:/Lab/Ranges" in refusal("FABRIC_E_BACKUP_IS_ENABLED", api.delete_backup_policy, "Daily")
    api.disable_service_backup("Lab~Ranges", None)
    api.delete_backup_policy("Daily")


# Enablement and suspension


def test_a_policy_is_enabled_overridden_and_exposed_again(api, share):
    for name in ("App", "Svc", "Part"):
        api.create_backup_policy(policy(name, share))
    api.enable_application_backup("Lab", "App")
    api.enable_service_backup("Lab~Ranges", "Svc")
    api.enable_partition_backup(LOW.id, "Part")

    def of(partition):
        return seen(api.get_partition_backup_configuration_info(partition.id))[1:3]

    assert (of(LOW), of(HIGH), of(NORTH)) == (("Part", "Partition"), ("Svc", "Service"), ("App", "Application"))
    api.disable_partition_backup(LOW.id, None)
    assert of(LOW) == ("Svc", "Service")
    api.disable_service_backup("Lab~Ranges", None)
    assert of(LOW) == of(HIGH) == ("App", "Application")
    api.enable_application_backup("Lab", "Svc")
    assert of(LOW) == ("Svc", "Application"), "enabling again replaces"
    api.disable_application_backup("Lab", None)
    assert api.get_partition_backup_configuration_info(LOW.id) is None


def test_the_configuration_of_an_application_tells_overrides_and_suspensions(api, share):
    for name in ("App", "Svc"):
        api.create_backup_policy(policy(name, share))
    api.enable_application_backup("Lab", "App")
    api.enable_service_backup("Lab~Ranges", "Svc")
    api.suspend_partition_backup(NORTH.id)
    everything = [
        ("fabric:/Lab", "App", "Application", "Invalid"),
        (LOW.service, "Svc", "Service", "Invalid"),
        (NORTH.id, "App", "Application", "Partition"),
    ]
    assert [seen(item) for item in api.get_application_backup_configuration_info("Lab").items] == everything
    in_pages = pages(lambda **page: api.get_application_backup_configuration_info("Lab", **page), 1)
    assert [seen(item) for item in in_pages] == everything
    assert [seen(item) for item in api.get_service_backup_configuration_info("Lab~Ranges").items] == everything[1:2]
    assert seen(api.get_service_backup_configuration_info("Lab~deep~Regions").items[0])[1:] == ("App", "Application", "Invalid")


@levels
def test_a_suspension_is_seen_below_and_ends_when_it_is_resumed(api, share, level, entity):
    api.create_backup_policy(policy("Daily", share))
    call(api, "enable", level, entity, "Daily")
    for _ in range(2):
        call(api, "suspend", level, entity)
    assert seen(api.get_partition_backup_configuration_info(LOW.id))[3] == level.capitalize()
    for _ in range(2):
        call(api, "resume", level, entity)
    assert seen(api.get_partition_backup_configuration_info(LOW.id))[3] == "Invalid"


def test_a_suspension_survives_disabling_and_a_requested_backup_is_taken_all_the_same(api, share, fresh_lab):
    api.create_backup_policy(policy("Daily", share))
    api.enable_application_backup("Lab", "Daily")
    api.suspend_service_backup("Lab~Ranges")
    api.disable_application_backup("Lab", None)
    api.enable_application_backup("Lab", "Daily")
    assert seen(api.get_partition_backup_configuration_info(LOW.id))[3] == "Service"
    state.replace(fresh_lab.state(LOW), state.make_bulk, 1, 32)
    api.backup_partition(LOW.id)
    assert official.backup_ended(api, LOW.id).backup_state == "Success"


@levels
def test_what_is_not_enabled_is_told_so(api, level, entity):
    calls = [
        lambda: call(api, "disable", level, entity, None),
        lambda: call(api, "disable", level, entity, True),
        lambda: call(api, "suspend", level, entity),
        lambda: call(api, "resume", level, entity),
    ]
    if level != "application":  # One service of the application has a storage by default.
        calls.append(lambda: getattr(api, f"get_{level}_backup_list")(entity))
    for refused in calls:
        refusal("FABRIC_E_BACKUP_NOT_ENABLED", refused)
    if level == "partition":
        assert configuration(api, level, entity) is None
    else:
        refusal("FABRIC_E_BACKUP_NOT_ENABLED", configuration, api, level, entity)


def test_only_what_is_enabled_on_the_very_level_can_be_disabled_there(api, share):
    api.create_backup_policy(policy("Daily", share))
    api.enable_service_backup("Lab~Ranges", "Daily")
    refusal("FABRIC_E_BACKUP_NOT_ENABLED", api.disable_application_backup, "Lab", None)
    refusal("FABRIC_E_BACKUP_NOT_ENABLED", api.disable_partition_backup, LOW.id, None)


def test_entities_that_are_not_there_are_told_by_their_kind(api, share):
    api.create_backup_policy(policy("Daily", share))
    refusal("FABRIC_E_APPLICATION_NOT_FOUND", api.enable_application_backup, "La", "Daily")
    refusal("FABRIC_E_SERVICE_DOES_NOT_EXIST", api.enable_service_backup, "Lab~Range", "Daily")
    refusal("FABRIC_E_PARTITION_NOT_FOUND", api.enable_partition_backup, UNKNOWN, "Daily")
    refusal("FABRIC_E_APPLICATION_NOT_FOUND", api.get_application_backup_list, "La")
    refusal("FABRIC_E_SERVICE_DOES_NOT_EXIST", api.get_service_backup_list, "Lab~Range")
    for level in ("disable", "suspend", "resume"):
        more = (None,) if level == "disable" else ()
        refusal("FABRIC_E_PARTITION_NOT_FOUND", call, api, level, "partition", UNKNOWN, *more)
    refusal("FABRIC_E_PARTITION_NOT_FOUND", api.get_partition_backup_configuration_info, UNKNOWN)


def test_what_keeps_no_state_cannot_be_enabled(api, share):
    api.create_backup_policy(policy("Daily", share))
    for partition in (STATELESS, VOLATILE):
        name = partition.service.removeprefix("fabric:/").replace("/", "~")
        refusal("FABRIC_E_INVALID_FOR_STATELESS_SERVICES", api.enable_partition_backup, partition.id, "Daily")
        refusal("FABRIC_E_INVALID_FOR_STATELESS_SERVICES", api.enable_service_backup, name, "Daily")


def test_the_entities_of_a_policy_are_those_on_which_it_was_enabled(api, share):
    for name in ("Daily", "Other"):
        api.create_backup_policy(policy(name, share))
    api.enable_partition_backup(HIGH.id, "Daily")
    api.enable_application_backup("Lab", "Daily")
    api.enable_service_backup("Lab~deep~Regions", "Daily")
    api.enable_partition_backup(SOUTH.id, "Other")

    def told(items):
        return [(item.entity_kind, getattr(item, "partition_id", None)) for item in items]

    everything = [("Application", None), ("Partition", HIGH.id), ("Service", None)]
    assert told(api.get_all_entities_backed_up_by_policy("Daily").items) == everything
    assert told(pages(lambda **page: api.get_all_entities_backed_up_by_policy("Daily", **page), 1)) == everything


# Schedules and lists


def test_an_enabled_partition_is_backed_up_by_its_schedule(api, share, fresh_lab):
    state.replace(fresh_lab.state(LOW), state.make_bulk, 1, 33)
    before = state.picture(fresh_lab.state(LOW))
    api.create_backup_policy(policy("Often", share, schedule=schedule("PT1M")))
    api.enable_partition_backup(LOW.id, "Often")
    [first, *_] = taken_by_schedule(api, LOW, 1)
    assert api.get_partition_backup_progress(LOW.id) is None, "only requested backups have a progress"
    api.suspend_partition_backup(LOW.id)

    state.replace(fresh_lab.state(LOW), state.make_varied, 34)
    chosen = models.RestorePartitionDescription(backup_id=first.backup_id, backup_location=first.backup_location)
    api.restore_partition(LOW.id, chosen)
    assert official.restore_ended(api, LOW.id).restore_state == "Success"
    assert state.differences(before, state.picture(fresh_lab.state(LOW))) == []


def test_backups_are_listed_by_application_service_and_partition_over_all_their_storages(api, fresh_lab, azurite, container):
    on_share, on_blobs = official.share(fresh_lab.share("one")), official.blobs(azurite.storage(container))
    api.create_backup_policy(policy("Share", on_share))
    api.create_backup_policy(policy("Blobs", on_blobs))
    api.enable_application_backup("Lab", "Share")
    api.enable_service_backup("Lab~Ranges", "Blobs")
    ids = {}
    for partition in (NORTH, LOW, HIGH, LOW):
        state.replace(fresh_lab.state(partition), state.make_bulk, 1, 35)
        api.backup_partition(partition.id)
        done = official.backup_ended(api, partition.id)
        assert done.backup_state == "Success", done.failure_error
        ids.setdefault(partition.id, []).append(done.backup_id)

    low, high, north = (ids[partition.id] for partition in (LOW, HIGH, NORTH))
    everything = [*low, *high, *north]

    def listed(items):
        return [item.backup_id for item in items]

    assert listed(api.get_application_backup_list("Lab").items) == everything
    assert listed(api.get_application_backup_list("Lab", latest=True).items) == [low[1], *high, *north]
    assert listed(pages(lambda **page: api.get_application_backup_list("Lab", **page), 2)) == everything
    assert listed(api.get_service_backup_list("Lab~Ranges").items) == [*low, *high]
    assert listed(pages(lambda **page: api.get_service_backup_list("Lab~Ranges", **page), 1)) == [*low, *high]
    assert listed(api.get_partition_backup_list(NORTH.id).items) == north
    second = api.get_service_backup_list("Lab~Ranges").items[1].creation_time_utc
    assert listed(api.get_service_backup_list("Lab~Ranges", start_date_time_filter=second).items)[0] == low[1]
    assert low[0] not in listed(api.get_service_backup_list("Lab~Ranges", start_date_time_filter=second).items)
    assert low[1] not in listed(api.get_service_backup_list("Lab~Ranges", end_date_time_filter=second - datetime.timedelta(seconds=1)).items)


def test_a_list_over_a_store_that_cannot_be_read_names_the_store(api, fresh_lab, azurite, container, proxy):
    through = official.blobs(azurite.storage(container, proxy.port))
    api.create_backup_policy(policy("Cut", through))
    api.enable_application_backup("Lab", "Cut")
    proxy.cut()
    # By plain requests: the client asks again and again after a 504.
    for path in ("/Applications/Lab", "/Services/Lab~Ranges", f"/Partitions/{LOW.id}"):
        answer = fresh_lab.api.get(f"{path}/$/GetBackups")
        assert (answer.status, answer.json()["Error"]["Code"]) == (504, "FABRIC_E_COMMUNICATION_ERROR")
        assert container in answer.json()["Error"]["Message"]


def test_disabling_with_clean_backup_deletes_what_the_policy_made_and_nothing_else(api, fresh_lab):
    share, other = official.share(fresh_lab.share("cleaned")), official.share(fresh_lab.share("other"))
    api.create_backup_policy(policy("Daily", share))
    api.enable_service_backup("Lab~Ranges", "Daily")
    api.enable_partition_backup(NORTH.id, "Daily")
    for partition, storage in ((LOW, None), (HIGH, None), (LOW, other), (NORTH, None)):
        state.replace(fresh_lab.state(partition), state.make_bulk, 1, 36)
        api.backup_partition(partition.id, backup_storage=storage)
        assert official.backup_ended(api, partition.id).backup_state == "Success"

    def stored(folder):
        return {path.parent.name for path in (fresh_lab.shares / folder).rglob("*") if path.is_file()}

    assert stored("cleaned") == {LOW.id, HIGH.id, NORTH.id}
    api.disable_service_backup("Lab~Ranges", True)
    wait.until("the backups to be gone", lambda: stored("cleaned") == {NORTH.id})
    assert stored("other") == {LOW.id}


# Inventory


def test_what_the_service_hosts_can_be_listed(api):
    [application] = api.get_application_info_list().items
    assert (application.name, application.id) == ("fabric:/Lab", "Lab")
    services = {service.name: service for service in api.get_service_info_list(application.id).items}
    assert set(services) == {partition.service for partition in (SINGLE, LOW, NORTH, STATELESS, VOLATILE)}
    assert isinstance(services[LOW.service], models.StatefulServiceInfo)
    assert isinstance(services[STATELESS.service], models.StatelessServiceInfo)
    assert services[LOW.service].has_persisted_state
    assert not services[VOLATILE.service].has_persisted_state
    every = itertools.chain.from_iterable(api.get_partition_info_list(service.id).items for service in services.values())
    ids = {partition.partition_information.id for partition in every}
    assert ids == {partition.id for partition in (SINGLE, LOW, HIGH, NORTH, SOUTH, STATELESS, VOLATILE)}
    north = api.get_partition_info(NORTH.id).partition_information
    assert (north.service_partition_kind, north.name) == ("Named", "north")


def test_what_the_service_does_not_host_is_not_found(api):
    refusal("FABRIC_E_APPLICATION_NOT_FOUND", api.get_service_info_list, "La")
    refusal("FABRIC_E_SERVICE_DOES_NOT_EXIST", api.get_partition_info_list, "Lab~Range")
    refusal("FABRIC_E_PARTITION_NOT_FOUND", api.get_partition_info, UNKNOWN)
