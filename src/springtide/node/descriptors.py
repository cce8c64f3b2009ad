"""Pipes and terminals under the event loop, with back-pressure: what is not asked for is not read.

Used for commands run by `kubectl exec` (`session.py`) and for the input of containers (`console.py`).
Terminals are why asyncio's pipes are not: the end of a terminal's other side is an error to read there.
"""

from __future__ import annotations

import asyncio
import errno
import os

READ_BYTES = 64 * 1024


class Reader:
    """The reading end of a pipe, or a terminal. Owns the descriptor."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()

    async def read(self) -> bytes:
        """What has come, at most `READ_BYTES`; empty at the end."""
        while self._descriptor >= 0:
            try:
                return os.read(self._descriptor, READ_BYTES)
            except BlockingIOError:
                await self._readable()
            except OSError as error:
                if error.errno != errno.EIO:  # nobody holds the terminal's other side any more
                    raise
                return b""
        return b""

    async def _readable(self) -> None:
        ready = self._loop.create_future()
        self._loop.add_reader(self._descriptor, _resolve, ready)
        try:
            await ready
        finally:
            if self._descriptor >= 0:
                self._loop.remove_reader(self._descriptor)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1


class Writer:
    """The writing end of a pipe, or a terminal. Owns the descriptor."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()

    async def write(self, data: bytes) -> bool:
        """Write all of it, waiting while the other side does not read. False once nobody ever will."""
        view = memoryview(data)
        while view:
            if self._descriptor < 0:
                return False
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                await self._writable()
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.EIO):
                    raise
                return False
        return True

    async def _writable(self) -> None:
        ready = self._loop.create_future()
        self._loop.add_writer(self._descriptor, _resolve, ready)
        try:
            await ready
        finally:
            if self._descriptor >= 0:
                self._loop.remove_writer(self._descriptor)

    def close(self) -> None:
        """The other side reads the end. Whoever waits in `write` is let go when the loop next runs."""
        if self._descriptor >= 0:
            self._loop.remove_writer(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
