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
from collections.abc import Callable, Iterator, Sequence
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
PART_LINES = 64
"""Judged together first."""
FEW_LINES = 4
"""So few lines are judged each."""
PART_BYTES_MAX = 64 * 1024
"""Kept of a line that comes in parts."""

Judge = Callable[[bytes], bool]
"""Whether a block of lines may hold one that is worth keeping; it may be wrong in saying yes only."""

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_PART = re.compile(rb"^\S{20,40} (stdout|stderr) P ", re.MULTILINE)


@dataclass
class _Container:
    """A log that is being read."""

    pod: WatchedPod
    name: str
    tail: Tail
    before: deque[bytes] = field(default_factory=lambda: deque(maxlen=CONTEXT_LINES))
    parts: dict[bytes, bytes] = field(default_factory=dict)

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
        self._skips: deque[tuple[float, str]] = deque(maxlen=3)

    def look(self, scene: Scene) -> Round:
        self._find(scene)
        left = ROUND_BYTES_ALL
        seen: list[Observation] = []
        activity: dict[str, dict[str, Any]] = {}
        for container in self._containers.values():
            if left <= 0:
                break
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
        for place in islice(block.candidates(self._may_hold), JUDGED_LINES):
            text = text_of(block.lines[place])
            signature = self._keep(text)
            if signature is None:
                continue
            signatures[signature] += 1
            if len(kept) >= KEPT_LINES or signatures[signature] > KEPT_LINES_OF_ONE:
                dropped += 1
                continue
            before = [*container.before, *block.lines[max(0, place - CONTEXT_LINES) : place]]
            kept.append(
                Observation(
                    id="",
                    source=container.source,
                    line=text[:LINE_CHARACTERS],
                    context=[text_of(line)[:LINE_CHARACTERS] for line in before[-CONTEXT_LINES:]],
                    signature=signature,
                    time=time_of(block.lines[place]) or scene.now,
                    pod=container.pod.key,
                    pod_uid=container.pod.uid,
                )
            )
        container.before.extend(block.lines[-CONTEXT_LINES:])
        if dropped:
            self._skip(scene, f"{dropped} more lines of {container.source} looked like those kept")
        return kept

    def _skip(self, scene: Scene, what: str) -> None:
        self._skips.append((scene.monotonic, f"{scene.now:%H:%M:%S} {what}"))

    def _said(self, monotonic: float) -> str:
        recent = [what for at, what in self._skips if monotonic - at < SAID_SECONDS]
        return f"behind: {'; '.join(recent)}" if recent else ""


class Block:
    """Whole lines of one log, read together."""

    def __init__(self, data: bytes) -> None:
        self.lines: Sequence[bytes] = data.split(b"\n")[:-1]

    def last_time(self) -> datetime | None:
        """When the newest line was written, by its stamp."""
        return time_of(self.lines[-1]) if self.lines else None

    def candidates(self, may_hold: Judge) -> Iterator[int]:
        """Places of lines in parts that may hold something, halving what may until few are left."""
        count = len(self.lines)
        starts = range(0, count, PART_LINES)
        parts = [(start, min(start + PART_LINES, count)) for start in reversed(starts)]
        while parts:
            start, end = parts.pop()
            if not may_hold(b"\n".join(self.lines[start:end])):
                continue
            if end - start <= FEW_LINES:
                yield from range(start, end)
            else:
                middle = (start + end) // 2
                parts += [(middle, end), (start, middle)]


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
    return datetime.fromisoformat(f"{shape[1]}.{(shape[2] or '')[:6]:0<6}{zone}").astimezone(UTC)


def whole(data: bytes, parts: dict[bytes, bytes]) -> bytes:
    """The lines with those that came in parts put together; `parts` holds what has no end yet, by stream."""
    if not parts and (b" P " not in data or _PART.search(data) is None):
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
