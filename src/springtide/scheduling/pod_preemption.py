"""Which pods of lower priority have to go, on which node, so that a plain pod can run there.

The rules are those of kube-scheduler's DefaultPreemption: on every node all of lower priority would go, then
as many as possible stay after all, those first whose budget would be broken, then the most important. The
node is chosen by budgets broken, highest priority, sum of priorities, number of victims, who started last.
Pods of a Workload or of a group go whole or not at all, and only if every pod of it is less important. Of
nodes that are alike in budgets and highest priority the one is chosen on which least work of workloads is
lost, wherever their pods are; on a node, of pods of one priority those of workloads stay first.
Called by `claims` within `Placement.later`; leaves the placement as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from springtide.scheduling.arrays import Ints, Mask
from springtide.scheduling.budgets import Budget, Gangs, strained
from springtide.scheduling.classes import PodClass
from springtide.scheduling.facts import EPOCH, PodFacts, PodSetFacts
from springtide.scheduling.placement import Placement
from springtide.scheduling.releasing import Held, held_by_pods
from springtide.scheduling.victims import Candidate, going
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
class Gang:
    """A workload that runs and may go for a plain pod."""

    victim: Candidate
    priority: int
    """That of its most important pods."""
    since: float
    """Since when it runs, in seconds of the epoch."""


@dataclass(eq=False, slots=True)
class Unit:
    """Who goes together, as one node sees it: a plain pod, or all of a workload."""

    key: tuple[str, str]
    """Kind and key."""
    node: str
    priority: int
    since: float
    pods: int = 1
    pod: PodFacts | None = None
    gang: Candidate | None = None
    lost: float = 0.0
    """What is lost of a workload's work, by the victim policy."""

    @property
    def held(self) -> tuple[Held, ...]:
        """What becomes free, here and elsewhere."""
        if self.gang is not None:
            return self.gang.held
        return tuple(held_by_pods((self.pod,))) if self.pod is not None else ()

    @property
    def takes(self) -> tuple[tuple[PodClass, int], ...]:
        """What of it is on this node: how many of which class."""
        if self.pod is not None and self.pod.pod_class is not None:
            return ((self.pod.pod_class, 1),)
        return tuple((one.pod_class, one.count) for one in self.held if one.node == self.node)


@dataclass(frozen=True)
class Plight:
    """Who has to go on one node."""

    node: str
    victims: tuple[Unit, ...]
    broken: int
    """Budgets broken."""

    @property
    def cost(self) -> tuple[int, int, float, int, int, float, str]:
        """Sorts nodes: the smallest is chosen."""
        highest = max(one.priority for one in self.victims)
        since = min(one.since for one in self.victims if one.priority == highest)
        total = sum((one.priority + _PRIORITY_OFFSET) * one.pods for one in self.victims)
        lost, pods = sum(one.lost for one in self.victims), sum(one.pods for one in self.victims)
        return self.broken, highest, lost, total, pods, -since, self.node

    @property
    def held(self) -> Iterator[Held]:
        """What becomes free."""
        return (held for one in self.victims for held in one.held)


@dataclass(frozen=True)
class FoundPods:
    """Who goes, and what the preemptor then gets."""

    plight: Plight
    share: Share

    @property
    def pods(self) -> list[PodFacts]:
        """The plain pods that go."""
        return [one.pod for one in self.plight.victims if one.pod is not None]

    @property
    def gangs(self) -> list[Candidate]:
        """The workloads that go."""
        return [one.gang for one in self.plight.victims if one.gang is not None]


def priority_of(facts: PodFacts) -> int:
    """A pod's priority."""
    return -facts.order[0]


def may_preempt(facts: PodFacts) -> bool:
    """Whether a pod lets others go for itself."""
    return facts.obj.spec.preemption_policy != NEVER


