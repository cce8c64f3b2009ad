"""The durable log: revisions appended to SQLite with group commit.

One thread owns writing. It takes everything that waits in its queue and commits it in one transaction, so a
burst of writers shares one fsync, and a single writer does not wait for company. WAL with synchronous=FULL:
what was reported committed survives `kill -9` and power loss. Rows are only ever inserted, and deleted by
compaction; an object's current state is its newest row. Opened by `up` (and by tests) for the store.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from springtide.store.errors import DatabaseCorrupt, FolderUnusable, WriteFailed
from springtide.store.folder import DataFolder
from springtide.store.revisions import FIRST_REVISION, Loaded, Record

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS revisions (
    revision INTEGER PRIMARY KEY,
    resource TEXT NOT NULL,
    key TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    value BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_INSERT = "INSERT OR REPLACE INTO revisions (revision, resource, key, deleted, value) VALUES (?, ?, ?, ?, ?)"
_BATCH_MAX = 1024
"""Records in one transaction at most: bounds the time one commit takes."""


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
        self._epoch = 0
        self._void_epoch = -1
        self._thread: threading.Thread | None = None
        try:
            self._database = _open(self._folder.database)
            if max_page_count:
                self._database.execute(f"PRAGMA max_page_count={max_page_count}")
        except BaseException:
            self._folder.close()
            raise

    def load(self) -> Loaded:
        row = self._database.execute("SELECT value FROM facts WHERE name = 'compacted'").fetchone()
        return Loaded(self._records(), row[0] if row else FIRST_REVISION)

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
            raise _corrupt(self._folder.database, str(error)) from error

    def _write_until_closed(
        self,
        loop: asyncio.AbstractEventLoop,
        committed: Callable[[int], None],
        failed: Callable[[WriteFailed], None],
    ) -> None:
        closing = False
        while not closing:
            appends: list[_Append] = []
            compactions: list[_Compact] = []
            for item in self._waiting():
                if item is None:
                    closing = True
                elif isinstance(item, _Append):
                    if item.epoch != self._void_epoch:
                        appends.append(item)
                else:
                    compactions.append(item)
            if appends:
                error = self._commit([append.record for append in appends])
                if error is None:
                    _tell(loop, committed, appends[-1].record.revision)
                else:
                    self._void_epoch = appends[-1].epoch
                    _tell(loop, failed, error)
            for compaction in compactions:
                self._forget(compaction)

    def _waiting(self) -> Iterator[_Append | _Compact | None]:
        """At least one item, waiting for it, then all others that are there already."""
        yield self._work.get()
        for _ in range(_BATCH_MAX):
            try:
                yield self._work.get_nowait()
            except queue.Empty:
                return

    def _commit(self, records: list[Record]) -> WriteFailed | None:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(
                _INSERT, [(r.revision, r.resource, r.key, int(r.deleted), r.value) for r in records]
            )
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            return WriteFailed(
                f"cannot write to {self._folder.database}: {error}",
                "free space on that disk or repair it; nothing acknowledged is lost and reads go on",
            )
        return None

    def _forget(self, compaction: _Compact) -> None:
        """Compaction frees space; if it fails, the rows stay and are found superseded at the next start."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(
                "DELETE FROM revisions WHERE revision = ?", [(gone,) for gone in compaction.superseded]
            )
            self._database.execute(
                "INSERT INTO facts (name, value) VALUES ('compacted', ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (compaction.revision,),
            )
            self._database.execute("COMMIT")
        except sqlite3.Error:
            self._roll_back()

    def _roll_back(self) -> None:
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")


def _open(file: Path) -> sqlite3.Connection:
    try:
        return _prepared(file)
    except sqlite3.OperationalError as error:
        raise FolderUnusable(
            f"database {file} cannot be opened: {error}",
            "free space on that disk, make the file writable, or choose another folder with --data-dir",
        ) from error
    except sqlite3.DatabaseError as error:
        raise _corrupt(file, str(error)) from error


def _prepared(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, isolation_level=None, check_same_thread=False, cached_statements=16)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise _corrupt(file, verdict)
        database.executescript(_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def _corrupt(file: Path, verdict: str) -> DatabaseCorrupt:
    return DatabaseCorrupt(
        f"database {file} cannot be read: {verdict}",
        "restore the data folder from a backup, or choose an empty one with --data-dir",
    )


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[[T], None], value: T) -> None:
    try:
        loop.call_soon_threadsafe(callback, value)
    except RuntimeError:
        return  # the loop was closed: nobody waits for this commit any more
