"""The values an HTTP service works with: who asks for what, and what is answered. No transport, no ASGI here.

Two services are built on them: the API (`server.Server`) and a node's own API (`node.kubelet`), which the
former asks when a request is about a running pod. `server.asgi` carries either over HTTPS.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class User:
    """Who sent a request, as authentication established it."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """What else the authenticator knows, by key."""


ADMIN = User("system:admin", ("system:masters", "system:authenticated"))
"""The platform's own components, which share the server's process."""


class Request(msgspec.Struct, frozen=True):
    """One API request. `path` is percent-decoded, header names are lower case.

    A Struct, because one is made for every request: as a frozen dataclass it would take ten times as long.
    """

    method: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: bytes = b""
    user: User = ADMIN
    raw_query: str = ""
    """The query as it was sent, for parameters that may be repeated (`command` of `pods/exec`)."""
    websocket: bool = False
    """Whether the client asks for a WebSocket: an `Upgrade` may be the answer."""
    subprotocols: tuple[str, ...] = ()
    """What the client would speak over it, best first."""
    remote: str = ""
    """Address of the client; empty within this process."""
    impersonate: tuple[tuple[str, str], ...] = ()
    """The `impersonate-*` headers as they came, each value on its own."""

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", JSON).partition(";")[0].strip().lower()

    @property
    def field_manager(self) -> str:
        """`fieldManager`, else the first word of the user agent up to a slash, as Kubernetes derives it."""
        named = self.query.get("fieldManager")
        if named:
            return named
        return (
            self.headers.get("user-agent", "unknown").partition("/")[0].partition(" ")[0][:128] or "unknown"
        )

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("true", "1")


@dataclass(slots=True)
class Response:
    """A complete answer."""

    status: int
    body: bytes
    content_type: str = JSON
    warnings: tuple[str, ...] = ()
    """Texts of `Warning: 299` headers: what was accepted but has no effect."""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Stream:
    """An answer of unknown length: watches and followed logs. Closing `chunks` ends the work behind it."""

    chunks: AsyncGenerator[bytes, None]
    content_type: str = JSON
    status: int = 200
    warnings: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


REFUSED_BY_NODE = "x-node-refused"
"""Header of an answer that is the node's own refusal and not that of a program it was to ask."""


class Disconnected(Exception):
    """The other end of a WebSocket is gone, or has said goodbye."""


class WebSocket(Protocol):
    """One open WebSocket, seen from the service."""

    async def receive(self) -> bytes | str:
        """The next message. Nothing is read from the client until it is asked for. Raises Disconnected."""
        ...

    async def send(self, message: bytes | str) -> None:
        """Send a message; waits while the client is slower than we are. Raises Disconnected."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye. A connection that is gone already is fine."""
        ...


@dataclass(slots=True)
class Upgrade:
    """The connection becomes a WebSocket; it is closed when `serve` returns, and cancelled when we stop."""

    serve: Callable[[WebSocket], Awaitable[None]]
    subprotocol: str = ""
    """Which of the client's subprotocols is spoken; empty: none was agreed on."""
    warnings: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


Answer = Response | Stream | Upgrade


class Service(Protocol):
    """Answers requests; what a transport carries."""

    async def handle(self, request: Request) -> Answer:
        """Answer one authenticated request. Never raises but for cancellation."""
        ...
