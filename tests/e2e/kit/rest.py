"""One HTTP request over a real socket, with nothing added, escaped or retried."""

import contextlib
import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

JSON = "application/json; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        assert self.headers.get_content_type() == "application/json", (self.status, self.headers.items(), self.body)
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error; fails on anything that is not a FabricError."""
        error = self.json()["Error"]
        assert set(error) == {"Code", "Message"}, error
        assert isinstance(error["Message"], str), error
        assert error["Message"], error
        return error["Code"]

    @property
    def message(self) -> str:
        assert self.code
        return self.json()["Error"]["Message"]

    def __str__(self) -> str:
        return f"{self.status} {self.body[:2000].decode(errors='replace')}"


def request(
    base: str,
    method: str,
    target: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    seconds: float = 90,
) -> Answer:
    """Sends `target` as it is. A body that is not bytes goes as JSON; `None` is no body."""
    url = urlsplit(base)
    sent = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        sent.setdefault("Content-Type", JSON)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=seconds)
    try:
        # A server that refuses a body may close before it has read all of it; its answer is there all the same.
        with contextlib.suppress(BrokenPipeError):
            connection.request(method, target, body=body, headers=sent)
        reply = connection.getresponse()
        return Answer(reply.status, reply.headers, reply.read())
    finally:
        connection.close()
