"""What the service accepts beyond its schemas, and what it refuses within them: the written rules, and nothing else.

Schemathesis holds the service to the letter of the served document. This service is documented to be kinder in some
respects, as the one it is compatible with, and to have rules that no schema can say. The functions here prove for one
request that such a rule applies; they know the rules and the document, never what the server answered.

`made_strict` undoes the documented kindness and nothing more. Whatever is still not valid after that was to be refused.
"""

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from uuid import UUID

import jsonschema_rs

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_WITHOUT_ZONE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")
_NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True)
class Sent:
    """A request as it went over the wire."""

    method: str
    url: str
    body: bytes | None = None


class Document:
    """The served document, asked about one operation at a time."""

    def __init__(self, document: dict):
        self._document = document

    def paths(self) -> list[dict]:
        return list(self._document["paths"].values())

    def operation(self, method: str, path: str) -> dict:
        return self._document["paths"][path][method.lower()]

    def parameters(self, operation: dict) -> list[dict]:
        return [self.resolved(parameter) for parameter in operation.get("parameters", [])]

    def body(self, operation: dict) -> tuple[bool, dict | None]:
        """Whether a body is required, and its schema if the operation takes one."""
        if "requestBody" not in operation:
            return False, None
        body = self.resolved(operation["requestBody"])
        return body.get("required", False), body["content"]["application/json"]["schema"]

    def resolved(self, node: dict) -> dict:
        while "$ref" in node:
            found = self._document
            for key in node["$ref"].removeprefix("#/").split("/"):
                found = found[key]
            node = found
        return node

    def is_valid(self, schema: dict, value: Any) -> bool:
        root = {**schema, "components": self._document["components"]}
        return jsonschema_rs.Draft202012Validator(root, validate_formats=True).is_valid(value)


def is_legal(document: Document, path: str, sent: Sent) -> bool:
    """Whether the request is valid once the documented kindness is undone."""
    operation = document.operation(sent.method, path)
    return (
        _path_is_legal(document, operation, path, sent)
        and _query_is_legal(document, operation, sent)
        and _body_is_legal(document, operation, sent)
    )


def accepts_version(text: str, least: str = "6.4") -> bool:
    """Any decimal number from the operation's own version up."""
    return _NUMBER.fullmatch(text) is not None and float(text) >= float(least)


def is_guid(text: str) -> bool:
    """In any case, with or without braces."""
    return _GUID.fullmatch(text[1:-1] if text[:1] == "{" and text[-1:] == "}" else text) is not None


def _path_is_legal(document: Document, operation: dict, path: str, sent: Sent) -> bool:
    """Fixed segments in any case, `%24` for `$`, a slash at the end or none."""
    names = re.findall(r"{(\w+)}", path)
    pattern = re.sub(r"\\{\w+\\}", "(.+)", re.escape(path))
    raw = urlsplit(sent.url).path.rstrip("/")
    match = re.fullmatch(pattern, raw.replace("%24", "$"), re.IGNORECASE)
    if match is None:
        return False
    given = {name: unquote(value) for name, value in zip(names, match.groups(), strict=True)}
    declared = {parameter["name"]: parameter for parameter in document.parameters(operation) if parameter["in"] == "path"}
    return all(_text_is_legal(document, declared[name]["schema"], value) for name, value in given.items())


def _query_is_legal(document: Document, operation: dict, sent: Sent) -> bool:
    """Names in any case, unknown ones are ignored, an empty one is missing, of two the first counts."""
    given: dict[str, str] = {}
    for name, value in parse_qsl(urlsplit(sent.url).query):
        given.setdefault(name.lower(), value)
    declared = [parameter for parameter in document.parameters(operation) if parameter["in"] == "query"]
    return all(_parameter_is_legal(document, parameter, given.get(parameter["name"].lower())) for parameter in declared)


def _parameter_is_legal(document: Document, parameter: dict, value: str | None) -> bool:
    """A version above the published one is as good as that."""
    if value is None:
        return not parameter.get("required", False)
    if parameter["name"] == "api-version":
        return accepts_version(value, parameter["schema"]["default"])
    return _text_is_legal(document, parameter["schema"], value)


def _text_is_legal(document: Document, schema: dict, text: str) -> bool:
    """A value of a path or a query: booleans in any case, GUIDs in any spelling."""
    kind = schema.get("type")
    if kind == "boolean":
        return text.lower() in {"true", "false"}
    if kind == "integer":
        return re.fullmatch(r"[+-]?\d+", text) is not None and document.is_valid(schema, int(text))
    return document.is_valid(schema, _strict_scalar(schema, text))


def _body_is_legal(document: Document, operation: dict, sent: Sent) -> bool:
    required, schema = document.body(operation)
    if schema is None:
        return True
    if not sent.body:
        return not required
    try:
        value = json.loads(sent.body)
    except ValueError:
        return False
    if value is None:
        return not required
    return document.is_valid(schema, made_strict(document, schema, value))


def made_strict(document: Document, schema: dict, value: Any) -> Any:
    """The value as a careful sender would have written it."""
    schema = _variant(document, document.resolved(schema), value)
    if isinstance(value, list) and "items" in schema:
        return [made_strict(document, schema["items"], item) for item in value]
    if isinstance(value, dict) and "properties" in schema:
        return _strict_properties(document, schema, value)
    return _strict_scalar(schema, value) if isinstance(value, str) else value


def _strict_properties(document: Document, schema: dict, value: dict) -> dict:
    """Unknown properties go, and so do optional ones that are null or an empty text: both mean that they are absent."""
    strict = {}
    for name, known in schema["properties"].items():
        found = _found(value, name)
        if found is None:
            continue
        if name not in schema.get("required", []) and found == "" and _is_scalar(document, known):
            continue
        strict[name] = made_strict(document, known, found)
    return strict


def _found(value: dict, name: str) -> Any:
    """The property of that name as it is written, else in another case."""
    if name in value:
        return value[name]
    return next((inner for key, inner in value.items() if key.lower() == name.lower()), None)


def _strict_scalar(schema: dict, text: str) -> Any:
    """Numbers and booleans may come as text; GUIDs in any spelling; an instant without a zone is in UTC."""
    if schema.get("type") == "integer" and re.fullmatch(r"\s*[+-]?\d+\s*", text):
        return int(text)
    if schema.get("type") == "boolean" and text.strip().lower() in {"true", "false"}:
        return text.strip().lower() == "true"
    if schema.get("format") == "uuid" and is_guid(text):
        return str(UUID(text))
    if schema.get("format") == "date-time" and _WITHOUT_ZONE.fullmatch(text):
        return text + "Z"
    return text


def _is_scalar(document: Document, schema: dict) -> bool:
    return document.resolved(schema).get("type") in {"string", "integer", "number", "boolean"}


def _variant(document: Document, schema: dict, value: Any) -> dict:
    """The alternative of a union that the discriminator names; the union itself if it names none."""
    if "discriminator" not in schema or not isinstance(value, dict):
        return schema
    about = schema["discriminator"]
    kind = _found(value, about["propertyName"])
    chosen = about["mapping"].get(kind) if isinstance(kind, str) else None
    return document.resolved({"$ref": chosen}) if chosen else schema
