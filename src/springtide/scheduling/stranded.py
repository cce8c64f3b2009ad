"""A gang that lost a node: its other places are held, and the lost ones refilled inside the same domain.

`health` says that a node of the gang failed (Evicted, NodeFailures). The gang then keeps its admission, and
with it its quota and places, while its pods end: condition Admitted is False, reason NodeFailed, and
`status.unhealthyNodes` names what is lost. Pods of lost nodes get places in the domain that the gang's
request binds them to: that of their slice, else that of the whole set. If there are none, but the gang fits
elsewhere as a whole, it moves; all its pods start anew in any case. If neither comes true in time, it gives
everything back and queues. When places are complete and the old pods are gone, the next attempt is admitted.

Everything is read off the objects: what was written is found again after a crash. Called by the cycle, for
every admitted workload, before anybody else is considered.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced
from datetime import datetime, timedelta

import numpy as np

from springtide.api import labels
from springtide.api.affinity import Toleration
from springtide.api.commands import Apply
from springtide.api.gpus import spelled
from springtide.api.kueue import (
    Admission,
    PodSetAssignment,
    TopologyAssignment,
    Workload,
    WorkloadReason,
    assign_devices,
    assign_nodes,
    names_nodes,
    places_of,
)
from springtide.api.meta import find_condition, is_true
from springtide.api.struct import replace
from springtide.scheduling import status
from springtide.scheduling.arrays import Ints
from springtide.scheduling.choice import tree_of
from springtide.scheduling.classes import PodClass, constraints
from springtide.scheduling.facts import PodSetFacts, WorkloadFacts
from springtide.scheduling.placement import Placement
from springtide.scheduling.releasing import held_by
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.status import Ending, Verdict
from springtide.scheduling.tree import Tree
from springtide.scheduling.views import Share

NODE_FAILED = "NodeFailed"
"""Reason of Admitted, while places are held."""
REPLACEMENT_SECONDS = 300.0
"""How long places are held, unless said otherwise."""
PODS_RESET = "NotAdmitted"
_NAMED_MAX = 8
"""The API's limit for `status.unhealthyNodes`."""

Confine = Callable[[WorkloadFacts], tuple[PodSetFacts, ...]]
"""The pod sets of an admitted workload, on the nodes of the flavors it was given."""
_Place = tuple[str, str, int]
"""Node, its devices as spelled, pods."""


def is_held(obj: Workload) -> bool:
    """Whether the workload keeps its places although a node of it failed."""
    admitted = find_condition(obj.status.conditions, "Admitted")
    return (
        obj.status.admission is not None
        and admitted is not None
        and admitted.status == "False"
        and admitted.reason == NODE_FAILED
    )


def may_be_held(facts: WorkloadFacts) -> bool:
    """Whether the end of the attempt is that of a node, so that its places are not free yet."""
    evicted = facts.evicted
    return (
        evicted is not None
        and evicted.reason == WorkloadReason.NODE_FAILURES
        and facts.admission is not None
        and facts.active
        and facts.obj.metadata.annotations.get(labels.PODS_BY) != labels.OTHERS
    )


@dataclass(frozen=True)
class Kept:
    """What is written of one that keeps its places."""

    facts: WorkloadFacts
    admission: Admission
    lost: tuple[str, ...]
    message: str
    resumes: bool = False

    def command(self, now: datetime) -> Apply:
        """Its status."""
        if self.resumes:
            return status.resume(self.facts, self.admission, self.message, now)
        return status.keep(self.facts, self.admission, self.lost[:_NAMED_MAX], NODE_FAILED, self.message, now)


