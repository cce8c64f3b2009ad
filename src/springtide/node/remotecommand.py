"""Connects a client with a command or a container: `kubectl exec` and `attach`, over WebSocket channels.

Three things go on at once: what the client types goes in, what the program writes goes out, and the end of
the program becomes a status. Bytes are never piled up: a program that does not read stops the client, a
client that does not read stops the program. Called by `kubelet.py`. Source of the status: the remote command
protocol of Kubernetes, version 4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from springtide.node.channels import CLOSED, RESIZE, STATUS, STDERR, STDIN, STDOUT, Channels
from springtide.runtime.exchange import Disconnected

LINGER_SECONDS = 0.5
"""How long output may stay silent after the program's end until it counts as over: a child may hold it."""
PULSE_SECONDS = 5.0
"""While a program does not read, an empty message tells whether the client is still there."""


class Readable(Protocol):
    """One output stream."""

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""
        ...


class Program(Protocol):
    """What the client is connected with: a `session.Session` or an `attach.Attachment`."""

    @property
    def outputs(self) -> Mapping[int, Readable]: ...
    async def write(self, data: bytes) -> bool: ...
    async def end_input(self) -> None: ...
    def resize(self, columns: int, rows: int) -> None: ...
    async def wait(self) -> int:
        """How it ended; minus the signal's number for a signal. Raises Interrupted."""
        ...

    async def abandon(self) -> None:
        """The client is gone."""
        ...

    def close(self) -> None:
        """Nothing more will be asked of it."""
        ...


class Interrupted(Exception):
    """The connection ends though the program goes on; the text says why, for the user."""


@dataclass(frozen=True)
class Wanted:
    """Which streams the client asked for."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False

    @property
    def outputs(self) -> set[int]:
        """Channels that are sent; a terminal has only one output."""
        return {
            channel for channel, on in ((STDOUT, self.stdout), (STDERR, self.stderr and not self.tty)) if on
        }


async def converse(channels: Channels, program: Program, wanted: Wanted) -> None:
    """Carry everything between client and program until either ends; then tell the client how."""
    listening = asyncio.create_task(_listen(channels, program, wanted))
    speaking = asyncio.create_task(_speak(channels, program, wanted))
    try:
        await asyncio.wait((listening, speaking), return_when=asyncio.FIRST_COMPLETED)
        if speaking.done():
            await send_status(channels, exit_status(speaking.result()))
        else:
            listening.result()
    except Interrupted as error:
        with suppress(Disconnected):
            await send_status(channels, error_status(str(error)))
    except Disconnected:
        await asyncio.shield(program.abandon())
    except asyncio.CancelledError:
        await asyncio.shield(program.abandon())
        raise
    finally:
        listening.cancel()
        speaking.cancel()
        await asyncio.wait((listening, speaking))
        program.close()


async def _listen(channels: Channels, program: Program, wanted: Wanted) -> None:
    """What the client sends, until it is gone. Raises Disconnected."""
    reads = wanted.stdin
    while True:
        channel, data = await channels.receive()
        if channel == STDIN and reads and data:
            reads = await _type(channels, program, data)
        elif channel == CLOSED and data[0] == STDIN and reads:
            reads = False
            await program.end_input()
        elif channel == RESIZE and data:
            _resize(program, data)


async def _type(channels: Channels, program: Program, data: bytes) -> bool:
    """Write; while the program does not read, make sure that there still is a client."""
    writing = asyncio.ensure_future(program.write(data))
    try:
        while not writing.done():
            await asyncio.wait((writing,), timeout=PULSE_SECONDS)
            if not writing.done():
                await channels.send(STDOUT, b"")
        return writing.result()
    finally:
        writing.cancel()


def _resize(program: Program, data: bytes) -> None:
    with suppress(msgspec.MsgspecError):
        size = msgspec.json.decode(data, type=_Size)
        program.resize(size.Width, size.Height)


class _Size(msgspec.Struct):
    Width: int
    Height: int


async def _speak(channels: Channels, program: Program, wanted: Wanted) -> int:
    """All output, until the program has ended; its exit code. Raises Disconnected, Interrupted."""
    pumps = [
        _Pump(channels, channel, output, sent=channel in wanted.outputs)
        for channel, output in program.outputs.items()
    ]
    running = [asyncio.create_task(pump.run()) for pump in pumps]
    ending = asyncio.create_task(program.wait())
    try:
        await _first_failure_or(ending, running)
        code = ending.result()
        while not await _all_done(running, LINGER_SECONDS):
            moved = [pump.moved_since_asked() for pump in pumps]
            if not any(moved):
                break
        for one in running:
            if one.done():
                one.result()
    finally:
        for task in (*running, ending):
            task.cancel()
        await asyncio.wait((*running, ending))
    return code


async def _first_failure_or(ending: asyncio.Task[int], running: list[asyncio.Task[None]]) -> None:
    """Wait for the end, unless a pump fails before it: then raise what it raised."""
    pending: set[asyncio.Task[Any]] = {ending, *running}
    while ending in pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()


async def _all_done(tasks: list[asyncio.Task[None]], seconds: float) -> bool:
    _, pending = await asyncio.wait(tasks, timeout=seconds) if tasks else (set(), set())
    return not pending


class _Pump:
    """One output on its way to the client."""

    def __init__(self, channels: Channels, channel: int, output: Readable, *, sent: bool) -> None:
        self._channels = channels
        self._channel = channel
        self._output = output
        self._sent = sent
        self._moved = False
        self._sending = False

    def moved_since_asked(self) -> bool:
        """Whether anything came since the last question, or is still on its way to a slow client."""
        moved, self._moved = self._moved or self._sending, False
        return moved

    async def run(self) -> None:
        """To the end of the output. Raises Disconnected."""
        while data := await self._output.read():
            self._moved = True
            if self._sent:
                self._sending = True
                await self._channels.send(self._channel, data)
                self._sending = False


# -- how it ended -----------------------------------------------------------------------------------


async def send_status(channels: Channels, status: dict[str, Any]) -> None:
    """The last word on the status channel. Raises Disconnected."""
    if channels.statuses:
        await channels.send(STATUS, msgspec.json.encode(status))
    elif status["status"] != "Success":
        await channels.send(STATUS, str(status["message"]).encode())


def exit_status(code: int) -> dict[str, Any]:
    """`metav1.Status` of a program's end; a signal counts as a shell counts it."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    number = code if code > 0 else 128 - code
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: command terminated with exit code {number}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(number)}]},
    }


def error_status(message: str) -> dict[str, Any]:
    """`metav1.Status` of something that went wrong before or beside the program."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }
