"""Leader election over a Lease, so that of several processes exactly one runs the controllers.

Called by `Runtime.run` when it was given leader settings. Semantics, field use and default durations are
those of client-go's leaderelection: a holder renews every `retry_seconds`; others take the lease only after
they have themselves seen it unchanged for its whole duration, so clocks of different machines need not
agree; a holder that cannot renew for `renew_deadline_seconds` stops working before others may start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from springtide.api.coordination import Lease, LeaseSpec
from springtide.api.meta import ObjectMeta, micro_time
from springtide.api.struct import replace
from springtide.client import AlreadyExists, ApiError, Client, Conflict, NotFound
from springtide.runtime.clock import Clock
from springtide.runtime.log import logger

log = logger("runtime.leader")


class LeadershipLost(Exception):
    """The lease could not be renewed in time; the work was stopped."""


@dataclass(frozen=True, slots=True)
class LeaderSettings:
    """Which lease, and how patiently. Durations in seconds; lease > renew deadline > 1.2 × retry."""

    identity: str
    """Who we are: unique among all candidates, such as host name and uid."""
    name: str = "springtide"
    namespace: str = "kube-system"
    lease_seconds: int = 15
    """How long others wait after the last renewal they saw."""
    renew_deadline_seconds: float = 10.0
    """How long a holder tries to renew before it gives up."""
    retry_seconds: float = 2.0
    """Between attempts to acquire or renew."""

    def __post_init__(self) -> None:
        if not self.lease_seconds > self.renew_deadline_seconds > 1.2 * self.retry_seconds > 0:
            raise ValueError(
                f"leader election: lease_seconds {self.lease_seconds} must exceed renew_deadline_seconds"
                f" {self.renew_deadline_seconds:g}, and that 1.2 × retry_seconds {self.retry_seconds:g}"
            )


class Election:
    """One candidate."""

    def __init__(self, client: Client, clock: Clock, settings: LeaderSettings) -> None:
        self._client = client.with_manager("runtime")
        self._clock = clock
        self._settings = settings
        self._seen: LeaseSpec | None = None
        self._seen_at = 0.0
        self.leading = False

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait to be elected, then run `work`; raises LeadershipLost, after stopping it, when renewing fails.

        The lease is given back when the work ends or is cancelled, so the next candidate starts at once.
        """
        await self._acquire()
        log.info("leading", name=self._settings.name, identity=self._settings.identity)
        over: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew(), name="leader-renew")
                await work()
                renewing.cancel()
        except* LeadershipLost as lost:
            self.leading = False
            over = lost.exceptions[0]  # raised below: Python before 3.11.4 would make a group of it
        finally:
            await self._release()
        if over is not None:
            raise over

    async def _acquire(self) -> None:
        while True:
            if await self._try():
                self.leading = True
                return
            # spread, so that candidates do not all ask at the same moment
            await asyncio.sleep(self._settings.retry_seconds * (1 + 0.2 * self._clock.random.random()))

    async def _renew(self) -> None:
        settings = self._settings
        renewed_at = self._clock.monotonic()
        while True:
            await asyncio.sleep(settings.retry_seconds)
            left = settings.renew_deadline_seconds - (self._clock.monotonic() - renewed_at)
            try:
                async with asyncio.timeout(left):
                    renewed = await self._try()
            except TimeoutError:
                renewed = False
            if renewed:
                renewed_at = self._clock.monotonic()
            elif self._clock.monotonic() - renewed_at >= settings.renew_deadline_seconds:
                raise LeadershipLost(
                    f"lease {settings.namespace}/{settings.name} could not be renewed for "
                    f"{settings.renew_deadline_seconds:g} s"
                )

    async def _try(self) -> bool:
        """One attempt to take or renew the lease."""
        try:
            return await self._take()
        except (AlreadyExists, Conflict):
            return False
        except ApiError as error:
            log.warning("lease not written", name=self._settings.name, error=error.message)
            return False

    async def _take(self) -> bool:
        settings = self._settings
        try:
            lease = await self._client.get(Lease, settings.name, settings.namespace)
        except NotFound:
            metadata = ObjectMeta(name=settings.name, namespace=settings.namespace)
            await self._client.create(Lease(metadata=metadata, spec=self._next(LeaseSpec())))
            return True
        self._notice(lease.spec)
        if not self._free(lease.spec):
            return False
        await self._client.update(replace(lease, spec=self._next(lease.spec)))
        return True

    def _notice(self, spec: LeaseSpec) -> None:
        if spec != self._seen:
            self._seen = spec
            self._seen_at = self._clock.monotonic()

    def _free(self, spec: LeaseSpec) -> bool:
        if spec.holder_identity in (None, "", self._settings.identity):
            return True
        duration = spec.lease_duration_seconds or self._settings.lease_seconds
        return self._clock.monotonic() - self._seen_at >= duration

    def _next(self, spec: LeaseSpec) -> LeaseSpec:
        now = micro_time(self._clock.now())
        ours = spec.holder_identity == self._settings.identity
        transitions = spec.lease_transitions or 0
        return replace(
            spec,
            holder_identity=self._settings.identity,
            lease_duration_seconds=self._settings.lease_seconds,
            acquire_time=spec.acquire_time if ours else now,
            renew_time=now,
            lease_transitions=transitions if ours or spec.acquire_time is None else transitions + 1,
        )

    async def _release(self) -> None:
        """Give the lease back, if we still hold it and the server answers."""
        if not self.leading:
            return
        self.leading = False
        settings = self._settings
        try:
            async with asyncio.timeout(settings.retry_seconds):
                lease = await self._client.get(Lease, settings.name, settings.namespace)
                if lease.spec.holder_identity == settings.identity:
                    freed = replace(lease.spec, holder_identity="", lease_duration_seconds=1)
                    await self._client.update(replace(lease, spec=freed))
        except (ApiError, TimeoutError) as error:
            log.warning("lease not released", name=settings.name, error=str(error))
