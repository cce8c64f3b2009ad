"""How containers ended and which of their processes the kernel killed for memory.

The end of a container is in its pod's status; a process below it that was killed is nowhere but in its
cgroup's count, while the container lives on and waits for it. Called by `controller.py`.
Source: the kernel's Documentation of cgroup-v2 (`memory.events`) and cgroup-v1 (`memory.oom_control`).
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from springtide.api.nodehealth import Observation
from springtide.collecting.bookmarks import Bookmarks
from springtide.collecting.counters import Counters
from springtide.collecting.rounds import Ended, Keep, Process, Round, Scene, WatchedPod
from springtide.node.cgroups import counter

YOUNG = timedelta(minutes=10)
"""What ended longer ago is known to whoever looked."""
MESSAGE_CHARACTERS = 400


class Exits:
    """The source `exits`."""

    name = "exits"
    period_seconds = 2.0
    deadline_seconds = 20.0
    doing = ""

    def __init__(self, proc: Path, sys: Path, bookmarks: Bookmarks, keep: Keep) -> None:
        self._proc = proc
        self._cgroups = sys / "fs" / "cgroup"
        self._bookmarks = bookmarks
        self._keep = keep
        self._told: set[str] = set(bookmarks.known.get("told", []))
        self._kills: dict[str, Counters] = {}
        """Of each pod, by uid: there is no end of groups that come and go."""
        self._known_pods: set[str] | None = None

    def look(self, scene: Scene) -> Round:
        living = {pod.uid for pod in scene.pods}
        known = self._known_pods if self._known_pods is not None else living
        seen: list[Observation] = []
        for pod in scene.pods:
            seen += self._ends(pod, scene)
            if not pod.finished:
                new = pod.uid not in known
                seen += self._oom_kills(pod, scene.processes.get(pod.uid, ()), scene, new=new)
        self._known_pods = living
        self._kills = {uid: kills for uid, kills in self._kills.items() if uid in living}
        self._told = {key for key in self._told if key.partition("/")[0] in living}
        self._bookmarks.save({"told": sorted(self._told)}, scene.monotonic, now=bool(seen))
        return Round(seen=tuple(seen))

    def close(self) -> None:
        """Nothing is open."""

    def _ends(self, pod: WatchedPod, scene: Scene) -> Iterator[Observation]:
        for ended in pod.ended:
            key = f"{pod.uid}/{ended.container}/{ended.restarts}"
            if ended.exit_code == 0 or key in self._told:
                continue
            self._told.add(key)
            if ended.time is not None and scene.now - ended.time > YOUNG:
                continue
            line = describe(ended)
            yield Observation(
                id="",
                source=f"exit:{pod.key}/{ended.container}",
                line=line,
                signature=self._keep(line) or "",
                time=ended.time or scene.now,
                pod=pod.key,
                pod_uid=pod.uid,
            )

    def _oom_kills(
        self, pod: WatchedPod, processes: Sequence[Process], scene: Scene, *, new: bool
    ) -> Iterator[Observation]:
        """Kills counted by groups of this pod alone; those of a pod that is new are all since its start."""
        folders = {folder for one in processes for folder in self._groups(one.pid, pod.uid)}
        for folder in sorted(folders):
            kills = max(
                counter(folder / "memory.events", "oom_kill"),
                counter(folder / "memory.oom_control", "oom_kill"),
            )
            counters = self._kills.setdefault(pod.uid, Counters())
            line = counters.line(str(folder), "oom_kill", kills, scene.monotonic, first=0 if new else None)
            if line:
                yield Observation(
                    id="",
                    source=f"cgroup:{folder.relative_to(self._cgroups)}",
                    line=f"{line}: the kernel killed a process of the container for memory",
                    time=scene.now,
                    pod=pod.key,
                    pod_uid=pod.uid,
                )

    def _groups(self, pid: int, uid: str) -> Iterator[Path]:
        """The memory group of a process, where it belongs to the pod and nobody else."""
        try:
            lines = (self._proc / str(pid) / "cgroup").read_text().splitlines()
        except OSError:
            return
        for line in lines:
            _, controllers, path = line.split(":", 2)
            if uid not in path and uid.replace("-", "_") not in path:
                continue
            if not controllers:
                yield self._cgroups / path.lstrip("/")
            elif "memory" in controllers.split(","):
                yield self._cgroups / "memory" / path.lstrip("/")


def describe(ended: Ended) -> str:
    """`container main (start 0) ended with exit code 137 (SIGKILL), reason OOMKilled`."""
    name = ""
    if ended.signal:
        try:
            name = f" ({signal.Signals(ended.signal).name})"
        except ValueError:  # a real-time signal
            name = f" (signal {ended.signal})"
    reason = f", reason {ended.reason}" if ended.reason else ""
    message = " ".join(ended.message.split())[:MESSAGE_CHARACTERS]
    text = f"container {ended.container} (start {ended.restarts}) ended with exit code {ended.exit_code}"
    return text + name + reason + (f": {message}" if message else "")
