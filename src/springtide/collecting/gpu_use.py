"""How much of its GPUs each pod uses: time with work and memory, over the last minute.

A device tells how busy it is, and which processes have how much of its memory. Whose work it was is known
where one pod has it alone, where the driver tells processes apart, and where it did nothing at all. Else it
is not measured: nobody's share is guessed, and what is not known is neither 0 nor all. A pod that holds GPUs
and has no process on any uses nothing of them, as long as its processes are known and no GPU works for
processes that nobody sees. An exporter is believed where it names every pod that holds GPUs: one it does not
name may share the GPU of another. Called by `nvidia`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from springtide.collecting.gpus import GpuReading
from springtide.collecting.rounds import Scene

WINDOW_SECONDS = 60.0
"""What is told is the mean of so long."""
_MIB = 2**20


@dataclass(frozen=True)
class Sample:
    """What a pod used at one look; None: not measured."""

    monotonic: float
    millis: int | None
    """Thousandths of one GPU, over all it has."""
    mib: int | None


class GpuUse:
    """Remembers what each pod used within the window."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[Sample]] = {}

    def fields(self, readings: Sequence[GpuReading], scene: Scene) -> dict[str, dict[str, Any]]:
        """What NodeHealth says of each pod with GPUs, by its uid."""
        living = {pod.uid: pod.key for pod in scene.pods if pod.gpus and not pod.finished}
        for uid in self._samples.keys() - living.keys():
            del self._samples[uid]
        if not readings:
            return {}
        for uid, (millis, mib) in used(readings, scene.processes, living).items():
            kept = self._samples.setdefault(uid, deque())
            kept.append(Sample(scene.monotonic, millis, mib))
            while scene.monotonic - kept[0].monotonic >= WINDOW_SECONDS:
                kept.popleft()
        return {
            uid: {
                "gpu_millis": _mean([one.millis for one in kept]),
                "gpu_memory_mib": _mean([one.mib for one in kept]),
            }
            for uid, kept in self._samples.items()
        }


def used(
    readings: Sequence[GpuReading], processes: Mapping[str, Sequence[Any]], pods: Mapping[str, str]
) -> dict[str, tuple[int | None, int | None]]:
    """Thousandths of a GPU and MiB that each of these pods (key by uid) uses now; None: not measured."""
    uid_of = {one.pid: uid for uid, found in processes.items() for one in found}
    by_key = {key: uid for uid, key in pods.items()}
    blind = any(gpu.lost or _works_for_nobody(gpu) for gpu in readings)
    busy: dict[str, float | None] = {}
    memory: dict[str, int | None] = {}
    named = by_key.keys() <= {key for gpu in readings for key in gpu.owners}
    told = all(gpu.tells_processes for gpu in readings)
    for uid in pods:
        seen = not blind and (named or (told and uid in processes))
        busy[uid], memory[uid] = (0.0, 0) if seen else (None, None)
    for gpu in readings:
        users = {uid_of.get(pid, "") for pid in gpu.pids} | {by_key.get(key, "") for key in gpu.owners}
        for uid in users & pods.keys():
            _add(busy, uid, _busy(gpu, uid, users, uid_of))
            _add(memory, uid, _mib(gpu, uid, users, uid_of))
    return {uid: (None if busy[uid] is None else round(10 * (busy[uid] or 0.0)), memory[uid]) for uid in pods}


def _works_for_nobody(gpu: GpuReading) -> bool:
    """Whether it works and shows no process: theirs are hidden from the driver, or have just ended."""
    return bool(gpu.percent and gpu.tells_processes and not gpu.pids)


def _busy(gpu: GpuReading, uid: str, users: set[str], uid_of: Mapping[int, str]) -> float | None:
    """Hundredths of its time in which a device worked for the pod."""
    if gpu.percent is None:
        return None
    if len(users) == 1 or gpu.percent == 0:
        return float(gpu.percent)
    if not gpu.busy:
        return None
    return min(100.0, sum(percent for pid, percent in gpu.busy.items() if uid_of.get(pid) == uid))


def _mib(gpu: GpuReading, uid: str, users: set[str], uid_of: Mapping[int, str]) -> int | None:
    """What the pod has of a device's memory."""
    own = [pid for pid in gpu.pids if uid_of.get(pid) == uid]
    if own and all(pid in gpu.memory for pid in own):
        return sum(gpu.memory[pid] for pid in own) // _MIB
    return gpu.memory_mib if len(users) == 1 else None


def _add(sums: dict[str, Any], uid: str, more: float | None) -> None:
    """What is not known of one device is not known of all."""
    known = sums[uid]
    sums[uid] = None if known is None or more is None else known + more


def _mean(found: Sequence[int | None]) -> int | None:
    known = [one for one in found if one is not None]
    return round(sum(known) / len(known)) if known else None
