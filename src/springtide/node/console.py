"""The near side of a container's standard streams: its input, its terminal, and a brake on its output.

Made by `process.start` for containers with `stdin` or `tty`; used by those who are attached (`attach.py`).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Protocol

from springtide.node import terminal
from springtide.node.descriptors import Writer


class Holds(Protocol):
    """Stops or goes on reading the container's output."""

    def __call__(self, *, held: bool) -> None: ...


class Console:
    """Owns the descriptor it is made with."""

    def __init__(self, descriptor: int, *, tty: bool, writable: bool) -> None:
        self.holds: Holds = _no_output_yet
        self._terminal = os.dup(descriptor) if tty else -1
        self._writer = Writer(descriptor)
        self._writable = writable

    @property
    def is_terminal(self) -> bool:
        return self._terminal >= 0

    @property
    def writable(self) -> bool:
        """Whether the container has `stdin`."""
        return self._writable

    async def write(self, data: bytes) -> bool:
        """Into the container's input; False when it does not read any more."""
        return self._writable and await self._writer.write(data)

    async def end_input(self) -> None:
        """The container reads the end of its input; on a terminal that is Ctrl-D."""
        if not self._writable:
            return
        if self.is_terminal:
            await self._writer.write(terminal.END_OF_INPUT)
        else:
            self._writer.close()

    def resize(self, columns: int, rows: int) -> None:
        """Tell the terminal its size; without one there is nothing to tell."""
        if self._terminal >= 0:
            with suppress(OSError):  # the program has ended
                terminal.resize(self._terminal, columns, rows)

    def close(self) -> None:
        """The container has ended."""
        self._writer.close()
        if self._terminal >= 0:
            os.close(self._terminal)
            self._terminal = -1


def _no_output_yet(*, held: bool) -> None:
    """Before the process is known there is nothing to hold."""
