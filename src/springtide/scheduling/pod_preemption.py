"""Which plain pods of lower priority have to go, on which node, so that another plain pod can run there.

The rules are those of kube-scheduler's DefaultPreemption: on every node all of lower priority would go, then
as many as possible stay after all, those first whose budget would be broken, then the most important. The
node is chosen by budgets broken, highest priority, sum of priorities, number of victims, who started last.
Pods of a Workload or of a group are never among them: they go whole, by the rules of their queue, or not at
all. Called by `claims` within `Placement.later`; leaves the placement as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from springtide.scheduling.arrays import Ints, Mask
from springtide.scheduling.budgets import Budget, strained
from springtide.scheduling.classes import PodClass
from springtide.scheduling.facts import EPOCH, PodFacts, PodSetFacts
from springtide.scheduling.placement import Placement
from springtide.scheduling.releasing import Held, held_by_pods
from springtide.scheduling.views import Share, View

NEVER = "Never"
Running = Mapping[str, Mapping[str, PodFacts]]
"""Plain pods that run, by node and key."""
_EXACT_MAX = 32
"""So many nodes are tried pod by pod where devices, or other pods nearby, matter; the best of them counts."""
_VERIFIED_MAX = 8
"""So many of the best nodes are tried before none is found."""
_PRIORITY_OFFSET = 2**31
"""Makes every priority count as positive: fewer victims of negative priority are better, too."""


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


class Preemptible:
    """All plain pods of one cycle that might go, as arrays: by node, the most important first."""

    def __init__(self, placement: Placement, running: Running, budgets: Sequence[Budget]) -> None:
        self._placement = placement
        self._budgets = budgets
        nodes = ((placement.row_of(node), pods) for node, pods in running.items())
        self._pods = [
            one
            for row, pods in sorted(nodes, key=lambda item: item[0])
            if row >= 0
            for one in _in_order(pods)
        ]
        self._row = np.array([placement.row_of(one.node) for one in self._pods], dtype=np.int64)
        self._priority = np.array([priority_of(one) for one in self._pods], dtype=np.int64)
        self._since = np.array([_since(one).timestamp() for one in self._pods])
        self._there = np.ones(len(self._pods), dtype=np.bool_)
        self._number = {one.key: number for number, one in enumerate(self._pods)}
        covered = (any(budget.covers(one.obj) for budget in budgets) for one in self._pods)
        self._covered = np.fromiter(covered, dtype=np.bool_, count=len(self._pods))
        self._classes = list(dict.fromkeys(one.pod_class for one in self._pods if one.pod_class is not None))
        index: dict[PodClass | None, int] = {one: number for number, one in enumerate(self._classes)}
        self._class = np.array([index[one.pod_class] for one in self._pods], dtype=np.int64)

    def search(self, facts: PodFacts, pod_set: PodSetFacts) -> FoundPods | None:
        """The node on which the least has to go, and who; None if none helps."""
        view = self._placement.view(pod_set.pod_class)
        own = priority_of(facts)
        if not view.offered or not len(self._pods):
            return None
        exact = pod_set.pod_class.devices is not None or pod_set.pod_class.between is not None
        found = list(self._reckoned(view, own, _EXACT_MAX if exact else _VERIFIED_MAX, empty=exact))
        if exact:
            tried = (self._tried(pod_set, node, own) for node in found)
            found = sorted((one for one in tried if one is not None), key=lambda one: one.cost)
        for plight in found[:_VERIFIED_MAX]:
            share = _place_without(self._placement, pod_set, plight) if plight.victims else None
            if share is not None:
                for one in plight.victims:
                    self._there[self._number[one.key]] = False
                return FoundPods(plight, share)
        return None

    def _reckoned(self, view: View, own: int, most: int, *, empty: bool) -> Iterator[Plight]:
        """The best nodes where amounts are all that matters. `empty`: also those where nobody has to go."""
        lower = np.flatnonzero(self._there & (self._priority < own) & view.mask[self._row])
        if not len(lower):
            return
        names = [name for name, amount in view.pod_class.requests if amount > 0]
        table = np.array(
            [[one.amounts.get(name, 0) for name in names] for one in self._classes], dtype=np.int64
        )
        takes = table[self._class[lower]]
        slack: Ints = self._placement.free(view) - view.amounts
        np.add.at(slack, self._row[lower], takes)
        holds: Mask = np.asarray((slack >= 0).all(axis=1), dtype=np.bool_)
        helped = holds[self._row[lower]]
        lower, takes = lower[helped], takes[helped]
        breaks = self._breaks(lower)
        order = np.lexsort((lower, ~breaks, self._row[lower]))
        lower, takes, breaks = lower[order], takes[order], breaks[order]
        goes = _not_reprieved(self._row[lower], takes, slack)
        yield from self._best(lower, goes, breaks, most, empty=empty)

    def _breaks(self, lower: Ints) -> Mask:
        """Whose going breaks a budget, if all before it on its node go, too."""
        breaks = np.zeros(len(lower), dtype=np.bool_)
        for row in np.unique(self._row[lower[self._covered[lower]]]).tolist():
            here = np.flatnonzero(self._row[lower] == row)
            breaks[here] = strained(
                (self._pods[number].obj for number in lower[here].tolist()), self._budgets
            )
        return breaks

    def _best(self, lower: Ints, goes: Mask, breaks: Mask, most: int, *, empty: bool) -> Iterator[Plight]:
        """The nodes that lose least, the best first."""
        rows, of_row = np.unique(self._row[lower], return_inverse=True)
        highest = np.full(len(rows), np.iinfo(np.int64).min)
        np.maximum.at(highest, of_row[goes], self._priority[lower[goes]])
        leading = goes & (self._priority[lower] == highest[of_row])
        since = np.full(len(rows), np.inf)
        np.minimum.at(since, of_row[leading], self._since[lower[leading]])
        number = np.bincount(of_row[goes], minlength=len(rows))
        total = np.bincount(
            of_row[goes], self._priority[lower[goes]] + float(_PRIORITY_OFFSET), minlength=len(rows)
        )
        broken = np.bincount(of_row[goes & breaks], minlength=len(rows))
        order = np.lexsort((rows, -since, number, total, highest, broken))
        for at in [at for at in order.tolist() if empty or number[at]][:most]:
            here = lower[(of_row == at) & goes]
            victims = tuple(self._pods[one] for one in sorted(here.tolist()))
            yield Plight(self._pods[int(lower[of_row == at][0])].node, victims, int(broken[at]))

    def _tried(self, pod_set: PodSetFacts, plight: Plight, own: int) -> Plight | None:
        row = self._placement.row_of(plight.node)
        here = np.flatnonzero((self._row == row) & self._there & (self._priority < own))
        return _tried(
            self._placement, pod_set, row, [self._pods[one] for one in here.tolist()], self._budgets
        )


def _not_reprieved(row: Ints, takes: Ints, slack: Ints) -> Mask:
    """Who has to go, trying for each to let it stay in this order; pods of a node stand side by side."""
    goes = np.ones(len(row), dtype=np.bool_)
    if not len(row):
        return goes
    starts = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
    counts = np.diff(np.append(starts, len(row)))
    for step in range(int(counts.max())):
        here = starts[counts > step] + step
        stays = (slack[row[here]] >= takes[here]).all(axis=1)
        here = here[stays]
        slack[row[here]] -= takes[here]
        goes[here] = False
    return goes


def _in_order(pods: Mapping[str, PodFacts]) -> list[PodFacts]:
    """The most important first."""
    known = (one for one in pods.values() if one.pod_class is not None)
    return sorted(known, key=lambda one: (-priority_of(one), _since(one), one.key))


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
    return Plight(lower[0].node, tuple(victims), broken) if victims else None


def _place_without(placement: Placement, pod_set: PodSetFacts, plight: Plight) -> Share | None:
    """What the pod gets once they are gone; everything is as before afterwards."""
    start = placement.mark()
    placement.vacate(held_by_pods(plight.victims))
    rows = np.array([placement.row_of(plight.node)], dtype=np.int64)
    share = placement.place_set(pod_set, rows=rows)
    placement.rollback(start)
    return share


def _since(facts: PodFacts) -> datetime:
    return facts.obj.status.start_time or facts.obj.metadata.creation_timestamp or EPOCH
