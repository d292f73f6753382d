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

_ROOTS = os.environ["FB_ROOTS"].split(":")


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
    error = _error(response)
    if isinstance(failure, AcceptedNegativeData):
        document = leniency.Document(operation.schema.raw_schema)
        return "documented leniency" if leniency.is_legal(document, operation.path, sent) else None
    if isinstance(failure, ServerError):
        unbuilt = refusals.not_built(operation.definition.raw["operationId"], sent)
        return "documented as not built" if unbuilt and (response.status_code, error) == (501, "E_NOTIMPL") else None
    if isinstance(failure, RejectedPositiveData) and (response.status_code, error) == (400, "E_INVALIDARG"):
        return refusals.reason(_ROOTS, sent)
    return None


def _bytes(body) -> bytes | None:
    return body.encode() if isinstance(body, str) else body


def _error(response) -> str | None:
    try:
        return json.loads(response.content)["Error"]["Code"]
    except (ValueError, KeyError, TypeError):
        return None