class Stranded:
    """The gangs of one cycle that lost nodes."""

    def __init__(
        self, snapshot: Snapshot, placement: Placement, confine: Confine, seconds: float, now: datetime
    ) -> None:
        self._snapshot = snapshot
        self._placement = placement
        self._confine = confine
        self._patience = timedelta(seconds=seconds)
        self._now = now
        self.kept: list[Kept] = []
        self.next_at: datetime | None = None

    def judge(self, facts: WorkloadFacts, ending: Ending | None) -> Ending | None:
        """How the workload ends after all; None if it keeps its places. `ending`: how it would otherwise."""
        held = is_held(facts.obj)
        failed = may_be_held(facts) and ending is not None and not ending.reason
        if not (failed or (held and ending is None)) or facts.admission is None or facts.error:
            return ending
        pod_sets = self._with_spares(_as_given(facts.admission, self._confine(facts)))
        lost = self._lost(facts.admission, pod_sets)
        patience = self._patience_with(facts.obj)
        if self._patience and self._shuns(facts, facts.admission, pod_sets, lost):
            return None
        if not held and (not self._patience or not lost or self._is_lost_whole(facts.admission, lost)):
            return ending
        if not lost:
            if self._is_over(facts):
                self._resume(facts, facts.admission)
            return None
        found = self._refilled(facts.admission, pod_sets, lost) or self._moved(facts, pod_sets)
        if found is not None and held and self._is_over(facts):
            self._resume(facts, found)
            return None
        if found is not None:
            self._keep(facts, found, lost, "Places are found; waits until the pods of the attempt are gone")
            return None
        until = (_held_since(facts.obj) if held else self._now) + patience
        if until <= self._now:
            seconds = f"{patience.total_seconds():g}"
            text = f"no node could take the place of {', '.join(lost)} within {seconds} s"
            return Ending("", "", verdict=Verdict(NODE_FAILED, text))
        self.next_at = min(self.next_at or until, until)
        text = f"Its other places are held until {until:%H:%M:%S} UTC: waits for a node in place of "
        self._keep(facts, facts.admission, lost, text + ", ".join(lost))
        return None

    def _patience_with(self, obj: Workload) -> timedelta:
        """Who can do with fewer pods may have said that it does not wait long."""
        said = obj.metadata.annotations.get(labels.SHRINK_AFTER, "")
        return min(self._patience, timedelta(seconds=int(said))) if said.isdecimal() else self._patience

    def commands(self, ended: Container[str]) -> list[Apply]:
        """What is written, but of those who have been made to go since."""
        return [one.command(self._now) for one in self.kept if one.facts.key not in ended]

    # -- steps -------------------------------------------------------------------------------------

    def _keep(self, facts: WorkloadFacts, admission: Admission, lost: Sequence[str], message: str) -> None:
        known = find_condition(facts.obj.status.conditions, "Admitted")
        if admission == facts.admission and known is not None and known.message == message:
            return
        self.kept.append(Kept(facts, admission, tuple(lost), message))

    def _resume(self, facts: WorkloadFacts, admission: Admission) -> None:
        """All places are there, and nothing is left of the attempt: the next one begins."""
        self.kept.append(Kept(facts, admission, (), _named(admission), resumes=True))

    def _is_over(self, facts: WorkloadFacts) -> bool:
        """Whether nothing is left of the attempt that lost a node."""
        conditions = facts.obj.status.conditions
        ready = find_condition(conditions, "PodsReady")
        reset = ready is None or ready.reason == PODS_RESET
        return reset and not is_true(conditions, "Evicted") and facts.key not in self._snapshot.pods_of

    def _with_spares(self, pod_sets: tuple[PodSetFacts, ...]) -> tuple[PodSetFacts, ...]:
        """The pod sets, let onto nodes that are kept free for such as them."""
        nodes = self._placement.nodes.facts
        if not any(taint.key == labels.TAINT_SPARE for node in nodes for taint in node.taints):
            return pod_sets
        return tuple(replaced(one, pod_class=_tolerating(one.pod_class)) for one in pod_sets)

    def _shuns(
        self,
        facts: WorkloadFacts,
        admission: Admission,
        pod_sets: Sequence[PodSetFacts],
        lost: Sequence[str],
    ) -> bool:
        """Whether it also leaves the nodes that `health` wants it to avoid: only where there are others."""
        avoided = frozenset(facts.obj.metadata.annotations.get(labels.AVOID_NODES, "").split(",")) - {""}
        used = {node for one in admission.pod_set_assignments for node, _, _ in _places(one)}
        shunned = sorted(avoided & used - {*lost})
        if not shunned:
            return False
        rows = [self._placement.row_of(name) for name in avoided]
        found = self._refilled(admission, pod_sets, sorted({*lost, *shunned}), rows)
        if found is not None:
            self._keep(facts, found, shunned, f"Leaves {', '.join(shunned)}; waits until its pods are gone")
        return found is not None

    def _lost(self, admission: Admission, pod_sets: Sequence[PodSetFacts]) -> list[str]:
        """The nodes of an admission that cannot hold its pods any more."""
        found: set[str] = set()
        for pod_set, assignment in zip(pod_sets, admission.pod_set_assignments, strict=True):
            mask = self._placement.view(pod_set.pod_class).mask
            for node, _, _ in _places(assignment):
                row = self._placement.row_of(node)
                if row < 0 or not mask[row] or self._is_overfull(row):
                    found.add(node)
        return sorted(found)

    def _is_overfull(self, row: int) -> bool:
        """Whether a node holds more than it has: it has shrunk, or somebody took a place."""
        snapshot = self._snapshot
        too_much = (snapshot.allocated[row] > snapshot.capacity[row]).any()
        return bool(too_much or (snapshot.devices.share[row] < 0).any())

    def _is_lost_whole(self, admission: Admission, lost: Sequence[str]) -> bool:
        nodes = {node for one in admission.pod_set_assignments for node, _, _ in _places(one)}
        return nodes <= {*lost}

    def _refilled(
        self,
        admission: Admission,
        pod_sets: Sequence[PodSetFacts],
        lost: Sequence[str],
        avoided: Sequence[int] = (),
    ) -> Admission | None:
        """The same places but those on lost nodes, which are taken anew in the same domains.

        `avoided`: rows on which none is taken.
        """
        mark = self._placement.mark()
        assignments: list[PodSetAssignment] = []
        for pod_set, assignment in zip(pod_sets, admission.pod_set_assignments, strict=True):
            places = self._with_new(pod_set, _places(assignment), lost, avoided)
            if places is None:
                self._placement.rollback(mark)
                return None
            assignments.append(replace(assignment, topology_assignment=self._assigned(pod_set, places)))
        return replace(admission, pod_set_assignments=assignments)

    def _with_new(
        self, pod_set: PodSetFacts, places: Sequence[_Place], lost: Sequence[str], avoided: Sequence[int]
    ) -> list[_Place] | None:
        stay = [place for place in places if place[0] not in lost]
        found = list(stay)
        for node in lost:
            count = sum(number for name, _, number in places if name == node)
            if not count:
                continue
            share = self._place(pod_set, node, count, stay, avoided)
            if share is None:
                return None
            found += self._named(share)
        return found

    def _place(
        self,
        pod_set: PodSetFacts,
        node: str,
        count: int,
        stay: Sequence[_Place],
        avoided: Sequence[int],
    ) -> Share | None:
        """Places for the pods of one lost node, in the domain that what they are part of is bound to."""
        tree = tree_of(self._placement.nodes, pod_set)
        broken = [at for at, cut in enumerate(pod_set.slices) if count % cut.size]
        keep = pod_set.slices[broken[-1] + 1 :] if broken else pod_set.slices
        asked = replaced(pod_set, count=count, required_level="", preferred_level="", slices=keep, group="")
        if broken:
            cut = pod_set.slices[broken[-1]]
            homes: Iterable[Ints | None] = [self._home(tree, cut.level, node, stay, count, cut.size)]
        elif pod_set.required_level:
            homes = [self._home(tree, pod_set.required_level, node, stay)]
        elif pod_set.preferred_level:
            start = tree.index(pod_set.preferred_level)
            levels = [*tree.levels, labels.HOSTNAME][: start + 1][::-1]
            homes = [*(self._home(tree, level, node, stay) for level in levels), np.arange(len(tree.place))]
        else:
            homes = [np.arange(len(tree.place))]
        rows = (np.setdiff1d(home, avoided) if avoided else home for home in homes if home is not None)
        shares = (self._placement.place_set(asked, rows=row) for row in rows)
        return next((share for share in shares if share is not None), None)

    def _home(
        self, tree: Tree, level: str, node: str, stay: Sequence[_Place], count: int = 0, size: int = 1
    ) -> Ints | None:
        """The rows of the domain a lost node was in; of a node that is gone, by the places that stay."""
        at, row = tree.index(level), self._placement.row_of(node)
        domain = tree.domain_of(at, row) if row >= 0 and at >= 0 else -1
        if domain < 0 and at >= 0:
            inside: dict[int, int] = {}
            for name, _, number in stay:
                there = self._placement.row_of(name)
                other = tree.domain_of(at, there) if there >= 0 else -1
                inside[other] = inside.get(other, 0) + number
            whole = (d for d, pods in sorted(inside.items()) if d >= 0 and (pods + count) % size == 0)
            domain = next(whole, -1)
        return tree.inside(at, domain) if domain >= 0 else None

    def _moved(self, facts: WorkloadFacts, pod_sets: Sequence[PodSetFacts]) -> Admission | None:
        """All places anew, its own places included; what its pods still hold others do not get."""
        if facts.admission is None:
            return None
        mark = self._placement.mark()
        self._placement.vacate(held_by(facts, self._snapshot.gone.get(facts.key, {})))
        shares = self._placement.place(pod_sets)
        self._placement.rollback(mark)
        if shares is None:
            return None
        assignments = []
        for pod_set, share, one in zip(pod_sets, shares, facts.admission.pod_set_assignments, strict=True):
            self._placement.put(pod_set.pod_class, share)
            places = self._assigned(pod_set, self._named(share))
            assignments.append(replace(one, topology_assignment=places))
        return replace(facts.admission, pod_set_assignments=assignments)

    # -- words -------------------------------------------------------------------------------------

    def _named(self, share: Share) -> list[_Place]:
        """A share by names: of pods with devices each by itself."""
        nodes, named = self._snapshot.nodes.facts, self._snapshot.devices.named
        rows, counts = share.rows.tolist(), share.counts.tolist()
        if not share.devices or not any(named[row] for row in rows):
            return [(nodes[row].name, "", count) for row, count in zip(rows, counts, strict=True)]
        each = np.repeat(share.rows, share.counts).tolist()
        return [
            (nodes[row].name, spelled(taken if named[row] else ()), 1)
            for row, taken in zip(each, share.devices, strict=True)
        ]

    def _assigned(self, pod_set: PodSetFacts, places: Sequence[_Place]) -> TopologyAssignment | None:
        """An assignment in the order of the tree, by which pods are numbered."""
        tree = tree_of(self._placement.nodes, pod_set)
        order = sorted(places, key=lambda one: int(tree.place[self._placement.row_of(one[0])]))
        if not order:
            return None
        if any(devices for _, devices, _ in order):
            return assign_devices(order)
        together: dict[str, int] = {}
        for node, _, count in order:
            together[node] = together.get(node, 0) + count
        return assign_nodes(together.items())


