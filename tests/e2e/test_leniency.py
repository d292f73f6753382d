"""The rules by which schemathesis is answered: each allows what is written, and refuses what is next to it."""

import json

import pytest
from kit import refusals
from kit.leniency import Document, Sent, accepts_version, is_legal
from kit.rest import request

SHARES = refusals.Shares("/shares", "/shares/default")
PARTITION = "/Partitions/{partitionId}/$/Backup"
POLICIES = "/BackupRestore/BackupPolicies/$/Create"
LOCATION = "/BackupRestore/$/GetBackups"
ID = "1daae3f5-7fd6-42e9-b1ba-8c05f873994d"
SHARE = {"StorageKind": "FileShare", "Path": "/shares/a"}
POLICY = {
    "Name": "p",
    "AutoRestoreOnDataLoss": False,
    "MaxIncrementalBackups": 3,
    "Schedule": {"ScheduleKind": "FrequencyBased", "Interval": "PT10M"},
    "Storage": SHARE,
}


@pytest.fixture(scope="module")
def document(quickstart):
    return Document(request(quickstart.address, "GET", "/openapi.json").json())


def sent(target, body=None):
    return Sent("POST", f"http://h{target}", None if body is None else json.dumps(body).encode())


def backup(query="api-version=6.4", body=None, id=ID, path="/Partitions/{}/$/Backup"):
    return PARTITION, sent(f"{path.format(id)}?{query}", body)


def policy(**changes):
    return POLICIES, sent("/BackupRestore/BackupPolicies/$/Create?api-version=6.4", {**POLICY, **changes})


def location(**changes):
    body = {"Storage": SHARE, "BackupEntity": {"EntityKind": "Application", "ApplicationName": "fabric:/A"}, **changes}
    return LOCATION, sent(f"{LOCATION}?api-version=6.4", body)


LEGAL = {
    "as published": backup(),
    "a higher version": backup("api-version=9.1"),
    "query names in any case": backup("API-Version=6.4&TIMEOUT=5"),
    "an unknown query name": backup("api-version=6.4&stray=1"),
    "a parameter twice, the first one right": backup("api-version=6.4&timeout=5&timeout=0"),
    "an empty parameter": backup("api-version=6.4&timeout="),
    "an escaped dollar": backup(path="/Partitions/{}/%24/Backup"),
    "fixed segments in any case and a slash at the end": backup(path="/partitions/{}/$/bACKUP/"),
    "a GUID in capitals": backup(id=ID.upper()),
    "a GUID in braces": backup(id="%7B" + ID + "%7D"),
    "no body where it is optional": backup(body=None),
    "a null body where it is optional": (PARTITION, Sent("POST", f"http://h/Partitions/{ID}/$/Backup?api-version=6.4", b"null")),
    "a null optional property": backup(body={"BackupStorage": None}),
    "an empty optional text": backup(body={"BackupStorage": {**SHARE, "FriendlyName": "", "PrimaryPassword": ""}}),
    "a null optional text": backup(body={"BackupStorage": {**SHARE, "FriendlyName": None}}),
    "an unknown property": backup(body={"Stray": 1, "BackupStorage": {**SHARE, "ConnectionString": ""}}),
    "an unknown property next to known ones": policy(Stray=[1]),
    "a null optional object": policy(RetentionPolicy=None),
    "an empty optional number": policy(RetentionPolicy={"RetentionPolicyType": "Basic", "RetentionDuration": "P1D", "MinimumNumberOfBackups": ""}),
    "a property whose name is in another case": backup(body={"backupstorage": {"storageKIND": "FileShare", "path": "/shares/a"}}),
    "a number as a text": policy(MaxIncrementalBackups="3"),
    "a boolean as a text": policy(AutoRestoreOnDataLoss="False"),
    "an instant without a zone": location(StartDateTimeFilter="2018-01-01T00:00:00.123"),
}
ILLEGAL = {
    "a lower version": backup("api-version=6.3"),
    "no version": backup("timeout=5"),
    "a version that is no number": backup("api-version=6.4-preview"),
    "a parameter twice, the first one wrong": backup("api-version=6.4&timeout=0&timeout=5"),
    "an empty required parameter": backup("api-version="),
    "a timeout below its bound": backup("api-version=6.4&timeout=0"),
    "a timeout above its bound": backup("api-version=6.4&timeout=4294967296"),
    "a timeout that is no number": backup("api-version=6.4&timeout=abc"),
    "a malformed GUID": backup(id="1234"),
    "half the braces": backup(id="%7B" + ID),
    "another route": backup(path="/Partitions/{}/$/Backups"),
    "a body that is a list": backup(body=[]),
    "a body that is a text": backup(body="x"),
    "a storage that is a number": backup(body={"BackupStorage": 1}),
    "a storage of no kind": backup(body={"BackupStorage": {"Path": "/shares/a"}}),
    "an unknown kind": backup(body={"BackupStorage": {**SHARE, "StorageKind": "Bogus"}}),
    "a kind in another case": backup(body={"BackupStorage": {**SHARE, "StorageKind": "fileshare"}}),
    "an empty required text": backup(body={"BackupStorage": {**SHARE, "Path": ""}}),
    "a null required text": backup(body={"BackupStorage": {**SHARE, "Path": None}}),
    "an optional text that is a number": backup(body={"BackupStorage": {**SHARE, "FriendlyName": 1}}),
    "a number above its bound as a text": policy(MaxIncrementalBackups="256"),
    "an instant without a time": location(StartDateTimeFilter="2018-01-01"),
    "an instant that is none": location(StartDateTimeFilter="tomorrow"),
    "no body where it is required": (POLICIES, sent("/BackupRestore/BackupPolicies/$/Create?api-version=6.4")),
    "a null required property": policy(Storage=None),
    "a number above its bound": policy(MaxIncrementalBackups=256),
    "an empty text where a number belongs": policy(MaxIncrementalBackups=""),
    "an empty text where an optional object belongs": policy(RetentionPolicy=""),
    "a text where a boolean belongs": policy(AutoRestoreOnDataLoss="yes"),
}


