"""Log files of containers: one line of the program is one line with time and stream, in the CRI format.

    <data>/logs/<namespace>_<pod>_<uid>/<container>/<instance>.log, <instance>.1.log, <instance>.2.log …

`<instance>` counts the starts of the container from 0. A file that is full is never renamed: the next one
gets the next number and the oldest is removed, so a reader that follows just goes on to the next number.
Written by `pod.py`, read by `logreader.py`. Source of the line format: Kubernetes `kubelet-cri-logging`.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from springtide.runtime import Clock, logger

log = logger("node.logs")

LINE_BYTES = 16 * 1024
"""Longer lines are stored in several partial records, as container runtimes do."""


def stamp(moment: datetime) -> bytes:
    """`2026-01-31T08:15:30.123456000Z`: fixed width, so that stamps compare as bytes."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z").encode()


class LogFolder:
    """Where the logs of one container are, and which instances and files exist."""

    def __init__(self, root: Path, namespace: str, pod: str, uid: str, container: str) -> None:
        self.path = root / f"{namespace}_{pod}_{uid}" / container

    def file(self, instance: int, number: int) -> Path:
        return self.path / (f"{instance}.{number}.log" if number else f"{instance}.log")

    def instances(self) -> list[int]:
        """Instances with a log, oldest first."""
        return sorted({instance for instance, _ in self._files()})

    def numbers(self, instance: int) -> list[int]:
        """Numbers of this instance's files, oldest first."""
        return sorted(number for found, number in self._files() if found == instance)

    def _files(self) -> Iterator[tuple[int, int]]:
        for path in self.path.glob("*.log"):
            instance, _, number = path.name.removesuffix(".log").partition(".")
            if instance.isdecimal() and (not number or number.isdecimal()):
                yield int(instance), int(number or 0)


def remove_pod_logs(root: Path, namespace: str, pod: str, uid: str) -> None:
    """Called when the pod object is gone."""
    shutil.rmtree(root / f"{namespace}_{pod}_{uid}", ignore_errors=True)


class Stream:
    """Turns the chunks of one output stream into records."""

    def __init__(self, writer: LogWriter, name: bytes) -> None:
        self._writer = writer
        self._name = name
        self._rest = b""

    def write(self, data: bytes) -> None:
        """Take a chunk; an empty one ends the stream. What came without a newline is kept without one."""
        now = stamp(self._writer.clock.now())
        full, partial = now + b" " + self._name + b" F ", now + b" " + self._name + b" P "
        if not data:
            rest, self._rest = self._rest, b""
            self._writer.append([partial, rest, b"\n"] if rest else [])
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        records: list[bytes] = []
        for line in lines:
            for piece in _pieces(line):
                records += [partial, piece, b"\n"]
            records += [
                full,
                line[len(line) - (len(line) % LINE_BYTES) :] if len(line) > LINE_BYTES else line,
                b"\n",
            ]
        while len(self._rest) > LINE_BYTES:
            records += [partial, self._rest[:LINE_BYTES], b"\n"]
            self._rest = self._rest[LINE_BYTES:]
        self._writer.append(records)


def _pieces(line: bytes) -> Iterator[bytes]:
    """The leading full-size pieces of a long line; its last piece goes into the closing record."""
    if len(line) > LINE_BYTES:
        for start in range(0, len(line) - len(line) % LINE_BYTES, LINE_BYTES):
            yield line[start : start + LINE_BYTES]


class LogWriter:
    """The log of one container instance. A full disk never stops the container: what is lost is said."""

    def __init__(
        self, folder: LogFolder, instance: int, clock: Clock, *, file_bytes: int, files: int
    ) -> None:
        self.clock = clock
        self._folder = folder
        self._instance = instance
        self._file_bytes = file_bytes
        self._files = files
        self._number = 0
        self._size = 0
        self._lost_bytes = 0
        self._lost_why = ""
        self._file: IO[bytes] | None = None
        self._readers: set[asyncio.Event] = set()
        self.closed = False
        self.stdout = Stream(self, b"stdout")
        self.stderr = Stream(self, b"stderr")
        folder.path.mkdir(parents=True, exist_ok=True)
        self._open()

    def append(self, records: list[bytes]) -> None:
        """Write records, then wake the readers that follow."""
        if not records or self.closed:
            return
        data = b"".join(records)
        try:
            if self._file is None or (self._size and self._size + len(data) > self._file_bytes):
                self._rotate()
            self._write(self._loss_note() + data)
            self._lost_bytes = 0
        except OSError as error:
            self._lose(len(data), error)
        self._wake()

    def close(self) -> None:
        """No more output will come; readers that follow end."""
        if self._file is not None:
            self._file.close()
        self.closed = True
        self._wake()

    def remove(self) -> None:
        """The container was not started after all: there is no log of it."""
        self._folder.file(self._instance, 0).unlink(missing_ok=True)

    @contextmanager
    def watch(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever there is more to read."""
        event = asyncio.Event()
        self._readers.add(event)
        try:
            yield event
        finally:
            self._readers.discard(event)

    def _wake(self) -> None:
        for event in self._readers:
            event.set()

    def _open(self) -> None:
        try:
            self._file = self._folder.file(self._instance, self._number).open("ab", buffering=0)
        except OSError as error:
            self._lose(0, error)

    def _write(self, data: bytes) -> None:
        if self._file is None:
            raise OSError(self._lost_why)
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(self._size)  # no half record stays
            raise
        self._size += len(data)

    def _rotate(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._number += 1
        self._size = 0
        for number in self._folder.numbers(self._instance)[: -(self._files - 1) or None]:
            self._folder.file(self._instance, number).unlink(missing_ok=True)
        self._file = self._folder.file(self._instance, self._number).open("ab", buffering=0)

    def _lose(self, count: int, error: OSError) -> None:
        if not self._lost_bytes:
            log.warning("log output lost", folder=str(self._folder.path), cause=str(error))
        self._lost_bytes += count
        self._lost_why = str(error)

    def _loss_note(self) -> bytes:
        if not self._lost_bytes:
            return b""
        text = f"springtide: {self._lost_bytes} bytes of log lost: {self._lost_why}"
        return stamp(self.clock.now()) + b" stderr F " + text.encode() + b"\n"
