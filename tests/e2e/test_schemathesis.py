"""Schemathesis reads the served document, makes requests of it in every phase, and holds each answer to every check."""

import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

from kit import tools
from kit.rest import request

SEED = 20181
EXAMPLES = 40


def test_schemathesis_finds_nothing_in_any_operation_with_all_checks(fresh_quickstart, tmp_path):
    report, dropped = tools.ARTIFACTS / "schemathesis.txt", tools.ARTIFACTS / "schemathesis-dropped.jsonl"
    dropped.write_text("")
    shares = (fresh_quickstart.data / "shares").resolve()
    command = [tools.SCHEMATHESIS, "run", f"{fresh_quickstart.address}/openapi.json", "--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"]
    command += ["--mode", "all", "--seed", str(SEED), "--max-examples", str(EXAMPLES), "--generation-database", "none"]
    command += ["--continue-on-failure", "--request-timeout", "60", "--no-color", "--workers", "1"]
    hooks = {"SCHEMATHESIS_HOOKS": "kit.schemathesis_hooks", "FB_DROPPED": str(dropped)}
    hooks |= {"FB_SHARES": str(shares), "FB_DEFAULT_SHARE": str(shares / "quickstart")}
    # In a folder of its own: it keeps a cache where it runs, and a run must not depend on the one before.
    environment = {**os.environ, **hooks, "PYTHONPATH": str(Path(__file__).parent)}
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=1800, check=False)
    report.write_text(ran.stdout + ran.stderr)

    assert ran.returncode == 0, f"{report}:\n{(ran.stdout + ran.stderr)[-8000:]}"
    tested = re.search(r"Operations:\s+40 selected / 40 total", ran.stdout)
    assert tested, ran.stdout[-3000:]
    rules = Counter(json.loads(line)["rule"] for line in dropped.read_text().splitlines())
    print(f"answers that a written rule allows: {dict(rules)}")
    assert rules["no server of credentials is listed"] > 0, "the hook was not loaded"
    assert request(fresh_quickstart.address, "GET", "/healthz").status == 200
