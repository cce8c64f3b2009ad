"""The second step of an admission with checks: once all are ready, the pods may be made.

What checks ask for in addition (node labels and tolerations) may leave some of the places that were kept
unusable: then the workload gets others before it is admitted, or waits with its quota. Called by the cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from springtide.api.checkstates import updates_of
from springtide.api.commands import Command
from springtide.scheduling import checks, status
from springtide.scheduling.classes import constraints
from springtide.scheduling.facts import PodSetFacts, WorkloadFacts
from springtide.scheduling.placement import Placement
from springtide.scheduling.quota import Granted
from springtide.scheduling.releasing import held_by
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.status import Placed
from springtide.scheduling.views import Share

Confine = Callable[[WorkloadFacts], tuple[PodSetFacts, ...]]
"""An admitted workload's pod sets on the nodes of its flavors."""
Spell = Callable[[str, Granted, Sequence[Share]], Placed]


def confirmations(
    snapshot: Snapshot, placement: Placement, confine: Confine, spell: Spell, ended: set[str], now: datetime
) -> list[tuple[str, Command]]:
    """What to say of those who have their quota and wait for checks, and their keys."""
    found: list[tuple[str, Command]] = []
    for facts in snapshot.admitted:
        if not facts.obj.status.admission_checks or facts.evicted is not None or facts.key in ended:
            continue
        if not checks.is_waiting(facts.obj):
            continue
        command = _confirm(facts, snapshot, placement, confine, spell, now)
        if command is not None:
            found.append((facts.key, command))
    return found


def _confirm(
    facts: WorkloadFacts,
    snapshot: Snapshot,
    placement: Placement,
    confine: Confine,
    spell: Spell,
    now: datetime,
) -> Command | None:
    admission = facts.admission
    if admission is None:
        return None
    queue = snapshot.queues.cluster_queues.get(admission.cluster_queue)
    given = [flavor for one in admission.pod_set_assignments for flavor in one.flavors.values()]
    names = checks.required(queue.checks, given) if queue is not None else ()
    placed = Placed(admission.cluster_queue, (), {}, _nodes(facts), checks=names)
    if not checks.are_ready(checks.begun(facts.obj, names, now)):
        return status.confirm(facts, placed, admission, now)
    adapted = _adapted(confine(facts), facts)
    if _holds(adapted, facts, snapshot):
        return status.confirm(facts, placed, admission, now)
    shares = _moved(adapted, facts, snapshot, placement)
    if shares is None:
        return None
    flavors = tuple(one.flavors for one in admission.pod_set_assignments)
    anew = replace(spell(admission.cluster_queue, Granted(flavors, {}), shares), checks=names)
    return status.confirm(facts, anew, status.admission_of(replace(facts, pod_sets=adapted), anew), now)


def _nodes(facts: WorkloadFacts) -> tuple[dict[str, int], ...]:
    found: dict[str, int] = {}
    for (_, node), count in facts.assigned.items():
        found[node] = found.get(node, 0) + count
    return (found,)


def _adapted(pod_sets: tuple[PodSetFacts, ...], facts: WorkloadFacts) -> tuple[PodSetFacts, ...]:
    """The pod sets as admitted, with what checks add to them."""
    updates = updates_of(facts.obj)
    counts = facts.counts
    found = []
    for one in pod_sets:
        update = updates.get(one.name)
        pod_class = one.pod_class
        if update is not None and (update.node_selector or update.tolerations):
            asked = pod_class.constraints
            selector = tuple(sorted({**dict(asked.selector), **update.node_selector}.items()))
            tolerations = (*asked.tolerations, *update.tolerations)
            pod_class = replace(
                pod_class, constraints=constraints(selector, asked.affinity, tolerations, asked.preferred)
            )
        found.append(replace(one, pod_class=pod_class, count=counts.get(one.name, one.count)))
    return tuple(found)


def _holds(pod_sets: Sequence[PodSetFacts], facts: WorkloadFacts, snapshot: Snapshot) -> bool:
    """Whether all places that were kept may still be used."""
    by_name = {one.name: one.pod_class.constraints for one in pod_sets}
    nodes = {one.name: one for one in snapshot.nodes.facts}
    return all(
        node in nodes and by_name[pod_set].select(node, nodes[node].labels)
        for pod_set, node in facts.assigned
        if pod_set in by_name
    )


def _moved(
    pod_sets: tuple[PodSetFacts, ...], facts: WorkloadFacts, snapshot: Snapshot, placement: Placement
) -> tuple[Share, ...] | None:
    """Other places, in exchange for those it has; None, and nothing changed, if there are none."""
    mark = placement.mark()
    placement.vacate(held_by(facts, snapshot.gone.get(facts.key, {})))
    shares = placement.place(pod_sets)
    if shares is None:
        placement.rollback(mark)
    return shares
