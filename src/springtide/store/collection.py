"""The committed state of one resource in memory: sorted keys, recent events, watchers.

Only `Store` uses it. A state at an older revision is the current one with the newer events undone, so lists
that continue over several pages need no second copy of anything.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from springtide.store.revisions import Event, Record
from springtide.store.watch import Watcher


def _revision(event: Event) -> int:
    return event.record.revision


class Collection:
    """All objects of one resource, by key."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.watchers: dict[Watcher, None] = {}  # in the order they came, so that a run can be replayed
        self.revision = 0
        """Of the newest change of any object here."""
        self._keys: list[str] = []
        self._events: list[Event] = []

    def restore(self, record: Record) -> list[int]:
        """Take a record from before history begins; returns the revisions that no state needs any more.

        Records come in ascending revision; `restored` must follow the last one.
        """
        self.revision = record.revision
        previous = self.records.pop(record.key, None)
        superfluous = [previous.revision] if previous is not None else []
        if record.deleted:
            superfluous.append(record.revision)
        else:
            self.records[record.key] = record
        return superfluous

    def restored(self) -> None:
        """From here on records are changes that watches may resume from."""
        self._keys = sorted(self.records)

    def apply(self, record: Record) -> Event:
        """Take a committed record; tells the watchers and returns the event."""
        self.revision = record.revision
        previous = self.records.get(record.key)
        if record.deleted:
            if self.records.pop(record.key, None) is not None:
                del self._keys[bisect_left(self._keys, record.key)]
        else:
            self.records[record.key] = record
            if previous is None:
                insort(self._keys, record.key)
        event = Event(record, previous)
        self._events.append(event)
        for watcher in tuple(self.watchers):
            watcher.offer(event)
        return event

    def events_after(self, revision: int, prefix: str) -> list[Event]:
        start = bisect_right(self._events, revision, key=_revision)
        return [event for event in self._events[start:] if event.record.key.startswith(prefix)]

    def page(self, prefix: str, after: str, limit: int, revision: int | None) -> tuple[list[Record], int]:
        """Up to `limit` records (0: all) with keys after `after`, and how many more there are beyond them."""
        records, keys = (self.records, self._keys) if revision is None else self._at(revision)
        start = bisect_right(keys, after) if after else bisect_left(keys, prefix)
        end = bisect_left(keys, _after_prefix(prefix)) if prefix else len(keys)
        stop = min(end, start + limit) if limit else end
        return [records[key] for key in keys[start:stop]], max(0, end - stop)

    def trim(self, revision: int) -> list[int]:
        """Forget events up to and including `revision`; returns the revisions no state needs any more."""
        stop = bisect_right(self._events, revision, key=_revision)
        gone: list[int] = []
        for event in self._events[:stop]:
            if event.previous is not None:
                gone.append(event.previous.revision)
            if event.record.deleted:
                gone.append(event.record.revision)
        del self._events[:stop]
        return gone

    def _at(self, revision: int) -> tuple[dict[str, Record], list[str]]:
        records = dict(self.records)
        for event in reversed(self._events):
            if event.record.revision <= revision:
                break
            if event.previous is None:
                records.pop(event.record.key, None)
            else:
                records[event.record.key] = event.previous
        return records, sorted(records)


def _after_prefix(prefix: str) -> str:
    """The smallest string greater than every string that starts with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
