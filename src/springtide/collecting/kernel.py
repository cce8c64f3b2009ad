"""The kernel's log as it is written: records worth keeping, each with the related lines before it.

Follows /dev/kmsg. Every record has a sequence number, so a gap (the ring went over before it was read) is
seen and said, and after a restart of the collectors nothing is told twice: number and boot are remembered.
Records of before the first start count only if they are young. A FIFO or a file may stand for the device.
Source of the format: the kernel's Documentation/ABI/testing/dev-kmsg.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from springtide.api.nodehealth import Observation
from springtide.api.observing import CONTEXT_LINES
from springtide.collecting.bookmarks import Bookmarks
from springtide.collecting.rounds import Keep, Round, Scene, Unavailable

RECORDS_MAX = 2000
"""Read in one round."""
RECORD_BYTES = 8192
"""The device gives whole records of at most so much."""
YOUNG_SECONDS = 600.0
"""Older records of this boot are not told at the first start: nobody could act on them."""
TOGETHER_SECONDS = 1.0
"""Lines so near before a record belong to it."""
SAID_SECONDS = 600.0

_RECORD = re.compile(r"(\d+),(\d+),(\d+),[^;]*;(.*)")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_POD_UID = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})")
_ACCESS_HINT = "run the collectors as root on the host, or give them /dev/kmsg and CAP_SYSLOG"


@dataclass(frozen=True)
class Record:
    """One record of the log."""

    sequence: int
    seconds: float
    """Since boot, as the kernel counts."""
    text: str


class KernelLog:
    """The source `kernel`."""

    name = "kernel"
    period_seconds = 1.0
    deadline_seconds = 10.0
    doing = ""

    def __init__(self, path: Path, bookmarks: Bookmarks, keep: Keep, proc: Path) -> None:
        self._path = path
        self._bookmarks = bookmarks
        self._keep = keep
        self._boot = _line(proc / "sys" / "kernel" / "random" / "boot_id")
        same = bookmarks.known.get("boot") == self._boot
        self._last: int | None = int(bookmarks.known.get("sequence", -1)) if same else None
        self._remembered = same
        self._file: int | None = None
        self._rest = b""
        self._before: deque[Record] = deque(maxlen=CONTEXT_LINES)
        self._lost: tuple[float, str] = (float("-inf"), "")
        self._began: float | None = None

    def look(self, scene: Scene) -> Round:
        if self._file is None:
            self._open()
        if self._began is None:
            self._began = scene.monotonic
        seen: list[Observation] = []
        for record in self._records():
            if self._is_known(record, scene):
                continue
            found = self._judge(record, scene)
            if found is not None:
                seen.append(found)
            self._before.append(record)
        document = {"boot": self._boot, "sequence": self._last if self._last is not None else -1}
        self._bookmarks.save(document, scene.monotonic, now=bool(seen))
        at, lost = self._lost
        return Round(seen=tuple(seen), message=lost if scene.monotonic - at < SAID_SECONDS else "")

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> None:
        try:
            self._file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self.close()
            raise Unavailable(f"{self._path} cannot be read: {error.strerror}; {_ACCESS_HINT}") from None

    def _records(self) -> list[Record]:
        """What is there now, at most so many; the rest comes next time."""
        found: list[Record] = []
        for _ in range(RECORDS_MAX):
            try:
                data = os.read(self._file or 0, RECORD_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.EPIPE:  # overwritten before we read it: the next read goes on after
                    continue
                if error.errno == errno.EPERM:
                    self.close()
                    raise Unavailable(f"{self._path} may not be read; {_ACCESS_HINT}") from None
                raise
            if not data:
                break
            *lines, self._rest = (self._rest + data).split(b"\n")
            found += [record for line in lines if (record := parse(line.decode("utf-8", "replace")))]
        return found

    def _is_known(self, record: Record, scene: Scene) -> bool:
        """Whether it was told in an earlier life, or is too old to tell; notes gaps."""
        last = self._last
        if last is not None and record.sequence <= last:
            return True
        if last is not None and last >= 0 and record.sequence > last + 1:
            count = record.sequence - last - 1
            text = f"{scene.now:%H:%M:%S} {count} records were overwritten before they could be read"
            self._lost = (scene.monotonic, text)
        self._last = record.sequence
        return not self._remembered and scene.monotonic - record.seconds > YOUNG_SECONDS

    def _judge(self, record: Record, scene: Scene) -> Observation | None:
        signature = self._keep(record.text)
        if signature is None:
            return None
        together = [one for one in self._before if record.seconds - one.seconds <= TOGETHER_SECONDS]
        age_seconds = max(0.0, scene.monotonic - record.seconds)
        return Observation(
            id="",
            source="kernel",
            line=record.text,
            context=[one.text for one in together],
            signature=signature,
            time=scene.now - timedelta(seconds=age_seconds),
            pod_uid=_pod_in([record, *reversed(together)], scene),
        )


def _pod_in(records: Sequence[Record], scene: Scene) -> str:
    """The uid of the pod that the nearest line tells of: groups of containers have it in their names."""
    for record in records:
        found = _POD_UID.search(record.text)
        if found is not None:
            return found[1].replace("_", "-")
        for pod in scene.pods:
            if pod.uid in record.text:
                return pod.uid
    return ""


def parse(line: str) -> Record | None:
    """A record's line; None for lines of key and value that follow one, and for what is no record."""
    found = _RECORD.fullmatch(line)
    if found is None:
        return None
    text = _ESCAPE.sub(lambda code: chr(int(code[1], 16)), found[4])
    return Record(int(found[2]), int(found[3]) / 1e6, text)


def _line(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return ""
