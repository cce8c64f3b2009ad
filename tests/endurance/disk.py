"""What a disk may hold after the power failed in the middle of a commit: images made from before and after.

SQLite's promises with synchronous=FULL, in the order it acts: a new header of the write-ahead log is synced
before frames are written behind it; frames are synced before the commit is reported; a checkpoint writes
pages of synced frames into the database, and the log is reused only after these are synced too. So at any
moment either sectors of the log that this commit writes are undecided, or pages of the database that are all
in the log. Undecided sectors may be the old ones, the new ones or, in the log, anything. Called by
`powerloss`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
_HEADER = 32
_BACKFILLED_AT = 96
"""Offset of `nBackfill` in the wal-index (sqlite.org/walformat.html): frames that a checkpoint has copied."""


@dataclass(frozen=True)
class Disk:
    """The files of a database at one moment."""

    database: bytes
    log: bytes
    backfilled: bool
    """Whether frames of the log are in the database already."""

    @staticmethod
    def of(folder: Path) -> Disk:
        log, index = folder / "state.db-wal", folder / "state.db-shm"
        shared = index.read_bytes()[: _BACKFILLED_AT + 4] if index.exists() else b""
        return Disk(
            (folder / "state.db").read_bytes(),
            log.read_bytes() if log.exists() else b"",
            any(shared[_BACKFILLED_AT : _BACKFILLED_AT + 4]),
        )

    def write(self, folder: Path) -> None:
        """As a data folder of the present format."""
        folder.mkdir()
        (folder / "format").write_text("2\n")
        (folder / "state.db").write_bytes(self.database)
        if self.log:
            (folder / "state.db-wal").write_bytes(self.log)


@dataclass(frozen=True)
class Image:
    """A disk after the power failed, and how."""

    how: str
    disk: Disk
    durable: bool
    """Whether all that was synced is there, so that everything acknowledged must be."""


def images(before: Disk, after: Disk, order: random.Random, count: int) -> Iterator[Image]:
    """What may be found when the power fails between two moments with one commit between them."""
    restarted = before.log[:_HEADER] != after.log[:_HEADER]
    for _ in range(count):
        if before.database != after.database and order.random() < 0.5:
            database = _mixed(before.database, after.database, order, garbage=False)
            yield Image("in the checkpoint", Disk(database, after.log, True), durable=True)
        elif restarted and order.random() < 0.3:
            torn = bytes(order.randrange(256) for _ in range(_HEADER))
            log = torn[: order.randrange(_HEADER)] + before.log[_HEADER:]
            yield Image(
                "in the header of the log", Disk(before.database, _as_long(log, before.log), False), True
            )
        elif order.random() < 0.25 and not before.backfilled and not after.backfilled:
            cut = order.randrange(len(after.log) + 1)
            yield Image("log cut anywhere", Disk(after.database, after.log[:cut], False), durable=False)
        else:
            old = after.log[:_HEADER] + before.log[_HEADER:]
            log = _mixed(old, after.log, order, garbage=True)
            if len(after.log) > len(old) and order.random() < 0.7:
                log = log[: order.randrange(len(old), len(after.log))]
            yield Image(
                "in the frames of the log", Disk(before.database, log, before.backfilled), durable=True
            )


def _mixed(old: bytes, new: bytes, order: random.Random, *, garbage: bool) -> bytes:
    """Up to some sector all are new; behind it each is old or new, with `garbage` at times neither."""
    share, sound = order.random(), order.randrange(2 * max(len(old), len(new)) + 1)
    result = bytearray(new if len(new) >= len(old) else old)
    for start in range(0, len(result), SECTOR):
        was, will = old[start : start + SECTOR], new[start : start + SECTOR]
        if was == will:
            continue
        chosen = will if start < sound or order.random() < share else was
        if garbage and start >= sound and order.random() < 0.1:
            written = [at for at in range(len(will)) if was[at : at + 1] != will[at : at + 1]]
            chosen = _garbled(chosen.ljust(len(will), b"\0"), written, order)
        result[start : start + SECTOR] = chosen.ljust(min(SECTOR, len(result) - start), b"\0")
    return bytes(result)


def _garbled(sector: bytes, written: list[int], order: random.Random) -> bytes:
    """A sector with flipped bits in what was being written; what was there before is not harmed."""
    result = bytearray(sector)
    for _ in range(order.randint(1, 4)):
        if written:
            result[order.choice(written)] ^= 1 << order.randrange(8)
    return bytes(result)


def _as_long(log: bytes, like: bytes) -> bytes:
    return log if len(log) >= len(like) else log + like[len(log) :]
