"""Copying memory with all cores; the blocking part of a save is this and little else. Called by `slots` and
`reading`.

`ctypes.memmove` lets other threads run meanwhile, and the C library's copy passes the caches by for large
blocks, which tensors' own copy does not; so a few Python threads reach what the memory can do.
"""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Move:
    """So many bytes from one address to another; who makes it keeps both alive."""

    target: int
    source: int
    bytes: int


class Copier:
    """A few threads that copy; made once, since starting threads would cost each save."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or min(8, len(os.sched_getaffinity(0)))
        self._pool = ThreadPoolExecutor(self.threads, "springtide-copy") if self.threads > 1 else None

    def copy(self, moves: list[Move]) -> None:
        """Do all moves; returns when they are done."""
        lots = _lots(moves, self.threads)
        if self._pool is None or len(lots) < 2:
            for lot in lots:
                _do(lot)
            return
        rest = [self._pool.submit(_do, lot) for lot in lots[1:]]
        _do(lots[0])
        for done in rest:
            done.result()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()


def _lots(moves: list[Move], threads: int) -> list[list[Move]]:
    """The same moves in as many lots of equal size as there are threads; large ones are cut."""
    total = sum(move.bytes for move in moves)
    fair = max(total // threads + 1, _BLOCK_BYTES)
    lots: list[list[Move]] = [[]]
    room = fair
    for move in moves:
        done = 0
        while done < move.bytes:
            size = min(move.bytes - done, room)
            lots[-1].append(Move(move.target + done, move.source + done, size))
            done += size
            room -= size
            if room == 0:
                lots.append([])
                room = fair
    return [lot for lot in lots if lot]


def _do(moves: list[Move]) -> None:
    for move in moves:
        ctypes.memmove(move.target, move.source, move.bytes)


def address_of(buffer: object) -> int:
    """Where a writable buffer (a mapping) begins."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))  # type: ignore[arg-type]
