"""Places that were opened for plain pods: nobody whom such a pod has made go, or might, takes them first.

Workloads stand in the line by their own priority, and against plain pods by that of their pods
(`priorities`), so that a workload may stand ahead of a pod that sent it away. A pod to which a node was
promised (`nominatedNodeName`) is therefore considered before the first workload that it might send away. The
other way round, a workload makes nobody go for a place that a plain pod would take from it at once: else the
two, and whoever the workload takes it from, would send each other away in turns for ever.
Called by the cycle for the line, and by `claims`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from springtide.scheduling.classes import PodClass
from springtide.scheduling.facts import PodFacts, PodSetFacts, WorkloadFacts
from springtide.scheduling.placement import Placement
from springtide.scheduling.pod_preemption import may_preempt, priority_of
from springtide.scheduling.priorities import PodPriorities
from springtide.scheduling.views import Share

_SORTS_MAX = 32
"""So many sorts of plain pods that wait are tried, the most important first."""

Item = WorkloadFacts | PodFacts


def with_promised_first(line: Sequence[Item], priorities: PodPriorities) -> Sequence[Item]:
    """The same line, in which pods with a promised node stand before all workloads they might send away."""
    promised = [
        one
        for one in line
        if isinstance(one, PodFacts) and one.obj.status.nominated_node_name and may_preempt(one)
    ]
    if not promised:
        return line
    return list(_woven(line, sorted(promised, key=lambda one: one.order), priorities))


def _woven(line: Sequence[Item], promised: list[PodFacts], priorities: PodPriorities) -> Iterator[Item]:
    told: set[str] = set()
    for one in line:
        if isinstance(one, WorkloadFacts) and promised:
            highest = priorities.standing(one.obj).highest
            while promised and priority_of(promised[0]) > highest:
                first = promised.pop(0)
                if first.key not in told:
                    told.add(first.key)
                    yield first
        if isinstance(one, WorkloadFacts):
            yield one
        elif one.key not in told:
            told.add(one.key)
            yield one


def who_would_take(
    placement: Placement,
    waiting: Iterable[PodFacts],
    highest: int,
    pod_sets: Sequence[PodSetFacts],
    shares: Sequence[Share],
) -> PodFacts | None:
    """Of these plain pods one that would take from a workload what it is about to be given, or None.

    `highest` is the priority of the workload's most important pods. `placement` is as if all victims had
    gone; it is left as it was.
    """
    rows = np.unique(np.concatenate([share.rows for share in shares])) if shares else np.array([], np.int64)
    tried: set[PodClass] = set()
    for pod in waiting:
        sort = pod.pod_class
        if sort is None or sort in tried or priority_of(pod) <= highest or not may_preempt(pod):
            continue
        tried.add(sort)
        if len(tried) > _SORTS_MAX:
            return None
        asks = PodSetFacts("", 1, sort)
        start = placement.mark()
        takes = placement.place_set(asks, rows=rows) is not None
        placement.rollback(start)
        if not takes:
            continue
        for pod_set, share in zip(pod_sets, shares, strict=True):
            placement.put(pod_set.pod_class, share)
        beside = placement.place_set(asks) is not None
        placement.rollback(start)
        if not beside:
            return pod
    return None
