"""UDP through a Service's door: each client's datagrams go to one pod, whose answers come back the same way.

Part of `proxy`. A client that is silent for a minute is forgotten, as the kernel's connection tracking does.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from springtide.node.proxy import Turns
    from springtide.node.service_book import Door

_SILENCE_SECONDS = 60.0
_MOST_CLIENTS = 1024
"""Clients of one door at a time; the one that was silent longest gives way."""

Address = tuple[str, int]


class UdpDoor(asyncio.DatagramProtocol):
    """One bound socket and a socket to a pod for each client."""

    def __init__(self, turns: Turns, *, shared: bool) -> None:
        self.turns = turns
        self._shared = shared
        self._transport: asyncio.DatagramTransport | None = None
        self._clients: dict[Address, _Conversation] = {}

    async def open(self, door: Door) -> None:
        """Raises OSError if the address cannot be had."""
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if self._shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            bound.bind((door.address, door.port))
        except OSError:
            bound.close()
            raise
        bound.setblocking(False)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=bound)
        self._transport = transport

    async def close(self) -> None:
        """Nothing goes through any more."""
        if self._transport is not None:
            self._transport.close()
        for conversation in tuple(self._clients.values()):
            conversation.end()

    async def end(self) -> None:
        await self.close()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        conversation = self._clients.get(addr)
        if conversation is None:
            if len(self._clients) >= _MOST_CLIENTS:
                next(iter(self._clients.values())).end()
            conversation = self._clients[addr] = _Conversation(self, addr)
        else:
            self._clients[addr] = self._clients.pop(addr)  # the latest last
        conversation.send(data)

    def answer(self, data: bytes, client: Address) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, client)

    def forget(self, client: Address) -> None:
        self._clients.pop(client, None)


class _Conversation(asyncio.DatagramProtocol):
    """One client and its pod."""

    def __init__(self, door: UdpDoor, client: Address) -> None:
        self._door, self._client = door, client
        self._transport: asyncio.DatagramTransport | None = None
        self._early: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._silence = self._loop.call_later(_SILENCE_SECONDS, self.end)
        self._opening = asyncio.create_task(self._open(), name="proxied-datagrams")

    async def _open(self) -> None:
        backend = self._door.turns.order(self._client[0])[0]
        try:
            transport, _ = await self._loop.create_datagram_endpoint(lambda: self, remote_addr=backend)
        except OSError:
            self.end()
            return
        self._door.turns.took(self._client[0], backend)
        self._transport = transport
        for data in self._early:
            self._transport.sendto(data)
        self._early.clear()

    def send(self, data: bytes) -> None:
        self._silence.cancel()
        self._silence = self._loop.call_later(_SILENCE_SECONDS, self.end)
        if self._transport is None:
            self._early.append(data)
        else:
            self._transport.sendto(data)

    def datagram_received(self, data: bytes, addr: Address) -> None:  # noqa: ARG002 - asyncio's signature
        self._door.answer(data, self._client)

    def error_received(self, exc: Exception) -> None:  # noqa: ARG002 - asyncio's signature
        """The pod refuses: its client may try again and gets another."""
        self.end()

    def end(self) -> None:
        self._silence.cancel()
        self._door.forget(self._client)
        if self._transport is not None:
            self._transport.close()
        elif not self._opening.done():
            self._opening.cancel()
