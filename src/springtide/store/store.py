"""The embedded store: every object's current state, its recent history, and its watchers.

All calls happen on one event loop. A write is checked against the *pending* state (everything accepted,
committed or not), gets its revision and goes to the log; readers and watchers see it once the log says it is
durable, in revision order. When the log cannot write, every pending write fails with `WriteFailed`, the
pending state falls back to the committed one, and reads go on. Used by the server alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from springtide.store.collection import Collection
from springtide.store.database import Usage
from springtide.store.durations import Durations
from springtide.store.errors import (
    Compacted,
    FutureRevision,
    ObjectTooLarge,
    RevisionConflict,
    SpaceExceeded,
    WriteFailed,
)
from springtide.store.revisions import FIRST_REVISION, Event, Loaded, Log, Record
from springtide.store.watch import Watcher


@dataclass(frozen=True, slots=True)
class History:
    """How much past is kept for watches that resume and lists that continue; the first limit met counts."""

    seconds: float = 300.0
    revisions: int = 50_000
    superseded_bytes: int = 32 * 1024 * 1024
    watcher_events: int = 100_000
    """Events one watcher may leave waiting before it is cut off."""
    watcher_bytes: int = 128 * 1024 * 1024
    """The same, in bytes of their objects; watchers that are late hold the same ones."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused for its size. Both defaults are etcd's."""

    database_bytes: int = 2 * 1024 * 1024 * 1024
    """Bytes in use from which on only deleting is accepted; 0: no limit."""
    object_bytes: int = 1536 * 1024
    """Bytes of one object as JSON."""


@dataclass(frozen=True, slots=True)
class Page:
    """Records of one list answer, all as of `revision`; `remaining` more follow the last one."""

    records: list[Record]
    revision: int
    remaining: int


@dataclass(frozen=True, slots=True)
class _Past:
    revision: int
    committed_at: float
    superseded_bytes: int


