"""Who would be made to go as soon as it had started: a loan that would be called in at once is not given.

Starting beyond its quota a workload exposes itself, and others of its queue, to whoever may take quota back
(`reclaimWithinCohort`) and waits for room on nodes. What it then makes go would have started in vain. So once
a cycle has admitted on loan, the search for victims is made again for those who found no room, with all it
admitted counted as running. Whoever is found is considered last in a new cycle on the same snapshot, and with
it those behind it in its queue: by then the others have what they would have taken. Called by the cycle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from springtide.api.kueue import Workload, WorkloadCondition
from springtide.api.meta import Condition, set_condition
from springtide.api.struct import replace
from springtide.scheduling.cohorts import Tree
from springtide.scheduling.facts import PodSetFacts, WorkloadFacts, workload_facts
from springtide.scheduling.parking import Why
from springtide.scheduling.queues import ClusterQueueFacts
from springtide.scheduling.status import Placed, admission_of
from springtide.scheduling.victims import NEVER

CALLERS_MAX = 32
"""For so many sorts of those who wait it is tried whom they would make go, the first in the line first."""
Place = tuple[Any, ...]
"""Where one stands in the line."""
Last = Mapping[str, Place]
"""By ClusterQueue: who stands there in the line, or behind, is considered after all others."""


def is_last(last: Last, queue: str, place: Place) -> bool:
    """Whether somebody of this queue who stands there is considered after all others."""
    return queue in last and place >= last[queue]


def with_last(last: Last, some: Iterable[tuple[str, Place]]) -> Last:
    """The same with some more, by ClusterQueue and place."""
    found = dict(last)
    for queue, place in some:
        found[queue] = min(found.get(queue, place), place)
    return found


def may_gain(why: Why | None, *, quota: bool) -> bool:
    """Whether one who waits for this may gain by a loan: for room, or where it also may, for `quota`."""
    return isinstance(why, tuple) or (quota and why is not None and why.reason == "WaitingForQuota")


def may_call_in(queue: ClusterQueueFacts, lent_to: Iterable[str], tree: Tree) -> bool:
    """Whether workloads of this queue may take back what was lent to any of these."""
    if queue.preemption.reclaim_within_cohort == NEVER or not tree.has(queue.name):
        return False
    around = tree.around(queue.name)
    return any(other in around and other != queue.name for other in lent_to)


def as_running(
    started: Iterable[tuple[WorkloadFacts, Placed]], now: datetime
) -> Iterator[tuple[str, WorkloadFacts]]:
    """What this cycle admits as the next will see it, with its queue; without those that go in parts."""
    admitted = Condition(type=WorkloadCondition.ADMITTED, status="True", reason="Admitted")
    for facts, placed in started:
        conditions = set_condition(facts.obj.status.conditions, admitted, now)
        status = replace(facts.obj.status, admission=admission_of(facts, placed), conditions=conditions)
        known = workload_facts(replace(facts.obj, status=status), partial(_known, facts.pod_sets))
        if known is not None and not facts.is_elastic:
            yield placed.cluster_queue, known


def _known(pod_sets: tuple[PodSetFacts, ...], _: Workload) -> tuple[tuple[PodSetFacts, ...], str]:
    return pod_sets, ""
