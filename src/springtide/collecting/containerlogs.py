"""Containers' logs as they are written: lines worth keeping become observations, with the lines before them.

Each round reads a bounded part of each log. Whole blocks are judged first and lines only where a block holds
something, so that ordinary output costs next to nothing. A program that writes faster than is read is never
slowed down and never fills memory here: the older part is skipped, and what was skipped is said.
Source of the line format: Kubernetes, `kubelet-cri-logging` (time, stream, P for a part of a line, text).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from springtide.api.nodehealth import Observation
from springtide.api.observing import CONTEXT_LINES, LINE_CHARACTERS
from springtide.collecting.bookmarks import Bookmarks
from springtide.collecting.rounds import Keep, Round, Scene, WatchedPod
from springtide.collecting.tail import Position, Tail

ROUND_BYTES = 1024 * 1024
"""Read of one container in one round."""
ROUND_BYTES_ALL = 8 * 1024 * 1024
"""Read of all containers in one round."""
KEPT_LINES = 16
"""Observations of one container in one round; more are counted."""
KEPT_LINES_OF_ONE = 4
"""Of them, those of one signature."""
SAID_SECONDS = 600.0
"""How long what was skipped is told."""
JUDGED_LINES = 4000
"""Lines of one container that are judged one by one in one round."""
PART_BYTES = 6 * 1024
"""Lines of so much are judged together first."""
PART_BYTES_MAX = 64 * 1024
"""Kept of a line that comes in parts."""

Judge = Callable[[bytes], bool]
"""Whether a block of lines may hold one that is worth keeping; it may be wrong in saying yes only."""

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_PART_ENDS = (b"stdout P", b"stderr P")
_PART = re.compile(rb"^\S{20,40} (stdout|stderr) P ", re.MULTILINE)


@dataclass
class _Container:
    """A log that is being read."""

    pod: WatchedPod
    name: str
    tail: Tail
    before: deque[bytes] = field(default_factory=lambda: deque(maxlen=CONTEXT_LINES))
    parts: dict[bytes, bytes] = field(default_factory=dict)
    read_at: int = 0
    """The round in which it was last read."""

    @property
    def source(self) -> str:
        return f"log:{self.pod.key}/{self.name}"


class ContainerLogs:
    """The source `logs`."""

    name = "logs"
    period_seconds = 1.0
    deadline_seconds = 20.0
    doing = ""

    def __init__(
        self, folder: Path, bookmarks: Bookmarks, keep: Keep, may_hold: Judge = lambda _block: True
    ) -> None:
        self._folder = folder
        self._bookmarks = bookmarks
        self._keep = keep
        self._may_hold = may_hold
        self._containers: dict[str, _Container] = {}
        self._first = True
        self._rounds = 0
        self._skips: deque[tuple[float, str]] = deque(maxlen=3)

    def look(self, scene: Scene) -> Round:
        self._find(scene)
        self._rounds += 1
        left = ROUND_BYTES_ALL
        seen: list[Observation] = []
        activity: dict[str, dict[str, Any]] = {}
        # who had to wait in the last round comes first: those that flood must not hide the others
        for container in sorted(self._containers.values(), key=lambda one: one.read_at):
            if left <= 0:
                break
            container.read_at = self._rounds
            data, skipped = container.tail.read(min(ROUND_BYTES, left))
            left -= len(data)
            if skipped is not None:
                self._skip(scene, f"{skipped} of {container.source} not read")
            if data:
                block = Block(whole(data, container.parts))
                moment = min(scene.now, block.last_time() or scene.now)
                known = activity.setdefault(container.pod.uid, {"log_time": moment})
                known["log_time"] = max(known["log_time"], moment)
                seen += self._judge(container, block, scene)
        self._remember(scene.monotonic)
        return Round(seen=tuple(seen), activity=activity, message=self._said(scene.monotonic))

    def close(self) -> None:
        for container in self._containers.values():
            container.tail.close()

    def _find(self, scene: Scene) -> None:
        """Begin with logs that are new, leave those whose pods are gone."""
        found: dict[str, tuple[WatchedPod, str]] = {}
        for pod in scene.pods:
            folder = f"{pod.namespace}_{pod.name}_{pod.uid}"
            with contextlib.suppress(OSError):
                names = os.listdir(self._folder / folder)  # noqa: PTH208 - twice as quick as pathlib
                found.update({f"{folder}/{name}": (pod, name) for name in names})
        for key in self._containers.keys() - found.keys():
            self._containers.pop(key).tail.close()
        for key, (pod, name) in found.items():
            if key in self._containers:
                self._containers[key].pod = pod
            else:
                tail = Tail(self._folder / key, self._position(key), from_end=self._first)
                self._containers[key] = _Container(pod, name, tail)
        self._first = False

    def _position(self, key: str) -> Position | None:
        known = self._bookmarks.known.get(key)
        return Position(*known) if isinstance(known, list) and len(known) == 4 else None

    def _remember(self, monotonic: float) -> None:
        positions = {key: one.tail.bookmark for key, one in self._containers.items()}
        document = {key: [at.instance, at.number, at.inode, at.offset] for key, at in positions.items() if at}
        self._bookmarks.save(document, monotonic)

    def _judge(self, container: _Container, block: Block, scene: Scene) -> list[Observation]:
        """The lines worth keeping, a few of each signature."""
        kept: list[Observation] = []
        signatures: Counter[str] = Counter()
        dropped = 0
        for start in islice(block.candidates(self._may_hold), JUDGED_LINES):
            line = block.line(start)
            text = text_of(line)
            signature = self._keep(text)
            if signature is None:
                continue
            signatures[signature] += 1
            if len(kept) >= KEPT_LINES or signatures[signature] > KEPT_LINES_OF_ONE:
                dropped += 1
                continue
            before = [*container.before, *block.before(start)]
            kept.append(
                Observation(
                    id="",
                    source=container.source,
                    line=text[:LINE_CHARACTERS],
                    context=[text_of(one)[:LINE_CHARACTERS] for one in before[-CONTEXT_LINES:]],
                    signature=signature,
                    time=time_of(line) or scene.now,
                    pod=container.pod.key,
                    pod_uid=container.pod.uid,
                )
            )
        container.before.extend(block.last_lines())
        if dropped:
            self._skip(scene, f"{dropped} more lines of {container.source} looked like those kept")
        return kept

    def _skip(self, scene: Scene, what: str) -> None:
        self._skips.append((scene.monotonic, f"{scene.now:%H:%M:%S} {what}"))

    def _said(self, monotonic: float) -> str:
        recent = [what for at, what in self._skips if monotonic - at < SAID_SECONDS]
        return f"behind: {'; '.join(recent)}" if recent else ""


class Block:
    """Whole lines of one log, read together; taken apart only where that is needed."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def last_time(self) -> datetime | None:
        """When the newest line was written, by its stamp."""
        return time_of(self._data[self._data.rfind(b"\n", 0, -1) + 1 :])

    def line(self, start: int) -> bytes:
        """The line that begins there."""
        return self._data[start : self._data.find(b"\n", start)]

    def before(self, start: int, count: int = CONTEXT_LINES) -> list[bytes]:
        """The lines before that one, so many at most."""
        found: list[bytes] = []
        end = start - 1
        while end > 0 and len(found) < count:
            begin = self._data.rfind(b"\n", 0, end) + 1
            found.append(self._data[begin:end])
            end = begin - 1
        return found[::-1]

    def last_lines(self) -> list[bytes]:
        """The lines that the next block may need as context."""
        return self.before(len(self._data))

    def candidates(self, may_hold: Judge) -> Iterator[int]:
        """Where lines begin that may be worth keeping: parts that hold nothing are passed over whole."""
        start = 0
        while start < len(self._data):
            end = self._data.find(b"\n", min(start + PART_BYTES, len(self._data) - 1)) + 1
            if may_hold(self._data[start:end]):
                yield from self._narrowed(start, end, may_hold)
            start = end

    def _narrowed(self, start: int, end: int, may_hold: Judge) -> Iterator[int]:
        """Halve a part that holds something until single lines are left."""
        middle = self._data.find(b"\n", (start + end) // 2, end - 1) + 1
        middle = middle or self._data.rfind(b"\n", start, (start + end) // 2) + 1
        if middle <= start:
            yield start
            return
        for begin, stop in ((start, middle), (middle, end)):
            if may_hold(self._data[begin:stop]):
                yield from self._narrowed(begin, stop, may_hold)


def text_of(line: bytes) -> str:
    """What the program wrote."""
    fields = line.split(b" ", 3)
    return (fields[3] if len(fields) == 4 else line).decode("utf-8", "replace")


def time_of(line: bytes) -> datetime | None:
    """When it wrote it; stamps have up to nine digits after the point."""
    stamp = line.partition(b" ")[0].decode("ascii", "replace")
    shape = _STAMP.fullmatch(stamp)
    if shape is None:
        return None
    zone = shape[3].replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(f"{shape[1]}.{(shape[2] or '')[:6]:0<6}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):  # digits that are no moment of any calendar
        return None


def whole(data: bytes, parts: dict[bytes, bytes]) -> bytes:
    """The lines with those that came in parts put together; `parts` holds what has no end yet, by stream."""
    if not parts and (not any(end in data for end in _PART_ENDS) or _PART.search(data) is None):
        return data
    out: list[bytes] = []
    for line in data.split(b"\n")[:-1]:
        fields = line.split(b" ", 3)
        if len(fields) < 4 or fields[1] not in (b"stdout", b"stderr"):
            out.append(line)
        elif fields[2] == b"P":
            parts[fields[1]] = (parts.get(fields[1], b"") + fields[3])[:PART_BYTES_MAX]
        else:
            text = parts.pop(fields[1], b"") + fields[3]
            out.append(b" ".join((*fields[:3], text)))
    return b"".join(line + b"\n" for line in out)
