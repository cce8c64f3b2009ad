"""What both worlds are made of: processes of controllers that die and start again, machines, a log in view.

Made by `world` and `healthworld`, which say what becomes of them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from springtide.api.core import Node
from springtide.api.meta import ObjectMeta
from springtide.api.nodes import NodeStatus
from springtide.client import Client, Pool, Transport
from springtide.runtime import Clock, InformerSettings, Runtime, RuntimeSettings
from springtide.simulation.faults import (
    NO_FAULTS,
    ControllersCrashed,
    FaultCounts,
    FaultSettings,
    FaultyTransport,
)
from springtide.store import MemoryLog, Record


class ObservedLog(MemoryLog):
    """A log that shows every durable record, in order, to whoever checks."""

    def __init__(self, observer: Callable[[Record], None], records: Sequence[Record] = ()) -> None:
        """`records` were there before anybody looked."""
        super().__init__()
        for record in records:
            super().append(record)
        self._observer = observer

    def append(self, record: Record) -> None:
        super().append(record)
        self._observer(record)


@dataclass(frozen=True)
class Surroundings:
    """Where the processes of a run live."""

    server: Transport
    clock: Clock
    counts: FaultCounts


class Process:
    """Controllers that live together, die together and start again."""

    def __init__(
        self,
        surroundings: Surroundings,
        register: Callable[[Runtime], object],
        chances: random.Random,
        settings: FaultSettings,
        *,
        pause_seconds: float = 6.0,
    ) -> None:
        """`pause_seconds`: after each death it starts again within this time."""
        self._surroundings = surroundings
        self._register = register
        self._chances = chances
        self._settings = settings
        self._pause_seconds = pause_seconds
        self._transport: FaultyTransport | None = None
        self._running: asyncio.Task[None] | None = None

    async def live(self) -> None:
        """For ever, or until cancelled."""
        around = self._surroundings
        while True:
            self._transport = FaultyTransport(
                around.server, self._chances, self._settings, around.counts, crash=self._stop
            )
            runtime = Runtime(Client(self._transport), around.clock, _settings())
            self._register(runtime)
            self._running = asyncio.ensure_future(runtime.run())
            self._running.add_done_callback(_look)
            try:
                await asyncio.wait([self._running])
            finally:
                self._running.cancel()
            _raise_unless_crashed(self._running)
            await asyncio.sleep(self._chances.uniform(0.1, self._pause_seconds))

    def die(self) -> None:
        """At once; it starts again some time later."""
        if self._transport is not None:
            self._transport.die()

    def cut(self, *, off: bool) -> None:
        """Cut this life of it off from the server, or let it through again."""
        if self._transport is not None:
            self._transport.cut = off

    def calm(self) -> None:
        """No more faults, in this life and in all to come."""
        self._settings = NO_FAULTS
        if self._transport is not None:
            self._transport.settings = NO_FAULTS
            self._transport.cut = False

    def _stop(self) -> None:
        if self._running is not None:
            self._running.cancel()


def seldomer(settings: FaultSettings, lives: int) -> FaultSettings:
    """The same faults, but each life `lives` times as long."""
    return replace(settings, crash_every_writes=settings.crash_every_writes * lives)


def machine(name: str, room: Mapping[str, Any]) -> Node:
    """A node with all this room to give away."""
    return Node(
        metadata=ObjectMeta(name=name), status=NodeStatus(capacity=dict(room), allocatable=dict(room))
    )


@cache
def _settings() -> RuntimeSettings:
    """Processes of a simulation share what they have decoded: objects are frozen, and read a dozen times."""
    pool = Pool()
    return RuntimeSettings(informer=InformerSettings(pool=lambda: pool))


def _look(controllers: asyncio.Task[None]) -> None:
    """Nobody else looks at how they ended where the world ends first."""
    if not controllers.cancelled():
        controllers.exception()


def _raise_unless_crashed(controllers: asyncio.Task[None]) -> None:
    """Controllers end because the world killed them; any other end is a defect."""
    if controllers.cancelled():
        return
    error = controllers.exception()
    if error is None:
        raise RuntimeError("the controllers ended by themselves")
    _, others = error.split(ControllersCrashed) if isinstance(error, BaseExceptionGroup) else (None, error)
    if others is not None and not isinstance(others, ControllersCrashed):
        raise others
