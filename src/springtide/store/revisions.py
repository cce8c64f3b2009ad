"""The values that flow through the store: one `Record` a revision, one `Event` a change, and the `Log` seam.

Every write of any object gets the next revision, a number that only grows; it is what the API calls
`resourceVersion`. Used by the store, both logs, and the server, which splices `Record.value` into answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from springtide.store.database import Usage
from springtide.store.durations import Durations
from springtide.store.errors import WriteFailed

FIRST_REVISION = 1
"""The revision of an empty store; the first write gets the next one, so no object ever has version 0 or 1."""


class Record(msgspec.Struct, gc=False):
    """The state of one object at one revision. `value` is the object's JSON, its resourceVersion included.

    `resource` is the collection (`pods`, `kueue.x-k8s.io/workloads`), `key` is `namespace/name` or `name`.
    A deletion is a record too: `deleted` is True and `value` is the object's last state.
    `memo` belongs to the server (labels and selectable fields it derived from `value`); the store ignores it.
    """

    revision: int
    resource: str
    key: str
    value: bytes
    deleted: bool = False
    memo: Any = None


class Event(msgspec.Struct, gc=False, frozen=True):
    """One committed change: what the object is now and what it was before (None: it did not exist)."""

    record: Record
    previous: Record | None

    @property
    def revision(self) -> int:
        return self.record.revision


@dataclass(frozen=True)
class Loaded:
    """What a log holds when it is opened: records in ascending revision, and the revision compacted to."""

    records: Iterable[Record]
    compacted: int


class Log(Protocol):
    """Where revisions are made durable. One writer: `append` is called in revision order.

    After `start`, the log calls `committed(revision)` on the event loop when everything up to `revision` is
    durable, or `failed(error)` when a write could not be made so: then every append not yet reported
    committed is void, and the log accepts appends again after the caller has called `reset`.
    """

    commits: Durations
    """How long commits took."""

    @property
    def usage(self) -> Usage:
        """How big the log is, as of the last commit."""
        ...

    def load(self) -> Loaded: ...

    def start(self, committed: Callable[[int], None], failed: Callable[[WriteFailed], None]) -> None: ...

    def append(self, record: Record) -> None: ...

    def reset(self) -> None: ...

    def compact(self, revision: int, superseded: Sequence[int]) -> None:
        """Forget the records with these revisions; `revision` is the oldest state that can still be read."""

    def close(self) -> None:
        """Make everything appended durable, then release all resources."""
