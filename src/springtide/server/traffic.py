"""Bytes on their way: how many of them one user may have in this process, and how long they may stay.

A body that never ends and an answer that nobody reads hold memory for as long as their client likes. So both
are counted, by user, and nobody waits for ever for a client that neither sends nor reads. Small ones are not
worth counting. Called by `asgi` for requests and answers, by `websocket` for streams of lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from typing import Any

from springtide.server.request import User
from springtide.server.status import TooManyRequests

PIECE_BYTES = 64 * 1024
"""Answers are written piece by piece, each when the one before is nearly gone."""
MOST_BYTES = 256 * 1024 * 1024
"""Of one user's bodies and answers, together; one request alone may have more."""
MOST_UNREAD_BYTES = 96 * 1024 * 1024
"""The same, beyond which no body is taken in: whoever sends so much at once sends the rest later."""
PATIENCE_SECONDS = 60.0
"""How long a client may take to send a body, or to read a piece of its answer: Kubernetes' time of a
request."""


class Traffic:
    """What is counted, by user's name."""

    def __init__(self) -> None:
        self._bytes: dict[str, int] = {}

    def load(self, user: User) -> Load:
        """For one request; whoever asks for it ends it."""
        return Load(self._bytes, user.name)

    @property
    def bytes(self) -> int:
        """All that is counted now."""
        return sum(self._bytes.values())


class Load:
    """The bytes of one request and its answer."""

    __slots__ = ("_all", "_bytes", "_name")

    def __init__(self, everybody: dict[str, int], name: str) -> None:
        self._all, self._name, self._bytes = everybody, name, 0

    @property
    def heavy(self) -> bool:
        """Whether other requests of its user have so many that no large answer need be made."""
        return self._others > MOST_BYTES // 2

    def take(self, count: int, *, may_refuse: bool = True, unread: bool = False) -> None:
        """Count so many more. Raises TooManyRequests if its user has too many, unless it must be told."""
        counted, whole = self._counted, self._bytes + count
        most = MOST_UNREAD_BYTES if unread else MOST_BYTES
        if may_refuse and whole > PIECE_BYTES and self._others and self._others + whole > most:
            raise self.refusal(most)
        self._bytes = whole
        self._count(self._counted - counted)

    def refusal(self, most: int | None = None) -> TooManyRequests:
        return TooManyRequests(
            f"too many requests: bodies and answers of up to {most or MOST_BYTES} bytes are on their way; "
            "read what was asked for, and try again",
            retry_after_seconds=1,
        )

    def end(self) -> None:
        """They are gone."""
        counted, self._bytes = self._counted, 0
        self._count(-counted)

    @property
    def _counted(self) -> int:
        return self._bytes if self._bytes > PIECE_BYTES else 0

    @property
    def _others(self) -> int:
        return self._all.get(self._name, 0) - self._counted

    def _count(self, more: int) -> None:
        if not more:
            return
        left = self._all.get(self._name, 0) + more
        if left:
            self._all[self._name] = left
        else:
            del self._all[self._name]


def pieces(body: bytes) -> Iterator[bytes]:
    """A body in parts that are written one after the other."""
    if len(body) <= PIECE_BYTES:
        yield body
        return
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]


async def patiently(sent: Awaitable[Any]) -> None:
    """Wait for a client to take something. Raises TimeoutError if it does not."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await sent
