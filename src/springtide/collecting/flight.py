"""Dumps of PyTorch's flight recorder, collected as they are written: which collective each rank is stuck in.

A rank writes its dump when a collective times out, shortly before it ends, and nobody in Kubernetes keeps it.
Where to look stands in the environment of its processes, below their own root; process nodes set it to a
folder of the pod that outlives the program. Called by `controller.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import Any

from springtide.api.nodehealth import Observation
from springtide.collecting.flightrecord import DUMP_BYTES, BadDump, GroupProgress, read
from springtide.collecting.proc import environment
from springtide.collecting.rounds import Process, Round, Scene, WatchedPod
from springtide.node.container import FLIGHT_FOLDER
from springtide.node.marks import read_plain

VARIABLES = (b"TORCH_FR_DUMP_TEMP_FILE", b"TORCH_NCCL_DEBUG_INFO_TEMP_FILE")
"""Beginning of the paths of dumps, to which the rank is added; the newer name first."""
DEFAULT_PREFIX = "/tmp/nccl_trace_rank_"
SETTLED_SECONDS = 1.0
"""A file that was written to so lately may not be whole."""
READ_MAX = 4
"""Read of one pod in one round: a dump has megabytes."""
_RANK = re.compile(r"(\d+)$")


@dataclass
class _Known:
    """Where the dumps of a pod are, and which were read."""

    files: dict[tuple[int, int], Path | None] = field(default_factory=dict)
    """By process that lives, its rank's file."""
    lasting: set[Path] = field(default_factory=set)
    """Files in the folder of the node, which outlive their processes."""
    read: set[tuple[str, int]] = field(default_factory=set)
    began: datetime | None = None


@dataclass(frozen=True)
class _Dump:
    rank: int
    written: datetime
    groups: tuple[GroupProgress, ...]


class Flight:
    """The source `flight`."""

    name = "flight"
    period_seconds = 3.0
    deadline_seconds = 30.0

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._known: dict[str, _Known] = {}
        self.doing = ""

    def look(self, scene: Scene) -> Round:
        living = {pod.uid for pod in scene.pods}
        self._known = {uid: known for uid, known in self._known.items() if uid in living}
        seen: list[Observation] = []
        activity: dict[str, dict[str, Any]] = {}
        for pod in scene.pods:
            known = self._known.setdefault(pod.uid, _Known(began=scene.now))
            self._find(known, scene.processes.get(pod.uid, ()))
            entered = []
            for path, dump in self._fresh(known, scene):
                seen += [_observation(pod, path, dump, group) for group in dump.groups]
                entered += [group.entered for group in dump.groups[:1]]
            if entered:
                activity[pod.uid] = {"collective": min(entered)}
        return Round(seen=tuple(seen), activity=activity)

    def close(self) -> None:
        """Nothing is open."""

    def _find(self, known: _Known, processes: tuple[Process, ...]) -> None:
        """Where processes that are new would write; a folder of the node itself outlives them."""
        before, known.files = known.files, {}
        for one in processes:
            key = (one.pid, one.start)
            if key in before:
                known.files[key] = before[key]
                continue
            folder = self._proc / str(one.pid)
            variables = environment(folder)
            rank = variables.get(b"RANK", b"").decode("ascii", "replace")
            path = Path(_prefix(variables) + rank) if rank.isdecimal() else None
            if path is not None and path.parent.name == FLIGHT_FOLDER.name:
                known.lasting.add(path)
                path = None
            known.files[key] = folder / "root" / str(path).lstrip("/") if path is not None else None

    def _fresh(self, known: _Known, scene: Scene) -> Iterator[tuple[Path, _Dump]]:
        """Dumps written since the pod was first seen that are whole and were not read yet."""
        count = 0
        for path in sorted({*known.lasting, *filter(None, known.files.values())}):
            try:
                stat = path.lstat()
            except OSError:
                continue
            if not S_ISREG(stat.st_mode):  # a FIFO would hold us up, a link lead us out of the container
                continue
            written = datetime.fromtimestamp(stat.st_mtime, UTC)
            number = _RANK.search(path.name)
            key = (path.name, stat.st_mtime_ns)
            if number is None or key in known.read or (known.began is not None and written < known.began):
                continue
            if (scene.now - written).total_seconds() < SETTLED_SECONDS or count >= READ_MAX:
                continue
            known.read.add(key)
            count += 1
            self.doing = f"reading {path}"
            try:
                groups = read(read_plain(path, DUMP_BYTES + 1))
            except (OSError, BadDump):  # not ours to mend: what is no dump says nothing
                continue
            yield path, _Dump(int(number[1]), written, groups)


def _prefix(variables: Mapping[bytes, bytes]) -> str:
    found = next((variables[name] for name in VARIABLES if variables.get(name)), b"")
    return found.decode("utf-8", "replace") or DEFAULT_PREFIX


def _observation(pod: WatchedPod, path: Path, dump: _Dump, group: GroupProgress) -> Observation:
    return Observation(
        id="",
        source=f"flight:{pod.key}/{path.name}",
        line=describe(dump.rank, group),
        time=dump.written,
        pod=pod.key,
        pod_uid=pod.uid,
    )


def describe(rank: int, group: GroupProgress) -> str:
    """`flight recorder: rank 3, group 0 default_pg: entered 124, completed 122, stuck in 123 …`."""
    text = (
        f"flight recorder: rank {rank}, group {group.group}:"
        f" entered {group.entered}, completed {group.completed}"
    )
    if group.stuck is None:
        return text
    return f"{text}, stuck in {group.stuck} {group.operation} ({group.state})"
