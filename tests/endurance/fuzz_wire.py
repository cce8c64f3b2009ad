"""Requests as bytes over TLS, and answers read with patience but not too much: what the fuzzer speaks.

An HTTP library would refuse to send most of what the fuzzer wants to send. Called by `fuzz`, `hostile` and
`fuzz_victim`.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field

CONNECT_SECONDS = 30.0
READ_SECONDS = 60.0
STREAM_SECONDS = 1.5
"""How long a chunked answer, which may be a watch without end, is read."""
_LONGEST_LINE = 64 * 1024 * 1024


@dataclass(frozen=True)
class Sent:
    """One request."""

    method: bytes
    target: bytes
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    what: str = ""
    """What it tries, for the report."""

    def encode(self, token: str) -> bytes:
        lines = [b"%s %s HTTP/1.1" % (self.method, self.target), b"host: localhost"]
        names = {name.lower() for name, _ in self.headers}
        if b"authorization" not in names and token:
            lines.append(b"authorization: Bearer " + token.encode())
        if b"content-length" not in names and b"transfer-encoding" not in names:
            lines.append(b"content-length: %d" % len(self.body))
        lines += [b"%s: %s" % pair for pair in self.headers]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body


@dataclass
class Answer:
    """What came back; `cut` if it was a stream that went on."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: bool = False

    @property
    def closes(self) -> bool:
        return self.cut or self.status == 101 or self.headers.get("connection", "").lower() == "close"


class Broken(ConnectionError):
    """The connection ended without a whole answer."""


class Wire:
    """A connection that is opened anew whenever it was closed."""

    def __init__(self, port: int, trust: ssl.SSLContext, token: str) -> None:
        self.port, self.trust, self.token = port, trust, token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: Sent) -> Answer:
        """Raises Broken if the server hangs up, TimeoutError if it says nothing."""
        reader, writer = await self.open()
        try:
            writer.write(request.encode(self.token))
            async with asyncio.timeout(READ_SECONDS):
                answer = await read_answer(reader, request.method)
        except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.close()
            if isinstance(error, TimeoutError):
                raise
            raise Broken(f"{type(error).__name__}: {error}") from error
        if answer.closes:
            self.close()
        return answer

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._streams[0].at_eof() or self._streams[1].is_closing():
            self.close()
            async with asyncio.timeout(CONNECT_SECONDS):
                self._streams = await asyncio.open_connection(
                    "127.0.0.1", self.port, ssl=self.trust, limit=_LONGEST_LINE
                )
        return self._streams

    def close(self) -> None:
        """At once, without goodbye."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def read_answer(reader: asyncio.StreamReader, method: bytes) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    answer = Answer(int(first.split(" ")[1]))
    answer.headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    if method == b"HEAD" or answer.status in (101, 204, 304):
        return answer
    if answer.headers.get("transfer-encoding") == "chunked":
        await _read_chunks(reader, answer)
    else:
        answer.body = await reader.readexactly(int(answer.headers.get("content-length", "0")))
    return answer


async def _read_chunks(reader: asyncio.StreamReader, answer: Answer) -> None:
    parts = []
    try:
        async with asyncio.timeout(STREAM_SECONDS):
            while size := int(await reader.readuntil(b"\r\n"), 16):
                parts.append(await reader.readexactly(size))
                await reader.readexactly(2)
            await reader.readexactly(2)
    except TimeoutError:
        answer.cut = True
    answer.body = b"".join(parts)
