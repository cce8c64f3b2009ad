"""Time and randomness, as values one is given: the only place that asks the machine for either.

Production uses `SystemClock`; tests and the simulator use `LoopClock` on a virtual-time loop. Waiting is
always `asyncio.sleep`. Every room that needs the time takes a `Clock`.
"""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""Where virtual time starts unless a test says otherwise."""


class Clock(Protocol):
    """The time, and the run's only source of randomness."""

    @property
    def random(self) -> random.Random:
        """Seeded where a run must be replayed."""
        ...

    def now(self) -> datetime:
        """The wall clock: an aware datetime in UTC, for what is written into objects."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""
        ...


class SystemClock:
    """The machine's time."""

    def __init__(self, seed: int | None = None) -> None:
        self.random = random.Random(seed)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class LoopClock:
    """The running event loop's time, counted from `epoch`: virtual on a virtual-time loop."""

    def __init__(self, epoch: datetime = EPOCH, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self._epoch = epoch

    def now(self) -> datetime:
        return self._epoch + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()
