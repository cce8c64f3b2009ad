"""Which plain pods of lower priority have to go, on which node, so that another plain pod can run there.

The rules are those of kube-scheduler's DefaultPreemption: on every node all of lower priority would go, then
as many as possible stay after all, those first whose budget would be broken, then the most important. The node
is chosen by budgets broken, highest priority, sum of priorities and number of victims, and who started last.
Pods of a Workload or of a group are never among them: they go whole, by the rules of their queue, or not at
all. Called by `claims` within `Placement.later`; leaves the placement as it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from springtide.scheduling.arrays import Ints
from springtide.scheduling.budgets import Budget, strained
from springtide.scheduling.facts import EPOCH, PodFacts, PodSetFacts
from springtide.scheduling.placement import Placement
from springtide.scheduling.releasing import Held, held_by_pods
from springtide.scheduling.views import Share, View

NEVER = "Never"
_EXACT_MAX = 32
"""So many nodes are tried pod by pod where devices, or other pods nearby, matter; the best of these counts."""
_VERIFIED_MAX = 8
"""So many of the best nodes are tried before none is found."""
_PRIORITY_OFFSET = 2**31
"""Makes every priority count as positive: fewer victims of negative priority are better, too."""

Running = Mapping[str, Mapping[str, PodFacts]]
"""Plain pods that run, by node and key."""


@dataclass(frozen=True)
class Plight:
    """Who has to go on one node."""

    node: str
    victims: tuple[PodFacts, ...]
    broken: int
    """Budgets broken."""

    @property
    def cost(self) -> tuple[int, int, int, int, float, str]:
        """Sorts nodes: the smallest is chosen."""
        highest = max(priority_of(one) for one in self.victims)
        since = min(_since(one) for one in self.victims if priority_of(one) == highest)
        total = sum(priority_of(one) + _PRIORITY_OFFSET for one in self.victims)
        return self.broken, highest, total, len(self.victims), -since.timestamp(), self.node


@dataclass(frozen=True)
class FoundPods:
    """Who goes, and what the preemptor then gets."""

    plight: Plight
    share: Share

    @property
    def held(self) -> Iterator[Held]:
        """What becomes free."""
        return held_by_pods(self.plight.victims)


def priority_of(facts: PodFacts) -> int:
    """A pod's priority."""
    return -facts.order[0]


def may_preempt(facts: PodFacts) -> bool:
    """Whether a pod lets others go for itself."""
    return facts.obj.spec.preemption_policy != NEVER


def search_pods(
    placement: Placement,
    facts: PodFacts,
    pod_set: PodSetFacts,
    running: Running,
    budgets: Sequence[Budget],
    gone: Collection[str],
) -> FoundPods | None:
    """The node on which the least has to go, and who; None if none helps. `gone`: who goes already."""
    view = placement.view(pod_set.pod_class)
    if not view.offered:
        return None
    nodes = list(_nodes(placement, facts, view, running, gone))
    exact = pod_set.pod_class.devices is not None or pod_set.pod_class.between is not None
    if exact:
        cheap = sorted(nodes, key=lambda one: (max(priority_of(v) for v in one[1]), len(one[1]), one[0]))
        tried = (_tried(placement, pod_set, row, lower, budgets) for row, lower in cheap[:_EXACT_MAX])
    else:
        tried = (_reckoned(placement, view, row, lower, budgets) for row, lower in nodes)
    found = sorted((one for one in tried if one is not None and one.victims), key=lambda one: one.cost)
    for plight in found[:_VERIFIED_MAX]:
        share = _place_without(placement, pod_set, plight)
        if share is not None:
            return FoundPods(plight, share)
    return None


def _nodes(
    placement: Placement, facts: PodFacts, view: View, running: Running, gone: Collection[str]
) -> Iterator[tuple[int, list[PodFacts]]]:
    """Nodes on which the pod might run if all of lower priority went; and those, the most important first."""
    own = priority_of(facts)
    for node, pods in running.items():
        row = placement.row_of(node)
        if row < 0 or not view.mask[row]:
            continue
        lower = [one for one in pods.values() if priority_of(one) < own and one.key not in gone]
        if lower:
            lower.sort(key=lambda one: (-priority_of(one), _since(one), one.key))
            yield row, lower


def _reckoned(
    placement: Placement, view: View, row: int, lower: Sequence[PodFacts], budgets: Sequence[Budget]
) -> Plight | None:
    """Who goes on a node where nothing but amounts matter; None if all of them would not be enough."""
    taken = _taken(view, lower)
    room = placement.free(view)[row] - view.amounts
    slack = room + taken.sum(axis=0)
    if (slack < 0).any():
        return None
    breaks = strained((one.obj for one in lower), budgets) if budgets else [False] * len(lower)
    victims: list[PodFacts] = []
    broken = 0
    for number in sorted(range(len(lower)), key=lambda at: not breaks[at]):
        if (slack >= taken[number]).all():
            slack = slack - taken[number]
        else:
            victims.append(lower[number])
            broken += breaks[number]
    return Plight(lower[0].node, tuple(victims), broken)


def _tried(
    placement: Placement,
    pod_set: PodSetFacts,
    row: int,
    lower: Sequence[PodFacts],
    budgets: Sequence[Budget],
) -> Plight | None:
    """The same by trial: devices, ports and what pods ask of each other are as they would be."""
    start = placement.mark()
    placement.vacate(held_by_pods(lower))
    rows = np.array([row], dtype=np.int64)
    if placement.place_set(pod_set, rows=rows) is None:
        placement.rollback(start)
        return None
    breaks = strained((one.obj for one in lower), budgets) if budgets else [False] * len(lower)
    victims: list[PodFacts] = []
    broken = 0
    for number in sorted(range(len(lower)), key=lambda at: not breaks[at]):
        if not placement.occupy(held_by_pods(lower[number : number + 1])):
            victims.append(lower[number])
            broken += breaks[number]
    placement.rollback(start)
    return Plight(lower[0].node, tuple(victims), broken)


def _place_without(placement: Placement, pod_set: PodSetFacts, plight: Plight) -> Share | None:
    """What the pod gets once they are gone; everything is as before afterwards."""
    start = placement.mark()
    placement.vacate(held_by_pods(plight.victims))
    rows = np.array([placement.row_of(plight.node)], dtype=np.int64)
    share = placement.place_set(pod_set, rows=rows)
    placement.rollback(start)
    return share


def _taken(view: View, pods: Sequence[PodFacts]) -> Ints:
    """What each of the pods takes of what the class asks for."""
    names = [name for name, amount in view.pod_class.requests if amount > 0]
    amounts = [one.pod_class.amounts if one.pod_class is not None else {} for one in pods]
    return np.array([[held.get(name, 0) for name in names] for held in amounts], dtype=np.int64)


def _since(facts: PodFacts) -> datetime:
    return facts.obj.status.start_time or facts.obj.metadata.creation_timestamp or EPOCH
