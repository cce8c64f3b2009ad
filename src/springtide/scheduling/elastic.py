"""Workloads whose pods may come and go while they run: they grow where there is room when nobody wants it.

Whoever may have more pods than it was admitted with gets them after all who wait were considered, in the
flavors and the domain it has, within quota; and gives places up when it asks for fewer. Called by the cycle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from springtide.api.gpus import indices_in
from springtide.api.kueue import (
    Admission,
    PodSetAssignment,
    Workload,
    assign_devices,
    assign_nodes,
    names_nodes,
    places_of,
)
from springtide.api.meta import is_true
from springtide.api.struct import replace as replaced
from springtide.scheduling.classes import PodClass, constraints
from springtide.scheduling.door import is_deleting
from springtide.scheduling.facts import PodSetFacts, WorkloadFacts, usage_of
from springtide.scheduling.nodes import NodeFacts
from springtide.scheduling.partial import largest
from springtide.scheduling.placement import Placement
from springtide.scheduling.queues import Closed, ClusterQueueFacts, QueueTree
from springtide.scheduling.quota import Granted, Quota, Refused
from springtide.scheduling.releasing import Held
from springtide.scheduling.requests import quantities
from springtide.scheduling.status import Placed
from springtide.scheduling.views import Share

PodSets = tuple[PodSetFacts, ...]
Place = tuple[str, str, int]
"""A node, devices there as `gpus.spelled`, and how many pods."""


@dataclass(frozen=True)
class Sized:
    """A workload with more or fewer pods than it had."""

    facts: WorkloadFacts
    admission: Admission
    pods: int
    """How many more; negative: fewer."""

    @property
    def usage(self) -> Mapping[tuple[str, str], int]:
        """What it is charged from now on."""
        return usage_of(_with(self.facts, self.admission))


@dataclass(frozen=True)
class Growth:
    """What growing is decided on: one cycle's free capacity and quota."""

    placement: Placement
    quota: Quota
    confine: Callable[[WorkloadFacts], PodSets]
    """An admitted workload's pod sets on the nodes of its flavors."""
    spell: Callable[[str, Granted, Sequence[Share]], Placed]
    node_named: Callable[[str], NodeFacts | None]
    place: Callable[[WorkloadFacts, PodSets], tuple[Share, ...] | None]
    """Takes places, where that puts off nobody who has one promised."""

    def sizes(
        self, elastic: Sequence[WorkloadFacts], queues: QueueTree, ended: Container[str]
    ) -> list[Sized]:
        """All that get more pods, or want fewer. `ended`: those that go, wholly or in part."""
        found = []
        for facts in elastic:
            runs = facts.evicted is None and is_true(facts.obj.status.conditions, "Admitted")
            ends = facts.key in ended or facts.key + SURPLUS in ended
            queue = queues.resolve(facts.obj)
            if runs and not ends and not is_deleting(facts) and not isinstance(queue, Closed):
                sized = self.resize(facts, queue)
                found += [sized] if sized is not None else []
        return found

    def resize(self, facts: WorkloadFacts, queue: ClusterQueueFacts) -> Sized | None:
        """With as many pods as it asks for and there is room for; None if that changes nothing."""
        admission = facts.admission
        if admission is None or any(one.slices for one in facts.pod_sets):
            return None
        counts = facts.counts
        if any(one.count < counts.get(one.name, one.count) for one in facts.pod_sets):
            wanted = {one.name: one.count for one in facts.pod_sets}
            less = sum(max(0, counts[name] - wanted.get(name, counts[name])) for name in counts)
            return Sized(facts, shrunk(facts, wanted), -less)
        more = self._more(facts, counts)
        if not any(one.count for one in more):
            return None
        found = (
            more if self._has_room(queue, more, admission) else largest(more, self._fits(queue, admission))
        )
        if found is None or not any(one.count for one in found):
            return None
        granted = self.quota.ask(queue, found)
        shares = self.place(facts, found) if isinstance(granted, Granted) else None
        if not isinstance(granted, Granted) or shares is None:
            return None
        self.quota.charge(queue, granted)
        placed = self.spell(queue.name, granted, shares)
        return Sized(facts, _joined(facts, placed, found), sum(one.count for one in found))

    def _more(self, facts: WorkloadFacts, counts: Mapping[str, int]) -> PodSets:
        """The pods that are still missing, in the domain of those that are there."""
        found = []
        for one in self.confine(facts):
            missing = max(0, one.count - counts.get(one.name, one.count))
            pinned = self._pinned(one, facts) if missing else one
            found.append(replace(pinned, count=missing, min_count=0))
        return tuple(found)

    def _pinned(self, pod_set: PodSetFacts, facts: WorkloadFacts) -> PodSetFacts:
        """Confined to the domain that its required topology has given it."""
        level = pod_set.required_level
        if not level:
            return pod_set
        nodes = (self.node_named(node) for name, node in sorted(facts.assigned) if name == pod_set.name)
        value = next((node.labels.get(level, "") for node in nodes if node is not None), "")
        asked = pod_set.pod_class.constraints
        selector = tuple(sorted({**dict(asked.selector), level: value}.items()))
        pinned = constraints(selector, asked.affinity, asked.tolerations, asked.preferred)
        return replace(
            pod_set, required_level="", group="", pod_class=replace(pod_set.pod_class, constraints=pinned)
        )

    def _fits(self, queue: ClusterQueueFacts, admission: Admission) -> Callable[[PodSets], bool]:
        return lambda pod_sets: self._has_room(queue, pod_sets, admission)

    def _has_room(self, queue: ClusterQueueFacts, pod_sets: PodSets, admission: Admission) -> bool:
        granted = self.quota.ask(queue, pod_sets)
        if isinstance(granted, Refused) or not _same_flavors(pod_sets, granted, admission):
            return False
        mark = self.placement.mark()
        found = self.placement.place(pod_sets) is not None
        self.placement.rollback(mark)
        return found


