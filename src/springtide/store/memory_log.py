"""A log that keeps nothing on disk: for simulation and tests, on real or virtual time, without threads.

It commits at once, or after `commit_after_seconds` (a slow disk), and fails on request (a full one).
It survives the store that uses it, so that a test can crash the store and open a second one on the same log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from springtide.store.database import Usage
from springtide.store.durations import Durations
from springtide.store.errors import WriteFailed
from springtide.store.revisions import FIRST_REVISION, Loaded, Record


class MemoryLog:
    """A `Log` in memory."""

    def __init__(self, *, commit_after_seconds: float = 0.0) -> None:
        self.commit_after_seconds = commit_after_seconds
        self.commits = Durations()
        self._durable: dict[int, Record] = {}
        self._bytes = 0
        self._compacted = FIRST_REVISION
        self._pending: list[Record] = []
        self._timer: asyncio.TimerHandle | None = None
        self._failure: WriteFailed | None = None
        self._committed: Callable[[int], None] = lambda _revision: None
        self._failed: Callable[[WriteFailed], None] = lambda _error: None

    @property
    def usage(self) -> Usage:
        return Usage(self._bytes, self._bytes)

    def load(self) -> Loaded:
        return Loaded([self._durable[revision] for revision in sorted(self._durable)], self._compacted)

    def start(self, committed: Callable[[int], None], failed: Callable[[WriteFailed], None]) -> None:
        self._committed = committed
        self._failed = failed

    def fail_writes(self, error: WriteFailed | None) -> None:
        """From now on every commit fails with `error`; None: commits succeed again."""
        self._failure = error

    def append(self, record: Record) -> None:
        self._pending.append(record)
        if not self.commit_after_seconds:
            self._commit()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.commit_after_seconds, self._commit)

    def reset(self) -> None:
        self._pending.clear()

    def compact(self, revision: int, superseded: Sequence[int]) -> None:
        self._compacted = revision
        for gone in superseded:
            record = self._durable.pop(gone, None)
            self._bytes -= len(record.value) if record is not None else 0

    def close(self) -> None:
        """Commit what is pending. Dropping the log instead is a crash."""
        if self._pending:
            self._commit()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _commit(self) -> None:
        self._timer = None
        if not self._pending:
            return
        if self._failure is not None:
            self._failed(self._failure)
            return
        for record in self._pending:
            self._durable[record.revision] = record
            self._bytes += len(record.value)
        newest = self._pending[-1].revision
        self._pending.clear()
        self._committed(newest)
