"""The queue of one cycle: all who wait, in the order of the chosen policy, and by use where a queue says so.

One line for workloads and plain pods. Kueue's own order, priority and then age, is that of the snapshot, and
costs nothing. In a ClusterQueue whose LocalQueues share by use (`admissionScope`), the places that its
workloads have in the line stay, and who gets which of them is decided by `usage`.
Called by the cycle, once.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

import numpy as np

from springtide.api import labels
from springtide.api.kueue import LocalQueue
from springtide.scheduling import runs
from springtide.scheduling.durations import Sort
from springtide.scheduling.facts import PodFacts, WorkloadFacts
from springtide.scheduling.ordering import PRIORITY, RIGHT_SIZED, Candidate
from springtide.scheduling.requests import CPU
from springtide.scheduling.scores import FULL, Score, score_of
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.timing import Timing
from springtide.scheduling.usage import Uses, by_use
from springtide.scheduling.volcano_terms import priority_of_queue

Item = WorkloadFacts | PodFacts
Ref = tuple[str, str]
_NOTED_BELOW = 0.995
"""A score that would be shown as less than 100 %."""


class Lineup:
    """Everybody's place in the line."""

    def __init__(self, snapshot: Snapshot, timing: Timing, now: datetime) -> None:
        self._snapshot = snapshot
        waiting: tuple[tuple[Item, ...], ...] = (snapshot.waiting, snapshot.pods)
        line: Iterable[Item] = snapshot.waiting
        if snapshot.pods:
            line = heapq.merge(*waiting, key=lambda facts: facts.order)
        if timing.ordering is not PRIORITY:
            rank = timing.ordering.rank
            candidates = _candidates(snapshot)
            line = sorted(line, key=lambda facts: rank(candidates(facts)))
        prior = snapshot.volcano.priorities if snapshot.volcano is not None else {}
        if prior:
            line = sorted(line, key=lambda facts: -priority_of_queue(facts.obj, prior))
        self._uses = Uses(snapshot, timing.usage, now) if snapshot.queues.by_use else None
        self.items: list[Item] = (
            list(line) if self._uses is None else by_use(line, snapshot.queues, self._uses)
        )
        """Everybody, the first first."""
        self._scores = _scores(snapshot) if timing.ordering is RIGHT_SIZED else {}
        self._moved = timing.ordering is not PRIORITY or self._uses is not None or bool(prior)
        self._place: Mapping[Ref, int] = (
            {(facts.obj.kind, facts.key): place for place, facts in enumerate(self.items)}
            if self._moved
            else {}
        )
        self.key: Callable[[WorkloadFacts], tuple[Any, ...]] = (
            self._placed if self._moved else attrgetter("order")
        )
        """Sorts workloads as they stand in the line."""

    def samples(self) -> dict[str, dict[str, Any]]:
        """What LocalQueues that share by use say of it in their status, by key."""
        return dict(self._uses.samples()) if self._uses is not None else {}

    @property
    def next_at(self) -> datetime | None:
        """When the next of those queues is sampled."""
        return self._uses.next_at() if self._uses is not None else None

    @property
    def has_notes(self) -> bool:
        """Whether there is anything else to say of anybody."""
        return bool(self._scores)

    def note(self, facts: Item) -> str:
        """What else there is to say of its place, where it is further back than its age: or nothing."""
        score = self._scores.get(facts.key) if isinstance(facts, WorkloadFacts) else None
        if score is None or score.value >= _NOTED_BELOW:
            return ""
        gpus = f", GPUs: {score.gpus_in_words}" if score.asks_gpus else ""
        what = "what" if score.gpus is not None else "the CPU and memory"
        return f"its LocalQueue uses {score.value:.0%} of {what} it asks for{gpus}, and is further back"

    def _placed(self, facts: WorkloadFacts) -> tuple[Any, ...]:
        return (self._place[facts.obj.kind, facts.key],)


def _candidates(snapshot: Snapshot) -> Callable[[Item], Candidate]:
    """What an order sees of each; how long it is expected to run is looked up once for each sort."""
    lasts = {one.key: runs.lasts(one, snapshot.history).mean for one in snapshot.waiting}
    scores = _scores(snapshot)
    backlog = _backlog(snapshot, lasts)
    unknown = snapshot.history.estimate(Sort()).mean_seconds

    def candidate(facts: Item) -> Candidate:
        if isinstance(facts, WorkloadFacts):
            seconds, devices = lasts[facts.key], runs.devices_of(facts.pod_sets)
        else:
            seconds, devices = min(runs.pod_limit(facts.obj), unknown), 0
        since, deadline = facts.order[1].timestamp(), deadline_of(facts)
        known = scores.get(facts.key)
        score = known.value if known is not None else FULL
        return Candidate(facts.key, -facts.order[0], since, seconds, devices, backlog, deadline, score)

    return candidate


def _scores(snapshot: Snapshot) -> dict[str, Score]:
    """The score of each workload that waits: its LocalQueue's, where that has one."""
    known = {
        queue.key: score_of(queue)
        for queue in snapshot.queue_objects
        if isinstance(queue, LocalQueue) and labels.RESOURCE_SCORE in queue.metadata.annotations
    }
    if not known:
        return {}
    queues = ((one.key, snapshot.queues.line(one.obj)[0]) for one in snapshot.waiting)
    return {key: known[queue] for key, queue in queues if queue in known}


def _backlog(snapshot: Snapshot, lasts: Mapping[str, float]) -> float:
    """Seconds that all who wait would keep the cluster busy: its devices or its CPUs, whichever is longer."""
    total = snapshot.capacity.sum(axis=0, dtype=np.float64).tolist()
    whole: dict[str, float] = dict(zip(snapshot.resources, total, strict=True))
    devices = sum(amount for name, amount in whole.items() if "/" in name)
    asked_devices = asked_cpu = 0.0
    for one in snapshot.waiting:
        asked_devices += lasts[one.key] * runs.devices_of(one.pod_sets)
        asked_cpu += lasts[one.key] * sum(pod_set.count * pod_set.pod_class.cpu for pod_set in one.pod_sets)
    return max(asked_devices / max(1.0, devices), asked_cpu / max(1.0, whole.get(CPU, 0.0)))


def deadline_of(facts: Item) -> float:
    """When it should have ended, in seconds of the epoch; infinite where it says nothing that can be read."""
    text = facts.obj.metadata.annotations.get(labels.DEADLINE)
    if text is None:
        return math.inf
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return math.inf
    return at.timestamp() if at.tzinfo is not None else math.inf
