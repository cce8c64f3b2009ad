"""Defects to plant into the store and the server, each of which the checkers must find.

A checker that finds nothing proves something only if it would have found something. Each entry patches one
function for as long as the context lasts. Called by `histories --planted`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from springtide.server import metadata, watch
from springtide.store import Event, Page, Record, Store, Watcher
from springtide.store.collection import Collection

Plant = Callable[[], AbstractContextManager[Any]]


def _every(count: int) -> Callable[[], bool]:
    """True at every so-manieth call."""
    numbers = itertools.count(1)
    return lambda: next(numbers) % count == 0


@contextmanager
def lost_event() -> Iterator[None]:
    offer, now = Watcher.offer, _every(10)

    def planted(self: Watcher, event: Event) -> None:
        if not now():
            offer(self, event)

    with patch.object(Watcher, "offer", planted):
        yield


@contextmanager
def swapped_events() -> Iterator[None]:
    batch = Watcher.batch

    async def planted(self: Watcher, timeout_seconds: float) -> list[Event]:
        events = await batch(self, timeout_seconds)
        return [events[1], events[0], *events[2:]] if len(events) > 1 else events

    with patch.object(Watcher, "batch", planted):
        yield


@contextmanager
def repeated_event() -> Iterator[None]:
    batch, now = Watcher.batch, _every(10)

    async def planted(self: Watcher, timeout_seconds: float) -> list[Event]:
        events = await batch(self, timeout_seconds)
        return [*events, events[-1]] if events and now() else events

    with patch.object(Watcher, "batch", planted):
        yield


@contextmanager
def stale_list() -> Iterator[None]:
    """A list shows the moment before the last change, and says so: consistent, but old."""
    page, now = Store.page, _every(5)

    def planted(self: Store, resource: str, prefix: str = "", **options: Any) -> Page:
        before = self.revision - 1
        if (
            options.get("revision") is None
            and before >= self.compacted
            and resource == "configmaps"
            and now()
        ):
            options["revision"] = before
        return page(self, resource, prefix, **options)

    with patch.object(Store, "page", planted):
        yield


@contextmanager
def list_with_a_wrong_revision() -> Iterator[None]:
    """A list shows the moment before the last change, but bears the newest revision."""
    page, now = Store.page, _every(5)

    def planted(self: Store, resource: str, prefix: str = "", **options: Any) -> Page:
        before = self.revision - 1
        if (
            options.get("revision") is None
            and before >= self.compacted
            and resource == "configmaps"
            and now()
        ):
            old = page(self, resource, prefix, **{**options, "revision": before})
            return Page(old.records, self.revision, old.remaining)
        return page(self, resource, prefix, **options)

    with patch.object(Store, "page", planted):
        yield


@contextmanager
def pages_of_different_moments() -> Iterator[None]:
    page = Store.page

    def planted(self: Store, resource: str, prefix: str = "", **options: Any) -> Page:
        return page(self, resource, prefix, **{**options, "revision": None})

    with patch.object(Store, "page", planted):
        yield


@contextmanager
def resurrected_object() -> Iterator[None]:
    apply, now = Collection.apply, _every(3)

    def planted(self: Collection, record: Record) -> Event:
        event = apply(self, record)
        if record.deleted and event.previous is not None and now():
            self.records[record.key] = event.previous
            self._keys = sorted(self.records)
        return event

    with patch.object(Collection, "apply", planted):
        yield


@contextmanager
def bookmark_ahead() -> Iterator[None]:
    bookmark = watch._bookmark

    def planted(this: Any, revision: int, **options: Any) -> bytes:
        return bookmark(this, revision if options else revision + 2, **options)

    with patch.object(watch, "_bookmark", planted), patch.object(watch, "BOOKMARK_SECONDS", 0.1):
        yield


@contextmanager
def bookmark_before_its_events() -> Iterator[None]:
    """A bookmark is made when events wait that have not been told."""
    batch, now = Watcher.batch, _every(4)

    async def planted(self: Watcher, timeout_seconds: float) -> list[Event]:
        events = await batch(self, timeout_seconds)
        if events and now():
            await asyncio.sleep(0.2)
            self._events = [*events, *self._events]
            return []
        return events

    with patch.object(Watcher, "batch", planted), patch.object(watch, "BOOKMARK_SECONDS", 0.1):
        yield


@contextmanager
def unchecked_version() -> Iterator[None]:
    with patch.object(metadata, "check_preconditions", lambda *_, **__: None):
        yield


@contextmanager
def dirty_read() -> Iterator[None]:
    get = Store.get

    def planted(self: Store, resource: str, key: str) -> Record | None:
        pending = self._pending_by_key.get((resource, key))
        if pending is None:
            return get(self, resource, key)
        return None if pending.deleted else pending

    with patch.object(Store, "get", planted):
        yield


@contextmanager
def acknowledged_too_early() -> Iterator[None]:
    write, now = Store.write, _every(5)

    def planted(self: Store, *arguments: Any, **options: Any) -> asyncio.Future[Record]:
        future = write(self, *arguments, **options)
        if now() and not future.done():
            early: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
            early.set_result(self._pending[-1][0])
            return early
        return future

    with patch.object(Store, "write", planted):
        yield


@contextmanager
def lost_update() -> Iterator[None]:
    """A writer builds on the committed state, though a newer one is on its way to the disk."""
    with patch.object(Store, "latest", Store.get):
        yield


@contextmanager
def resumed_late() -> Iterator[None]:
    events_after = Collection.events_after

    def planted(self: Collection, revision: int, prefix: str) -> list[Event]:
        return events_after(self, revision, prefix)[1:]

    with patch.object(Collection, "events_after", planted):
        yield


@contextmanager
def resumed_early() -> Iterator[None]:
    events_after = Collection.events_after

    def planted(self: Collection, revision: int, prefix: str) -> list[Event]:
        return events_after(self, revision - 1, prefix)

    with patch.object(Collection, "events_after", planted):
        yield


@contextmanager
def resumed_over_a_gap() -> Iterator[None]:
    with patch.object(Store, "_check_readable", lambda *_, **__: None):
        yield


@contextmanager
def silent_overflow() -> Iterator[None]:
    """A watcher that does not keep up loses its events instead of its connection."""
    offer = Watcher.offer

    def planted(self: Watcher, event: Event) -> None:
        if len(self._events) >= self._capacity:
            self._events = []
        offer(self, event)

    with patch.object(Watcher, "offer", planted):
        yield


@contextmanager
def revisions_go_back() -> Iterator[None]:
    load = Store._load

    def planted(self: Store, loaded: Any) -> list[int]:
        superfluous = load(self, loaded)
        self._committed = max(self._compacted, self._committed - 3)
        return superfluous

    with patch.object(Store, "_load", planted):
        yield


@contextmanager
def left_selection_untold() -> Iterator[None]:
    line = watch._event_line

    def planted(this: Any, event: Event) -> Any:
        parts = line(this, event)
        left = parts is not None and b"DELETED" in parts[0] and not event.record.deleted
        return None if left else parts

    with patch.object(watch, "_event_line", planted):
        yield


PLANTED: dict[str, Plant] = {
    "an event is lost": lost_event,
    "two events change places": swapped_events,
    "an event is told twice": repeated_event,
    "a list is old": stale_list,
    "a list is older than its revision": list_with_a_wrong_revision,
    "pages of a list are of different moments": pages_of_different_moments,
    "a deleted object comes back": resurrected_object,
    "a bookmark is of the future": bookmark_ahead,
    "a bookmark goes before its events": bookmark_before_its_events,
    "the version a write is based on is not checked": unchecked_version,
    "a read shows what is not committed": dirty_read,
    "a write is acknowledged before its commit": acknowledged_too_early,
    "a write builds on an old state": lost_update,
    "a watch resumes one event late": resumed_late,
    "a watch resumes one event early": resumed_early,
    "a watch resumes over a gap": resumed_over_a_gap,
    "a watch that is too slow loses events": silent_overflow,
    "revisions go back after a crash": revisions_go_back,
    "a watch is not told that an object left its selection": left_selection_untold,
}
