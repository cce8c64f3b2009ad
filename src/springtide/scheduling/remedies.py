"""What would let somebody start who waits: tried, not guessed.

Each trial is one cycle of the scheduler's own code on the cluster as it is but for one thing: nobody before
it, one pod fewer, no limit of quota, another node. Nothing is written. Called by `springtide explain`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from springtide.scheduling.classes import PodClass
from springtide.scheduling.cycle import Cycle
from springtide.scheduling.facts import PodFacts, PodSetFacts, WorkloadFacts
from springtide.scheduling.placement import Placement
from springtide.scheduling.plan import Options, decided_on
from springtide.scheduling.queues import ClusterQueueFacts
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.state import ClusterState

_NAMED_MAX = 5
_NODES_MAX = 4096
"""More nodes than so many are no remedy."""

Item = WorkloadFacts | PodFacts
Change = Callable[[PodClass], PodClass]


@dataclass(frozen=True)
class Trial:
    """One thing that was tried."""

    change: str
    """The cluster as it is, but for this: `with 3 pods instead of 5`."""
    starts: bool
    """Whether it would start at once then."""


def remedies(state: ClusterState, item: Item, now: datetime, options: Options) -> list[Trial]:
    """What was tried to let it start, what helps first. `state` is spoilt by it: nodes are added.

    It takes tens of cycles, each with one candidate only.
    """
    bench = _Bench(state, item, now, options)
    ahead = bench.ahead()
    if bench.starts(bench.alone):
        return [Trial(f"if nobody were before it ({_listed(ahead)})", True)] if ahead else []
    tried = list(bench.trials())
    if not any(trial.starts for trial in tried):
        tried += bench.together()
    return sorted(tried, key=lambda trial: not trial.starts)


class _Bench:
    """Tries things on one who waits."""

    def __init__(self, state: ClusterState, item: Item, now: datetime, options: Options) -> None:
        self._state = state
        self._item = item
        self._now = now
        self._options = replace(options, starts_max=None)
        self._whole = state.snapshot()
        self.alone = _alone(self._whole, item)

    def ahead(self) -> list[str]:
        """Who is considered before it."""
        others: list[Item] = [*self._whole.waiting, *self._whole.pods]
        before = [one for one in others if one.order < self._item.order and one is not self._item]
        return [one.key for one in sorted(before, key=lambda one: one.order)]

    def starts(self, snapshot: Snapshot) -> bool:
        """Whether it would start in one cycle on this."""
        cycle: Cycle = decided_on(snapshot, self._now, self._options)
        found = cycle.bound if isinstance(self._item, PodFacts) else cycle.admitted
        return self._item.key in found

    def trials(self) -> Iterator[Trial]:
        """One change at a time."""
        yield from self._fewer()
        if self._has_quota:
            yield Trial(f"without limits of quota in ClusterQueue {self._queue}", self.starts(self._free()))
        if any(one.required_level for one in self._pod_sets):
            yield Trial("without its required topology", self.starts(self._with(sets=_anywhere)))
        if any(one.pod_class.constraints.selects for one in self._pod_sets):
            change = "without its node selector and required node affinity"
            yield Trial(change, self.starts(self._with(classes=_unselected)))
        if any(facts.taints for facts in self._whole.nodes.facts):
            yield Trial("if it tolerated all taints", self.starts(self._with(classes=_tolerant)))
        yield from self._more_nodes(self.alone)
        yield Trial("with nothing else running", self.starts(_idle(self.alone)))

    def together(self) -> Iterator[Trial]:
        """Two changes at once, where no single one helps."""
        if self._has_quota:
            for trial in self._more_nodes(self._free()):
                yield replace(trial, change=f"{trial.change} and no limits of quota")

    # -- changes -----------------------------------------------------------------------------------

    @property
    def _pod_sets(self) -> tuple[PodSetFacts, ...]:
        item = self._item
        if isinstance(item, WorkloadFacts):
            return item.pod_sets
        return (PodSetFacts("", 1, item.pod_class),) if item.pod_class is not None else ()

    @property
    def _queue(self) -> str:
        found = self._resolved()
        return found.name if found is not None else ""

    @property
    def _has_quota(self) -> bool:
        found = self._resolved()
        return found is not None and bool(found.groups)

    def _resolved(self) -> ClusterQueueFacts | None:
        if isinstance(self._item, PodFacts):
            return None
        found = self._whole.queues.resolve(self._item.obj)
        return found if isinstance(found, ClusterQueueFacts) else None

    def _with(
        self,
        *,
        sets: Callable[[PodSetFacts], PodSetFacts] | None = None,
        classes: Change | None = None,
        of: Snapshot | None = None,
    ) -> Snapshot:
        """The cluster with nobody else waiting, and what it asks for changed."""

        def changed(pod_set: PodSetFacts) -> PodSetFacts:
            pod_set = sets(pod_set) if sets is not None else pod_set
            return replace(pod_set, pod_class=classes(pod_set.pod_class)) if classes is not None else pod_set

        item, snapshot = self._item, of or self.alone
        if isinstance(item, WorkloadFacts):
            asks = replace(item, pod_sets=tuple(map(changed, item.pod_sets)))
            return replace(snapshot, waiting=(asks,))
        if item.pod_class is None or classes is None:
            return snapshot
        return replace(snapshot, pods=(replace(item, pod_class=classes(item.pod_class)),))

    def _free(self) -> Snapshot:
        """The cluster without limits of quota in its queue."""
        tree, queue = self._whole.queues, self._resolved()
        if queue is None:
            return self.alone
        queues = {**tree.cluster_queues, queue.name: replace(queue, groups=())}
        return replace(self.alone, queues=replace(tree, cluster_queues=queues))

    def _fewer(self) -> Iterator[Trial]:
        """The most pods of its largest pod set with which it would start."""
        largest = max(self._pod_sets, key=lambda one: one.count, default=None)
        if largest is None or largest.count < 2 or isinstance(self._item, PodFacts):
            return
        low, high = 0, largest.count
        while high - low > 1:
            middle = (low + high) // 2
            if self.starts(self._with(sets=_counting(largest.name, middle))):
                low = middle
            else:
                high = middle
        where = f" in pod set {largest.name}" if len(self._pod_sets) > 1 else ""
        fewer = low or 1
        yield Trial(f"with {_pods(fewer)} instead of {largest.count}{where}", low > 0)

    def _more_nodes(self, snapshot: Snapshot) -> Iterator[Trial]:
        """How many more nodes of the kind that would hold most of it."""
        lacking = self._lacking(snapshot)
        if lacking is None:
            return
        like, least = lacking
        added = 0
        for number in (least, least + 1, least + 2, 2 * least + 2, 4 * least + 4):
            if number > _NODES_MAX:
                break
            self._state.add_like(like, number - added, after=added)
            added = number
            now = self._state.snapshot()
            waiting, pods = snapshot.waiting, snapshot.pods
            if self.starts(replace(now, waiting=waiting, pods=pods, queues=snapshot.queues)):
                yield Trial(f"with {_nodes(number)} like {like}", True)
                break
        else:
            yield Trial(f"with {_nodes(added)} like {like}", False)
        self._state.remove_like(like, added)

    def _lacking(self, snapshot: Snapshot) -> tuple[str, int] | None:
        """The node that would hold most of what does not fit, and how many of it at least."""
        placement = Placement(snapshot, self._options.policy)
        best, number = "", 0
        for pod_set in self._pod_sets:
            view = placement.view(pod_set.pod_class)
            if not view.offered or not len(snapshot.nodes):
                return None
            empty = placement.room_when_empty(view)
            row = int(empty.argmax())
            if not empty[row]:
                return None
            missing = pod_set.count - int(np.minimum(view.fits, pod_set.count).sum())
            if not missing and not pod_set.required_level and pod_set.pod_class.between is None:
                continue
            needed = -(-missing // int(empty[row]))
            if needed > number:
                best, number = snapshot.nodes.facts[row].name, needed
            best = best or snapshot.nodes.facts[row].name
        return (best, max(1, number)) if best else None


def _alone(snapshot: Snapshot, item: Item) -> Snapshot:
    if isinstance(item, PodFacts):
        return replace(snapshot, waiting=(), pods=(item,))
    return replace(snapshot, waiting=(replace(item, claims=False),), pods=())


def _idle(snapshot: Snapshot) -> Snapshot:
    """With nothing on the nodes and no quota used."""
    around = snapshot.neighbourhood
    return replace(
        snapshot,
        neighbourhood=replace(around, standing={}) if around is not None else None,
        running={},
        doomed=(),
        claims_in_use=frozenset(),
        allocated=np.zeros_like(snapshot.allocated),
        devices=snapshot.devices_when_empty,
        admitted=(),
        usage={},
        releasing=(),
        lingering={},
        pods_of={},
        gone={},
    )


def _counting(name: str, count: int) -> Callable[[PodSetFacts], PodSetFacts]:
    return lambda one: replace(one, count=count) if one.name == name else one


def _anywhere(pod_set: PodSetFacts) -> PodSetFacts:
    return replace(pod_set, required_level="", preferred_level=pod_set.required_level)


def _unselected(pod_class: PodClass) -> PodClass:
    return replace(pod_class, constraints=pod_class.constraints.without_selection)


def _tolerant(pod_class: PodClass) -> PodClass:
    return replace(pod_class, constraints=pod_class.constraints.tolerating_all)


def _pods(number: int) -> str:
    return f"{number} pod{'' if number == 1 else 's'}"


def _nodes(number: int) -> str:
    return f"{number} more node{'' if number == 1 else 's'}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more
