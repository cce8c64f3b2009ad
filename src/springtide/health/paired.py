"""The paired check: a node suspected of being slow, and one that is not, measured alike. Pure.

A rank that turned slow only makes its node suspected (`stragglers`). Once no job runs on it, the same check
runs there and on an idle node of the same kind at the same time; a node that falls clearly behind becomes an
incident, from where remediation takes it. One that keeps up is cleared, and nobody was cordoned. What asks
for a check is the node's own history, so that it outlives the job. Called by `checks_controller`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from springtide.api import labels
from springtide.api.commands import Apply, Command, Create, Delete, Plan
from springtide.api.core import Node, Pod
from springtide.api.meta import ObjectMeta, is_true
from springtide.api.nodehealth import NodeCheck, NodeHealth
from springtide.api.springtide import Action, Blame, Diagnosis, DiagnosisSpec, Evidence
from springtide.api.struct import encode
from springtide.faults import Fault
from springtide.health.checkpods import (
    NAMESPACE,
    PAIRED,
    WELL,
    CheckSettings,
    Measured,
    check_pod,
    entry,
    measured,
    pod_name,
    told,
    was_refused,
    weakest,
)
from springtide.health.incidents import incident_name

RETRY_SECONDS = 30.0
_KIND_LABELS = ("node.kubernetes.io/instance-type", "nvidia.com/gpu.product", "springtide.dev/node-kind")


@dataclass(frozen=True)
class View:
    """A node, what is known of it, and whom it may be compared with."""

    node: Node
    health: NodeHealth
    busy: frozenset[str]
    """Names of nodes on which pods of workloads run."""
    nodes: Sequence[Node] = ()
    suspected: frozenset[str] = frozenset()
    """Names of all nodes that wait for a check like this."""
    pods: Sequence[Pod] = ()
    """Pods of this node's paired check, on whichever node."""


def suspicion(health: NodeHealth, now: datetime, settings: CheckSettings) -> datetime | None:
    """When the node was suspected last, if no check has answered that; None: it is not suspected."""
    since = now - timedelta(seconds=settings.suspicion_seconds)
    slow = [
        one.time
        for one in health.status.history
        if one.fault == Fault.STRAGGLER and one.blame == Blame.UNKNOWN and one.time is not None
    ]
    newest = max(slow, default=None)
    checked = next((one.time for one in health.status.checks if one.kind == PAIRED), None)
    if newest is None or newest < since or (checked is not None and checked >= newest):
        return None
    return newest


def plan(view: View, now: datetime, settings: CheckSettings) -> Plan:
    """Start the pair, wait for it, or say what it found."""
    name = view.node.metadata.name
    since = suspicion(view.health, now, settings)
    if since is None:
        return Plan(tuple(_deleted(view.pods)))
    if not view.pods:
        return _start(view, settings)
    if any(was_refused(pod) for pod in view.pods):
        return Plan(tuple(_deleted(view.pods)), RETRY_SECONDS)
    mine = next((pod for pod in view.pods if pod.spec.node_name == name), None)
    other = next((pod for pod in view.pods if pod.spec.node_name != name), None)
    if mine is None or other is None:
        return Plan(tuple(_deleted(view.pods)), RETRY_SECONDS)
    found, beside = measured(mine, now), measured(other, now)
    if found is None or beside is None:
        return Plan(requeue_after_seconds=RETRY_SECONDS)
    return _conclude(view, found, beside, other.spec.node_name, since)


def _start(view: View, settings: CheckSettings) -> Plan:
    name = view.node.metadata.name
    peer = peer_for(view)
    if name in view.busy or peer is None:
        return Plan(requeue_after_seconds=RETRY_SECONDS)
    return Plan(
        (
            Create(check_pod(PAIRED, view.node, name, settings)),
            Create(check_pod(PAIRED, peer, name, settings)),
        )
    )


def peer_for(view: View) -> Node | None:
    """An idle node to compare with: in service, not suspected itself, of the same kind; the first by name."""
    mine = view.node

    def fits(node: Node) -> bool:
        name = node.metadata.name
        apart = name != mine.metadata.name and name not in view.busy and name not in view.suspected
        return (
            apart
            and not node.spec.unschedulable
            and is_true(node.status.conditions, "Ready")
            and _alike(mine, node)
        )

    return min(filter(fits, view.nodes), key=lambda node: node.metadata.name, default=None)


def _alike(one: Node, other: Node) -> bool:
    same = all(one.metadata.labels.get(key) == other.metadata.labels.get(key) for key in _KIND_LABELS)
    return same and one.status.capacity.get("cpu") == other.status.capacity.get("cpu")


def _conclude(view: View, found: Measured, beside: Measured, peer: str, since: datetime) -> Plan:
    """Write down how the node did, and open an incident if it is slow."""
    name = view.node.metadata.name
    commands: list[Command] = []
    if not found.ran or not beside.measures:  # that says nothing about this node: again
        return Plan(tuple(_deleted(view.pods)), RETRY_SECONDS)
    what, part = weakest(found.measures, beside.measures)
    passed = part >= WELL
    shown = f"{told(found.measures, beside.measures)} of {peer}" if found.measures else found.why_not
    message = f"as fast as {peer}: {shown}" if passed else f"{what} at {part:.0%} of {peer}: {shown}"
    if not passed:
        commands.append(Create(incident(name, message, found.time, since)))
    commands += [noted(name, entry(PAIRED, found, peer, passed, message)), *_deleted(view.pods)]
    return Plan(tuple(commands))


def incident(node: str, message: str, found_at: datetime, since: datetime) -> Diagnosis:
    """The incident of a node that a check has confirmed to be slow: remediation takes it from there."""
    spec = DiagnosisSpec(
        node=node,
        fault_class=Fault.STRAGGLER.value,
        blame=Blame.NODE.value,
        action=Action.CORDON_EVICT.value,
        confidence=0.95,
        message=f"node {node} is slow: {message}",
        happened_at=since,
        detected_at=found_at,
        next_step="Look for throttled clocks, a failing fan or disk, or a link below its rate.",
        evidence=[Evidence(source=f"check:{node}", line=message, time=found_at)],
    )
    name = incident_name(node, f"slow {since.isoformat()}")
    return Diagnosis(metadata=ObjectMeta(name=name, namespace=NAMESPACE), spec=spec)


def noted(node: str, found: NodeCheck) -> Apply:
    """The newest check of its kind; those of other kinds have writers of their own."""
    return Apply(NodeHealth, "", node, {"status": {"checks": [encode(found)]}}, "status")


def is_of(pod: Pod, node: str) -> bool:
    """Whether a pod belongs to the paired check of this node."""
    marks = pod.metadata
    return (
        marks.namespace == NAMESPACE
        and marks.labels.get(labels.NODE_CHECK) == PAIRED
        and marks.annotations.get(labels.NODE_CHECK_OF) == node
        and marks.name == pod_name(PAIRED, pod.spec.node_name, node)
    )


def _deleted(pods: Iterable[Pod]) -> Iterable[Delete]:
    for pod in pods:
        meta = pod.metadata
        if meta.deletion_timestamp is None:
            yield Delete(Pod, meta.namespace, meta.name, meta.uid, grace_period_seconds=0)