@pytest.mark.parametrize("name", LEGAL)
def test_this_is_legal(document, name):
    assert is_legal(document, *LEGAL[name])


@pytest.mark.parametrize("name", ILLEGAL)
def test_this_is_not_legal(document, name):
    assert not is_legal(document, *ILLEGAL[name])


@pytest.mark.parametrize(("name", "legal"), [*((name, True) for name in LEGAL), *((name, False) for name in ILLEGAL)])
def test_the_server_agrees_with_the_rules(quickstart, name, legal):
    """It refuses as malformed what is not legal, and nothing else: what it then does with a legal one is another matter."""
    _, request_sent = {**LEGAL, **ILLEGAL}[name]
    target = request_sent.url.removeprefix("http://h")
    headers = {"Content-Type": "application/json"}
    answer = request(quickstart.address, "POST", target, request_sent.body, headers)
    if legal:
        assert answer.status in {200, 202, 409, 501} or "[file_share] roots" in answer.message, str(answer)
    else:
        assert answer.status in {400, 404}, str(answer)


@pytest.mark.parametrize("text", ["6.4", "6.40", "7", "7.0", "11.3", "999"])
def test_versions_from_6_4_up_are_accepted(text):
    assert accepts_version(text)


def test_each_operation_has_a_least_version_of_its_own():
    assert accepts_version("6.0", "6.0") and not accepts_version("5.9", "6.0")


@pytest.mark.parametrize("text", ["", "6", "6.3", "6.10", "6.4.1", "v7", "NaN", "inf", "-7", "1e3 "])
def test_other_versions_are_not(text):
    assert not accepts_version(text)


def storage(**fields):
    return sent(f"{LOCATION}?api-version=6.4", {"Storage": fields})


def entity(**fields):
    return sent(f"{LOCATION}?api-version=6.4", {"BackupEntity": fields})


def test_a_refusal_within_the_schema_needs_a_rule_that_the_request_breaks():
    def why(request_sent):
        return refusals.reason(SHARES, request_sent)

    key = "AccountName=a;AccountKey=c2VjcmV0"
    assert why(storage(StorageKind="FileShare", Path="/shares/x")) is None
    assert why(storage(StorageKind="AzureBlobStore", ConnectionString=key, ContainerName="abc")) is None
    assert why(sent("/x?api-version=6.4", {"BackupLocation": "a\\b\\c\\2018-01-01 09.00.55.zip"})) is None
    assert why(sent("/x?api-version=6.4")) is None

    assert "root" in why(storage(StorageKind="FileShare", Path="/shares/../etc"))
    assert "root" in why(storage(StorageKind="FileShare", Path="/sharesx"))
    assert "root" in why(storage(StorageKind="FileShare", Path="x"))
    assert "connection string" in why(storage(StorageKind="AzureBlobStore", ConnectionString="x", ContainerName="abc"))
    assert "container" in why(storage(StorageKind="AzureBlobStore", ConnectionString=key, ContainerName="Abc"))
    assert "placeholder" in why(storage(StorageKind="ManagedIdentityAzureBlobStore", ManagedIdentityType="Invalid"))
    assert "name" in why(entity(EntityKind="Application", ApplicationName="CalcApp"))
    assert "name" in why(entity(EntityKind="Service"))
    assert "name" in why(entity(EntityKind="Partition", ServiceName="fabric:/A/S"))
    assert why(entity(EntityKind="Partition", ServiceName="fabric:/A/S", PartitionId=ID)) is None
    assert "location" in why(sent("/x?api-version=6.4", {"BackupLocation": "x"}))
    assert "token" in why(sent("/x?api-version=6.4&ContinuationToken=x"))


def test_what_lies_at_a_location_is_looked_up_in_the_store(quickstart):
    shares = refusals.Shares(str(quickstart.data / "shares"), str(quickstart.data / "shares/quickstart"))
    if quickstart.api.backup_progress(ID) is not None:
        quickstart.api.backup_ended(ID)  # An earlier test asked for one.
    backup = quickstart.api.backup_now(ID)

    def restore(**changes):
        given = {"BackupId": backup["BackupId"], "BackupLocation": backup["BackupLocation"], **changes}
        return sent("/Partitions/p/$/Restore?api-version=6.4", given)

    elsewhere = {"StorageKind": "FileShare", "Path": str(quickstart.data / "shares/elsewhere")}
    assert not refusals.is_no_backup(shares, restore())
    assert not refusals.is_another_backup(shares, restore())
    assert not refusals.is_another_backup(shares, restore(BackupId=backup["BackupId"].upper()))
    assert refusals.is_another_backup(shares, restore(BackupId=ID))
    assert refusals.is_no_backup(shares, restore(BackupLocation=backup["BackupLocation"].replace(".zip", "x.zip")))
    assert refusals.is_no_backup(shares, restore(BackupStorage=elsewhere))
    assert not refusals.is_no_backup(shares, sent("/x?api-version=6.4"))
