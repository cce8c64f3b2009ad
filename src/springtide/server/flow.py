"""Who is served next when many ask at once: so many requests at a time, and every user's in turn.

`Server` asks for a seat before a request is answered and gives it back after. While seats are free nothing
waits. When none is, requests wait in a queue a user, and each seat that comes free goes to the next user in
turn: however many requests one sends, another waits for one of them at most. A queue that is full, or a wait
that is too long, is refused with 429, which clients know how to retry. Long answers (watches, followed logs)
hold a seat only until they begin; how many a user may have open is limited on its own.

The idea is that of Kubernetes' API priority and fairness, with one queue a user in place of shuffle sharding.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from springtide.server.closing import Closing
from springtide.server.request import Request, Stream, User
from springtide.server.status import TooManyRequests
from springtide.store import Durations

_MASTERS = "system:masters"
_RETRY_SECONDS = 1
QUEUE_FULL, TIME_OUT, CONCURRENCY_LIMIT = "queue-full", "time-out", "concurrency-limit"
"""Why a request was refused, in Kubernetes' words."""
_WAITS = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
"""Bounds of the histogram of waits, as kube-apiserver has them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is answered at once."""

    seats: int = 128
    """Requests answered at the same time, of all users together; most of them wait for a disk."""
    queued_per_user: int = 512
    """Requests of one user that may wait; the next is refused. 0: none waits."""
    wait_seconds: float = 15.0
    """How long a request may wait for its turn."""
    streams_per_user: int = 1024
    """Watches and followed logs that one user may have open."""


@dataclass
class Flow:
    """The seats, the queues, and the open streams."""

    limits: Limits = field(default_factory=Limits)
    taken: int = 0
    """Seats in use."""
    served: int = 0
    """Requests that got a seat, since the start."""
    exempt: int = 0
    """Requests that needed none, since the start."""
    refused: Counter[str] = field(default_factory=Counter)
    """Requests that were answered 429 since the start, by reason."""
    waits: Durations = field(default_factory=lambda: Durations(_WAITS))
    """How long those with a seat had waited for it."""
    vain_waits: Durations = field(default_factory=lambda: Durations(_WAITS))
    """How long those had waited who got none."""
    _queues: OrderedDict[str, deque[asyncio.Future[None]]] = field(default_factory=OrderedDict)
    """Who waits, by user. The first user is the next in turn; queues are never empty."""
    _streams: dict[str, int] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """Requests that wait for a seat."""
        return sum(map(len, self._queues.values()))

    @asynccontextmanager
    async def seat(self, user: User) -> AsyncIterator[None]:
        """A seat for one request of `user`, in turn. Raises TooManyRequests."""
        if self.taken < self.limits.seats and not self._queues:
            self.taken += 1
            self.waits.observe(0.0)
        else:
            await self._wait(user.name)
        self.served += 1
        try:
            yield
        finally:
            self._leave()

    def check_streams(self, request: Request) -> None:
        """Raise TooManyRequests if the request would open a stream and its user has too many."""
        wants_one = request.flag("watch") or request.flag("follow")
        if wants_one and self._streams.get(request.user.name, 0) >= self.limits.streams_per_user:
            why = f"{self.limits.streams_per_user} watches are open, close some"
            raise self._too_many(CONCURRENCY_LIMIT, why)

    def counted(self, user: User, stream: Stream) -> Stream:
        """The stream, which counts as one of its user's until it is closed."""
        self._streams[user.name] = self._streams.get(user.name, 0) + 1
        stream.chunks = Closing(stream.chunks, lambda: self._stream_closed(user.name))
        return stream

    async def _wait(self, user: str) -> None:
        queue = self._queues.get(user)
        if (len(queue) if queue else 0) >= self.limits.queued_per_user:
            raise self._too_many(QUEUE_FULL, "too many requests, please try again later")
        loop = asyncio.get_running_loop()
        turn, began = loop.create_future(), loop.time()
        if queue is None:
            queue = self._queues[user] = deque()
        queue.append(turn)
        try:
            async with asyncio.timeout(self.limits.wait_seconds):
                await turn
        except TimeoutError:
            self._give_up(user, turn)
            self.vain_waits.observe(loop.time() - began)
            raise self._too_many(TIME_OUT, "the request waited too long for its turn") from None
        except asyncio.CancelledError:
            self._give_up(user, turn)
            raise
        self.waits.observe(loop.time() - began)

    def _give_up(self, user: str, turn: asyncio.Future[None]) -> None:
        """Leave the queue; a seat that was given in the same moment goes on to the next."""
        if turn.done() and not turn.cancelled():
            self._leave()
            return
        queue = self._queues.get(user)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._queues[user]

    def _leave(self) -> None:
        """Give the seat to whoever is next in turn, or back."""
        while self._queues:
            user, queue = self._queues.popitem(last=False)
            turn = queue.popleft()
            if queue:
                self._queues[user] = queue  # to the end: the others' turn comes first
            if not turn.done():
                turn.set_result(None)
                return
        self.taken -= 1

    def _stream_closed(self, user: str) -> None:
        left = self._streams[user] - 1
        if left:
            self._streams[user] = left
        else:
            del self._streams[user]

    def _too_many(self, reason: str, why: str) -> TooManyRequests:
        self.refused[reason] += 1
        return TooManyRequests(why, retry_after_seconds=_RETRY_SECONDS)


def is_exempt(user: User) -> bool:
    """The platform's own components and its administrators never wait: they are what mends things."""
    return _MASTERS in user.groups
