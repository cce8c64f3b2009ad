"""One controller: changes of watched objects become keys, workers reconcile the keys one by one.

Made by `Runtime.controller`. Level-triggered: a reconcile sees only the key and reads the caches, never
the event. An error is logged and the key comes back after its backoff; no error ends a worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from springtide.api.meta import Object
from springtide.client import ApiError
from springtide.runtime.clock import Clock
from springtide.runtime.informer import Informer
from springtide.runtime.log import logger
from springtide.runtime.metrics import ControllerMetrics
from springtide.runtime.queue import Backoff, WorkQueue

T = TypeVar("T", bound=Object)

Reconcile = Callable[[str], Awaitable[float | None]]
"""Brings one key's objects to their desired state; returns seconds after which to look again, or None."""
KeysOf = Callable[[Any], Iterable[str]]
"""The keys to reconcile when this object changes."""
Trigger = tuple[Informer[Any], KeysOf]


class Controller:
    """A reconcile function, its queue and its workers."""

    def __init__(
        self,
        name: str,
        reconcile: Reconcile,
        triggers: Sequence[Trigger],
        clock: Clock,
        metrics: ControllerMetrics,
        *,
        workers: int = 1,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self.queue = WorkQueue(
            backoff, on_depth=metrics.queue_depth.set, on_wait=metrics.queue_seconds.observe
        )
        self._reconcile = reconcile
        self._triggers = triggers
        self._clock = clock
        self.metrics = metrics
        self._workers = workers
        self._log = logger(name)

    async def run(self) -> None:
        """Connect the triggers (every object already cached is a change) and work until cancelled."""
        for informer, keys_of in self._triggers:
            informer.on_change(self._enqueuer(keys_of))
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._workers):
                    group.create_task(self._work(), name=f"{self.name}-{number}")
        finally:
            self.queue.close()

    def _enqueuer(self, keys_of: KeysOf) -> Callable[[Any, Any], None]:
        def enqueue(old: Any, new: Any) -> None:
            # the old state too: what it pointed at before must also hear that it no longer does
            for obj in (old, new):
                if obj is not None:
                    for key in self._keys(keys_of, obj):
                        self.queue.add(key)

        return enqueue

    def _keys(self, keys_of: KeysOf, obj: Object) -> Iterable[str]:
        try:
            return list(keys_of(obj))
        except Exception as error:  # noqa: BLE001 - loop boundary: a trigger's bug must not stop the informer
            self._log.error("trigger failed", kind=obj.kind, key=obj.key, exc_info=error)
            return ()

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            started = self._clock.monotonic()
            try:
                again_after_seconds = await self._reconcile(key)
            except Exception as error:  # noqa: BLE001 - loop boundary: one bad key must not stop the others
                self._report(key, error, self.queue.failed(key))
            except asyncio.CancelledError:
                self.queue.done(key)
                raise
            else:
                self.queue.done(key, again_after_seconds)
            self.metrics.reconcile_seconds.observe(self._clock.monotonic() - started)

    def _report(self, key: str, error: Exception, retry_seconds: float) -> None:
        self.metrics.reconcile_errors.inc()
        details = {"key": key, "error": str(error), "retry_seconds": retry_seconds}
        if isinstance(error, ApiError):
            self._log.warning("reconcile failed", reason=error.reason, **details)
        else:
            self._log.error("reconcile failed", exc_info=error, **details)
