"""The values every verb works with: who asks for what, and what is answered. No transport, no ASGI here.

Made by `asgi` (HTTPS) and `inprocess` (same process); consumed by `Server.handle`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class User:
    """Who sent a request, as authentication established it."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


ADMIN = User("system:admin", ("system:masters", "system:authenticated"))
"""The platform's own components, which share the server's process."""


@dataclass(frozen=True, slots=True)
class Request:
    """One API request. `path` is percent-decoded, header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    user: User = ADMIN

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


Answer = Response | Stream
