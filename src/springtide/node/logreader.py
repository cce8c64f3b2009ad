"""Reading container logs back: the node's answer to `kubectl logs`, current or previous, followed or not.

`LogQuery` is the choice a caller makes; `read` yields what the program wrote, in chunks. A reader that
follows is woken by the writer, goes on across rotated files and ends when the container instance has ended.
Called by `agent.py`, which offers it to the API server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from springtide.node.logs import LogFolder, LogWriter, stamp

CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True)
class LogQuery:
    """Which part of a log, and how to show it. `None` sets no limit."""

    follow: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit_bytes: int | None = None
    stream: str = ""
    """`stdout` or `stderr`; empty for both."""

    @property
    def goes_on(self) -> bool:
        """Whether there may be more after the end of an instance."""
        return self.follow and self.limit_bytes != 0

    def after(self, count: int) -> LogQuery:
        """The same, so many bytes later."""
        return self if self.limit_bytes is None else replace(self, limit_bytes=self.limit_bytes - count)

    def from_the_start(self) -> LogQuery:
        """The same for a later instance, all of which is new."""
        return replace(self, tail_lines=None, since=None)


@dataclass(frozen=True)
class _Place:
    """A position in a log: file number and byte offset."""

    number: int
    offset: int = 0


async def read(
    folder: LogFolder, instance: int, query: LogQuery, writer: LogWriter | None = None
) -> AsyncIterator[bytes]:
    """What the container instance wrote. `writer` is the live one, for following."""
    left = query.limit_bytes
    renderer = _Renderer(query)
    async for raw in _raw(folder, instance, query, writer):
        text = renderer.text(raw)
        if left is not None:
            text = text[:left]
            left -= len(text)
        if text:
            yield text
        if left == 0:
            return


async def _raw(
    folder: LogFolder, instance: int, query: LogQuery, writer: LogWriter | None
) -> AsyncIterator[bytes]:
    """Whole records from the first wanted one to the end, and on while following."""
    place = _begin(folder, instance, query.tail_lines)
    if not query.follow or writer is None:
        for chunk in _forward(folder, instance, place)[0]:
            yield chunk
        return
    with writer.watch() as more:
        while True:
            more.clear()
            ended = writer.closed
            chunks, place = _forward(folder, instance, place)
            for chunk in chunks:
                yield chunk
            if ended:
                return
            await more.wait()


def _begin(folder: LogFolder, instance: int, tail_lines: int | None) -> _Place:
    """Where the last `tail_lines` lines start."""
    numbers = folder.numbers(instance)
    if tail_lines is None or not numbers:
        return _Place(numbers[0] if numbers else 0)
    wanted, newest = tail_lines, True
    place = _Place(numbers[-1], _size(folder.file(instance, numbers[-1])))
    for number in reversed(numbers):
        data = folder.file(instance, number).read_bytes()
        end = len(data)
        while end > 0:
            start = data.rfind(b"\n", 0, end - 1) + 1
            if newest or _is_full(data[start:end]):  # a line begins where the line before it ended
                if wanted == 0:
                    return place
                wanted, newest = wanted - 1, False
            place = _Place(number, start)
            end = start
    return place


def _is_full(record: bytes) -> bool:
    parts = record.split(b" ", 3)
    return len(parts) == 4 and parts[2] == b"F"


def _forward(folder: LogFolder, instance: int, place: _Place) -> tuple[Iterator[bytes], _Place]:
    """Chunks of whole records from `place` to the present end, and the place of that end."""
    numbers = [number for number in folder.numbers(instance) if number >= place.number] or [place.number]
    ends = [(number, _size(folder.file(instance, number))) for number in numbers]

    def chunks() -> Iterator[bytes]:
        for number, end in ends:
            yield from _between(
                folder.file(instance, number), place.offset if number == place.number else 0, end
            )

    last, end = ends[-1]
    return chunks(), _Place(last, end)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _between(path: Path, start: int, end: int) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except FileNotFoundError:  # rotated away since
        return
    with file:
        file.seek(start)
        rest = b""
        while start < end:
            data = file.read(min(CHUNK_BYTES, end - start))
            if not data:
                break
            start += len(data)
            cut = data.rfind(b"\n") + 1
            if cut:
                yield rest + data[:cut]
                rest = data[cut:]
            else:
                rest += data


class _Renderer:
    """Records as the caller wants them; a partial record has no newline of its own."""

    def __init__(self, query: LogQuery) -> None:
        self._timestamps = query.timestamps
        self._since = stamp(query.since) if query.since is not None else b""
        self._stream = query.stream.encode()
        self._line_open = False

    def text(self, raw: bytes) -> bytes:
        out: list[bytes] = []
        for record in raw.split(b"\n"):
            parts = record.split(b" ", 3)
            if len(parts) < 4 or parts[0] < self._since or (self._stream and parts[1] != self._stream):
                continue
            if self._timestamps and not self._line_open:
                out += [parts[0], b" "]
            out.append(parts[3])
            self._line_open = parts[2] != b"F"
            if not self._line_open:
                out.append(b"\n")
        return b"".join(out)


def last_output(folder: LogFolder, instance: int, *, lines: int, limit_bytes: int) -> bytes:
    """The end of what the instance wrote."""
    place = _begin(folder, instance, lines)
    renderer = _Renderer(LogQuery())
    text = b"".join(renderer.text(chunk) for chunk in _forward(folder, instance, place)[0])
    return text[-limit_bytes:]