def _tolerating(pod_class: PodClass) -> PodClass:
    """The class, on nodes that are kept free for whoever loses one as well."""
    asked = pod_class.constraints
    spare = Toleration(key=labels.TAINT_SPARE, operator="Exists")
    tolerant = constraints(asked.selector, asked.affinity, (*asked.tolerations, spare), asked.preferred)
    return replaced(pod_class, constraints=tolerant)


def _places(assignment: PodSetAssignment) -> list[_Place]:
    topology = assignment.topology_assignment
    return places_of(topology) if topology is not None and names_nodes(topology) else []


def _held_since(obj: Workload) -> datetime:
    admitted = find_condition(obj.status.conditions, "Admitted")
    if admitted is None or admitted.last_transition_time is None:
        raise ValueError(f"Workload {obj.key} is held, and its condition Admitted has no time")
    return admitted.last_transition_time


def _named(admission: Admission) -> str:
    totals: dict[str, int] = {}
    for one in admission.pod_set_assignments:
        for node, _, count in _places(one):
            totals[node] = totals.get(node, 0) + count
    return status.placed_on(totals)


def _as_given(admission: Admission, confined: Sequence[PodSetFacts]) -> tuple[PodSetFacts, ...]:
    """Pod sets with as many pods as were admitted, in the order of the assignments."""
    by_name = {one.name: one for one in confined}
    return tuple(
        replaced(by_name[one.name], count=one.count if one.count is not None else by_name[one.name].count)
        for one in admission.pod_set_assignments
    )
