"""Loaded by schemathesis: drops a failure only if the request proves that a written rule says otherwise.

All checks stay on. What is dropped is written to FB_DROPPED, one line each, with the rule that allows it.
"""

import json
import os

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData, Failure, ServerError
from schemathesis.openapi.checks import RejectedPositiveData

from kit import leniency, refusals
from kit.leniency import Sent

_SHARES = refusals.Shares(os.environ["FB_SHARES"], os.environ["FB_DEFAULT_SHARE"])


@schemathesis.hook
def filter_failure(context, failure: Failure, case, response) -> bool:
    """True keeps the failure."""
    rule = allowed_by(failure, case, response)
    if rule is None:
        return True
    with open(os.environ["FB_DROPPED"], "a", encoding="utf-8") as dropped:
        line = {"operation": case.operation.label, "failure": type(failure).__name__, "rule": rule}
        line |= {"url": response.request.url, "body": (_bytes(response.request.body) or b"").decode(errors="replace")}
        dropped.write(json.dumps(line) + "\n")
    return False


def allowed_by(failure: Failure, case, response) -> str | None:
    """The written rule by which the answer is right; none for all but three kinds of failure."""
    operation, sent = case.operation, Sent(response.request.method, response.request.url, _bytes(response.request.body))
    answer = (response.status_code, _code(response))
    if isinstance(failure, AcceptedNegativeData):
        document = leniency.Document(operation.schema.raw_schema)
        return "documented leniency" if leniency.is_legal(document, operation.path, sent) else None
    if isinstance(failure, ServerError):
        return _server_error(sent, answer)
    return _refusal(sent, answer) if isinstance(failure, RejectedPositiveData) else None


def _server_error(sent: Sent, answer: tuple) -> str | None:
    if answer == (500, "FABRIC_E_RESTORE_SAFE_CHECK_FAILED") and refusals.is_no_backup(_SHARES, sent):
        return "no backup lies at the location"
    return None


def _refusal(sent: Sent, answer: tuple) -> str | None:
    if answer == (400, "FABRIC_E_RESTORE_SOURCE_TARGET_PARTITION_MISMATCH") and refusals.is_another_backup(_SHARES, sent):
        return "another backup lies at the location"
    return refusals.reason(_SHARES, sent) if answer == (400, "E_INVALIDARG") else None


def _bytes(body) -> bytes | None:
    return body.encode() if isinstance(body, str) else body


def _code(response) -> str | None:
    try:
        return json.loads(response.content)["Error"]["Code"]
    except (ValueError, KeyError, TypeError):
        return None
