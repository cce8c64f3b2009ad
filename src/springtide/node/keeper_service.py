"""Answers other keepers: what is held here, a part of it, or room for one of theirs.

A node has a say only about jobs that run on it: the caller hands in `entitled`, which knows from the API
objects whether a node runs, or is about to run, pods of a job. Made by `keeper`; asked by `keeper_copies`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator

from springtide.node.keeper_channel import (
    Broken,
    Fetch,
    Given,
    Held,
    Holdings,
    Put,
    Question,
    Trust,
    receive_bytes,
    receive_question,
    send,
    send_bytes,
)
from springtide.node.keeper_layout import Job, Torn, parse_manifest
from springtide.node.keeper_shelf import Draft, Full, Shelf, Unusable, read_part
from springtide.runtime import Clock, logger

log = logger("node.keeper_service")

PATIENCE_SECONDS = 20.0
"""How long the other side may take for the next frame or chunk."""
CONNECTIONS_MAX = 64
HANDSHAKE_SECONDS = 5.0
"""How long somebody who has not yet shown who it is may keep a connection."""
HERE_ALREADY = "here already"
"""How a part is refused that was left before."""
_BUFFER_BYTES = 4 * 1024 * 1024


class Pace:
    """Lets bytes through at a rate: each piece waits until those before it have had their time."""

    def __init__(self, clock: Clock, bytes_per_second: int) -> None:
        """0: at any rate."""
        self._clock = clock
        self._rate = bytes_per_second
        self._free_at = 0.0

    async def wait(self, size: int) -> None:
        """Before sending this many bytes."""
        if self._rate <= 0:
            return
        now = self._clock.monotonic()
        at = max(now, self._free_at)
        self._free_at = at + size / self._rate
        await asyncio.sleep(at - now)


Entitled = Callable[[str, Job], Awaitable[bool]]
"""Whether a node may ask for, and leave, snapshots of a job."""


class KeeperService:
    """The listening side of one keeper."""

    def __init__(self, shelf: Shelf, trust: Trust, entitled: Entitled) -> None:
        self._shelf = shelf
        self._trust = trust
        self._entitled = entitled
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int = 0) -> int:
        """Listen; the port. Raises OSError."""
        self._server = await asyncio.start_server(
            self._connected,
            host,
            port,
            ssl=self._trust.server,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            limit=_BUFFER_BYTES,
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer), name="keeper-conversation")
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except (Broken, EOFError, TimeoutError, OSError, ssl.SSLError, Torn) as error:
            log.info("conversation with a keeper ended early", error=str(error) or type(error).__name__)
        finally:
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        node = self._trust.who(writer)
        while True:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    question = await receive_question(reader)
            except EOFError:
                return
            if not question.job.is_well_named or not await self._entitled(node, question.job):
                log.warning("keeper refused", node=node, key=str(question.job))
                await send(
                    writer, Given(f"node {node} has no pods of {question.job} ({question.job.uid[:64]})")
                )
                return
            await self._answer(question, reader, writer)

    async def _answer(
        self, question: Question, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if isinstance(question, Holdings):
            await send(writer, Held(await asyncio.to_thread(self._shelf.parts, question.job)))
        elif isinstance(question, Fetch):
            await self._give(question, writer)
        else:
            await self._take(question, reader, writer)

    async def _give(self, question: Fetch, writer: asyncio.StreamWriter) -> None:
        try:
            place = await asyncio.to_thread(self._shelf.locate, question.job, question.part)
            part = await asyncio.to_thread(read_part, place)
        except (LookupError, OSError, Torn) as error:
            await send(writer, Given(f"{question.part.folder}: {error}"))
            return
        with part:
            await send(writer, Given())
            await send_bytes(writer, part.manifest.text)
            await send_chunks(writer, part.chunks())

    async def _take(self, question: Put, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            manifest = parse_manifest(await receive_bytes(reader))
        held = await asyncio.to_thread(self._shelf.parts, question.job)
        if manifest.part in held:
            await send(writer, Given(HERE_ALREADY))
            return
        try:
            draft = await asyncio.to_thread(self._shelf.expect, question.job, manifest)
        except (Full, Unusable) as error:
            await send(writer, Given(str(error)))
            return
        await send(writer, Given())
        await receive_chunks(reader, draft, self._shelf, question.job)
        await send(writer, Given())


async def send_chunks(
    writer: asyncio.StreamWriter, chunks: Iterator[bytes], pace: Pace | None = None
) -> None:
    """A part's bytes. Raises Torn when it changes under our hands, OSError, TimeoutError."""
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        if pace is not None:
            await pace.wait(len(chunk))
        async with asyncio.timeout(PATIENCE_SECONDS):
            writer.write(chunk)
            await writer.drain()


async def receive_chunks(reader: asyncio.StreamReader, draft: Draft, shelf: Shelf, job: Job) -> None:
    """A part's bytes, and keep it. Raises Torn, EOFError when the line is cut, OSError, TimeoutError.

    Nothing is left of it then.
    """
    try:
        for _, size, _ in draft.manifest.chunks():
            async with asyncio.timeout(PATIENCE_SECONDS):
                chunk = await reader.readexactly(size)
            await asyncio.to_thread(draft.write, chunk)
        await asyncio.to_thread(shelf.keep, job, draft)
    finally:
        await asyncio.to_thread(draft.close)
