"""When those who wait are expected to start: the cycle is carried on into the future, on paper.

What runs ends in the order of its expected ends and gives back what it held; each time those who wait are
considered anew in their order, by the cycle's own quota and placement, and run in their turn for as long as
is usual for their like. Preemption, backfill and whoever comes later are left out, so that the answer is
rather too late than too early for whoever is ahead, and no promise for the others.
Called by `springtide plan` and `explain`, on a cycle of which nothing is written.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from springtide.scheduling import runs
from springtide.scheduling.backfill import Places, give
from springtide.scheduling.facts import PodSetFacts, WorkloadFacts
from springtide.scheduling.placement import Placement
from springtide.scheduling.queues import ClusterQueueFacts
from springtide.scheduling.quota import Granted, Quota, Refused
from springtide.scheduling.releasing import Held
from springtide.scheduling.running import Run, run_of, running
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.status import Placed

ENDS_MAX = 256
"""So many ends are looked ahead; who has not started by then is expected at no time."""
WAITING_MAX = 512
"""So many of those who wait are followed."""

Confine = Callable[[tuple[PodSetFacts, ...], Granted], tuple[PodSetFacts, ...]]


class Start(NamedTuple):
    """When somebody is expected to start."""

    at: datetime
    reason: str
    """What it waits for until then: `when default/a (2 devices) ends`."""


def running_with(
    snapshot: Snapshot, now: datetime, ended: Container[str], started: Iterable[tuple[WorkloadFacts, Placed]]
) -> list[Run]:
    """What runs, with what is started in this cycle, as if it ran."""
    known = running(snapshot, now, ended)
    for facts, placed in started:
        held = tuple(
            Held(pod_set.pod_class, node, count)
            for pod_set, nodes in zip(facts.pod_sets, placed.nodes, strict=True)
            for node, count in nodes.items()
        )
        queue, usage, at = placed.cluster_queue, placed.usage, now.timestamp()
        known.append(run_of(facts, held, at, snapshot, now, queue=queue, usage=usage))
    return known


@dataclass(frozen=True)
class Outlook:
    """What a cycle looks ahead with. Its placement and quota are used up by it."""

    snapshot: Snapshot
    placement: Placement
    quota: Quota
    confine: Confine
    running: Sequence[Run]

    def starts(self, waiting: Iterable[tuple[WorkloadFacts, ClusterQueueFacts]]) -> dict[str, Start]:
        """When each of them is expected to start, by key; `waiting` as they stand in line."""
        with self.placement.later():
            future = self.placement.twin()
        left = list(waiting)[:WAITING_MAX]
        ends = [(run.ends, run.facts.key, run) for run in self.running]
        heapq.heapify(ends)
        found: dict[str, Start] = {}
        with self.quota.later():
            for _ in range(ENDS_MAX):
                if not left or not ends:
                    break
                at, _, last = ends[0]
                while ends and ends[0][0] <= at:
                    last = heapq.heappop(ends)[2]
                    self._end(future, last)
                started = self._start(future, left, at)
                for run in started:
                    found[run.facts.key] = Start(datetime.fromtimestamp(at, UTC), f"when {last.named} ends")
                    heapq.heappush(ends, (run.ends, run.facts.key, run))
                left = [(facts, queue) for facts, queue in left if facts.key not in found]
        return found

    def _end(self, future: Placement, run: Run) -> None:
        give(future, run.places)
        for cell, amount in run.usage.items():
            self.quota.book.use(run.queue, cell, -amount)

    def _start(
        self, future: Placement, left: Iterable[tuple[WorkloadFacts, ClusterQueueFacts]], at: float
    ) -> list[Run]:
        """Who starts at this moment."""
        started: list[Run] = []
        refused: set[tuple[str, tuple[PodSetFacts, ...]]] = set()
        blocked: set[str] = set()
        for facts, queue in left:
            if queue.name in blocked or (queue.name, facts.pod_sets) in refused:
                continue
            run = self._try(future, facts, queue, at)
            if run is not None:
                started.append(run)
                continue
            refused.add((queue.name, facts.pod_sets))
            if queue.strict:
                blocked.add(queue.name)
        return started

    def _try(
        self, future: Placement, facts: WorkloadFacts, queue: ClusterQueueFacts, at: float
    ) -> Run | None:
        granted = self.quota.ask(queue, facts.pod_sets)
        if isinstance(granted, Refused):
            return None
        placed_as = self.confine(facts.pod_sets, granted)
        shares = future.place(placed_as)
        if shares is None:
            return None
        self.quota.charge(queue, granted)
        places: Places = tuple((one.pod_class, share) for one, share in zip(placed_as, shares, strict=True))
        ends = at + max(1.0, runs.lasts(facts, self.snapshot.history).expected)
        usage = granted.usage if queue.groups else {}
        return Run(facts, at, ends, runs.has_limit(facts.obj), True, places, queue.name, usage)
