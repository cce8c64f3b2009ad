"""The seam between the client and whatever carries its requests.

`http.HttpTransport` speaks to real and embedded servers over HTTPS; the server room has one that calls
it in the same process; tests script their own. Nothing above this file knows which it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, before any transport touched it. `path` is not percent-encoded."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw_query: str = ""
    """The query as somebody else sent it, to be passed on unchanged; takes the place of `query`."""


@dataclass(frozen=True, slots=True)
class Response:
    """One complete answer of any status. Header names are lower case; equal headers are joined by ", "."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Transport(Protocol):
    """Carries requests. Raises `Unreachable` when there is no answer; never interprets a status in `send`."""

    async def send(self, request: Request) -> Response:
        """The whole answer, whatever its status."""
        ...

    def stream(self, request: Request) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Chunks as they arrive (watch, logs). A non-2xx answer raises its ApiError on entry."""
        ...

    async def close(self) -> None:
        """Give back connections; the transport is not used afterwards."""
        ...
