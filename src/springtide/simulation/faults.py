"""Faults between a controller and its API server: a Transport that loses, delays, repeats and crashes.

Wraps the in-process transport of one controller process. All chances come from one seeded source, so a
seed replays a run. Used by `world`; the user's own client goes without faults, so that what it was
told is the truth to check against.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from springtide.client import Request, Response, Transport, Unreachable

_WRITES = {"POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True)
class FaultSettings:
    """How often what goes wrong. Chances are per call or per watch chunk; 0 turns a fault off."""

    crash_every_writes: int = 0
    """The controllers die right after every k-th write, before they hear its answer. 0: never."""
    conflict: float = 0.0
    """A write is refused with 409 before it is done."""
    server_error: float = 0.0
    """A write is refused with 500 before it is done."""
    lost_answer: float = 0.0
    """A write is done, and its answer is lost."""
    stale_list: float = 0.0
    """A list is answered with an earlier answer to the same question."""
    drop_event: float = 0.0
    """A watch chunk is lost; the stream ends with 410 some seconds later."""
    delay_event: float = 0.0
    """A watch chunk comes up to `delay_seconds_max` late."""
    slow_write: float = 0.0
    """A write is under way for up to `slow_write_seconds_max`: others write meanwhile."""
    slow_write_seconds_max: float = 3.0
    delay_seconds_max: float = 3.0

    @staticmethod
    def of_seed(seed: int) -> FaultSettings:
        """All faults together; the seed also says after how many writes the controllers die, 1 to 20."""
        return FaultSettings(
            crash_every_writes=seed % 20 + 1,
            conflict=0.03,
            server_error=0.03,
            lost_answer=0.03,
            stale_list=0.3,
            drop_event=0.03,
            delay_event=0.2,
        )


NO_FAULTS = FaultSettings()


@dataclass
class FaultCounts:
    """What was done to a run, for its report."""

    crashes: int = 0
    conflicts: int = 0
    server_errors: int = 0
    lost_answers: int = 0
    stale_lists: int = 0
    dropped_events: int = 0
    delayed_events: int = 0
    slow_writes: int = 0
    writes: int = 0


class ControllersCrashed(BaseException):
    """Raised into whoever was writing when the controllers die; nothing in a controller may catch it."""


@dataclass
class FaultyTransport:
    """One controller process' connection. `crash` is called when the process must die."""

    inner: Transport
    chances: random.Random
    settings: FaultSettings
    counts: FaultCounts
    crash: Callable[[], None]
    cut: bool = False
    """Whether the process is cut off: nothing gets through, neither way."""
    _dead: bool = False
    _answers: dict[tuple[str, str], list[Response]] = field(default_factory=dict)

    def die(self) -> None:
        """The process is dead: whatever it still tries in the turn in which it dies goes nowhere."""
        self._dead = True
        self.crash()

    def _expect_alive(self, request: Request) -> None:
        if self._dead:
            raise ControllersCrashed
        if self.cut:
            raise Unreachable(f"injected: {request.path} is on the other side of a partition")

    async def send(self, request: Request) -> Response:
        self._expect_alive(request)
        if request.method in _WRITES:
            return await self._write(request)
        response = await self.inner.send(request)
        return self._maybe_stale(request, response)

    async def _write(self, request: Request) -> Response:
        if "/leases/" in request.path or request.path.endswith("/leases"):
            return await self.inner.send(request)
        if self._happens(self.settings.conflict):
            self.counts.conflicts += 1
            return _refusal(409, "Conflict", "injected: the object has been modified")
        if self._happens(self.settings.server_error):
            self.counts.server_errors += 1
            return _refusal(500, "InternalError", "injected: etcdserver: request timed out")
        if self._happens(self.settings.slow_write):
            self.counts.slow_writes += 1
            await asyncio.sleep(self.chances.uniform(0, self.settings.slow_write_seconds_max))
            self._expect_alive(request)
        response = await self.inner.send(request)
        self.counts.writes += 1
        every = self.settings.crash_every_writes
        if every and self.counts.writes % every == 0:
            self.counts.crashes += 1
            self.die()
            raise ControllersCrashed
        if self._happens(self.settings.lost_answer):
            self.counts.lost_answers += 1
            return _refusal(504, "Timeout", "injected: the answer was lost")
        return response

    def _maybe_stale(self, request: Request, response: Response) -> Response:
        if response.status != 200 or '"items":' not in response.body[:400].decode(errors="ignore"):
            return response
        key = (request.path, repr((sorted(request.query.items()), request.headers.get("accept"))))
        earlier = self._answers.setdefault(key, [])
        earlier.append(response)
        del earlier[:-4]
        if len(earlier) > 1 and self._happens(self.settings.stale_list):
            self.counts.stale_lists += 1
            return self.chances.choice(earlier[:-1])
        return response

    def stream(self, request: Request) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._faulty_stream(request)

    @asynccontextmanager
    async def _faulty_stream(self, request: Request) -> AsyncIterator[AsyncIterator[bytes]]:
        self._expect_alive(request)
        async with self.inner.stream(request) as chunks:
            yield self._disturbed(chunks) if request.query.get("watch") else chunks

    async def _disturbed(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            if self.cut or self._happens(self.settings.drop_event):
                self.counts.dropped_events += 1
                await asyncio.sleep(self.chances.uniform(0, self.settings.delay_seconds_max))
                yield _GONE
                return
            if self._happens(self.settings.delay_event):
                self.counts.delayed_events += 1
                await asyncio.sleep(self.chances.uniform(0, self.settings.delay_seconds_max))
            yield chunk

    async def close(self) -> None:
        await self.inner.close()

    def _happens(self, chance: float) -> bool:
        return chance > 0 and self.chances.random() < chance


def _refusal(code: int, reason: str, message: str) -> Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }
    return Response(status=code, headers={"content-type": "application/json"}, body=msgspec.json.encode(body))


_GONE = (
    msgspec.json.encode(
        {
            "type": "ERROR",
            "object": {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "code": 410,
                "reason": "Expired",
                "message": "injected: too old resource version",
            },
        }
    )
    + b"\n"
)
