"""An event loop whose clock jumps: sleeping costs nothing, and a seed decides who runs first.

The production controllers run on it unchanged, in the simulator and in nearly every test. Real sockets,
threads and processes do not belong on it: time would run past them.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import random
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Deadlock(RuntimeError):
    """Nothing is ready and nothing is scheduled, yet the awaited work is not done."""


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting, tells the loop how long it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: VirtualLoop | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or self.loop is None:
            return found
        if timeout is None:
            raise Deadlock("every task waits for something that will never happen")
        self.loop.advance(timeout)
        return found


class _Future(asyncio.Future[Any]):
    """Hashes by its number instead of its address, so that sets of futures have one order in every run."""

    number: int

    def __hash__(self) -> int:
        return self.number


class _Task(asyncio.Task[Any]):
    """The same for tasks: asyncio keeps those of a TaskGroup in a set."""

    number: int

    def __hash__(self) -> int:
        return self.number


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio with a virtual clock starting at 0 s. With a seed, ready callbacks run in a shuffled order."""

    def __init__(self, seed: int | None = None) -> None:
        selector = _JumpingSelector()
        super().__init__(selector)
        selector.loop = self
        self._now = 0.0
        self._order = random.Random(seed) if seed is not None else None
        self._clock_resolution = 1e-9
        self._numbers = itertools.count()
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        # asyncio asks for the time before the base constructor has run
        return getattr(self, "_now", 0.0)

    def create_future(self) -> asyncio.Future[Any]:
        future = _Future(loop=self)
        future.number = next(self._numbers)
        return future

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, work: Any, *, context: contextvars.Context | None = None
    ) -> asyncio.Task[Any]:
        task = _Task.__new__(_Task)
        task.number = next(
            self._numbers
        )  # the constructor already puts the task into asyncio's set of all tasks
        task.__init__(work, loop=loop, context=context)  # type: ignore[misc]
        return task

    def advance(self, seconds: float) -> None:
        """Move the clock forward; called by the selector when nothing is ready."""
        if seconds > 0:
            self._now += seconds

    def _run_once(self) -> None:
        ready = self._ready  # type: ignore[attr-defined]
        if self._order is not None and len(ready) > 1:
            handles = list(ready)
            self._order.shuffle(handles)
            ready.clear()
            ready.extend(handles)
        super()._run_once()  # type: ignore[misc]


def run(main: Coroutine[Any, Any, T], *, seed: int | None = None) -> T:
    """`asyncio.run` on a virtual loop; the same seed replays the same interleaving."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(seed)) as runner:
        return runner.run(main)
