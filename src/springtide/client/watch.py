"""Watch streams without sockets: chunks become lines, lines become events, errors become exceptions.

`LineSplitter` and `EventReader` are plain state machines fed by hand; `collection.watch` feeds them from
a transport. Bookmarks carry only a resourceVersion; an ERROR event ends the watch with its ApiError
(410 is `Gone`: list again).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from springtide.api.meta import Status
from springtide.api.struct import decode
from springtide.client.errors import ServerError, error_of
from springtide.client.forms import Form, name_of

T = TypeVar("T")

ADDED, MODIFIED, DELETED, BOOKMARK, ERROR = "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"
_TYPES = frozenset((ADDED, MODIFIED, DELETED))


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """One change. `type` is ADDED, MODIFIED or DELETED."""

    type: str
    object: T


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Nothing changed up to this version. Its object is bare, so it is none of the watched kind."""

    resource_version: str


class LineSplitter:
    """Joins chunks of any size and yields whole lines, without their line end; blank lines are dropped."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that `chunk` completes."""
        if b"\n" not in chunk:
            self._parts.append(chunk)
            return
        first, *lines = chunk.split(b"\n")
        self._parts.append(first)
        lines.insert(0, b"".join(self._parts))
        self._parts = [last] if (last := lines.pop()) else []
        for line in lines:
            if line := line.strip(b"\r"):
                yield line

    def rest(self) -> bytes:
        """What came after the last line end: a line cut off by a lost connection."""
        return b"".join(self._parts)


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Versioned(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""


class _Bare(msgspec.Struct, frozen=True):
    metadata: _Versioned = _Versioned()


_event_decoder = msgspec.json.Decoder(_Event)
_bare_decoder = msgspec.json.Decoder(_Bare)


class EventReader(Generic[T]):
    """Turns the bytes of one watch into events and remembers from where the next watch may resume."""

    def __init__(self, form: Form[T], resource_version: str) -> None:
        self._form = form
        self._lines = LineSplitter()
        self.resource_version = resource_version
        """The newest version seen, bookmarks included: resuming from here misses nothing."""

    def feed(self, chunk: bytes) -> Iterator[WatchEvent[T] | Bookmark]:
        """The events `chunk` completes. Raises the ApiError of an ERROR event, ServerError for nonsense."""
        for line in self._lines.feed(chunk):
            event = self._read(line)
            if event is not None:
                self.resource_version = self._version(event) or self.resource_version
                yield event

    def _version(self, event: WatchEvent[T] | Bookmark) -> str:
        if isinstance(event, Bookmark):
            return event.resource_version
        return self._form.version(event.object)

    def _read(self, line: bytes) -> WatchEvent[T] | Bookmark | None:
        try:
            raw = _event_decoder.decode(line)
            if raw.type in _TYPES:
                return self._typed(raw)
            if raw.type == BOOKMARK:
                return Bookmark(_bare_decoder.decode(raw.object).metadata.resource_version)
            if raw.type == ERROR:
                raise error_of(decode(Status, bytes(raw.object)))
        except msgspec.DecodeError as error:
            kind = self._form.resource.kind
            raise ServerError(f"watch of {kind}: an event cannot be read: {error}") from error
        raise ServerError(f"watch of {self._form.resource.kind}: unknown event type {raw.type!r}")

    def _typed(self, raw: _Event) -> WatchEvent[T] | None:
        try:
            return WatchEvent(raw.type, self._form.decode(bytes(raw.object)))
        except msgspec.ValidationError as error:
            if self._form.unreadable is None:
                raise
            self._form.unreadable(f"{name_of(raw.object)}: {error}")
            return None
