"""The five request examples of the published page, and what each of them answers here today."""

import pytest
from kit import quickstart as hosted
from kit import state
from kit.lab import SINGLE
from kit.rest import request


@pytest.fixture(scope="module")
def examples(quickstart):
    """By storage kind, as the served document has them; "" is the one without a storage."""
    document = request(quickstart.address, "GET", "/openapi.json").json()
    operation = document["paths"]["/Partitions/{partitionId}/$/Backup"]["post"]
    bodies = [example["value"] for example in operation["requestBody"]["content"]["application/json"]["examples"].values()]
    return {body.get("BackupStorage", {}).get("StorageKind", ""): body for body in bodies}


def send(server, partition, body):
    return server.api.post(f"/Partitions/{partition}/$/Backup", body)


def test_the_document_has_all_five_and_first_the_one_that_works_as_it_stands(examples):
    assert next(iter(examples)) == "", list(examples)
    assert examples == {
        "": {},
        "AzureBlobStore": {
            "BackupStorage": {
                "StorageKind": "AzureBlobStore",
                "ConnectionString": "DefaultEndpointsProtocol=https;AccountName=storagesample;AccountKey=<PutYourAccountKeyHere>",
                "ContainerName": "BackupContainer",
            }
        },
        "ManagedIdentityAzureBlobStore": {
            "BackupStorage": {
                "StorageKind": "ManagedIdentityAzureBlobStore",
                "BlobServiceUri": "https://managedidentitytest.blob.core.windows.net/",
                "ContainerName": "BackupContainer",
                "ManagedIdentityType": "Cluster",
            }
        },
        "FileShare": {
            "BackupStorage": {
                "StorageKind": "FileShare",
                "Path": "\\\\myshare\\backupshare",
                "PrimaryUserName": "mydomain\\backupaccount",
                "PrimaryPassword": "abcd1234",
            }
        },
        "DsmsAzureBlobStore": {
            "BackupStorage": {
                "StorageKind": "DsmsAzureBlobStore",
                "StorageCredentialsSourceLocation": (
                    "https://sample-dsms.dsms.core.winows.net/dsms/samplecredentiallocation"
                    "/storageaccounts/samplestorageac/servicefabricbackup/samplebackup"
                ),
                "ContainerName": "BackupContainer",
            }
        },
    }


def test_the_one_without_a_storage_works_as_it_stands(quickstart, examples):
    assert send(quickstart, hosted.ID, examples[""]).status == 202
    assert quickstart.api.backup_ended(hosted.ID)["BackupState"] == "Success"


def test_the_file_share_one_names_the_table_of_mounts_where_the_share_is_not_mounted(quickstart, examples):
    answer = send(quickstart, hosted.ID, examples["FileShare"])
    assert (answer.status, answer.code) == (400, "E_INVALIDARG")
    assert "[file_share.mounts]" in answer.message
    assert "\\\\myshare\\backupshare" in answer.message
    assert "abcd1234" not in answer.message


def test_the_file_share_one_works_as_it_stands_where_the_share_is_mounted(lab, examples):
    state.replace(lab.state(SINGLE), state.make_varied)
    assert send(lab, SINGLE.id, examples["FileShare"]).status == 202
    done = lab.api.backup_ended(SINGLE.id)
    assert done["BackupState"] == "Success", done
    kept = {path.name for path in (lab.mounted / SINGLE.folder).iterdir()}
    name = done["BackupLocation"].rsplit("\\", 1)[1]
    assert kept == {name, name.replace(".zip", ".bkmetadata")}


def test_the_azure_one_says_what_is_to_be_put_in_its_place(quickstart, examples):
    answer = send(quickstart, hosted.ID, examples["AzureBlobStore"])
    assert (answer.status, answer.code) == (400, "E_INVALIDARG")
    assert any(word in answer.message for word in ("AccountKey", "ContainerName")), answer.message
    assert "<PutYourAccountKeyHere>" not in answer.message, "a key is a secret, whatever it looks like"


def test_the_managed_identity_one_says_which_container_would_be_valid(quickstart, examples):
    answer = send(quickstart, hosted.ID, examples["ManagedIdentityAzureBlobStore"])
    assert (answer.status, answer.code) == (400, "E_INVALIDARG")
    assert "'backupcontainer' would be valid" in answer.message


def test_the_dsms_one_names_the_setting_that_lists_servers(quickstart, examples):
    answer = send(quickstart, hosted.ID, examples["DsmsAzureBlobStore"])
    assert (answer.status, answer.code) == (400, "E_INVALIDARG")
    assert "[storage.dsms] allow" in answer.message
