"""Hands connections to a Service's address to its pods in turn: what kube-proxy does, in user space.

A controller of `agent.py`'s node. It listens at each door of a Service (its own address, and a port of the
node for types that have one) only while somebody answers behind it, so that a Service without pods refuses
connections, as in a cluster. Several nodes of one machine share the doors; the system spreads clients.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from dataclasses import dataclass, field

from springtide.api.commands import Emit
from springtide.node.proxy_udp import UdpDoor
from springtide.node.service_book import Door, Route, ServiceBook
from springtide.runtime import Clock, Runtime, logger

log = logger("node.proxy")

_CHUNK_BYTES = 65_536
_WAITING = 1024
"""Connections that wait to be let in; more are refused by the system."""
_CONNECT_SECONDS = 3.0
_RETRY_SECONDS = 5.0
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_BREATH_SECONDS = 1.0
"""How long nobody is let in after files or memory ran out."""

Backend = tuple[str, int]


@dataclass
class Turns:
    """Whose turn it is, and which client keeps to whom."""

    clock: Clock
    route: Route
    _next: int = 0
    _kept: dict[str, tuple[Backend, float]] = field(default_factory=dict)
    """Client -> its backend and when it came last."""

    def order(self, client: str) -> list[Backend]:
        """The backends in the order to try: the client's own first, then whose turn it is."""
        backends = list(self.route.backends)
        start = self._next % len(backends)
        self._next += 1
        turns = backends[start:] + backends[:start]
        kept, seen = self._kept.get(client, (None, 0.0))
        if kept in turns and self.clock.monotonic() - seen < self.route.affinity_seconds:
            turns.remove(kept)
            turns.insert(0, kept)
            self._next -= 1
        return turns

    def took(self, client: str, backend: Backend) -> None:
        """The client was connected to this backend."""
        if self.route.affinity_seconds:
            self._kept[client] = (backend, self.clock.monotonic())


class TcpDoor:
    """One listening socket and the connections through it.

    It accepts by itself, at once: `asyncio.Server` and `sock_accept` forget a connection that they accepted
    in the moment they are stopped, and its client waits for ever.
    """

    def __init__(self, turns: Turns, *, shared: bool) -> None:
        self.turns = turns
        self._shared = shared
        self._listener: socket.socket | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def open(self, door: Door) -> None:
        """Raises OSError if the address cannot be had."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            listener.bind((door.address, door.port))
            listener.listen(_WAITING)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    async def close(self) -> None:
        """No new connections; those that are open go on until their ends close them."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def end(self) -> None:
        """Close, and cut what is open."""
        await self.close()
        for task in tuple(self._running):
            task.cancel()

    def _accept(self, listener: socket.socket) -> None:
        """Somebody waits at the door."""
        try:
            connection, _ = listener.accept()
        except OSError as error:  # a client that left while it waited, or too many open files
            log.debug("connection not accepted", error=str(error))
            if error.errno in _EXHAUSTED:
                self._pause(listener)
            return
        task = asyncio.create_task(self._let_in(connection), name="proxied-connection")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _pause(self, listener: socket.socket) -> None:
        """The client goes on waiting at the door: looking at once again would find the same, for ever."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(_BREATH_SECONDS, self._look_again, listener)

    def _look_again(self, listener: socket.socket) -> None:
        if self._listener is listener:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    async def _let_in(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            reader, writer = await asyncio.open_connection(sock=connection)
        except OSError:
            connection.close()
            return
        await self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = str(writer.get_extra_info("peername")[0])
        try:
            opened = await self._connect(client)
            if opened is None:
                writer.transport.abort()  # the client sees a reset, as if nobody listened
                return
            other_reader, other_writer = opened
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_copy(reader, other_writer))
                    group.create_task(_copy(other_reader, writer))
            finally:
                other_writer.close()
        except* OSError:
            writer.transport.abort()
        finally:
            writer.close()

    async def _connect(self, client: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for backend in self.turns.order(client):
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    opened = await asyncio.open_connection(*backend)
            except (OSError, TimeoutError):
                continue
            self.turns.took(client, backend)
            return opened
        return None


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything until the end, then the end itself: either side may stop sending and go on listening."""
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


Opened = TcpDoor | UdpDoor


class ServiceProxy:
    """The doors of all Services on one node."""

    def __init__(self, runtime: Runtime, room: str, book: ServiceBook, *, shared: bool) -> None:
        """`shared`: nodes of other processes listen at the same doors."""
        self._shared = shared
        self._runtime = runtime
        self._room = room
        self._book = book
        self._open: dict[str, dict[Door, Opened]] = {}
        self._refused: set[Door] = set()
        self._stopped = False
        runtime.controller(
            f"{room}.proxy",
            self._reconcile,
            [(book.services, lambda service: (service.key,)), (book.slices, book.key_of_slice)],
        )

    async def stop(self) -> None:
        """Close all doors and cut the connections through them."""
        self._stopped = True
        for doors in self._open.values():
            for opened in doors.values():
                await opened.end()
        self._open.clear()

    async def _reconcile(self, key: str) -> float | None:
        if self._stopped:
            return None
        routes = self._book.routes(key)
        doors = self._open.setdefault(key, {})
        for door in [door for door in doors if door not in routes]:
            await doors.pop(door).close()
        waiting = False
        for door, route in routes.items():
            if door in doors:
                if doors[door].turns.route != route:
                    doors[door].turns.route = route
            else:
                waiting = not await self._try_open(key, door, route) or waiting
        if not doors:
            del self._open[key]
        return _RETRY_SECONDS if waiting else None

    async def _try_open(self, key: str, door: Door, route: Route) -> bool:
        maker = _MAKERS.get(door.protocol)
        if maker is None:
            await self._say(key, door, f"protocol {door.protocol} is not proxied here")
            return True
        opened = maker(Turns(self._runtime.clock, route), shared=self._shared)
        try:
            await opened.open(door)
        except OSError as error:
            await self._say(key, door, f"{door.address}:{door.port} cannot be had: {error.strerror or error}")
            return False
        self._refused.discard(door)
        self._open[key][door] = opened
        return True

    async def _say(self, key: str, door: Door, why: str) -> None:
        """Once for each door: an event on the Service."""
        service = self._book.services.cache.get(key)
        if door not in self._refused and service is not None:
            self._refused.add(door)
            log.warning("service not reachable", service=key, why=why)
            await self._runtime.apply(
                self._room, [Emit(service, "ServiceNotReachable", why, "Warning", "Proxying")]
            )


_MAKERS: dict[str, type[Opened]] = {"TCP": TcpDoor, "UDP": UdpDoor}
