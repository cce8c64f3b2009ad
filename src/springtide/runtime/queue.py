"""A work queue of keys: each key waits at most once and is worked on by at most one worker at a time.

Called by `controller`. After client-go's workqueue: a key added while it is being worked on is handed
out again afterwards, so no change is ever lost; a key that failed comes back after an exponential delay;
keys are served in order of arrival, so a busy key cannot starve the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a failing key waits: `base_seconds`, then doubling, at most `limit_seconds`."""

    base_seconds: float = 0.005
    limit_seconds: float = 60.0

    def delay_seconds(self, failures: int) -> float:
        """The wait after this many failures in a row (1 is the first)."""
        return min(self.base_seconds * 2.0 ** min(failures - 1, 63), self.limit_seconds)


class WorkQueue:
    """Keys to work on. Belongs to one event loop; none of its methods but `get` waits."""

    def __init__(
        self,
        backoff: Backoff | None = None,
        *,
        on_depth: Callable[[int], None] = lambda _: None,
        on_wait: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._backoff = backoff or Backoff()
        self._ready: deque[str] = deque()
        self._since: dict[str, float] = {}
        """Waiting keys (in `_ready`, or to be put there once done) and since when."""
        self._active: dict[str, float] = {}
        """Keys that are being worked on, and since when."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}
        self.adds = 0
        """How often a key was put into the queue."""
        self.retries = 0
        """How often one of them was to come back after a failure."""
        self._getters: deque[asyncio.Future[None]] = deque()
        self._on_depth = on_depth
        self._on_wait = on_wait

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is being worked on; delayed keys may still come."""
        return not self._ready and not self._active

    def work_seconds(self) -> list[float]:
        """How long each key that is being worked on has been; may be asked from any thread."""
        if self._loop is None:
            return []
        now = self._loop.time()
        return [now - since for since in list(self._active.values())]

    @property
    def delayed(self) -> frozenset[str]:
        """Keys with a delayed return, for tests and diagnosis."""
        return frozenset(self._timers)

    def add(self, key: str) -> None:
        """Ask for this key to be worked on after now; any delay it had is dropped."""
        self._cancel_timer(key)
        if key in self._since:
            return
        self._since[key] = self._now()
        self.adds += 1
        if key not in self._active:
            self._push(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Ask for it in so many seconds, unless it is asked for earlier anyway."""
        if seconds <= 0:
            self.add(key)
            return
        if key in self._since:
            return
        when = self._now() + seconds
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_at(when, self._due, key)

    async def get(self) -> str:
        """The key that waited longest; the caller must give it to `done` or `failed`."""
        while not self._ready:
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                getter.cancel()
                if getter in self._getters:
                    self._getters.remove(getter)
                elif self._ready:
                    self._wake()  # this worker was woken and dies: wake another one
                raise
        key = self._ready.popleft()
        self._loop = asyncio.get_running_loop()
        now = self._active[key] = self._now()
        self._on_wait(now - self._since.pop(key))
        self._on_depth(len(self._ready))
        return key

    def done(self, key: str, again_after_seconds: float | None = None) -> None:
        """Finished; look at it again after so many seconds even if nothing changes (None: only on change)."""
        self._failures.pop(key, None)
        self._finish(key, again_after_seconds)

    def failed(self, key: str) -> float:
        """Finished with an error: it comes back after its backoff, whose length is returned."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self.retries += 1
        delay = self._backoff.delay_seconds(failures)
        self._finish(key, delay)
        return delay

    def close(self) -> None:
        """Drop all timers; waiting workers are left to be cancelled by their owner."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _finish(self, key: str, again_after_seconds: float | None) -> None:
        self._active.pop(key, None)
        if key in self._since:
            self._push(key)
        elif again_after_seconds is not None:
            self.add_after(key, again_after_seconds)

    def _due(self, key: str) -> None:
        del self._timers[key]
        self.add(key)

    def _push(self, key: str) -> None:
        self._ready.append(key)
        self._on_depth(len(self._ready))
        self._wake()

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _cancel_timer(self, key: str) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
