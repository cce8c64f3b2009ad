"""One watcher: a bounded queue of committed events of one collection.

The store feeds it on the event loop in revision order; the server drains it in batches and writes them to a
client. A watcher that does not keep up is cut off instead of holding memory: it resumes from the last
revision it saw, or is told that this revision is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from springtide.store.errors import WatcherTooSlow
from springtide.store.revisions import Event


class Watcher:
    """Events of `resource` whose key starts with `prefix`, from a revision on. Close it when done."""

    def __init__(
        self,
        prefix: str,
        capacity: int,
        capacity_bytes: int,
        backlog: list[Event],
        forget: Callable[[Watcher], None],
    ) -> None:
        """It holds as many events and bytes as its capacities say, and whatever backlog it begins with."""
        self._prefix = prefix
        self._capacity = max(capacity, len(backlog))
        self._bytes_left = capacity_bytes
        self._capacity_bytes = capacity_bytes
        self._events = backlog
        self._forget = forget
        self._overflowed = False
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None

    def offer(self, event: Event) -> None:
        """Called by the store for every committed event of the collection."""
        if self._closed or not event.record.key.startswith(self._prefix):
            return
        self._bytes_left -= len(event.record.value)
        if len(self._events) >= self._capacity or self._bytes_left < 0:
            self._overflowed = True
            self._events = []
            self.close()
            return
        self._events.append(event)
        self._wake()

    async def batch(self, timeout_seconds: float) -> list[Event]:
        """All events that wait; if none do, the first to come; empty after the timeout or when closed.

        Raises `WatcherTooSlow` when the queue overflowed since the last call.
        """
        if not self._events and not self._closed and timeout_seconds > 0:
            await self._wait(timeout_seconds)
        if self._overflowed:
            raise WatcherTooSlow("the watcher was too slow to take its events")
        taken, self._events = self._events, []
        self._bytes_left = self._capacity_bytes
        return taken

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Stop receiving; a waiting `batch` returns."""
        if not self._closed:
            self._closed = True
            self._forget(self)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, timeout_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(timeout_seconds, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None
