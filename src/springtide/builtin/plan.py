"""The decisions of the controllers every cluster has: garbage, namespaces, nodes, forsaken pods. Pure.

Called by `garbage`, `namespaces`, `nodes` and `pods`, which gather what is known, ask here, and write.
Source of the rules: kube-controller-manager (garbagecollector, namespace, nodelifecycle, podgc).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from springtide.api.commands import Apply, Command, Delete, Plan
from springtide.api.core import Namespace, NamespaceCondition, Pod
from springtide.api.labels import (
    FINALIZER_FOREGROUND,
    FINALIZER_KUBERNETES,
    FINALIZER_ORPHAN,
    TAINT_NOT_READY,
    TAINT_OUT_OF_SERVICE,
    TAINT_UNREACHABLE,
)
from springtide.api.meta import Condition, find_condition, set_condition
from springtide.api.nodes import Node, NodeCondition, Taint
from springtide.api.podstatus import PodCondition
from springtide.api.struct import encode
from springtide.builtin.graph import Item

# Garbage collection


class OwnerState(Enum):
    """What is known of an owner."""

    PRESENT = "present"
    WAITING = "waiting"
    """Being deleted in the foreground: it waits for its dependents."""
    GONE = "gone"
    """Surely deleted: seen to go, or the server was asked."""
    UNKNOWN = "unknown"
    """Of a kind nobody serves, or out of this object's reach: never a reason to delete."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete the object."""

    item: Item
    propagation: str


@dataclass(frozen=True, slots=True)
class Disown:
    """Take owner references off the object."""

    item: Item
    owners: frozenset[str]


@dataclass(frozen=True, slots=True)
class Finish:
    """Take the collector's finalizer off the object, which thereby goes."""

    item: Item
    finalizer: str


@dataclass(frozen=True, slots=True)
class Unblock:
    """Let the owners go before the object, although it says otherwise: they wait for each other."""

    item: Item


Step = Remove | Disown | Finish | Unblock


def collect(item: Item, owners: Mapping[str, OwnerState], dependents: Sequence[Item]) -> tuple[Step, ...]:
    """What the collector does about one object. `owners` says the state of each of its owners by uid."""
    if item.sets_dependents_free:
        freed = [Disown(dependent, frozenset({item.uid})) for dependent in dependents]
        return (*freed, Finish(item, FINALIZER_ORPHAN))
    if item.waits_for_dependents:
        blocked = any(_blocks(dependent, item.uid) for dependent in dependents)
        return () if blocked else (Finish(item, FINALIZER_FOREGROUND),)
    if item.deleting or not item.owners:
        return ()
    return _collect_dependent(item, owners, dependents)


def _collect_dependent(
    item: Item, owners: Mapping[str, OwnerState], dependents: Sequence[Item]
) -> tuple[Step, ...]:
    states = {owner.uid: owners[owner.uid] for owner in item.owners}
    keeping = [uid for uid, state in states.items() if state in (OwnerState.PRESENT, OwnerState.UNKNOWN)]
    leaving = frozenset(states) - frozenset(keeping)
    if keeping:
        return (Disown(item, leaving),) if leaving else ()
    waiting = any(state is OwnerState.WAITING for state in states.values())
    if waiting and dependents:
        in_a_circle = any(one.waits_for_dependents for one in dependents)
        if in_a_circle and any(owner.block_owner_deletion for owner in item.owners):
            return (Unblock(item),)
        return (Remove(item, "Foreground"),)
    if FINALIZER_ORPHAN in item.finalizers:
        return (Remove(item, "Orphan"),)
    if FINALIZER_FOREGROUND in item.finalizers:
        return (Remove(item, "Foreground"),)
    return (Remove(item, "Background"),)


def _blocks(dependent: Item, owner: str) -> bool:
    return any(one.uid == owner and one.block_owner_deletion for one in dependent.owners)


