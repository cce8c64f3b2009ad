"""Asks other keepers: leave a copy with a peer, find what is held of a job, fetch a part of it.

One short connection a question; whatever goes wrong is one error, `Failed`, which says with whom and why.
Copies leave at a bounded pace, so that they never take the network or a processor from training for long.
Called by `keeper`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from springtide.node.keeper_channel import (
    Address,
    Broken,
    Fetch,
    Given,
    Holdings,
    Put,
    Trust,
    connect,
    receive,
    receive_bytes,
    receive_held,
    send,
    send_bytes,
)
from springtide.node.keeper_layout import Job, Part, Torn, parse_manifest
from springtide.node.keeper_service import HERE_ALREADY, PATIENCE_SECONDS, Pace, receive_chunks, send_chunks
from springtide.node.keeper_shelf import Shelf, read_part
from springtide.runtime import logger

log = logger("node.keeper_copies")

CONNECT_SECONDS = 5.0
ASKED_AT_ONCE = 32


class Failed(Exception):
    """A keeper did not do what it was asked; the text says which and why."""


class Copies:
    """The asking side of one keeper."""

    def __init__(self, shelf: Shelf, trust: Trust, pace: Pace) -> None:
        self._shelf = shelf
        self._trust = trust
        self._pace = pace

    async def put(self, peer: str, address: Address, job: Job, part: Part) -> None:
        """Leave a copy of a part of ours with a peer. Raises Failed, and Torn if it changed meanwhile."""
        try:
            place = await asyncio.to_thread(self._shelf.locate, job, part)
            reading = await asyncio.to_thread(read_part, place)
        except (LookupError, OSError) as error:
            raise Torn(str(error)) from None
        with reading:
            async with self._connected(peer, address) as (reader, writer):
                await send(writer, Put(job, part))
                await send_bytes(writer, reading.manifest.text)
                if await self._agreed(peer, reader):
                    await send_chunks(writer, reading.chunks(), self._pace)
                    await self._agreed(peer, reader)

    async def fetch(self, peer: str, address: Address, job: Job, part: Part) -> None:
        """Get a part from a peer, into our copies. Raises Failed, and Full when there is no room."""
        async with self._connected(peer, address) as (reader, writer):
            await send(writer, Fetch(job, part))
            await self._agreed(peer, reader)
            async with asyncio.timeout(PATIENCE_SECONDS):
                manifest = parse_manifest(await receive_bytes(reader))
            if manifest.part != part:
                raise Broken(f"{manifest.part.folder} came where {part.folder} was asked for")
            draft = await asyncio.to_thread(self._shelf.expect, job, manifest)
            await receive_chunks(reader, draft, self._shelf, job)

    async def holdings(self, job: Job, addresses: Mapping[str, Address]) -> dict[str, list[Part]]:
        """What these nodes hold of a job; those that do not answer hold nothing."""
        turn = asyncio.Semaphore(ASKED_AT_ONCE)

        async def ask(node: str, address: Address) -> tuple[str, list[Part]]:
            async with turn:
                try:
                    return node, await self._ask_holdings(node, address, job)
                except Failed as error:
                    log.info("keeper does not answer", node=node, error=str(error))
                    return node, []

        return dict(await asyncio.gather(*(ask(node, one) for node, one in addresses.items())))

    async def _ask_holdings(self, node: str, address: Address, job: Job) -> list[Part]:
        async with self._connected(node, address) as (reader, writer):
            await send(writer, Holdings(job))
            async with asyncio.timeout(PATIENCE_SECONDS):
                said = await receive_held(reader)
        if isinstance(said, Given):
            raise Failed(f"node {node}: {said.refused}")
        return said.parts

    async def _agreed(self, peer: str, reader: asyncio.StreamReader) -> bool:
        """Whether the peer goes on; False where it has the part. Raises Failed when it says no."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            said = await receive(reader, Given)
        if said.refused and said.refused != HERE_ALREADY:
            raise Failed(f"node {peer}: {said.refused}")
        return not said.refused

    @asynccontextmanager
    async def _connected(
        self, peer: str, address: Address
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection for one question; whatever breaks it is Failed."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await connect(self._trust, address)
        except (OSError, Broken, TimeoutError) as error:
            raise Failed(f"node {peer}: {str(error) or 'no connection in time'}") from None
        try:
            yield reader, writer
        except (OSError, EOFError, Broken, TimeoutError) as error:
            raise Failed(f"node {peer}: {str(error) or type(error).__name__}") from None
        finally:
            writer.transport.abort()
