"""Events about objects: what `kubectl describe` shows. `Runtime.apply` records the `Emit` commands here.

Recording never waits and never fails a reconcile: events are written one by one in the background, and are
dropped (and counted) when there are too many. An event costs the server as much as a binding, so while plans
are being written events hold back, and follow at full speed after. The same reason and note about the same
object is one Event whose count and lastTimestamp move on; its name follows from what it says, so that a
restart continues it.

Source of the aggregation and of the rate limit (a burst of 25 for one object, then one in 5 minutes):
client-go's event correlator.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter

from springtide.api.commands import Emit
from springtide.api.core import Event, EventSource, ObjectReference
from springtide.api.meta import ObjectMeta, whole_second
from springtide.client import AlreadyExists, ApiError, Client, NotFound, Unreachable
from springtide.runtime.clock import Clock
from springtide.runtime.log import logger

log = logger("runtime.events")


@dataclass(frozen=True, slots=True)
class EventSettings:
    """How much is recorded."""

    burst: int = 25
    """Events about one object at once."""
    refill_seconds: float = 300.0
    """After the burst, one more in this time."""
    waiting: int = 20_000
    """Distinct events that may wait to be written; more are dropped."""
    held_back_seconds: float = 0.05
    """How long one waits at most while plans are being written."""
    remembered: int = 4096
    """Objects and events whose counts are kept in memory; the server knows the rest."""
    retry_seconds: float = 5.0
    """Wait while the server cannot be reached."""


@dataclass(slots=True)
class _Waiting:
    room: str
    emit: Emit
    count: int = 1


class EventRecorder:
    """Takes events and writes them in the background."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        registry: CollectorRegistry,
        settings: EventSettings | None = None,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """`busy` says whether plans are being written, which go first."""
        self._busy = busy
        self._client = client
        self._clock = clock
        self._settings = settings or EventSettings()
        self._waiting: OrderedDict[tuple[str, str], _Waiting] = OrderedDict()
        self._written: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._budgets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._arrived = asyncio.Event()
        self._dropped = Counter(
            "springtide_runtime_events_dropped", "Events not written", ["why"], registry=registry
        )

    @property
    def idle(self) -> bool:
        """Whether everything recorded was written."""
        return not self._waiting

    def record(self, room: str, emit: Emit) -> None:
        """Take one event in the name of a room."""
        identity = _identity(room, emit)
        waiting = self._waiting.get(identity)
        if waiting is not None:
            waiting.count += 1
        elif not self._within_budget(emit):
            self._dropped.labels("rate").inc()
        elif len(self._waiting) >= self._settings.waiting:
            self._dropped.labels("full").inc()
        else:
            self._waiting[identity] = _Waiting(room, emit)
            self._arrived.set()

    async def run(self) -> None:
        """Write what is recorded until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                try:
                    await self._flush(self._let_others_go_first)
                except Unreachable:
                    await asyncio.sleep(self._settings.retry_seconds)

    async def flush(self) -> None:
        """Write everything that waits now. Raises Unreachable, keeping what was not written."""
        await self._flush(_at_once)

    async def _let_others_go_first(self) -> None:
        if self._busy():
            await asyncio.sleep(self._settings.held_back_seconds)

    async def _flush(self, turn: Callable[[], Awaitable[None]]) -> None:
        while self._waiting:
            await turn()
            identity, waiting = next(iter(self._waiting.items()))
            count = waiting.count
            try:
                await self._write(identity, waiting, count)
            except Unreachable:
                raise
            except ApiError as error:
                self._dropped.labels("refused").inc()
                log.warning("event refused", key=waiting.emit.regarding.key, error=error.message)
            if waiting.count > count:
                waiting.count -= count  # more of the same came in while it was written
            else:
                del self._waiting[identity]

    async def _write(self, identity: tuple[str, str], waiting: _Waiting, count: int) -> None:
        namespace, name = identity
        client = self._client.with_manager(waiting.room)
        event = self._event(identity, waiting, count)
        before = self._written.get(identity, 0)
        if before == 0:
            try:
                await client.create(event)
            except AlreadyExists:
                before = (await client.get(Event, name, namespace)).count
            else:
                self._remember(identity, count)
                return
        count += before
        now = whole_second(self._clock.now()).isoformat().replace("+00:00", "Z")
        try:
            await client.patch(Event, name, namespace, {"count": count, "lastTimestamp": now})
        except NotFound:  # it expired
            await client.create(event)
            count = event.count
        self._remember(identity, count)

    def _event(self, identity: tuple[str, str], waiting: _Waiting, count: int) -> Event:
        emit, regarding = waiting.emit, waiting.emit.regarding
        now = whole_second(self._clock.now())
        return Event(
            metadata=ObjectMeta(namespace=identity[0], name=identity[1]),
            involved_object=ObjectReference(
                api_version=regarding.api_version,
                kind=regarding.kind,
                namespace=regarding.metadata.namespace,
                name=regarding.metadata.name,
                uid=regarding.metadata.uid,
                resource_version=regarding.metadata.resource_version,
            ),
            reason=emit.reason,
            message=emit.note[:1024],
            type=emit.type,
            action=emit.action,
            source=EventSource(component=waiting.room),
            reporting_component=f"springtide.dev/{waiting.room}",
            first_timestamp=now,
            last_timestamp=now,
            count=count,
        )

    def _remember(self, identity: tuple[str, str], count: int) -> None:
        self._written[identity] = count
        self._written.move_to_end(identity)
        if len(self._written) > self._settings.remembered:
            self._written.popitem(last=False)

    def _within_budget(self, emit: Emit) -> bool:
        """Take one from the token bucket of the object."""
        settings, now = self._settings, self._clock.monotonic()
        about = f"{emit.regarding.kind}/{emit.regarding.key}/{emit.regarding.metadata.uid}"
        left, since = self._budgets.pop(about, (float(settings.burst), now))
        left = min(float(settings.burst), left + (now - since) / settings.refill_seconds)
        allowed = left >= 1
        self._budgets[about] = (left - 1 if allowed else left, now)
        if len(self._budgets) > settings.remembered:
            self._budgets.popitem(last=False)
        return allowed


async def _at_once() -> None:
    pass


def _identity(room: str, emit: Emit) -> tuple[str, str]:
    """(namespace, name) of the Event; those about cluster-scoped objects live in `default`, as everywhere."""
    regarding = emit.regarding
    said = "\0".join(
        (room, regarding.kind, regarding.key, regarding.metadata.uid, emit.type, emit.reason, emit.note)
    )
    digest = hashlib.blake2b(said.encode(), digest_size=8).hexdigest()
    return regarding.metadata.namespace or "default", f"{regarding.metadata.name[:230]}.{digest}"