# Namespaces


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is left of one kind in a namespace."""

    resource: str
    """Plural and group: `pods.`, `trainjobs.trainer.kubeflow.org`, as Kubernetes writes it."""
    count: int
    finalizers: Mapping[str, int]
    """How many objects wait for each finalizer."""


@dataclass(frozen=True, slots=True)
class NamespaceStep:
    """What to do about a namespace that is being deleted."""

    finalizers: list[str] | None = None
    """Write these spec.finalizers: the content is gone. None: not yet."""
    conditions: list[NamespaceCondition] | None = None
    """Write these conditions. None: they stand already."""


def needs_emptying(namespace: Namespace) -> bool:
    """Whether it is being deleted and its content is ours to delete."""
    deleted = namespace.metadata.deletion_timestamp is not None
    return deleted and FINALIZER_KUBERNETES in namespace.spec.finalizers


def finish_namespace(namespace: Namespace, remaining: Sequence[Remaining], now: datetime) -> NamespaceStep:
    """Let an empty namespace go; say of another what it waits for."""
    if not remaining:
        left = [name for name in namespace.spec.finalizers if name != FINALIZER_KUBERNETES]
        return NamespaceStep(finalizers=left)
    conditions: list[Condition] = list(namespace.status.conditions)
    for condition in _remaining_conditions(remaining):
        conditions = set_condition(conditions, condition, now)
    made = [one for one in conditions if isinstance(one, NamespaceCondition)]
    return NamespaceStep(conditions=None if made == namespace.status.conditions else made)


def _remaining_conditions(remaining: Sequence[Remaining]) -> list[NamespaceCondition]:
    kinds = ", ".join(f"{one.resource} has {one.count} resource instances" for one in remaining)
    held: dict[str, int] = {}
    for one in remaining:
        for name, count in one.finalizers.items():
            held[name] = held.get(name, 0) + count
    holders = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(held.items()))
    content = NamespaceCondition(
        type="NamespaceContentRemaining",
        status="True",
        reason="SomeResourcesRemain",
        message=f"Some resources are remaining: {kinds}",
    )
    finalizers = NamespaceCondition(
        type="NamespaceFinalizersRemaining",
        status="True" if held else "False",
        reason="SomeFinalizersRemain" if held else "ContentHasNoFinalizers",
        message=f"Some content in the namespace has finalizers remaining: {holders}"
        if held
        else "All content-preserving finalizers finished",
    )
    return [content, finalizers]


# Nodes

NODE_GRACE = timedelta(seconds=40)
"""Without a sign of life for this long a node counts as unreachable (node-monitor-grace-period)."""
SHORTEST_NODE_GRACE = timedelta(seconds=4)
"""However short its Lease: a server that is busy for a moment must not look like a dead node."""

_CONDITION_TAINTS = (TAINT_NOT_READY, TAINT_UNREACHABLE)


@dataclass(frozen=True, slots=True)
class NodeStep:
    """What to do about a node."""

    condition: NodeCondition | None = None
    """Write this Ready condition. None: it stands."""
    taints: list[Taint] | None = None
    """Write these taints. None: they stand."""
    again_seconds: float | None = None
    """When its sign of life runs out."""


def grace_of(lease_duration_seconds: int | None) -> timedelta:
    """How long a node of such a Lease may be silent: one that promises signs more often is missed sooner."""
    promised = timedelta(seconds=lease_duration_seconds) if lease_duration_seconds else NODE_GRACE
    return min(max(promised, SHORTEST_NODE_GRACE), NODE_GRACE)


def watch_node(node: Node, alive_at: datetime, now: datetime, grace: timedelta = NODE_GRACE) -> NodeStep:
    """Judge a node by its last sign of life: silent nodes turn Unknown; taints follow the condition.

    The way back is the node's own: it reports Ready again, and only then do its taints go.
    """
    ready = find_condition(node.status.conditions, "Ready")
    status = ready.status if ready is not None else "Unknown"
    condition: NodeCondition | None = None
    silent = now - alive_at
    if silent >= grace and (ready is None or ready.status != "Unknown"):
        condition = _unknown(ready, now)
        status = "Unknown"
    taints = _with_condition_taints(node, status if ready is not None or condition else "True", now)
    again = (grace - silent).total_seconds() if silent < grace else None
    return NodeStep(condition, taints, again)


def _unknown(ready: Condition | None, now: datetime) -> NodeCondition:
    never = ready is None
    return NodeCondition(
        type="Ready",
        status="Unknown",
        reason="NodeStatusNeverUpdated" if never else "NodeStatusUnknown",
        message="Kubelet never posted node status." if never else "Kubelet stopped posting node status.",
        last_transition_time=now.replace(microsecond=0),
    )


def _with_condition_taints(node: Node, ready: str, now: datetime) -> list[Taint] | None:
    """The node's taints with those for its Ready condition put right; None if they are right already."""
    wanted = {"True": "", "False": TAINT_NOT_READY, "Unknown": TAINT_UNREACHABLE}.get(ready, "")
    kept = [taint for taint in node.spec.taints if taint.key not in _CONDITION_TAINTS or taint.key == wanted]
    present = {(taint.key, taint.effect) for taint in kept}
    if wanted and (wanted, "NoSchedule") not in present:
        kept.append(Taint(key=wanted, effect="NoSchedule"))
    if wanted and (wanted, "NoExecute") not in present:
        kept.append(Taint(key=wanted, effect="NoExecute", time_added=now.replace(microsecond=0)))
    return None if kept == node.spec.taints else kept


# Pods whose node cannot end them any more

MISSING_NODE_GRACE = timedelta(seconds=40)
"""How long a node must be missing before its pods are given up: it may only be registering anew."""


def is_out_of_service(node: Node) -> bool:
    """Whether an administrator says that this node is switched off and runs nothing."""
    return any(taint.key == TAINT_OUT_OF_SERVICE for taint in node.spec.taints)


def give_up(pod: Pod, node: Node | None, missing_since: datetime, now: datetime) -> Plan:
    """Delete, on the node's behalf, a pod whose node is gone, or one that ends on a node out of service.

    `missing_since` counts only while there is no node. Never a pod on a node that is merely silent: it may
    still be running there.
    """
    if node is not None:
        ending = pod.metadata.deletion_timestamp is not None
        if not (ending and is_out_of_service(node)):
            return Plan()
        return Plan(_end(pod, f"node {pod.spec.node_name} is out of service", now))
    left = MISSING_NODE_GRACE - (now - missing_since)
    if left > timedelta():
        return Plan(requeue_after_seconds=left.total_seconds())
    return Plan(_end(pod, f"node {pod.spec.node_name} no longer exists", now))


def _end(pod: Pod, message: str, now: datetime) -> tuple[Command, ...]:
    metadata = pod.metadata
    delete = Delete(Pod, metadata.namespace, metadata.name, metadata.uid, grace_period_seconds=0)
    if pod.status.phase in ("Succeeded", "Failed"):
        return (delete,)
    condition = PodCondition(
        type="DisruptionTarget",
        status="True",
        reason="DeletionByPodGC",
        message=message,
        last_transition_time=now.replace(microsecond=0),
    )
    status = {"phase": "Failed", "reason": "NodeLost", "message": message, "conditions": [encode(condition)]}
    return (
        Apply(Pod, metadata.namespace, metadata.name, {"status": status}, "status", metadata.uid),
        delete,
    )
