"""The durable log: revisions appended to SQLite with group commit.

One thread owns writing. It takes everything that waits in its queue and commits it in one transaction, so a
burst of writers shares one fsync, and a single writer does not wait for company. WAL with synchronous=FULL:
what was reported committed survives `kill -9` and power loss. Rows that compaction made superfluous are
deleted a few with each commit, and space is given back to the disk in small steps when nobody writes: neither
holds up a write for long. Opened by `up` (and by tests) for the store.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from springtide.store.database import COMPACTED, Usage, corrupt, fact, open_database, set_fact, usage
from springtide.store.durations import Durations
from springtide.store.errors import WriteFailed
from springtide.store.folder import DataFolder
from springtide.store.migration import migrate
from springtide.store.revisions import FIRST_REVISION, Loaded, Record

T = TypeVar("T")

_INSERT = "INSERT OR REPLACE INTO revisions (revision, resource, key, deleted, value) VALUES (?, ?, ?, ?, ?)"
_BATCH_MAX = 1024
"""Records in one transaction at most: bounds the time one commit takes."""
_DELETES_A_COMMIT = 256
"""Superseded rows deleted with a commit at least; with a bigger one, twice as many as it writes."""
_IDLE_SECONDS = 0.05
"""Without writes for this long, the writer tidies up."""
_VACUUM_PAGES = 64
"""Pages given back in one step of tidying."""
_BETWEEN_STEPS_SECONDS = 0.002
_SPARE_BYTES = 4 * 1024 * 1024
"""Free space in the file that is kept for coming rows."""


@dataclass(frozen=True, slots=True)
class _Append:
    epoch: int
    record: Record


@dataclass(frozen=True, slots=True)
class _Compact:
    revision: int
    superseded: Sequence[int]


class SqliteLog:
    """A `Log` in `folder`. `max_page_count` limits the file (for tests of a full disk); 0 means no limit."""

    def __init__(self, folder: Path, *, max_page_count: int = 0) -> None:
        self._folder = DataFolder(folder)
        self._work: queue.SimpleQueue[_Append | _Compact | None] = queue.SimpleQueue()
        self._compacted: int | None = None
        """Where history shall begin, until that is durable."""
        self._superfluous: deque[int] = deque()
        """Rows before that which no state needs."""
        self._epoch = 0
        self._void_epoch = -1
        self._thread: threading.Thread | None = None
        self.commits = Durations()
        try:
            self.migrated_from = migrate(self._folder)
            self._database = open_database(self._folder.database)
            if max_page_count:
                self._database.execute(f"PRAGMA max_page_count={max_page_count}")
            self._usage = usage(self._database)
        except BaseException:
            self._folder.close()
            raise

    @property
    def usage(self) -> Usage:
        """How big the database is, as of the last commit."""
        return self._usage

    def load(self) -> Loaded:
        return Loaded(self._records(), fact(self._database, COMPACTED, FIRST_REVISION))

    def start(self, committed: Callable[[int], None], failed: Callable[[WriteFailed], None]) -> None:
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(
            target=self._write_until_closed, args=(loop, committed, failed), name="store-writer", daemon=True
        )
        self._thread.start()

    def append(self, record: Record) -> None:
        self._work.put(_Append(self._epoch, record))

    def reset(self) -> None:
        self._epoch += 1

    def compact(self, revision: int, superseded: Sequence[int]) -> None:
        self._work.put(_Compact(revision, superseded))

    def set_max_page_count(self, pages: int) -> None:
        """Change the size limit of the file: for tests of a disk that fills up and gets space again."""
        self._database.execute(f"PRAGMA max_page_count={pages}")

    def close(self) -> None:
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
            self._thread = None
        self._database.close()
        self._folder.close()

    def _records(self) -> Iterator[Record]:
        try:
            for revision, resource, key, deleted, value in self._database.execute(
                "SELECT revision, resource, key, deleted, value FROM revisions ORDER BY revision"
            ):
                yield Record(revision, resource, key, value, bool(deleted))
        except sqlite3.DatabaseError as error:
            raise corrupt(self._folder.database, str(error)) from error

    def _write_until_closed(
        self,
        loop: asyncio.AbstractEventLoop,
        committed: Callable[[int], None],
        failed: Callable[[WriteFailed], None],
    ) -> None:
        closing = False
        while not closing:
            appends: list[_Append] = []
            for item in self._waiting():
                if item is None:
                    closing = True
                elif isinstance(item, _Compact):
                    self._compacted = item.revision
                    self._superfluous.extend(item.superseded)
                elif item.epoch != self._void_epoch:
                    appends.append(item)
            if appends:
                began = time.perf_counter()
                error = self._commit([append.record for append in appends])
                self.commits.observe(time.perf_counter() - began)
                if error is None:
                    _tell(loop, committed, appends[-1].record.revision)
                else:
                    self._void_epoch = appends[-1].epoch
                    _tell(loop, failed, error)
        self._tidy(len(self._superfluous))

    def _waiting(self) -> Iterator[_Append | _Compact | None]:
        """At least one item, waiting for it and tidying meanwhile, then all others that are there already."""
        yield self._next()
        for _ in range(_BATCH_MAX):
            try:
                yield self._work.get_nowait()
            except queue.Empty:
                return

    def _next(self) -> _Append | _Compact | None:
        patience_seconds, more = _IDLE_SECONDS, True
        while more:
            try:
                return self._work.get(timeout=patience_seconds)
            except queue.Empty:
                more = self._tidy(_DELETES_A_COMMIT)
                patience_seconds = _BETWEEN_STEPS_SECONDS
        return self._work.get()

    def _commit(self, records: list[Record]) -> WriteFailed | None:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(
                _INSERT, [(r.revision, r.resource, r.key, int(r.deleted), r.value) for r in records]
            )
            deleted = self._forget(max(_DELETES_A_COMMIT, 2 * len(records)))
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            return WriteFailed(
                f"cannot write to {self._folder.database}: {error}",
                "free space on that disk or repair it; nothing acknowledged is lost and reads go on",
            )
        self._forgotten(deleted)
        return None

    def _tidy(self, deletes: int) -> bool:
        """Delete some superfluous rows, else give some space back; returns whether there is more to do."""
        try:
            if self._superfluous or self._compacted is not None:
                self._database.execute("BEGIN IMMEDIATE")
                deleted = self._forget(deletes)
                self._database.execute("COMMIT")
                self._forgotten(deleted)
                return True
            spare_bytes = self._usage.on_disk - self._usage.in_use
            if spare_bytes <= _SPARE_BYTES or not deletes:
                return False
            self._database.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
            self._usage = usage(self._database)
        except sqlite3.Error:
            self._roll_back()
            return False  # a full disk: with the next commit it is tried again
        return self._usage.on_disk - self._usage.in_use < spare_bytes

    def _forget(self, count: int) -> int:
        """Within a transaction: say from where on history can be read, and delete rows before that."""
        if self._compacted is not None:
            set_fact(self._database, COMPACTED, self._compacted)
        rows = [(revision,) for revision in islice(self._superfluous, count)]
        self._database.executemany("DELETE FROM revisions WHERE revision = ?", rows)
        return len(rows)

    def _forgotten(self, count: int) -> None:
        """The transaction is durable."""
        self._compacted = None
        for _ in range(count):
            self._superfluous.popleft()
        self._usage = usage(self._database)

    def _roll_back(self) -> None:
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[[T], None], value: T) -> None:
    try:
        loop.call_soon_threadsafe(callback, value)
    except RuntimeError:
        return  # the loop was closed: nobody waits for this commit any more
