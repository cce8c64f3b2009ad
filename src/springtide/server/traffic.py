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

    def take(self, count: int, *, may_refuse: bool = True) -> None:
        """Count so many more. Raises TooManyRequests if its user has too many and the answer may be kept back."""
        if count <= PIECE_BYTES and not self._bytes:
            return
        others = self._all.get(self._name, 0) - self._bytes
        if may_refuse and others and others + self._bytes + count > MOST_BYTES:
            raise TooManyRequests(
                f"too many requests: bodies and answers of {MOST_BYTES} bytes are on their way; "
                "read what was asked for, and try again",
                retry_after_seconds=1,
            )
        self._bytes += count
        self._all[self._name] = self._all.get(self._name, 0) + count

    def end(self) -> None:
        """They are gone."""
        if self._bytes:
            left = self._all[self._name] - self._bytes
            self._bytes = 0
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
