"""What every controller runs on: shared informers, controllers and the way plans are executed.

`up` (and the simulator) make one `Runtime`, every room's `register(runtime)` asks it for informers and
adds its controllers, then `run()` does the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry

from springtide.api.commands import Command
from springtide.api.meta import Object
from springtide.client import Client, execute
from springtide.runtime.cache import Index
from springtide.runtime.clock import Clock
from springtide.runtime.controller import Controller, Reconcile, Trigger
from springtide.runtime.events import EventRecorder, EventSettings
from springtide.runtime.informer import Informer, InformerSettings, Scope
from springtide.runtime.leader import Election, LeaderSettings, LeadershipLost
from springtide.runtime.metrics import RoomMetrics, WorkQueueMetrics
from springtide.runtime.queue import Backoff

T = TypeVar("T", bound=Object)


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """How informers and queues behave, for all controllers of one runtime."""

    informer: InformerSettings = field(default_factory=InformerSettings)
    backoff: Backoff = field(default_factory=Backoff)
    events: EventSettings = field(default_factory=EventSettings)
    leader: LeaderSettings | None = None
    """Run the controllers only while holding this lease; None: at once."""


class Runtime:
    """One process's controllers over one API server."""

    def __init__(self, client: Client, clock: Clock, settings: RuntimeSettings | None = None) -> None:
        self.client = client
        self.clock = clock
        self._settings = settings or RuntimeSettings()
        self._registry = CollectorRegistry()
        self._informers: dict[Scope[Any], Informer[Any]] = {}
        self._controllers: list[Controller] = []
        self._registry.register(WorkQueueMetrics(self._controllers))
        self._rooms: dict[str, RoomMetrics] = {}
        self._background: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = []
        self._writing = 0
        self._events = EventRecorder(
            client, clock, self._registry, self._settings.events, busy=lambda: self._writing > 0
        )

    def informer(
        self,
        kind: type[T],
        *,
        indexes: Mapping[str, Index[T]] | None = None,
        namespace: str = "",
        field_selector: str = "",
        label_selector: str = "",
    ) -> Informer[T]:
        """The informer of this kind and scope, shared by all who ask; indexes add up."""
        scope = Scope(kind, namespace, field_selector, label_selector)
        found = self._informers.get(scope)
        if found is None:
            found = Informer(self.client, scope, self.clock, self._settings.informer)
            self._informers[scope] = found
        for name, index in (indexes or {}).items():
            found.cache.add_index(name, index)
        return found

    def controller(
        self, name: str, reconcile: Reconcile, triggers: Sequence[Trigger], *, workers: int = 1
    ) -> Controller:
        """Reconcile the keys that the triggers yield, with this many workers.

        `name` is the room's, or `room.controller` where a room has several: its logs and metrics bear it.
        """
        controller = Controller(
            name,
            reconcile,
            triggers,
            self.clock,
            self._room_metrics(name).controller(name),
            workers=workers,
            backoff=self._settings.backoff,
        )
        self._controllers.append(controller)
        return controller

    def background(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` beside the controllers, and cancel it with them."""
        self._background.append((name, work))

    def _room_metrics(self, name: str) -> RoomMetrics:
        room = name.partition(".")[0]
        found = self._rooms.get(room)
        if found is None:
            found = self._rooms[room] = RoomMetrics(self._registry, room)
        return found

    async def apply(self, name: str, commands: Iterable[Command]) -> list[Object]:
        """Execute a plan as field manager `name` and let the caches see what was written at once."""
        record = partial(self._events.record, name)
        client = self.client.with_manager(name)
        written: list[Object] = []
        self._writing += 1
        try:
            for command in commands:  # one by one: what was written before a failure is seen as well
                for obj in await execute(client, [command], record=record):
                    self.observe(obj)
                    written.append(obj)
        finally:
            self._writing -= 1
        return written

    def observe(self, obj: Object) -> None:
        """Feed an answer of the server into the caches of its kind."""
        for scope, informer in self._informers.items():
            if scope.kind is type(obj):
                informer.cache.observe(obj)

    @property
    def idle(self) -> bool:
        """Nothing to do at this moment: all caches are warm and all queues are empty."""
        return (
            self._events.idle
            and all(i.synced for i in self._informers.values())
            and all(c.queue.idle for c in self._controllers)
        )

    def metrics(self) -> CollectorRegistry:
        """The registry of all metrics here; rooms add their own to it."""
        return self._registry

    async def run(self) -> None:
        """Warm the caches, wait to be the leader if asked to, then run all controllers until cancelled.

        Raises LeadershipLost, with everything stopped, when the lease cannot be renewed.
        """
        over: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                background = [
                    group.create_task(informer.run(), name=f"informer-{informer.scope.kind.__name__}")
                    for informer in self._informers.values()
                ]
                background.append(group.create_task(self._events.run(), name="events"))
                for informer in self._informers.values():
                    await informer.wait_synced()
                if self._settings.leader is None:
                    await self._run_controllers()
                else:
                    await Election(self.client, self.clock, self._settings.leader).lead(self._run_controllers)
        except* LeadershipLost as lost:
            over = lost.exceptions[0]  # raised below: Python before 3.11.4 would make a group of it
        if over is not None:
            raise over

    async def _run_controllers(self) -> None:
        async with asyncio.TaskGroup() as group:
            for name, work in self._background:
                group.create_task(work(), name=name)
            for controller in self._controllers:
                group.create_task(controller.run(), name=f"controller-{controller.name}")
