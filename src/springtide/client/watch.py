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
from springtide.client.forms import Form

T = TypeVar("T")

ADDED, MODIFIED, DELETED, BOOKMARK, ERROR = "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"
_TYPES = frozenset((ADDED, MODIFIED, DELETED, BOOKMARK))


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """One change. `type` is ADDED, MODIFIED, DELETED or BOOKMARK (with only a version in its object)."""

    type: str
    object: T


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


_event_decoder = msgspec.json.Decoder(_Event)


class EventReader(Generic[T]):
    """Turns the bytes of one watch into events and remembers from where the next watch may resume."""

    def __init__(self, form: Form[T], resource_version: str) -> None:
        self._form = form
        self._lines = LineSplitter()
        self.resource_version = resource_version
        """The newest version seen, bookmarks included: resuming from here misses nothing."""

    def feed(self, chunk: bytes) -> Iterator[WatchEvent[T]]:
        """The events `chunk` completes. Raises the ApiError of an ERROR event, ServerError for nonsense."""
        for line in self._lines.feed(chunk):
            event = self._read(line)
            self.resource_version = self._form.version(event.object) or self.resource_version
            yield event

    def _read(self, line: bytes) -> WatchEvent[T]:
        try:
            raw = _event_decoder.decode(line)
            if raw.type in _TYPES:
                return WatchEvent(raw.type, self._form.decode(bytes(raw.object)))
            if raw.type == ERROR:
                raise error_of(decode(Status, bytes(raw.object)))
        except msgspec.DecodeError as error:
            kind = self._form.resource.kind
            raise ServerError(f"watch of {kind}: an event cannot be read: {error}") from error
        raise ServerError(f"watch of {self._form.resource.kind}: unknown event type {raw.type!r}")
