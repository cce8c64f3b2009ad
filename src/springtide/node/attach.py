"""Who is attached to a container: its output goes to the log and to each of them, their input into it.

`pod.py` makes one `Attachments` an instance; `remotecommand.py` talks through an `Attachment`. A container
that takes input is a conversation: its output waits for the slowest listener, as a terminal would. Any other
never waits for anybody: who listens too slowly is cut off.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping

from springtide.node.console import Console
from springtide.node.process import Sink
from springtide.node.remotecommand import Interrupted
from springtide.node.session import STDERR, STDOUT

HELD_BYTES = 256 * 1024
"""Output kept for one listener before a conversation waits."""
LOST_BYTES = 4 * 1024 * 1024
"""Output kept for one listener before it is cut off."""


class Listening:
    """One output stream, as one listener hears it."""

    def __init__(self, attachments: Attachments) -> None:
        self._attachments = attachments
        self._chunks: deque[bytes] = deque()
        self._more = asyncio.Event()
        self._ended = False
        self.waiting_bytes = 0

    def put(self, data: bytes) -> None:
        """More output; an empty chunk is the end."""
        if data:
            self._chunks.append(data)
            self.waiting_bytes += len(data)
        else:
            self._ended = True
        self._more.set()

    async def read(self) -> bytes:
        """The next chunk; empty at the end."""
        while not self._chunks:
            if self._ended:
                return b""
            self._more.clear()
            await self._more.wait()
        data = self._chunks.popleft()
        self.waiting_bytes -= len(data)
        self._attachments.relieved()
        return data

    def close(self) -> None:
        """Nobody listens any more."""
        self._ended = True
        self._chunks.clear()
        self.waiting_bytes = 0


class Attachments:
    """The listeners of one instance of a container, beside its log."""

    def __init__(self, stdout: Sink, stderr: Sink) -> None:
        self._logs = {STDOUT: stdout, STDERR: stderr}
        self._attached: set[Attachment] = set()
        self._held = False
        self._finishing = False
        self.console: Console | None = None
        """Set once the program was started, for containers with `stdin` or `tty`."""

    def stdout(self, data: bytes) -> None:
        """Takes what the program wrote there."""
        self._spread(STDOUT, data)

    def stderr(self, data: bytes) -> None:
        """Takes what the program wrote there."""
        self._spread(STDERR, data)

    def add(self, ended: asyncio.Event, *, stdin_once: bool) -> Attachment:
        """Somebody attaches; `ended` is set when the instance is over."""
        one = Attachment(self, ended, self.console, stdin_once=stdin_once)
        self._attached.add(one)
        return one

    def remove(self, one: Attachment) -> None:
        """They are gone."""
        self._attached.discard(one)
        self.relieved()

    def relieved(self) -> None:
        """Somebody has listened: go on reading if all are within their bounds."""
        if self._held and all(one.waiting_bytes < HELD_BYTES for one in self._attached):
            self._hold(held=False)

    def finish(self) -> None:
        """The program has ended: what is left in its pipes is little, and is read however slow anybody is."""
        if self._held:
            self._hold(held=False)
        self._finishing = True

    def close(self) -> None:
        """The instance is over: whatever has not ended by itself ends now."""
        for one in self._attached:
            for listening in one.outputs.values():
                listening.put(b"")
        if self.console is not None:
            self.console.close()

    def _spread(self, channel: int, data: bytes) -> None:
        self._logs[channel](data)
        for one in tuple(self._attached):
            one.put(channel, data)
        self._bound()

    def _bound(self) -> None:
        if self._finishing:
            return
        conversation = self.console is not None and self.console.writable
        for one in tuple(self._attached):
            if conversation and one.waiting_bytes >= HELD_BYTES and not self._held:
                self._hold(held=True)
            elif not conversation and one.waiting_bytes >= LOST_BYTES:
                one.cut_off()
                self._attached.discard(one)

    def _hold(self, *, held: bool) -> None:
        if self.console is not None:
            self._held = held
            self.console.holds(held=held)


class Attachment:
    """One who is attached: the same shape as a `session.Session`."""

    def __init__(
        self, attachments: Attachments, ended: asyncio.Event, console: Console | None, *, stdin_once: bool
    ) -> None:
        self.outputs: Mapping[int, Listening] = {
            channel: Listening(attachments) for channel in (STDOUT, STDERR)
        }
        self._attachments = attachments
        self._ended = asyncio.ensure_future(ended.wait())
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._console = console
        self._stdin_once = stdin_once

    @property
    def waiting_bytes(self) -> int:
        return sum(one.waiting_bytes for one in self.outputs.values())

    def put(self, channel: int, data: bytes) -> None:
        """Output of the container."""
        self.outputs[channel].put(data)

    def cut_off(self) -> None:
        """The output was faster than its reader, and the container does not wait."""
        if not self._lost.done():
            self._lost.set_result(None)

    async def write(self, data: bytes) -> bool:
        return self._console is not None and await self._console.write(data)

    async def end_input(self) -> None:
        """The client's input has ended; the container's has too if it takes input from one client only."""
        if self._console is not None and self._stdin_once:
            await self._console.end_input()

    def resize(self, columns: int, rows: int) -> None:
        if self._console is not None:
            self._console.resize(columns, rows)

    async def wait(self) -> int:
        """An attachment ends well: how the container ended stands in the pod's status."""
        await asyncio.wait((self._ended, self._lost), return_when=asyncio.FIRST_COMPLETED)
        if self._lost.done():
            raise Interrupted(
                f"attached client fell {LOST_BYTES >> 20} MiB behind the container's output and was cut off;"
                " attach again, or read `kubectl logs`"
            )
        return 0

    async def abandon(self) -> None:
        """The client is gone; the container goes on."""
        if self._stdin_once:
            await self.end_input()

    def close(self) -> None:
        for listening in self.outputs.values():
            listening.close()
        self._ended.cancel()
        self._lost.cancel()
        self._attachments.remove(self)
