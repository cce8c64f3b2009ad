"""What the ranks of a pod were doing: samples of their stacks when the pod is quiet, stopped, or on demand.

A sample costs a program start, so it is taken seldom: when a pod has been quiet for some seconds or is
stopped, again after a while as long as it stays so, and when the annotation `springtide.dev/sample-stacks`
changes. Of each rank it is the process that trains, not the launcher above it nor the loaders below. Called
by `controller.py`; the stack itself is read by `springtide.node.stackdump`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from springtide.api.nodehealth import StackSample
from springtide.collecting.proc import environment
from springtide.collecting.rounds import Process, Round, Scene, WatchedPod
from springtide.node import stackdump

RANKS_MAX = 16
"""Samples of one pod."""
UNRANKED_MAX = 4
"""Samples of a pod whose processes have no rank."""
SAMPLES_MAX = 32
"""Samples in one round."""
AGAIN_SECONDS = (20.0, 60.0)
"""As long as a pod stays quiet it is sampled again after the first, and from then on every second."""
_LAUNCHERS = ("sh", "bash", "dash", "tini", "dumb-init", "sleep", "pause", "env", "timeout")

Dumper = Callable[[int], stackdump.Dump]


@dataclass
class _Taken:
    """What was sampled of a pod."""

    quiet_since: datetime | None = None
    stopped: bool = False
    at: float = 0.0
    times: int = 0
    asked: str = ""


class Stacks:
    """The source `stacks`."""

    name = "stacks"
    period_seconds = 2.0
    deadline_seconds = 90.0
    doing = ""

    def __init__(self, proc: Path, after_seconds: float, dump: Dumper | None = None) -> None:
        self._proc = proc
        self._after_seconds = after_seconds
        self._dump = dump or (lambda pid: stackdump.dump(pid, proc=proc))
        self._taken: dict[str, _Taken] = {}
        self._why_not = ""

    def look(self, scene: Scene) -> Round:
        running = [pod for pod in scene.pods if not pod.finished]
        living = {pod.uid for pod in running}
        self._taken = {uid: taken for uid, taken in self._taken.items() if uid in living}
        left = SAMPLES_MAX
        activity = {}
        for pod in running:
            processes = scene.processes.get(pod.uid, ())
            if left <= 0 or not processes or not self._is_due(pod, processes, scene):
                continue
            samples = self._sample(processes, scene.now)
            left -= len(samples)
            activity[pod.uid] = {"stacks": samples}
        return Round(activity=activity, message=self._why_not)

    def close(self) -> None:
        """Nothing is open."""

    def _is_due(self, pod: WatchedPod, processes: Sequence[Process], scene: Scene) -> bool:
        """Whether it is to be sampled now; remembers that it was."""
        taken = self._taken.setdefault(pod.uid, _Taken(asked=""))
        if pod.sample and pod.sample != taken.asked:
            taken.asked, taken.at = pod.sample, scene.monotonic
            return True
        since = scene.quiet.get(pod.uid)
        stopped = any(one.state in ("T", "t") for one in processes)
        if self._after_seconds <= 0 or (since is None and not stopped):
            taken.times, taken.stopped = 0, False
            return False
        if taken.quiet_since != since or taken.stopped != stopped:
            taken.quiet_since, taken.stopped, taken.times = since, stopped, 0
        quiet_seconds = (scene.now - since).total_seconds() if since is not None else 0.0
        if taken.times == 0:
            due = stopped or quiet_seconds >= self._after_seconds
        else:
            due = scene.monotonic - taken.at >= AGAIN_SECONDS[min(taken.times, len(AGAIN_SECONDS)) - 1]
        if due:
            taken.times, taken.at = taken.times + 1, scene.monotonic
        return due

    def _sample(self, processes: Sequence[Process], now: datetime) -> list[StackSample]:
        found = []
        self._why_not = ""
        for rank, process in self._ranks(processes):
            dumped = self._dump(process.pid)
            self._why_not = self._why_not or dumped.why_not
            frames = [*dumped.frames, *([f"[{dumped.why_not}]"] if dumped.why_not else [])]
            found.append(
                StackSample(time=now, process=process.pid, rank=rank, state=process.state, frames=frames)
            )
        return found

    def _ranks(self, processes: Sequence[Process]) -> list[tuple[int | None, Process]]:
        environments = {one.pid: environment(self._proc / str(one.pid)) for one in processes}
        ranked = {one.pid: rank for one in processes if (rank := _rank(environments[one.pid])) is not None}
        by_torchrun = {pid: rank for pid, rank in ranked.items() if b"LOCAL_RANK" in environments[pid]}
        chosen = _topmost(processes, by_torchrun or ranked)
        if chosen:
            return chosen[:RANKS_MAX]
        plain = [one for one in processes if one.command not in _LAUNCHERS]
        return [(None, one) for one in sorted(plain, key=lambda one: one.start)[:UNRANKED_MAX]]


def _rank(variables: Mapping[bytes, bytes]) -> int | None:
    value = variables.get(b"RANK", b"")
    return int(value) if value.isdigit() else None


def _topmost(processes: Sequence[Process], ranks: Mapping[int, int]) -> list[tuple[int | None, Process]]:
    """Of each rank the process whose parent is not of that rank: loaders inherit everything."""
    found = [
        (ranks[one.pid], one)
        for one in sorted(processes, key=lambda one: one.start)
        if one.pid in ranks and ranks.get(one.parent) != ranks[one.pid]
    ]
    first: dict[int | None, Process] = {}
    for rank, process in found:
        first.setdefault(rank, process)
    return sorted(first.items(), key=lambda one: one[0] or 0)