def shrunk(facts: WorkloadFacts, wanted: Mapping[str, int]) -> Admission:
    """Its admission with so many pods of each pod set: those placed last lose their places."""
    admission = facts.admission or Admission()
    found = []
    for one in admission.pod_set_assignments:
        count = min(wanted.get(one.name, one.count or 0), one.count or 0)
        found.append(_sized(facts, one, list(_first(_places(one), count)), count))
    return replaced(admission, pod_set_assignments=found)


def surplus_of(facts: WorkloadFacts, wanted: Mapping[str, int]) -> dict[tuple[str, str, str], int]:
    """The places that `shrunk` takes away: pods by pod set, node and devices."""
    found: dict[tuple[str, str, str], int] = {}
    for one in facts.admission.pod_set_assignments if facts.admission is not None else ():
        left = wanted.get(one.name, one.count or 0)
        for node, devices, count in _places(one):
            gone = max(0, count - max(0, left))
            left -= count
            if gone:
                cell = one.name, node, devices
                found[cell] = found.get(cell, 0) + gone
    return found


SURPLUS = "~"
"""Ends the key of what an elastic workload can do without, as a candidate of its own."""


@dataclass(frozen=True)
class Part:
    """Some pods of a running workload: what they are charged and what they hold."""

    facts: WorkloadFacts
    held: tuple[Held, ...]


def parts_of(facts: WorkloadFacts, held: Sequence[Held]) -> tuple[Part, Part] | None:
    """What an elastic workload can do without, and the rest of it; None if it needs all that it has."""
    fewest = {one.name: one.fewest for one in facts.pod_sets}
    cells = surplus_of(facts, fewest) if facts.is_elastic else {}
    if not cells:
        return None
    left = usage_of(_with(facts, shrunk(facts, fewest)))
    spared = {cell: amount - left.get(cell, 0) for cell, amount in facts.usage.items()}
    class_of = {one.name: one.pod_class for one in facts.pod_sets}
    same = {one.pod_class: one.pod_class for one in held}  # one and the same object for each class
    wanted: Counter[tuple[PodClass, str, tuple[int, ...]]] = Counter()
    for (name, node, devices), count in cells.items():
        if name in class_of:
            wanted[class_of[name], node, indices_in(devices)] += count
    given, kept = [], []
    for one in held:
        cell = one.pod_class, one.node, one.devices
        count = min(one.count, wanted[cell])
        wanted[cell] -= count
        given += [replace(one, pod_class=same[one.pod_class], count=count)] if count else []
        kept += [replace(one, count=one.count - count)] if one.count > count else []
    spare = replace(facts, key=facts.key + SURPLUS, usage=spared)
    return Part(spare, tuple(given)), Part(replace(facts, usage=left), tuple(kept))


def at_its_smallest(facts: WorkloadFacts) -> Admission:
    """Its admission with as few pods as will do."""
    return shrunk(facts, {one.name: one.fewest for one in facts.pod_sets})


def _with(facts: WorkloadFacts, admission: Admission) -> Workload:
    return replaced(facts.obj, status=replaced(facts.obj.status, admission=admission))


def _joined(facts: WorkloadFacts, placed: Placed, more: PodSets) -> Admission:
    """What it has and what it gets."""
    admission = facts.admission or Admission()
    added = {one.name: index for index, one in enumerate(more)}
    found = []
    for one in admission.pod_set_assignments:
        index = added.get(one.name)
        if index is None or not more[index].count:
            found.append(one)
            continue
        devices = placed.devices[index] if placed.devices else ()
        pods = [node for node, count in placed.nodes[index].items() for _ in range(count)]
        extra: list[Place] = [(node, devices[n] if devices else "", 1) for n, node in enumerate(pods)]
        found.append(_sized(facts, one, [*_places(one), *extra], (one.count or 0) + more[index].count))
    return replaced(admission, pod_set_assignments=found)


def _sized(
    facts: WorkloadFacts, one: PodSetAssignment, places: Sequence[Place], count: int
) -> PodSetAssignment:
    pod_class = next((known.pod_class for known in facts.pod_sets if known.name == one.name), None)
    asked = pod_class.requests if pod_class is not None else ()
    usage = {name: amount * count for name, amount in asked if name in one.flavors}
    named = any(devices for _, devices, _ in places)
    by_node = assign_nodes(_together(places)) if places else None
    topology = assign_devices(places) if named else by_node
    return replaced(one, count=count, resource_usage=dict(quantities(usage)), topology_assignment=topology)


def _together(places: Sequence[Place]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for node, _, count in places:
        counts[node] = counts.get(node, 0) + count
    return list(counts.items())


def _places(one: PodSetAssignment) -> list[Place]:
    topology = one.topology_assignment
    return places_of(topology) if topology is not None and names_nodes(topology) else []


def _first(places: Sequence[Place], count: int) -> Iterator[Place]:
    for node, devices, pods in places:
        kept = min(pods, count)
        count -= kept
        if kept > 0:
            yield node, devices, kept


def _same_flavors(pod_sets: PodSets, granted: Granted, admission: Admission) -> bool:
    known = {one.name: one.flavors for one in admission.pod_set_assignments}
    return all(
        not one.count or all(known.get(one.name, {}).get(name) == flavor for name, flavor in given.items())
        for one, given in zip(pod_sets, granted.flavors, strict=True)
    )
