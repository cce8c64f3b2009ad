"""Plain HTTPS requests on one kept connection: no client library that smooths anything over.

Called by `play`. A watch is read line by line and closed when enough events have come.
"""

from __future__ import annotations

import gzip
import http.client
import json
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tests.conformance.case import JSON, MERGE

_PATIENCE_SECONDS = 15.0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def header(self, name: str) -> str:
        """All values of a header, joined; empty if it is not there."""
        return ", ".join(value for key, value in self.headers if key.lower() == name.lower())


class Wire:
    """A connection to one server."""

    def __init__(self, url: str, ca_file: str) -> None:
        self._address = urlsplit(url)
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._kept: http.client.HTTPSConnection | None = None

    def ask(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        headers: dict[str, str],
        body: Any,
        *,
        events: int | None = None,
    ) -> Answer:
        """Send one request. `events`: read a stream until so many have come, or its end."""
        data, sent = _encoded(method, body), {"Accept": JSON, "User-Agent": "conformance/1.0", **headers}
        if data is not None:
            sent.setdefault("Content-Type", MERGE if method == "PATCH" else JSON)
        target = quote(path, safe="/:%") + (f"?{urlencode(query)}" if query else "")
        if events is not None:
            return self._stream(method, target, sent, data, events)
        for attempt in (1, 2):  # a kept connection may have been closed meanwhile
            connection = self._connection()
            try:
                connection.request(method, target, body=data, headers=sent)
                return _read(connection.getresponse())
            except (http.client.HTTPException, OSError) as error:
                self.close()
                if attempt == 2 or not isinstance(error, ConnectionError):
                    raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _connection(self) -> http.client.HTTPSConnection:
        if self._kept is None:
            self._kept = self._open()
        return self._kept

    def _open(self) -> http.client.HTTPSConnection:
        host, port = self._address.hostname or "", self._address.port
        return http.client.HTTPSConnection(host, port, timeout=_PATIENCE_SECONDS, context=self._tls)

    def _stream(
        self, method: str, target: str, headers: dict[str, str], data: bytes | None, events: int
    ) -> Answer:
        connection = self._open()
        try:
            connection.request(method, target, body=data, headers=headers)
            response = connection.getresponse()
            if response.status != 200:
                return _read(response)
            seen: list[dict[str, Any]] = []
            while (not events or len(seen) < events) and (line := response.readline()):
                seen.append(json.loads(line))
            response.close()
            return Answer(response.status, response.getheaders(), events=seen)
        finally:
            connection.close()


def _encoded(method: str, body: Any) -> bytes | None:
    if body is None:
        return None
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _read(response: http.client.HTTPResponse) -> Answer:
    body = response.read()
    if response.getheader("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    return Answer(response.status, response.getheaders(), body)