class Preemptible:
    """All of one cycle that might go for a plain pod, as arrays: by node, the most important first."""

    def __init__(
        self,
        placement: Placement,
        running: Running,
        budgets: Sequence[Budget],
        gangs: Iterable[Gang] = (),
    ) -> None:
        self._placement = placement
        self._budgets = budgets
        self._gangs = Gangs(budgets) if budgets else None
        some = (_of_pod(one) for pods in running.values() for one in pods.values() if one.pod_class)
        units = [*some, *(unit for one in gangs for unit in _of_gang(one))]
        known = [one for one in units if placement.row_of(one.node) >= 0]
        self._units = sorted(known, key=lambda one: (placement.row_of(one.node), *_in_order(one)))
        self._row = np.array([placement.row_of(one.node) for one in self._units], dtype=np.int64)
        self._priority = np.array([one.priority for one in self._units], dtype=np.int64)
        self._since = np.array([one.since for one in self._units])
        self._pods = np.array([one.pods for one in self._units], dtype=np.int64)
        self._lost = np.array([one.lost for one in self._units])
        self._there = np.ones(len(self._units), dtype=np.bool_)
        self._numbers: dict[tuple[str, str], list[int]] = {}
        for number, one in enumerate(self._units):
            self._numbers.setdefault(one.key, []).append(number)
        covered = (self._is_covered(one) for one in self._units)
        self._covered = np.fromiter(covered, dtype=np.bool_, count=len(self._units))
        takes = [one.takes for one in self._units]
        self._sorts = list(dict.fromkeys(takes))
        index = {one: number for number, one in enumerate(self._sorts)}
        self._sort = np.array([index[one] for one in takes], dtype=np.int64)

    def leave(self, kind: str, key: str) -> None:
        """Somebody goes already, for whomever."""
        for number in self._numbers.get((kind, key), ()):
            self._there[number] = False

    def _is_covered(self, one: Unit) -> bool:
        pod = one.pod
        if pod is not None:
            return any(budget.covers(pod.obj) for budget in self._budgets)
        return self._gangs is not None and one.gang is not None and self._gangs.covers(going(one.gang))

    def search(self, facts: PodFacts, pod_set: PodSetFacts) -> FoundPods | None:
        """The node on which the least has to go, and who; None if none helps."""
        view = self._placement.view(pod_set.pod_class)
        own = priority_of(facts)
        if not view.offered or not len(self._units):
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
                    self.leave(*one.key)
                return FoundPods(plight, share)
        return None

    def _reckoned(self, view: View, own: int, most: int, *, empty: bool) -> Iterator[Plight]:
        """The best nodes where amounts are all that matters. `empty`: also those where nobody has to go."""
        lower = np.flatnonzero(self._there & (self._priority < own) & view.mask[self._row])
        if not len(lower):
            return
        names = [name for name, amount in view.pod_class.requests if amount > 0]
        table = np.array(
            [
                [sum(of.amounts.get(name, 0) * count for of, count in one) for name in names]
                for one in self._sorts
            ],
            dtype=np.int64,
        )
        takes = table[self._sort[lower]]
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
            breaks[here] = self._strains([self._units[number] for number in lower[here].tolist()])
        return breaks

    def _strains(self, units: Sequence[Unit]) -> list[bool]:
        """For each, whether its going breaks a budget, if all before it of its sort go, too."""
        if self._gangs is None:
            return [False] * len(units)
        pods = iter(strained((one.pod.obj for one in units if one.pod is not None), self._budgets))
        gangs = iter(self._gangs.breaking(going(one.gang) for one in units if one.gang is not None))
        return [next(pods) if one.pod is not None else next(gangs) for one in units]

    def _best(self, lower: Ints, goes: Mask, breaks: Mask, most: int, *, empty: bool) -> Iterator[Plight]:
        """The nodes that lose least, the best first."""
        rows, of_row = np.unique(self._row[lower], return_inverse=True)
        highest = np.full(len(rows), np.iinfo(np.int64).min)
        np.maximum.at(highest, of_row[goes], self._priority[lower[goes]])
        leading = goes & (self._priority[lower] == highest[of_row])
        since = np.full(len(rows), np.inf)
        np.minimum.at(since, of_row[leading], self._since[lower[leading]])
        pods = self._pods[lower[goes]].astype(np.float64)
        number = np.bincount(of_row[goes], pods, minlength=len(rows))
        total = np.bincount(
            of_row[goes], (self._priority[lower[goes]] + float(_PRIORITY_OFFSET)) * pods, minlength=len(rows)
        )
        lost = np.bincount(of_row[goes], self._lost[lower[goes]], minlength=len(rows))
        broken = np.bincount(of_row[goes & breaks], minlength=len(rows))
        order = np.lexsort((rows, -since, number, total, lost, highest, broken))
        for at in [at for at in order.tolist() if empty or number[at]][:most]:
            here = lower[(of_row == at) & goes]
            victims = tuple(self._units[one] for one in sorted(here.tolist()))
            yield Plight(self._units[int(lower[of_row == at][0])].node, victims, int(broken[at]))

    def _tried(self, pod_set: PodSetFacts, plight: Plight, own: int) -> Plight | None:
        """The same by trial: devices, ports and what pods ask of each other are as they would be."""
        placement, row = self._placement, self._placement.row_of(plight.node)
        here = np.flatnonzero((self._row == row) & self._there & (self._priority < own))
        lower = [self._units[one] for one in here.tolist()]
        start = placement.mark()
        placement.vacate(held for one in lower for held in one.held)
        if placement.place_set(pod_set, rows=np.array([row], dtype=np.int64)) is None:
            placement.rollback(start)
            return None
        breaks = self._strains(lower)
        victims: list[Unit] = []
        broken = 0
        for number in sorted(range(len(lower)), key=lambda at: not breaks[at]):
            if not placement.occupy(lower[number].held):
                victims.append(lower[number])
                broken += breaks[number]
        placement.rollback(start)
        return Plight(plight.node, tuple(victims), broken) if victims else None


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


def _in_order(one: Unit) -> tuple[object, ...]:
    """The most important first; of those that are alike in this whole workloads before pods."""
    return -one.priority, one.gang is None, -one.lost, one.since, one.key


def _of_pod(pod: PodFacts) -> Unit:
    return Unit(("Pod", pod.key), pod.node, priority_of(pod), _since(pod).timestamp(), pod=pod)


def _of_gang(one: Gang) -> Iterator[Unit]:
    """Once for each node on which it has pods."""
    victim = one.victim
    for node in dict.fromkeys(held.node for held in victim.held):
        yield Unit(
            key=("Workload", victim.key),
            node=node,
            priority=one.priority,
            since=one.since,
            pods=victim.pods,
            gang=victim,
            lost=victim.size * victim.price,
        )


def _place_without(placement: Placement, pod_set: PodSetFacts, plight: Plight) -> Share | None:
    """What the pod gets once they are gone; everything is as before afterwards."""
    start = placement.mark()
    placement.vacate(plight.held)
    rows = np.array([placement.row_of(plight.node)], dtype=np.int64)
    share = placement.place_set(pod_set, rows=rows)
    placement.rollback(start)
    return share


def _since(facts: PodFacts) -> datetime:
    return facts.obj.status.start_time or facts.obj.metadata.creation_timestamp or EPOCH
