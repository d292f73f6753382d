"""Samples of the HTTP edge over a real socket: what a path, a query, a header and a body may look like."""

import contextlib
import json
import re
import socket
import uuid

import pytest
from kit import rest
from kit.lab import SINGLE, UNKNOWN

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PROGRESS = f"/Partitions/{SINGLE.id}/$/GetBackupProgress"
V = "api-version=6.4"
GOOD_VERSIONS = ["6.4", "6.5", "7.0", "9.1", "11.3", "999", "6.40"]
BAD_VERSIONS = [None, "", "6", "6.3", "6.0", "6.10", "6.2-preview", "6.4-preview", "6.4.1", "abc", "NaN", "inf", "-7", "0x7"]


def get(server, target, **how):
    return rest.request(server.address, "GET", target, **how)


def post(server, target, body=None, **how):
    return rest.request(server.address, "POST", target, body, **how)


def refused(answer, status, code, *words):
    assert (answer.status, answer.code) == (status, code), str(answer)
    for word in words:
        assert word in answer.message, f"{word!r} is not in {answer.message!r}"
    if status == 404:
        assert answer.headers["X-ServiceFabric"] == "ResourceNotFound"


@pytest.mark.parametrize(
    "target",
    [
        f"/Partitions/{SINGLE.id}/$/GetBackupProgress",
        f"/Partitions/{SINGLE.id}/%24/GetBackupProgress",
        f"/partitions/{SINGLE.id}/$/getbackupprogress",
        f"/PARTITIONS/{SINGLE.id}/$/GETBACKUPPROGRESS",
        f"/Partitions/{SINGLE.id}/$/GetBackupProgress/",
        f"/Partitions/{SINGLE.id.upper()}/$/GetBackupProgress",
        f"/Partitions/%7B{SINGLE.id}%7D/$/GetBackupProgress",
        f"/Partitions/%7B{SINGLE.id.upper()}%7D/%24/getBackupProgress/",
    ],
)
def test_these_are_all_the_same_partition_and_operation(lab, target):
    assert get(lab, f"{target}?{V}").status == 200


@pytest.mark.parametrize("names", [("api-version", "timeout"), ("API-VERSION", "TIMEOUT"), ("Api-Version", "Timeout")])
def test_query_names_are_read_in_any_case(lab, names):
    version, timeout = names
    assert get(lab, f"{PROGRESS}?{timeout}=5&{version}=6.4").status == 200
    refused(get(lab, f"{PROGRESS}?{version}=6.4&{timeout}=0"), 400, "E_INVALIDARG", "timeout")


@pytest.mark.parametrize("latest", ["true", "True", "TRUE", "false", "False"])
def test_booleans_are_read_in_any_case(lab, latest):
    assert get(lab, f"/Partitions/{SINGLE.id}/$/GetBackups?{V}&Latest={latest}").status == 200


@pytest.mark.parametrize(("version", "accepted"), [*((one, True) for one in GOOD_VERSIONS), *((one, False) for one in BAD_VERSIONS)])
def test_an_api_version_of_6_4_or_higher_is_accepted(lab, version, accepted):
    answer = get(lab, PROGRESS if version is None else f"{PROGRESS}?api-version={version}")
    if accepted:
        assert answer.status == 200, str(answer)
    else:
        refused(answer, 400, "E_INVALIDARG", "api-version")


@pytest.mark.parametrize("id", ["not-a-guid", "11111111", f"{SINGLE.id}0", f"{SINGLE.id[:-1]}g", "%00", f"%7B{SINGLE.id}"])
def test_a_malformed_guid_is_named(lab, id):
    refused(get(lab, f"/Partitions/{id}/$/GetBackupProgress?{V}"), 400, "E_INVALIDARG")
    refused(post(lab, f"/Partitions/{id}/$/Backup?{V}", {}), 400, "E_INVALIDARG")


@pytest.mark.parametrize("timeout", ["0", "-1", "4294967296", "abc", "1.5", "99999999999999999999"])
def test_a_timeout_out_of_bounds_is_refused(lab, timeout):
    refused(get(lab, f"{PROGRESS}?{V}&timeout={timeout}"), 400, "E_INVALIDARG", "timeout")


@pytest.mark.parametrize("timeout", ["1", "4294967295"])
def test_a_timeout_at_its_bounds_is_accepted(lab, timeout):
    assert get(lab, f"{PROGRESS}?{V}&timeout={timeout}").status == 200


@pytest.mark.parametrize("target", ["/nowhere", "/Partitions", "/Applications/Lab", f"/Partitions/{SINGLE.id}/$/Nothing", "/BackupRestore", "/%", "/..%2f.."])
def test_an_unknown_route_is_a_404_in_the_shape_of_every_error(lab, target):
    answer = get(lab, f"{target}?{V}")
    refused(answer, 404, answer.code)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST", "TRACE"])
def test_a_wrong_method_is_a_405_that_says_which_is_right(lab, method):
    answer = rest.request(lab.address, method, f"{PROGRESS}?{V}")
    refused(answer, 405, answer.code)
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "nonsense"])
def test_a_wrong_media_type_is_a_415(lab, media_type):
    answer = post(lab, f"/Partitions/{SINGLE.id}/$/Backup?{V}", b"{}", headers={"Content-Type": media_type})
    refused(answer, 415, "E_INVALIDARG", "application/json")


