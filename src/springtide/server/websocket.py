"""WebSockets under uvicorn: the protocol class, and an open connection as services see it.

`asgi` imports this file when the first client asks for a WebSocket, so that a platform nobody execs into does
not pay for it. Bytes are bounded in both directions: uvicorn stops reading the socket while a message waits
to be taken, and `send` waits while the client's side is full.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets import http11
from websockets.datastructures import Headers

from springtide.runtime.exchange import Disconnected
from springtide.server.asgi import Receive, Send
from springtide.server.http_protocol import PEER_CERTIFICATE
from springtide.server.traffic import patiently

IDLE_SECONDS = 4 * 3600.0
"""A connection on which nothing moved for this long is closed; Kubernetes waits as long."""
GOING_AWAY = 1001
_GOODBYE_SECONDS = 5.0

# A command of `kubectl exec` stands in the path; the default of 8 KiB would refuse a long script.
http11.MAX_LINE_LENGTH = 1024 * 1024


class Protocol(WebSocketsSansIOProtocol):
    """Tells the application which client certificate the connection was opened with."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # kubectl's `SPDY/3.1+portforward.k8s.io` is no token as RFC 6455 has it, and would be refused; which
        # subprotocol is spoken is for the application to say anyhow.
        self.conn.process_subprotocol = _leave_it  # type: ignore[method-assign, assignment]

    async def run_asgi(self) -> None:
        certificate = self.transport.get_extra_info("peercert")
        if certificate:
            self.scope["extensions"][PEER_CERTIFICATE] = certificate
        try:
            await super().run_asgi()
        finally:  # whoever has not read the goodbye by then will not
            self.loop.call_later(_GOODBYE_SECONDS, self.transport.abort)

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # refused, and answered: nothing is missing


def _leave_it(_headers: Headers) -> None:
    """No choice of ours."""


class AsgiWebSocket:
    """An accepted connection: `runtime.exchange.WebSocket` over ASGI's two callables."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._moved_at = self._loop.time()
        self._gone = False

    @property
    def idle_seconds(self) -> float:
        """How long nothing was received or sent."""
        return self._loop.time() - self._moved_at

    async def receive(self) -> bytes | str:
        if self._closed or self._gone:
            raise Disconnected
        message = await self._receive()
        self._moved_at = self._loop.time()
        if message["type"] != "websocket.receive":
            self._gone = True
            raise Disconnected
        data: bytes | str | None = message.get("bytes")
        return message["text"] if data is None else data

    async def send(self, message: bytes | str) -> None:
        if self._closed or self._gone:
            raise Disconnected
        part = "text" if isinstance(message, str) else "bytes"
        try:
            await self._send({"type": "websocket.send", part: message})
        except ClientDisconnected:
            self._gone = True
            raise Disconnected from None
        self._moved_at = self._loop.time()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._closed or self._gone:
            return
        self._closed = True
        try:
            await patiently(self._send({"type": "websocket.close", "code": code, "reason": reason}))
        except (ClientDisconnected, TimeoutError):
            self._gone = True


async def carry(socket: AsgiWebSocket, serve: Callable[[AsgiWebSocket], Awaitable[None]]) -> None:
    """Run a service on a connection until it is done, idle for too long, or we stop; then say goodbye."""
    serving = asyncio.ensure_future(serve(socket))
    code = GOING_AWAY
    try:
        while not serving.done():
            left = IDLE_SECONDS - socket.idle_seconds
            if left <= 0:
                return
            await asyncio.wait((serving,), timeout=left)
        code = 1000
        if (error := serving.exception()) is not None and not isinstance(error, Disconnected):
            code = 1011
            raise error
    finally:
        if not serving.done():
            serving.cancel()
            await asyncio.wait((serving,))
        await socket.close(code)


def lines_of(chunks: AsyncGenerator[bytes, None]) -> Callable[[AsgiWebSocket], Awaitable[None]]:
    """A watch or a followed log over a WebSocket: one message a line, as Kubernetes offers it to browsers."""

    async def serve(socket: AsgiWebSocket) -> None:
        sending = asyncio.ensure_future(_send_while_read(chunks, socket))
        listening = asyncio.ensure_future(_until_gone(socket))
        try:
            await asyncio.wait((sending, listening), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            listening.cancel()
            await asyncio.wait((sending, listening))
            await chunks.aclose()

    return serve


async def _send_while_read(chunks: AsyncGenerator[bytes, None], socket: AsgiWebSocket) -> None:
    with contextlib.suppress(TimeoutError, Disconnected):  # nobody reads, or nobody is there
        await _send_lines(chunks, socket)


async def _send_lines(chunks: AsyncGenerator[bytes, None], socket: AsgiWebSocket) -> None:
    rest: list[bytes] = []  # of a line that comes in several chunks
    async for chunk in chunks:
        *lines, last = chunk.split(b"\n")
        for line in lines:
            whole = b"".join((*rest, line))
            rest.clear()
            await patiently(socket.send(whole.decode(errors="replace")))
        rest.append(last)
    if any(rest):
        await patiently(socket.send(b"".join(rest).decode(errors="replace")))


async def _until_gone(socket: AsgiWebSocket) -> None:
    while True:
        await socket.receive()
