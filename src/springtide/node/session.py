"""A command run beside a container's program for somebody who is connected: `kubectl exec`.

Unlike a container its output goes nowhere but to the client, as fast as the client takes it, and the command
does not outlive the connection. Made by `pod.py`; talked through by `remotecommand.py`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress

from springtide.node import processes, terminal
from springtide.node.descriptors import Reader, Writer
from springtide.node.process import Launch, Process, StartError, add_pipes, close, executed, spawn

STDOUT, STDERR = 1, 2
HANG_UP_SECONDS = 1.0


class Session:
    """A running command, its standard streams open."""

    def __init__(
        self, process: Process, outputs: Mapping[int, Reader], stdin: Writer | None, tty: int
    ) -> None:
        """`outputs` by channel: 1 is stdout, 2 is stderr; a terminal has only the first. `tty` may be -1."""
        self.outputs = outputs
        self._process = process
        self._stdin = stdin
        self._tty = tty

    async def write(self, data: bytes) -> bool:
        """Into its input; False when it does not read any more."""
        return self._stdin is not None and await self._stdin.write(data)

    async def end_input(self) -> None:
        """Its input has come to an end."""
        if self._stdin is None:
            return
        if self._tty >= 0:
            await self._stdin.write(terminal.END_OF_INPUT)
        else:
            self._stdin.close()

    def resize(self, columns: int, rows: int) -> None:
        """Tell the terminal its size; without one there is nothing to tell."""
        if self._tty >= 0:
            with suppress(OSError):  # the program has ended
                terminal.resize(self._tty, columns, rows)

    async def wait(self) -> int:
        """Its exit code; minus the signal's number when a signal ended it."""
        return await self._process.wait()

    async def abandon(self) -> None:
        """The client is gone: hang up, then kill what is left of the command and its children."""
        tree = {self._process.pid, *processes.descendants([self._process.pid])}
        self._process.signal(signal.SIGHUP)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), HANG_UP_SECONDS)
        tree |= processes.descendants(tree)
        self._process.signal(signal.SIGKILL)
        processes.kill(tree)
        await self._process.wait()

    def close(self) -> None:
        """Give all descriptors back."""
        for reader in self.outputs.values():
            reader.close()
        if self._stdin is not None:
            self._stdin.close()
        if self._tty >= 0:
            os.close(self._tty)
            self._tty = -1


async def open_session(launch: Launch) -> Session:
    """Run the command; `launch` says whether it has an input and a terminal. Raises StartError."""
    ours: list[int] = []
    theirs: list[int] = []
    try:
        if launch.tty:
            own, its = terminal.open_pair()
            ours, theirs = [own], [its, its, its]
        else:
            add_pipes(ours, theirs, stdin=launch.stdin)
        popen, report = spawn(launch, *theirs)
    except OSError as error:
        close(ours)
        raise StartError(f"start process: {error}") from None
    finally:
        close(theirs)
    process = Process(popen, {})
    session = _session(process, ours, launch)
    try:
        await executed(process, report)
    except BaseException:
        session.close()
        raise
    return session


def _session(process: Process, ours: list[int], launch: Launch) -> Session:
    if launch.tty:
        stdin = Writer(os.dup(ours[0])) if launch.stdin else None
        return Session(process, {STDOUT: Reader(os.dup(ours[0]))}, stdin, ours[0])
    outputs = {STDOUT: Reader(ours[0]), STDERR: Reader(ours[1])}
    return Session(process, outputs, Writer(ours[2]) if launch.stdin else None, -1)
