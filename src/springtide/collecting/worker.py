"""A thread for one source, so that one that is stuck in a driver or a dead mount holds up nobody.

Made by `controller.py`, one a source. The thread is a daemon: a call that never returns cannot keep the
process from ending either. `Inline` is for simulations, where there is one thread and virtual time.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Runner(Protocol):
    """Runs blocking work, one piece at a time."""

    async def run(self, work: Callable[[], T]) -> T:
        """The work's result; what it raises is raised here."""
        ...

    def close(self) -> None:
        """No more work will come."""
        ...


class Worker:
    """Runs blocking work in a thread that starts with the first piece."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]

        def carry_out() -> None:
            result: T | None = None
            failure: BaseException | None = None
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - loop boundary: raised again where it was asked for
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, result, failure)

        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        self._work.put(carry_out)
        return await answer

    def close(self) -> None:
        self._work.put(None)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()


class Inline:
    """Runs the work at once, in the loop's own thread."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def run(self, work: Callable[[], T]) -> T:
        return work()

    def close(self) -> None:
        """Nothing is open."""