@pytest.mark.parametrize("media_type", ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"])
def test_json_may_be_called_by_each_of_its_names(lab, media_type):
    answer = post(lab, f"/Partitions/{UNKNOWN}/$/Backup?{V}", b"{}", headers={"Content-Type": media_type})
    refused(answer, 404, "FABRIC_E_PARTITION_NOT_FOUND", UNKNOWN)


def test_an_empty_body_with_a_media_type_is_no_body(lab):
    """What the official clients send when the optional body is left out."""
    answer = post(lab, f"/Partitions/{UNKNOWN}/$/Backup?{V}", b"", headers={"Content-Type": rest.JSON})
    refused(answer, 404, "FABRIC_E_PARTITION_NOT_FOUND")


def test_a_body_of_four_mebibytes_is_read_and_one_byte_more_is_a_413(lab):
    def sized(size):
        frame = b'{"Stray":""}'
        return frame[:-2] + b"x" * (size - len(frame)) + frame[-2:]

    target = f"/Partitions/{UNKNOWN}/$/Backup?{V}"
    json_type = {"Content-Type": "application/json"}
    refused(post(lab, target, sized(4 << 20), headers=json_type), 404, "FABRIC_E_PARTITION_NOT_FOUND")
    refused(post(lab, target, sized((4 << 20) + 1), headers=json_type), 413, "FABRIC_E_VALUE_TOO_LARGE", "4")


@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b'"text"', b"{} {}", b"\xff\xfe", b'{"BackupStorage": 1}', b'{"BackupStorage": {}}'])
def test_a_body_that_is_no_such_object_is_an_invalid_argument(lab, body):
    answer = post(lab, f"/Partitions/{SINGLE.id}/$/Backup?{V}", body, headers={"Content-Type": "application/json"})
    refused(answer, 400, "E_INVALIDARG")


@pytest.mark.parametrize(
    ("storage", "names"),
    [
        ({"StorageKind": "Bogus"}, ["Bogus", "FileShare"]),
        ({"StorageKind": "FileShare"}, ["Path"]),
        ({"StorageKind": "FileShare", "Path": ""}, ["Path"]),
        ({"StorageKind": "FileShare", "Path": 5}, ["Path"]),
        ({"StorageKind": "AzureBlobStore", "ContainerName": "abc"}, ["ConnectionString"]),
        ({"StorageKind": "AzureBlobStore", "ConnectionString": "UseDevelopmentStorage=true"}, ["ContainerName"]),
    ],
)
def test_a_storage_with_a_fault_names_the_field(lab, storage, names):
    answer = post(lab, f"/Partitions/{SINGLE.id}/$/Backup?{V}", {"BackupStorage": storage})
    refused(answer, 400, "E_INVALIDARG", *names)


def test_stray_properties_and_the_empty_fields_of_other_storage_kinds_are_ignored(lab):
    """As some clients send them, with the discriminator in the middle."""
    storage = {
        "FriendlyName": None,
        "ConnectionString": "",
        "ContainerName": "",
        "PrimaryUserName": "",
        "StorageKind": "FileShare",
        "Path": lab.share("stray")["Path"],
        "SecondaryPassword": "",
        "Stray": {"deep": [1, 2, 3]},
    }
    body = {"Whatever": True, "BackupStorage": storage}
    assert post(lab, f"/Partitions/{SINGLE.id}/$/Backup?{V}", body).status == 202
    assert lab.api.backup_ended(SINGLE.id)["BackupState"] == "Success"


def test_every_answer_has_a_request_id_which_is_the_callers_if_that_is_a_guid(lab):
    mine = str(uuid.uuid4())
    for target in (f"{PROGRESS}?{V}", "/nowhere", "/healthz", "/openapi.json"):
        echoed = get(lab, target, headers={"X-ServiceFabricRequestId": mine})
        assert echoed.headers["X-ServiceFabricRequestId"].lower() == mine
        made = {get(lab, target, headers=sent).headers["X-ServiceFabricRequestId"] for sent in ({}, {"X-ServiceFabricRequestId": "no guid"})}
        assert len(made) == 2, "a new one for each request"
        assert all(GUID.fullmatch(id) for id in made)
        assert echoed.headers["X-Content-Type-Options"] == "nosniff"


def test_health_and_readiness_and_the_document_are_served(lab):
    assert get(lab, "/healthz").status == 200
    assert get(lab, "/readyz").status == 200
    document = get(lab, "/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    operations = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(set(operations)) == 40 == len(operations)


def test_the_root_redirects_to_swagger_ui(lab):
    answer = get(lab, "/")
    assert answer.status in {302, 303, 307, 308}
    assert answer.headers["Location"].endswith("/swagger-ui/")
    assert get(lab, "/swagger-ui/").status == 200


def test_a_policy_name_may_hold_an_escaped_slash(lab):
    answer = get(lab, f"/BackupRestore/BackupPolicies/a%2Fb%20c?{V}")
    assert answer.status in {404, 501}
    assert answer.code in {"FABRIC_E_BACKUP_POLICY_NOT_EXISTING", "E_NOTIMPL"}


@pytest.mark.parametrize("name", ["Lab~deep~Regions", "Lab/deep/Regions", "Lab%2Fdeep%2FRegions"])
def test_a_service_may_be_named_with_tildes_or_with_slashes(lab, name):
    answer = get(lab, f"/Services/{name}/$/GetBackups?{V}")
    assert answer.code in {"FABRIC_E_BACKUP_NOT_ENABLED", "E_NOTIMPL"}, str(answer)


def test_a_request_that_is_no_http_gets_an_answer_or_a_closed_connection_and_the_server_lives(lab):
    host, port = lab.address.removeprefix("http://").split(":")
    for garbage in (b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"/x" * 50_000 + b" HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(garbage)
                connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while connection.recv(65536):
                    pass
    assert get(lab, "/healthz").status == 200


def test_errors_are_json_that_the_official_client_can_read(lab):
    answer = get(lab, f"/Partitions/x/$/GetBackupProgress?{V}")
    assert answer.headers["Content-Type"].split(";")[0] == "application/json"
    assert list(json.loads(answer.body)) == ["Error"]
