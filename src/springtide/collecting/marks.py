"""What each rank says of itself through the SDK: step, phase, collectives, beside what is seen from outside.

Where the marks lie stands in the environment of the pod's processes, and below a process's own root, so that
it does not matter whether it runs in a container. Without marks, the annotation of the pod tells when it last
reported progress. Called by `controller.py`; the file's form is `springtide.node.marks`' business.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from springtide.api.nodehealth import PodActivity
from springtide.api.observing import may_turn
from springtide.collecting.proc import environment
from springtide.collecting.rounds import Process, Round, Scene, WatchedPod
from springtide.node.marks import read_marks, with_marks

PROGRESS_FILE = b"SPRINGTIDE_PROGRESS_FILE"
PERIOD_SECONDS = 1.0
ATTENTIVE_SECONDS = 0.5
"""The same where a rank's last steps were longer than its best: if that goes on it is to be told soon."""
_FIELDS = (
    "ranks",
    "progress_time",
    "phase",
    "phase_time",
    "step",
    "step_seconds",
    "busy_seconds",
    "collective",
)


class _Report(msgspec.Struct):
    """What matters here of a progress report."""

    time: datetime | None = None


class Marks:
    """The source `marks`."""

    name = "marks"
    deadline_seconds = 20.0
    doing = ""

    def __init__(self, proc: Path) -> None:
        self.period_seconds = PERIOD_SECONDS
        self._proc = proc
        self._places: dict[str, tuple[Process, Path]] = {}
        """Of each pod, by uid: a process that lives and its progress file."""

    def look(self, scene: Scene) -> Round:
        activity: dict[str, dict[str, Any]] = {}
        running = {pod.uid for pod in scene.pods if not pod.finished}
        self._places = {uid: place for uid, place in self._places.items() if uid in running}
        for pod in scene.pods:
            if pod.uid in running:
                fields = self._of_pod(pod, scene.processes.get(pod.uid, ()))
                if fields:
                    activity[pod.uid] = fields
        turning = any(may_turn(rank) for fields in activity.values() for rank in fields.get("ranks", ()))
        self.period_seconds = ATTENTIVE_SECONDS if turning else PERIOD_SECONDS
        return Round(activity=activity)

    def close(self) -> None:
        """Nothing is open."""

    def _of_pod(self, pod: WatchedPod, processes: Sequence[Process]) -> dict[str, Any]:
        place = self._place(pod.uid, processes)
        ranks = read_marks(place, self._living(processes).__contains__) if place is not None else []
        if ranks:
            said = with_marks(PodActivity(name=pod.key, progress_time=_reported(pod)), ranks)
            return {name: getattr(said, name) for name in _FIELDS}
        reported = _reported(pod)
        return {"progress_time": reported} if reported is not None else {}

    def _place(self, uid: str, processes: Sequence[Process]) -> Path | None:
        known = self._places.get(uid)
        living = {(one.pid, one.start) for one in processes}
        if known is not None and (known[0].pid, known[0].start) in living:
            return known[1]
        self._places.pop(uid, None)
        for one in processes:
            folder = self._proc / str(one.pid)
            file = environment(folder).get(PROGRESS_FILE, b"").decode("utf-8", "replace")
            if file:
                place = folder / "root" / file.lstrip("/")
                self._places[uid] = (one, place)
                return place
        return None

    def _living(self, processes: Sequence[Process]) -> set[int]:
        """Process ids as the processes themselves know them, within their container."""
        found = set()
        for one in processes:
            found.add(one.pid)
            with contextlib.suppress(OSError, ValueError):
                status = (self._proc / str(one.pid) / "status").read_bytes()
                line = status.partition(b"\nNSpid:")[2].partition(b"\n")[0]
                found.update(int(pid) for pid in line.split())
        return found


def _reported(pod: WatchedPod) -> datetime | None:
    """When the pod last reported progress, as its annotation has it."""
    if not pod.progress:
        return None
    try:
        moment = msgspec.json.decode(pod.progress, type=_Report).time
    except msgspec.MsgspecError:  # anybody may write an annotation
        return None
    return moment.astimezone(UTC) if moment is not None and moment.tzinfo is not None else None
