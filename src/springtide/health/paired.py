"""The paired check: a node suspected of being slow, and one that is not, measured alike. Pure.

A rank that turned slow only makes its node suspected (`stragglers`). Once no job runs on it, the same check
runs there and on an idle node of the same kind at the same time; a node that falls clearly behind becomes an
incident, from where remediation takes it. One that keeps up is cleared, and nobody was cordoned. What asks
for a check is the node's own history, so that it outlives the job. A check that says nothing, such as one
whose image cannot be pulled, is made again a few times, ever more seldom and beside another node each time;
then it is given up. Either way the Diagnosis that suspected the node says so. Called by `checks_controller`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from springtide.api import labels
from springtide.api.commands import Apply, Command, Create, Delete, Plan
from springtide.api.core import Node, Pod
from springtide.api.meta import Condition, ObjectMeta, find_condition, is_true, set_condition
from springtide.api.nodehealth import Incident, NodeCheck, NodeHealth
from springtide.api.springtide import Action, Blame, Diagnosis, DiagnosisSpec, Evidence
from springtide.api.struct import encode, replace
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
    number_of,
    pod_name,
    told,
    was_refused,
    weakest,
)
from springtide.health.incidents import CHECKED, incident_name

RETRY_SECONDS = 30.0
"""How often it is looked whether two nodes are idle; and the wait after the first check that says nothing,
which doubles with each."""
TRIES_MAX = 6
"""After so many checks that say nothing, in about half an hour beside their own time, no more are made."""
KEEPS_UP, FALLS_BEHIND, GAVE_UP = "KeepsUp", "FallsBehind", "CheckGaveUp"
"""Reasons of Checked."""
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
    suspicions: Sequence[Diagnosis] = ()
    """Diagnoses that suspected the node, as far as they are there still."""


def suspicion(health: NodeHealth, now: datetime, settings: CheckSettings) -> datetime | None:
    """When the node was suspected last, if no check has answered that; None: it is not suspected."""
    since = now - timedelta(seconds=settings.suspicion_seconds)
    newest = max((one.time for one in suspicions(health) if one.time is not None), default=None)
    if newest is None or newest < since or _is_answered(_newest_check(health), newest):
        return None
    return newest


def suspicions(health: NodeHealth) -> list[Incident]:
    """What makes the node suspected, in its history."""
    return [
        one for one in health.status.history if one.fault == Fault.STRAGGLER and one.blame == Blame.UNKNOWN
    ]


def _newest_check(health: NodeHealth) -> NodeCheck | None:
    return next((one for one in health.status.checks if one.kind == PAIRED), None)


def _is_answered(check: NodeCheck | None, suspected: datetime) -> bool:
    """Whether a check that said something, or the last one that is tried, came after the suspicion."""
    if check is None or check.time is None or check.time < suspected:
        return False
    return not check.tries or check.tries >= TRIES_MAX


def plan(view: View, now: datetime, settings: CheckSettings) -> Plan:
    """Start the pair, wait for it, or say what it found."""
    name = view.node.metadata.name
    since = suspicion(view.health, now, settings)
    if since is None:
        return Plan(tuple(_deleted(view.pods)))
    if not view.pods:
        return _start(view, since, now, settings)
    if any(pod.metadata.deletion_timestamp is not None for pod in view.pods):  # that check is over
        return Plan(tuple(_deleted(view.pods)), RETRY_SECONDS)
    refused = next((pod for pod in view.pods if was_refused(pod)), None)
    if refused is not None:
        return _again(view, f"{refused.spec.node_name} has no room: {refused.status.reason}", since, now)
    results = {pod.spec.node_name: measured(pod, now) for pod in view.pods}
    if None in results.values():
        return Plan(requeue_after_seconds=RETRY_SECONDS)
    peer = next((one for one in results if one != name), "")
    found, beside = results.get(name), results.get(peer)
    if found is None or beside is None:
        return _again(view, "one of the two pods of the check was deleted", since, now)
    if not found.ran:
        return _again(view, f"on {name}: {found.why_not}", since, now)
    if not beside.measures:
        return _again(view, f"on {peer}: {beside.why_not}", since, now)
    return _conclude(view, found, beside, peer, since, now)


def _start(view: View, since: datetime, now: datetime, settings: CheckSettings) -> Plan:
    name = view.node.metadata.name
    before = _tried(view.health, since)
    if before is not None and before.time is not None:
        due = before.time + timedelta(seconds=RETRY_SECONDS * 2 ** (before.tries - 1))
        if due > now:
            return Plan(requeue_after_seconds=(due - now).total_seconds())
    peer = peer_for(view, before.tries if before is not None else 0)
    if name in view.busy or peer is None:
        return Plan(requeue_after_seconds=RETRY_SECONDS)
    number = before.tries + 1 if before is not None else 1
    pair = [check_pod(PAIRED, node, name, settings, number=number) for node in (view.node, peer)]
    return Plan(tuple(Create(pod) for pod in pair))


def _tried(health: NodeHealth, since: datetime) -> NodeCheck | None:
    """The newest check that was made for this suspicion and said nothing."""
    check = _newest_check(health)
    made = check is not None and check.tries > 0 and check.time is not None and check.time >= since
    return check if made else None


def _again(view: View, why: str, since: datetime, now: datetime) -> Plan:
    """The check says nothing about this node: note that, and after the last try say so.

    The pods bear the number of their try: seen again, from a cache that is behind, they count once.
    """
    name = view.node.metadata.name
    tries = max(number_of(pod) for pod in view.pods)
    before = _tried(view.health, since)
    if before is not None and before.tries >= tries:
        return Plan(tuple(_deleted(view.pods)), RETRY_SECONDS)
    said = NodeCheck(kind=PAIRED, time=now, tries=tries, message=f"not checked: {why}"[:500])
    if tries < TRIES_MAX:
        return Plan((noted(name, said), *_deleted(view.pods)), RETRY_SECONDS)
    said = replace(said, message=f"given up after {tries} checks that said nothing; the last: {why}"[:500])
    told_to = _answers(view, "False", GAVE_UP, f"whether {name} is slow is not known: {said.message}", now)
    return Plan((*told_to, noted(name, said), *_deleted(view.pods)))


def _answers(view: View, status: str, reason: str, message: str, now: datetime) -> Iterable[Apply]:
    """What came of the check, in each Diagnosis that asked for it."""
    for one in view.suspicions:
        known = find_condition(one.status.conditions, CHECKED)
        if known is not None and (known.status == "True" or known.reason == reason):
            continue  # that one was answered before
        new = Condition(type=CHECKED, status=status, reason=reason, message=message)
        stamped = find_condition(set_condition(one.status.conditions, new, now), CHECKED) or new
        meta = one.metadata
        fields = {"status": {"conditions": [encode(stamped)]}}
        yield Apply(Diagnosis, meta.namespace, meta.name, fields, "status", meta.uid)


def peer_for(view: View, tries: int = 0) -> Node | None:
    """An idle node to compare with: in service, not suspected itself, of the same kind; the first by name,
    or the next one for each check before that said nothing."""
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

    found = sorted(filter(fits, view.nodes), key=lambda node: node.metadata.name)
    return found[tries % len(found)] if found else None


def _alike(one: Node, other: Node) -> bool:
    same = all(one.metadata.labels.get(key) == other.metadata.labels.get(key) for key in _KIND_LABELS)
    return same and one.status.capacity.get("cpu") == other.status.capacity.get("cpu")


def _conclude(
    view: View, found: Measured, beside: Measured, peer: str, since: datetime, now: datetime
) -> Plan:
    """Write down how the node did, and open an incident if it is slow."""
    name = view.node.metadata.name
    commands: list[Command] = []
    what, part = weakest(found.measures, beside.measures)
    passed = part >= WELL
    shown = f"{told(found.measures, beside.measures)} of {peer}" if found.measures else found.why_not
    message = f"as fast as {peer}: {shown}" if passed else f"{what} at {part:.0%} of {peer}: {shown}"
    if not passed:
        commands.append(Create(incident(name, message, found.time, since)))
    reason = KEEPS_UP if passed else FALLS_BEHIND
    commands += _answers(view, "True", reason, f"{name}: {message}", now)
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
