"""Clients that public generators make from the served document: each protects a partition and brings it back."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kit import quickstart, state, tools
from kit.rest import request

CLIENTS = Path(__file__).parent / "clients"


def run(command, **more):
    ran = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, check=False, **more)
    assert ran.returncode == 0, f"{command}:\n{ran.stdout}{ran.stderr}"
    return ran.stdout


@pytest.fixture
def document(fresh_quickstart, tmp_path):
    """The document as anybody can fetch it."""
    served = tmp_path / "openapi.json"
    served.write_text(json.dumps(request(fresh_quickstart.address, "GET", "/openapi.json").json()))
    return served


def typescript(document, work):
    """A folder with the generated types and our program, compiled; `tsc` fails on any type that does not fit."""
    folder = work / "typescript"
    shutil.copytree(CLIENTS / "typescript", folder)
    (folder / "node_modules").symlink_to(tools.TYPESCRIPT)
    run([tools.TYPESCRIPT / ".bin/openapi-typescript", document, "-o", folder / "fabric-backup.ts"])
    run([tools.TYPESCRIPT / ".bin/tsc", "--project", folder])
    return ["node", folder / "client.js"], {}


def python(document, work):
    """The generated package and our program."""
    command = [tools.PYTHON_GENERATOR, "generate", "--path", document, "--output-path", work / "fabric_backup", "--meta", "none"]
    # It formats what it made with the ruff beside it.
    made = run(command, env={**os.environ, "PATH": f"{tools.PYTHON_GENERATOR.parent}:{os.environ['PATH']}"})
    assert "some pieces may be missing" not in made, made
    return [sys.executable, CLIENTS / "python/client.py"], {"PYTHONPATH": str(work)}


@pytest.mark.parametrize("generate", [typescript, python])
def test_a_generated_client_makes_a_policy_enables_it_backs_up_follows_lists_and_restores(
    generate, fresh_quickstart, document, tmp_path
):
    root = quickstart.state(fresh_quickstart)
    before = state.picture(root)
    share = fresh_quickstart.data / "shares/generated"
    command, environment = generate(document, tmp_path)
    seen = json.loads(run([*command, fresh_quickstart.address, quickstart.ID, share], env={**os.environ, **environment}))

    assert seen["policy"]["Storage"] == {"StorageKind": "FileShare", "Path": str(share)}
    assert seen["interval"] == "PT12H"
    assert seen["inForce"]["PolicyName"] == seen["policy"]["Name"]
    assert seen["inForce"]["PolicyInheritedFrom"] == "Partition"
    assert seen["backup"]["BackupState"] == "Success", seen
    assert seen["listed"] == [seen["backup"]["BackupId"]]
    assert seen["restore"]["RestoreState"] == "Success", seen
    assert seen["refused"] == {"status": 409, "code": "FABRIC_E_BACKUP_POLICY_ALREADY_EXISTING"}
    assert state.differences(before, state.picture(root)) == []
    assert list(share.rglob("*.bkmetadata")), "the backup lies where the policy says"
