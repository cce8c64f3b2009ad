"""What part of what it asks for the work of a LocalQueue uses: a score from 0 to 1, fading over days. Pure.

Who asks for twice what it needs keeps others out. A pod's score is the mean of the parts it uses of the CPU
and the memory it asks for and, by what they are worth, the part it uses of its GPUs; a queue's follows that
of its running pods, each counted by what it asks for, and is kept in an annotation of the LocalQueue, which
`sampling` alone writes. CPU and memory are known from Kubernetes' metrics API, GPUs from the collectors of
the nodes (`measured`); where nobody measures GPUs they do not count, and the annotation says so. The ordering
`right-sized` goes by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from springtide.api import labels
from springtide.api.kueue import LocalQueue
from springtide.api.metrics import PodMetrics
from springtide.scheduling.measured import GpuUse
from springtide.scheduling.requests import CPU, MEMORY, Amounts, amounts

HALF_LIFE_SECONDS = 86400.0
"""After so long a queue's score has come half the way to what its pods use."""
FULL = 1.0
"""The score of whom nothing is known."""
CORES_PER_GPU = 16
"""A GPU is worth as much as so many cores, a core as much as 4 GiB."""
NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Score:
    """What is known of one LocalQueue."""

    value: float = FULL
    at: datetime | None = None
    """When that was reckoned."""
    gpus: float | None = None
    """What part of the GPUs they ask for its pods used when that was reckoned; None: not measured."""
    asks_gpus: bool = False
    """Whether they asked for any."""

    def follow(self, now_used: float, now: datetime) -> Score:
        """The score after its pods used this part until now, since it was last reckoned."""
        if self.at is None:
            return Score(self.value, now)
        kept = 0.5 ** (max(0.0, (now - self.at).total_seconds()) / HALF_LIFE_SECONDS)
        return Score(self.value * kept + now_used * (1.0 - kept), now)

    def taking(self, looked: Look, now: datetime) -> Score:
        """The score after a look; where only GPUs are asked for and nobody measures them it stays."""
        after = self.follow(looked.part, now) if looked.part is not None else self
        return replace(after, gpus=looked.gpus, asks_gpus=looked.asks_gpus)

    @property
    def gpus_in_words(self) -> str:
        """What is to be said of GPUs; empty where none are asked for."""
        if not self.asks_gpus:
            return ""
        return NOT_MEASURED if self.gpus is None else f"{self.gpus:.0%}"

    def spelled(self) -> str:
        """As it stands in the annotation."""
        at = self.at.replace(microsecond=0).isoformat() if self.at is not None else ""
        said: dict[str, Any] = {"score": round(self.value, 6), "at": at}
        if self.asks_gpus:
            said["gpus"] = NOT_MEASURED if self.gpus is None else round(self.gpus, 6)
        return json.dumps(said)


@dataclass(frozen=True, slots=True)
class Look:
    """What the pods of one queue use now of what they ask for."""

    part: float | None
    """Of all that was measured; None where nothing was."""
    gpus: float | None = None
    """Of the GPUs that were measured."""
    asks_gpus: bool = False
    """Whether any of them asks for GPUs."""


def score_of(queue: LocalQueue) -> Score:
    """What the annotation of a LocalQueue says; a full score where it says nothing that can be read."""
    text = queue.metadata.annotations.get(labels.RESOURCE_SCORE, "")
    try:
        said: Any = json.loads(text) if text else {}
        at = datetime.fromisoformat(said["at"]) if said["at"] else None
        gpus = said.get("gpus")
        known = float(gpus) if gpus not in (None, NOT_MEASURED) else None
        return Score(min(FULL, max(0.0, float(said["score"]))), at, known, gpus is not None)
    except (ValueError, KeyError, TypeError):
        return Score()


def part_used(asked: Amounts, used: Amounts) -> float | None:
    """The mean part of CPU and memory asked for that is used; None where neither is asked for."""
    parts = [min(1.0, used.get(name, 0) / asked[name]) for name in (CPU, MEMORY) if asked.get(name)]
    return sum(parts) / len(parts) if parts else None


def used_by(metrics: PodMetrics) -> dict[str, int]:
    """What all containers of a pod use."""
    total: dict[str, int] = {}
    for container in metrics.containers:
        for name, amount in amounts(container.usage).items():
            total[name] = total.get(name, 0) + amount
    return total


@dataclass(frozen=True, slots=True)
class PodUse:
    """One running pod, for the look at its queue."""

    queue: str
    requests: Amounts
    used: Amounts | None
    """What the metrics API says it uses; None: nothing."""
    gpus: GpuUse | None = None
    """None: it asks for none."""


def looks(pods: Iterable[PodUse]) -> dict[str, Look]:
    """What the pods of each queue use of what they ask for, by what that is worth."""
    sums: dict[str, list[float]] = {}
    asking: set[str] = set()
    for pod in pods:
        worth_used, worth, gpus_used, gpus = sums.setdefault(pod.queue, [0.0, 0.0, 0.0, 0.0])
        part = part_used(pod.requests, pod.used) if pod.used is not None else None
        if part is not None:
            weight = pod.requests.get(CPU, 0) / 1000 + pod.requests.get(MEMORY, 0) / 2**32
            worth, worth_used = worth + weight, worth_used + weight * part
        if pod.gpus is not None:
            asking.add(pod.queue)
            if pod.gpus.part is not None:
                weight = pod.gpus.millis / 1000 * CORES_PER_GPU
                gpus, gpus_used = gpus + weight, gpus_used + weight * pod.gpus.part
        sums[pod.queue] = [worth_used, worth, gpus_used, gpus]
    return {
        queue: Look(
            (worth_used + gpus_used) / (worth + gpus) if worth + gpus else None,
            gpus_used / gpus if gpus else None,
            queue in asking,
        )
        for queue, (worth_used, worth, gpus_used, gpus) in sums.items()
    }
