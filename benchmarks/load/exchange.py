"""Many requests over many kept-alive TLS connections, as cheaply as Python can: the client must not limit."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

CONNECTIONS = 64
_CHUNKED, _LAST_CHUNK = -1, b"\r\n0\r\n\r\n"
_EVENT = b'{"type":"'
_VERSION = re.compile(rb'"resourceVersion":"(\d+)"')
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Door:
    """Where a server listens and how to get in."""

    port: int
    token: str
    trust: ssl.SSLContext


@dataclass(frozen=True)
class Call:
    """One request; `body` is JSON already."""

    method: str
    path: str
    body: bytes
    content_type: str = "application/json"

    def encode(self, token: str) -> bytes:
        head = (
            f"{self.method} {self.path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: bench/1\r\n"
            f"content-type: {self.content_type}\r\nauthorization: Bearer {token}\r\n"
            f"content-length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


def merge_patch(path: str, body: object) -> Call:
    return Call("PATCH", path, json.dumps(body).encode(), "application/merge-patch+json")


class _Connection(asyncio.Protocol):
    """Sends calls one after another; each is awaited. `seconds` collects how long each took."""

    def __init__(self, calls: Iterator[bytes], done: asyncio.Future[None], seconds: list[float]) -> None:
        self._calls, self._done, self._seconds = calls, done, seconds
        self._received, self._expected, self._began = bytearray(), 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._expected and not self._read_head():
            return
        whole = (
            self._received.endswith(_LAST_CHUNK)
            if self._expected == _CHUNKED
            else len(self._received) >= self._expected
        )
        if whole:
            self._received.clear()
            self._expected = 0
            self._seconds.append(time.perf_counter() - self._began)
            self._next()

    def _read_head(self) -> bool:
        """Whether the head is there and good; then it is known where the answer ends."""
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not self._received.startswith(b"HTTP/1.1 20"):
            if not self._done.done():
                self._done.set_exception(RuntimeError(self._received[:600].decode()))
            return False
        length = _LENGTH.search(self._received[:end])
        self._expected = end + 4 + int(length.group(1)) if length else _CHUNKED
        return True

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or RuntimeError("the server closed the connection"))

    def _next(self) -> None:
        call = next(self._calls, None)
        if call is None:
            self._done.set_result(None)
            self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(call)


@dataclass(frozen=True)
class Outcome:
    """How long all took, and each."""

    seconds: float
    each: list[float]

    def percentile_ms(self, percent: float) -> float:
        ordered = sorted(self.each)
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1e3, 1)


async def send_all(door: Door, calls: Iterable[Call], connections: int = CONNECTIONS) -> Outcome:
    """Send all, each connection one at a time. Raises RuntimeError with the first answer that is no 2xx."""
    encoded = [call.encode(door.token) for call in calls]
    loop, waiting = asyncio.get_running_loop(), iter(encoded)
    finished: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
    each: list[float] = []
    began = time.perf_counter()
    for done in finished:
        await loop.create_connection(
            lambda done=done: _Connection(waiting, done, each),  # type: ignore[misc]
            "127.0.0.1",
            door.port,
            ssl=door.trust,
            server_hostname="127.0.0.1",
        )
    await asyncio.gather(*finished)
    return Outcome(time.perf_counter() - began, each)


class Listener:
    """A watch that counts the events it hears; dropped by the server as too slow, it resumes like clients."""

    def __init__(self, door: Door, path: str, wanted: int) -> None:
        self._door, self._path, self._left = door, path, wanted
        self._seen = b""
        self.resumed = 0
        self.opened = asyncio.Event()

    async def run(self) -> None:
        """Until enough events were heard. Raises RuntimeError for a refused watch."""
        while self._left > 0:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self._door.port, ssl=self._door.trust, server_hostname="127.0.0.1", limit=2**22
            )
            writer.write(self._request())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            self.opened.set()
            while self._left > 0 and (data := await next_chunk(reader)):
                self._count(data)
            self.resumed += self._left > 0
            writer.close()

    def _count(self, data: bytes) -> None:
        joined = self._seen[-len(_EVENT) + 1 :] + data
        self._left -= joined.count(_EVENT)
        self._seen = (self._seen + data)[-4096:]

    def _request(self) -> bytes:
        versions = _VERSION.findall(self._seen)
        since = f"&resourceVersion={versions[-1].decode()}" if versions else ""
        return (
            f"GET {self._path}?watch=1{since} HTTP/1.1\r\nhost: localhost\r\nuser-agent: bench/1\r\n"
            f"authorization: Bearer {self._door.token}\r\n\r\n"
        ).encode()


async def next_chunk(reader: asyncio.StreamReader) -> bytes:
    """The next chunk of a chunked answer; empty at its end. Chunks may split an event anywhere."""
    size = int((await reader.readline()).strip() or b"0", 16)
    data = await reader.readexactly(size)
    await reader.readline()
    return data