class Store:
    """Opens what `log` holds. `monotonic` gives seconds, for the age of history. Needs a running loop."""

    def __init__(
        self,
        log: Log,
        *,
        monotonic: Callable[[], float],
        history: History | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._log = log
        self._monotonic = monotonic
        self._history = history or History()
        self.limits = limits or Limits()
        self._collections: dict[str, Collection] = {}
        self._pending: deque[tuple[Record, asyncio.Future[Record]]] = deque()
        self._pending_by_key: dict[tuple[str, str], Record] = {}
        self._past: deque[_Past] = deque()
        self._past_bytes = 0
        self._closed = False
        self.failure: WriteFailed | None = None
        """Why the last commit failed; None once one has succeeded."""
        self._compacted = self._committed = FIRST_REVISION
        superfluous = self._load(log.load())
        self._next = self._committed + 1
        log.start(self._on_committed, self._on_failed)
        if superfluous:
            log.compact(self._compacted, superfluous)

    @property
    def revision(self) -> int:
        """The newest committed revision."""
        return self._committed

    @property
    def compacted(self) -> int:
        """States older than this revision can no longer be read, nor watches resumed from before it."""
        return self._compacted

    @property
    def next_revision(self) -> int:
        """The revision the next `write` gets, so that its value can contain it."""
        return self._next

    @property
    def watchers(self) -> int:
        """How many watches are open."""
        return sum(len(collection.watchers) for collection in self._collections.values())

    @property
    def usage(self) -> Usage:
        """How big the database is."""
        return self._log.usage

    @property
    def commits(self) -> Durations:
        """How long commits took."""
        return self._log.commits

    @property
    def full(self) -> bool:
        """Whether the database is at its limit, so that only deleting is accepted."""
        limit = self.limits.database_bytes
        return bool(limit) and self._log.usage.in_use > limit

    @property
    def pending(self) -> int:
        """How many writes wait for their commit."""
        return len(self._pending)

    def watchers_of(self, resource: str) -> int:
        """How many watches of a resource are open."""
        found = self._collections.get(resource)
        return len(found.watchers) if found is not None else 0

    def resources(self) -> list[str]:
        """Collections that hold, held or are about to hold something."""
        return sorted({*self._collections, *(resource for resource, _ in self._pending_by_key)})

    def count(self, resource: str) -> int:
        return len(self._collection(resource).records)

    def revision_of(self, resource: str) -> int:
        """The revision of the newest committed change of any object of a resource; 0 if there was none."""
        found = self._collections.get(resource)
        return found.revision if found is not None else 0

    def get(self, resource: str, key: str) -> Record | None:
        """The committed state of an object."""
        found = self._collections.get(resource)
        return found.records.get(key) if found is not None else None

    def latest(self, resource: str, key: str) -> Record | None:
        """The state a write must build on: the newest accepted one, committed or not."""
        pending = self._pending_by_key.get((resource, key))
        if pending is not None:
            return None if pending.deleted else pending
        return self.get(resource, key)

    def accepted(self, resource: str, prefix: str = "") -> list[Record]:
        """The states writes must build on: committed records, and those accepted since. In no order."""
        found = {record.key: record for record in self.page(resource, prefix).records}
        for (of, key), record in self._pending_by_key.items():
            if of == resource and key.startswith(prefix):
                found[key] = record
        return [record for record in found.values() if not record.deleted]

    def write(
        self,
        resource: str,
        key: str,
        value: bytes,
        *,
        expected: int,
        deleted: bool = False,
        frees: bool = False,
        memo: Any = None,
    ) -> asyncio.Future[Record]:
        """Accept the next revision of an object; the future resolves once it is durable.

        `expected` is the revision of `latest`, 0 if there must be none; raises `RevisionConflict` otherwise.
        `frees` says that this is a step towards deleting the object. What neither deletes nor frees may be
        refused for its size: raises `ObjectTooLarge` or `SpaceExceeded`. The future raises `WriteFailed` when
        the log could not write.
        """
        latest = self.latest(resource, key)
        found = latest.revision if latest is not None else 0
        if found != expected:
            raise RevisionConflict(resource, key, expected, found)
        if not deleted and not frees:
            self._check_size(resource, key, value)
        record = Record(self._next, resource, key, value, deleted, memo)
        future: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        if self._closed:
            future.set_exception(
                WriteFailed("the store is closed", "the server is shutting down; try again later")
            )
            return future
        self._next += 1
        self._pending.append((record, future))
        self._pending_by_key[(resource, key)] = record
        self._log.append(record)
        return future

    async def settle(self) -> None:
        """Return once everything accepted so far is committed; raises `WriteFailed` if it could not be."""
        if self._pending:
            await asyncio.shield(self._pending[-1][1])

    def page(
        self, resource: str, prefix: str = "", *, after: str = "", limit: int = 0, revision: int | None = None
    ) -> Page:
        """Committed records in key order, now or as of `revision`. Raises `Compacted` or `FutureRevision`."""
        if revision is not None and revision != self._committed:
            self._check_readable(revision)
        else:
            revision = None
        records, remaining = self._collection(resource).page(prefix, after, limit, revision)
        return Page(records, self._committed if revision is None else revision, remaining)

    def watch(self, resource: str, prefix: str = "", *, after: int) -> Watcher:
        """Every event of the resource above revision `after`. Raises `Compacted` or `FutureRevision`."""
        self._check_readable(after)
        collection = self._collection(resource)
        backlog = collection.events_after(after, prefix)
        watcher = Watcher(
            prefix,
            self._history.watcher_events,
            self._history.watcher_bytes,
            backlog,
            lambda gone: collection.watchers.pop(gone, None),
        )
        collection.watchers[watcher] = None
        return watcher

    def compact(self, revision: int | None = None) -> None:
        """Forget history beyond the limits, or up to `revision` (at most the newest)."""
        target = self._beyond_limits() if revision is None else revision
        target = min(target, self._committed)
        if target <= self._compacted:
            return
        self._compacted = target
        while self._past and self._past[0].revision <= target:
            self._past_bytes -= self._past.popleft().superseded_bytes
        superseded: list[int] = []
        for collection in self._collections.values():
            superseded += collection.trim(target)
        self._log.compact(target, superseded)

    async def close(self) -> None:
        """Make pending writes durable, end all watches and release the log."""
        self._closed = True
        if self._pending:
            await asyncio.wait([future for _, future in self._pending])
        for collection in self._collections.values():
            for watcher in tuple(collection.watchers):
                watcher.close()
        self._log.close()

    def _collection(self, resource: str) -> Collection:
        found = self._collections.get(resource)
        if found is None:
            found = self._collections[resource] = Collection()
        return found

    def _check_size(self, resource: str, key: str, value: bytes) -> None:
        if len(value) > self.limits.object_bytes:
            raise ObjectTooLarge(resource, key, len(value), self.limits.object_bytes)
        if self.full:
            self.compact(self._committed)  # history is the first thing to go; it is deleted soon after
            raise SpaceExceeded(self._log.usage.in_use, self.limits.database_bytes)

    def _load(self, loaded: Loaded) -> list[int]:
        """Take what the log holds; returns revisions that it need not hold any more."""
        self._compacted = self._committed = max(FIRST_REVISION, loaded.compacted)
        superfluous: list[int] = []
        for record in loaded.records:
            if record.revision <= self._compacted:
                superfluous += self._collection(record.resource).restore(record)
                continue
            if not self._past:
                self._restored()
            self._take(record)
        if not self._past:
            self._restored()
        return superfluous

    def _restored(self) -> None:
        for collection in self._collections.values():
            collection.restored()

    def _check_readable(self, revision: int) -> None:
        if revision < self._compacted:
            raise Compacted(revision, self._compacted)
        if revision > self._committed:
            raise FutureRevision(revision, self._committed)

    def _take(self, record: Record) -> Event:
        event = self._collection(record.resource).apply(record)
        self._committed = record.revision
        superseded = len(event.previous.value) if event.previous is not None else 0
        self._past.append(_Past(record.revision, self._monotonic(), superseded))
        self._past_bytes += superseded
        return event

    def _on_committed(self, revision: int) -> None:
        self.failure = None
        while self._pending and self._pending[0][0].revision <= revision:
            record, future = self._pending.popleft()
            if self._pending_by_key.get((record.resource, record.key)) is record:
                del self._pending_by_key[(record.resource, record.key)]
            self._take(record)
            if not future.done():
                future.set_result(record)
        if self._past and self._over_limits():
            self.compact()

    def _on_failed(self, error: WriteFailed) -> None:
        self.failure = error
        failed, self._pending = self._pending, deque()
        self._pending_by_key.clear()
        self._next = self._committed + 1
        self._log.reset()
        for _, future in failed:
            if not future.done():
                future.set_exception(error)
                future.exception()  # a writer that was cancelled meanwhile leaves nobody to retrieve it

    def _over_limits(self) -> bool:
        limits = self._history
        return (
            len(self._past) > limits.revisions * 5 // 4
            or self._past_bytes > limits.superseded_bytes * 5 // 4
            or self._monotonic() - self._past[0].committed_at > limits.seconds * 5 / 4
        )

    def _beyond_limits(self) -> int:
        """The newest revision that any limit excludes."""
        limits = self._history
        oldest = self._monotonic() - limits.seconds
        excess = len(self._past) - limits.revisions
        excess_bytes = self._past_bytes - limits.superseded_bytes
        target = self._compacted
        for index, past in enumerate(self._past):
            if index >= excess and excess_bytes <= 0 and past.committed_at >= oldest:
                break
            target = past.revision
            excess_bytes -= past.superseded_bytes
        return target
