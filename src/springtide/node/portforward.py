"""Forwards a client's connections to ports of a pod: `kubectl port-forward`.

Two dialects: SPDY tunnelled in a WebSocket (kubectl), where connections come and go, each with its
half-close; and channels (the Python client and its kin), one connection a port for the life of the WebSocket.
Called by `kubelet.py`. Source of headers, channel pairs and error texts: the port forward protocol of the
kubelet.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol
from urllib.parse import parse_qs

from springtide.node.channels import Channels
from springtide.node.spdy import Connection, ProtocolError, Stream
from springtide.runtime import logger
from springtide.runtime.exchange import Disconnected, WebSocket

TUNNEL = "SPDY/3.1+portforward.k8s.io"
READ_BYTES = 64 * 1024
PAIR_SECONDS = 30.0
"""How long the second stream of a pair may take to come."""
MAX_PORTS = 64
_MOST_DIGITS = 5

log = logger("node.portforward")

Dial = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Connects to a port of the pod. Raises OSError, worded for the user."""


class BadPorts(ValueError):
    """The query names no port, or one that is none."""


def ports_of(raw_query: str) -> list[int]:
    """The `ports` of a query, repeated or separated by commas. Raises BadPorts."""
    given = [text for value in parse_qs(raw_query).get("ports", []) for text in value.split(",")]
    if not given:
        raise BadPorts('query parameter "ports" is required')
    for text in given:
        if not _is_port(text):
            raise BadPorts(f"unable to parse {text!r} as a port: use a number from 1 to 65535")
    if len(given) > MAX_PORTS:
        raise BadPorts(f"{len(given)} ports are too many for one connection: use {MAX_PORTS} at most")
    return [int(text) for text in given]


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and 0 < int(text) < 65536


class Peer(Protocol):
    """The client's end of one forwarded connection."""

    async def read(self) -> bytes: ...
    async def write(self, data: bytes) -> None: ...
    async def finish(self) -> None: ...


async def _relay(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Both directions until both have ended; the end of one is passed on, the other goes on."""

    async def upward() -> None:
        while data := await peer.read():
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    async def downward() -> None:
        while data := await reader.read(READ_BYTES):
            await peer.write(data)
        await peer.finish()

    tasks = [asyncio.create_task(upward()), asyncio.create_task(downward())]
    try:
        # when the pod has said its last there is nobody left to talk to
        await asyncio.wait((tasks[1],))
        tasks[1].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        writer.close()


# -- SPDY in a WebSocket ----------------------------------------------------------------------------


class Tunnel:
    """All forwarded connections of one kubectl."""

    def __init__(self, socket: WebSocket, dial: Dial, pod: str) -> None:
        self._connection = Connection(socket, self._accept)
        self._dial = dial
        self._pod = pod
        self._waiting: dict[str, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until kubectl is gone; every connection ends with it."""
        try:
            await self._connection.run()
        except ProtocolError as error:
            log.info("port forwarding broken off", pod=self._pod, cause=str(error))
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(tuple(self._tasks))

    def _accept(self, stream: Stream) -> bool:
        """Pair up error and data streams of one request; complete pairs are forwarded."""
        port, kind = stream.headers.get("port", ""), stream.headers.get("streamtype", "")
        if not _is_port(port) or kind not in ("data", "error"):
            return False
        request = stream.headers.get("requestid") or str(stream.number - 2 * (kind == "data"))
        other = self._waiting.pop(request, None)
        if other is None:
            self._waiting[request] = stream
            asyncio.get_running_loop().call_later(PAIR_SECONDS, self._give_up, request, stream)
            return True
        if other.headers.get("streamtype") == kind:
            self._waiting[request] = other
            return False
        data, errors = (stream, other) if kind == "data" else (other, stream)
        self._run(self._forward(int(data.headers["port"]), data, errors))
        return True

    def _give_up(self, request: str, stream: Stream) -> None:
        if self._waiting.get(request) is stream:
            del self._waiting[request]
            self._run(stream.reset())

    def _run(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, port: int, data: Stream, errors: Stream) -> None:
        try:
            try:
                reader, writer = await self._dial(port)
            except OSError as error:
                await errors.write(_failure(port, self._pod, error))
                await errors.finish()
                await data.reset()
                await errors.reset()
                return
            with suppress(ConnectionError):  # the program cut the connection: so it ends for the client
                await _relay(data, reader, writer)
            await data.finish()
            await errors.finish()
        finally:
            self._connection.forget(data)
            self._connection.forget(errors)


async def _quietly(work: Awaitable[None]) -> None:
    with suppress(Disconnected):
        await work


def _failure(port: int, pod: str, error: OSError) -> bytes:
    return f"error forwarding port {port} to pod {pod}, uid : {error}".encode()


# -- channels ---------------------------------------------------------------------------------------


async def forward_channels(channels: Channels, ports: Sequence[int], dial: Dial, pod: str) -> None:
    """Channels 2n and 2n+1 carry data and error of the n-th port; both begin with the port's number."""
    peers = [_ChannelPeer(channels, 2 * index) for index in range(len(ports))]
    for index, port in enumerate(ports):
        for channel in (2 * index, 2 * index + 1):
            await channels.send(channel, struct.pack("<H", port))
    listening = asyncio.create_task(_distribute(channels, peers))
    forwarding = [
        asyncio.create_task(_forward_port(channels, peer, port, dial, pod))
        for peer, port in zip(peers, ports, strict=True)
    ]
    everything = asyncio.gather(*forwarding)
    try:
        await asyncio.wait((listening, everything), return_when=asyncio.FIRST_COMPLETED)
        if everything.done():
            everything.result()
    finally:
        listening.cancel()
        for task in forwarding:
            task.cancel()
        await asyncio.gather(listening, everything, *forwarding, return_exceptions=True)


async def _forward_port(channels: Channels, peer: _ChannelPeer, port: int, dial: Dial, pod: str) -> None:
    try:
        reader, writer = await dial(port)
    except OSError as error:
        peer.close()
        await channels.send(peer.channel + 1, _failure(port, pod, error))
        return
    with suppress(ConnectionError):
        await _relay(peer, reader, writer)
    peer.close()


async def _distribute(channels: Channels, peers: Sequence[_ChannelPeer]) -> None:
    """Hand each message to its port. Raises Disconnected."""
    while True:
        channel, data = await channels.receive()
        if channel % 2 == 0 and channel // 2 < len(peers):
            await peers[channel // 2].put(data)


class _ChannelPeer:
    """The client's end of one port."""

    def __init__(self, channels: Channels, channel: int) -> None:
        self.channel = channel
        self._channels = channels
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(16)
        self._closed = False

    async def put(self, data: bytes) -> None:
        """Waits while the program is slower than the client."""
        if data and not self._closed:
            await self._queue.put(data)

    def close(self) -> None:
        """The program takes nothing any more; what still comes for it is dropped."""
        self._closed = True
        while not self._queue.empty():
            self._queue.get_nowait()

    async def read(self) -> bytes:
        return await self._queue.get()

    async def write(self, data: bytes) -> None:
        await self._channels.send(self.channel, data)

    async def finish(self) -> None:
        """There is no way to say it on this dialect: the WebSocket is closed when all ports are done."""
