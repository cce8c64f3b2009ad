"""What would become of those who run and wait if nodes, quotas or the policy were others. Nothing is written.

The cluster is a list of objects, from a server or from a file; a change makes other objects of them, and the
scheduler's own cycle decides on both. Called by `springtide simulate capacity`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from springtide.api import labels
from springtide.api.core import Node, Pod
from springtide.api.kueue import ClusterQueue, Workload
from springtide.api.meta import Object
from springtide.api.struct import decode, encode, replace
from springtide.scheduling.facts import PodFacts, WorkloadFacts
from springtide.scheduling.feeds import state_of
from springtide.scheduling.plan import Options, decided_on
from springtide.scheduling.requests import PODS, readable_amount
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.status import OWNED


class ChangeError(ValueError):
    """A change of something that is not there. The message says what there is."""


@dataclass(frozen=True)
class Quota:
    """A nominal quota as it would be."""

    queue: str
    resource: str
    amount: str
    """A Kubernetes quantity."""
    flavor: str = ""
    """Empty: every flavor of the queue that has the resource."""


@dataclass(frozen=True)
class Changes:
    """What would be different."""

    add_nodes: Mapping[str, int] = field(default_factory=dict)
    """How many more nodes like this one, by its name."""
    remove_nodes: Sequence[str] = ()
    """What runs on them waits again."""
    quotas: Sequence[Quota] = ()


@dataclass(frozen=True)
class Waiting:
    """One that waits."""

    key: str
    why: str


@dataclass(frozen=True)
class Outlook:
    """What one cycle of the scheduler makes of a cluster."""

    nodes: int
    runs: int
    """Workloads that hold their places."""
    starts: tuple[str, ...]
    """Workloads and plain pods that would start at once."""
    goes: tuple[str, ...]
    """Workloads that would have to make way."""
    waits: tuple[Waiting, ...]
    used: Mapping[str, str]
    """What is asked for of each resource once those have started, of what there is: `12 of 16 (75 %)`."""


def changed(objects: Iterable[Object], changes: Changes) -> list[Object]:
    """The cluster with these changes. Raises ChangeError."""
    objects = list(objects)
    nodes = {one.metadata.name: one for one in objects if isinstance(one, Node)}
    for name in (*changes.add_nodes, *changes.remove_nodes):
        if name not in nodes:
            raise ChangeError(f"no node is named {name!r}; there are: {', '.join(sorted(nodes)[:10])}")
    gone = set(changes.remove_nodes)
    found: list[Object] = []
    lost = {one.key for one in objects if isinstance(one, Workload) and _runs_on(one, gone)}
    for one in objects:
        if isinstance(one, Node) and one.metadata.name in gone:
            continue
        if isinstance(one, Pod) and (one.spec.node_name in gone or _workload_of(one) in lost):
            continue
        found.append(_waiting_again(one) if isinstance(one, Workload) and one.key in lost else one)
    for name, count in changes.add_nodes.items():
        found += [_like(nodes[name], index + 1) for index in range(count)]
    for quota in changes.quotas:
        found = _with_quota(found, quota)
    return found


def outlook(
    objects: Iterable[Object], now: datetime, options: Options | None = None, *, embedded: bool = True
) -> Outlook:
    """What the scheduler would decide now. `embedded`: as for `state_of`."""
    snapshot = state_of(objects, embedded=embedded).snapshot()
    cycle = decided_on(snapshot, now, options or Options())
    cycle.explain(now, refresh=True)
    started = {*cycle.admitted, *cycle.bound}
    everybody: list[WorkloadFacts | PodFacts] = [*snapshot.waiting, *snapshot.pods]
    waits = [one.key for one in everybody if one.key not in started]
    taken: Counter[str] = Counter()
    for facts, _ in cycle.admitted.values():
        for pod_set in facts.pod_sets:
            taken.update({name: amount * pod_set.count for name, amount in pod_set.pod_class.requests})
    for pod, _ in cycle.bound.values():
        taken.update(pod.pod_class.amounts if pod.pod_class is not None else {})
    return Outlook(
        nodes=len(snapshot.nodes),
        runs=len(snapshot.admitted),
        starts=tuple(sorted(started)),
        goes=(
            *sorted(one.victim.facts.key for one in cycle.preempted),
            *sorted(f"pod {pod.key}" for pod, _ in cycle.preempted_pods),
        ),
        waits=tuple(Waiting(key, cycle.notes.get(key, "")) for key in waits),
        used=_used(snapshot, taken),
    )


def _used(snapshot: Snapshot, taken: Mapping[str, int]) -> dict[str, str]:
    found: dict[str, str] = {}
    capacity, allocated = snapshot.capacity.sum(axis=0), snapshot.allocated.sum(axis=0)
    for name, there, used in zip(
        snapshot.resources, capacity.tolist(), np.maximum(allocated, 0).tolist(), strict=True
    ):
        if name == PODS or not there:
            continue
        total = used + taken.get(name, 0)
        amounts = f"{readable_amount(name, total)} of {readable_amount(name, there)}"
        found[name] = f"{amounts} ({100 * total / there:.0f} %)"
    return found


# -- changes -------------------------------------------------------------------------------------------


def _like(node: Node, number: int) -> Node:
    """Another node of the same kind."""
    name = f"{node.metadata.name}+{number}"
    known = {**node.metadata.labels, labels.HOSTNAME: name}
    return replace(node, metadata=replace(node.metadata, name=name, uid="", labels=known))


def _runs_on(workload: Workload, nodes: set[str]) -> bool:
    admission = workload.status.admission
    if admission is None or not nodes:
        return False
    facts = state_of([workload]).snapshot().admitted
    return any(node in nodes for one in facts for _, node in one.assigned)


def _waiting_again(workload: Workload) -> Workload:
    status = workload.status
    kept = [condition for condition in status.conditions if condition.type not in (*OWNED, "PodsReady")]
    return replace(workload, status=replace(status, admission=None, conditions=kept))


def _workload_of(pod: Pod) -> str:
    return f"{pod.metadata.namespace}/{pod.metadata.labels.get(labels.WORKLOAD, '')}"


def _with_quota(objects: Sequence[Object], quota: Quota) -> list[Object]:
    queues = sorted(one.metadata.name for one in objects if isinstance(one, ClusterQueue))
    if quota.queue not in queues:
        raise ChangeError(f"no ClusterQueue is named {quota.queue!r}; there are: {', '.join(queues)}")
    return [
        _limited(one, quota) if isinstance(one, ClusterQueue) and one.metadata.name == quota.queue else one
        for one in objects
    ]


def _limited(queue: ClusterQueue, quota: Quota) -> ClusterQueue:
    raw = encode(queue)
    flavors = [flavor for group in raw["spec"].get("resourceGroups", ()) for flavor in group["flavors"]]
    cells = [
        cell
        for flavor in flavors
        if quota.flavor in ("", flavor["name"])
        for cell in flavor["resources"]
        if cell["name"] == quota.resource
    ]
    if not cells:
        there = sorted({f"{one['name']}/{cell['name']}" for one in flavors for cell in one["resources"]})
        wanted = f"{quota.flavor}/{quota.resource}" if quota.flavor else quota.resource
        known = ", ".join(there) or "none: it has no limits"
        raise ChangeError(f"ClusterQueue {quota.queue} has no quota of {wanted}; it has: {known}")
    for cell in cells:
        cell["nominalQuota"] = quota.amount
    return decode(ClusterQueue, raw)
