"""What part of what it asks for the work of a LocalQueue uses: a score from 0 to 1, fading over days. Pure.

Who asks for twice what it needs keeps others out. A workload's score is the mean of the parts it uses of the
CPU and the memory it asks for; a queue's follows that of its running pods, each counted by what it asks for,
and is kept in an annotation of the LocalQueue, which `sampling` alone writes. Kubernetes' metrics API says
nothing of GPUs; neither does the score. The ordering `right-sized` goes by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from springtide.api import labels
from springtide.api.kueue import LocalQueue
from springtide.api.metrics import PodMetrics
from springtide.scheduling.requests import CPU, MEMORY, Amounts, amounts

HALF_LIFE_SECONDS = 86400.0
"""After so long a queue's score has come half the way to what its pods use."""
FULL = 1.0
"""The score of whom nothing is known."""


@dataclass(frozen=True, slots=True)
class Score:
    """What is known of one LocalQueue."""

    value: float = FULL
    at: datetime | None = None
    """When that was reckoned."""

    def follow(self, now_used: float, now: datetime) -> Score:
        """The score after its pods used this part until now, since it was last reckoned."""
        if self.at is None:
            return Score(self.value, now)
        kept = 0.5 ** (max(0.0, (now - self.at).total_seconds()) / HALF_LIFE_SECONDS)
        return Score(self.value * kept + now_used * (1.0 - kept), now)

    def spelled(self) -> str:
        """As it stands in the annotation."""
        at = self.at.replace(microsecond=0).isoformat() if self.at is not None else ""
        return json.dumps({"score": round(self.value, 6), "at": at})


def score_of(queue: LocalQueue) -> Score:
    """What the annotation of a LocalQueue says; a full score where it says nothing that can be read."""
    text = queue.metadata.annotations.get(labels.RESOURCE_SCORE, "")
    try:
        said: Any = json.loads(text) if text else {}
        return Score(min(FULL, max(0.0, float(said["score"]))), datetime.fromisoformat(said["at"]))
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


def parts_by_queue(
    pods: Iterable[tuple[str, Amounts]], used: Mapping[str, Amounts], queue_of: Mapping[str, str]
) -> dict[str, float]:
    """The part that the pods of each queue use of what they ask for, by what they ask for.

    `pods`: key and requests of each; only those that `used` says something of count.
    """
    asked: dict[str, float] = {}
    weighed: dict[str, float] = {}
    for key, requests in pods:
        part = part_used(requests, used[key]) if key in used else None
        queue = queue_of.get(key)
        if part is None or queue is None:
            continue
        weight = requests.get(CPU, 0) / 1000 + requests.get(MEMORY, 0) / 2**32
        asked[queue] = asked.get(queue, 0.0) + weight
        weighed[queue] = weighed.get(queue, 0.0) + weight * part
    return {queue: weighed[queue] / total for queue, total in asked.items() if total}
