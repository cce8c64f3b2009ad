"""Reads one container's log files to their end, over rotation, a bounded part at a time.

The folder is a kubelet's or a process node's: `<n>.log` for the n-th start of the container. A kubelet
renames a full file and opens another of the same name; a process node goes on in `<n>.1.log`. What was
renamed is read to its end through the open file. Called by `containerlogs.py`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

_NAME = re.compile(r"(\d+)(?:\.(\d+))?\.log")
BEHIND_BYTES = 4 * 1024 * 1024
"""So much unread and the older part of it is skipped: the newest lines tell more, and nobody waits for us."""
AHEAD_BYTES = 256 * 1024
"""What is still read of it."""


@dataclass(frozen=True)
class Skipped:
    """A part that was not read."""

    file: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"bytes {self.start} to {self.end} of {self.file}"


@dataclass(frozen=True)
class Position:
    """Up to where a log was read."""

    instance: int
    number: int
    inode: int
    offset: int

    @property
    def key(self) -> tuple[int, int]:
        return self.instance, self.number


class Tail:
    """The log of one container."""

    def __init__(self, folder: Path, known: Position | None = None, *, from_end: bool = False) -> None:
        """Goes on at a known position; else at the first file, or `from_end` at the present end."""
        self._folder = folder
        self._file: int | None = None
        self._rest = b""
        self.position: Position | None = None
        files = self._files()
        if known is not None and known.key in files:
            self._open(known.key)
            self._resume(known)
        elif files and from_end:
            self._open(files[-1])
            self._seek(self._size())

    @property
    def bookmark(self) -> Position | None:
        """From where another life would go on: what has no end yet is read again."""
        at = self.position
        return replace(at, offset=at.offset - len(self._rest)) if at is not None else None

    def read(self, limit: int) -> tuple[bytes, Skipped | None]:
        """The next whole lines, about `limit` bytes of them at most, and what was skipped before them."""
        if self._file is None and not self._next():
            return b"", None
        skipped = self._catch_up()
        data = self._read(limit)
        if not data and self._next():
            data = self._read(limit)
        data = self._rest + data
        cut = data.rfind(b"\n") + 1
        self._rest = data[cut:]
        if len(self._rest) > limit:  # a line without an end: what there is of it counts as one
            data, cut, self._rest = data + b"\n", len(data) + 1, b""
        return data[:cut], skipped

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _catch_up(self) -> Skipped | None:
        position = self.position
        if position is None:
            return None
        size = self._size()
        if size < position.offset:  # cut off by somebody: what is there now is new
            self._seek(0)
            return None
        if size - position.offset <= BEHIND_BYTES:
            return None
        start, self._rest = position.offset, b""
        self._seek(size - AHEAD_BYTES)
        head = self._read(64 * 1024)
        cut = head.find(b"\n") + 1
        end = size - AHEAD_BYTES + cut
        self._seek(end)
        return Skipped(Path(self._path(position.key)).name, start, end)

    def _read(self, limit: int) -> bytes:
        if self._file is None or self.position is None:
            return b""
        data = os.pread(self._file, limit, self.position.offset)
        self._seek(self.position.offset + len(data))
        return data

    def _next(self) -> bool:
        """Go on in the file after this one, if there is one and this one is read to its end."""
        for key in self._files():
            if self.position is None or key > self.position.key or self._was_replaced(key):
                if self.position is not None and self._size() > self.position.offset:
                    return True  # written after our last read and before the rotation
                self._open(key)
                return self._file is not None
        return False

    def _was_replaced(self, key: tuple[int, int]) -> bool:
        """Whether the name belongs to another file now than the one that is open."""
        if self.position is None or key != self.position.key:
            return False
        try:
            return os.stat(self._path(key)).st_ino != self.position.inode  # noqa: PTH116
        except OSError:
            return False

    def _open(self, key: tuple[int, int]) -> None:
        self.close()
        self._rest = b""
        try:
            self._file = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # removed meanwhile
            return
        self.position = Position(*key, os.fstat(self._file).st_ino, 0)

    def _resume(self, known: Position) -> None:
        if self.position is not None and self.position.inode == known.inode:
            self._seek(known.offset)

    def _seek(self, offset: int) -> None:
        if self.position is not None:
            self.position = replace(self.position, offset=offset)

    def _size(self) -> int:
        return os.fstat(self._file).st_size if self._file is not None else 0

    def _path(self, key: tuple[int, int]) -> str:
        instance, number = key
        return f"{self._folder}/{instance}.{number}.log" if number else f"{self._folder}/{instance}.log"

    def _files(self) -> list[tuple[int, int]]:
        """Instance and number of the files there are, oldest first."""
        try:
            names = os.listdir(self._folder)  # noqa: PTH208
        except OSError:
            return []
        found = (_NAME.fullmatch(name) for name in names)
        return sorted((int(one[1]), int(one[2] or 0)) for one in found if one is not None)
