"""The pre-flight check: every node of a gang is measured before the gang starts. Pure; opt-in.

An AdmissionCheck like Kueue's own, with the controller `springtide.dev/preflight`, named by a ClusterQueue: a
workload that has its quota and its places waits until each of its nodes was checked within the last hour.
Nodes are compared with the median of all like them whose checks are as new; one that fails, or falls clearly
behind, becomes an incident (remediation takes it out of service), and the check says Retry, so that the gang
is given other places. After some tries it is let pass with a warning: where nobody may be taken out of
service, no gang must wait for ever. Called by `checks_controller`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from springtide.api import labels
from springtide.api.commands import Apply, Command, Create, Delete, Emit, Plan
from springtide.api.core import Node, Pod
from springtide.api.kueue import AdmissionCheckState, Workload, nodes_of
from springtide.api.meta import is_true
from springtide.api.nodehealth import NodeCheck, NodeHealth
from springtide.api.struct import encode, replace
from springtide.health.checkpods import (
    NAMESPACE,
    PREFLIGHT,
    WELL,
    CheckSettings,
    check_pod,
    entry,
    measured,
    middle,
    pod_name,
    told,
    was_refused,
    weakest,
)
from springtide.health.paired import incident, noted

CONTROLLER = "springtide.dev/preflight"
"""`spec.controllerName` of the checks that are made here."""
PENDING, READY, RETRY = "Pending", "Ready", "Retry"
TRIES_MAX = 3
"""After so many Retries a gang is let pass."""
WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class View:
    """A workload that waits for this check, and what is known of its nodes."""

    workload: Workload
    checks: frozenset[str]
    """Names of the AdmissionChecks that are made here."""
    nodes: Mapping[str, Node]
    healths: Mapping[str, NodeHealth]
    """Of all nodes, by name."""
    pods: Mapping[str, Pod]
    """Pods of pre-flight checks, by name."""


def awaited(workload: Workload, checks: frozenset[str]) -> AdmissionCheckState | None:
    """The check that waits for an answer; None: none does."""
    conditions = workload.status.conditions
    if not is_true(conditions, "QuotaReserved") or is_true(conditions, "Finished"):
        return None
    states = workload.status.admission_checks
    return next((one for one in states if one.name in checks and one.state == PENDING), None)


def places(workload: Workload) -> list[str]:
    """The nodes it was given, each once; empty where its places do not go down to nodes."""
    admission = workload.status.admission
    found: set[str] = set()
    for one in admission.pod_set_assignments if admission is not None else ():
        if one.topology_assignment is None:
            return []
        try:
            found.update(node for node, _ in nodes_of(one.topology_assignment))
        except ValueError:
            return []
    return sorted(found)


def plan(view: View, now: datetime, settings: CheckSettings) -> Plan:
    """Check the nodes that were not checked lately; answer once all were."""
    state = awaited(view.workload, view.checks)
    if state is None:
        return Plan()
    names = places(view.workload)
    if not names:
        said = "its places do not go down to nodes, so there is nothing to check"
        return Plan((_answer(view.workload, state, READY, said, now),))
    commands: list[Command] = []
    open_ = []
    for name in names:
        if fresh(view.healths.get(name), now, settings) is None:
            open_.append(name)
            commands += _advance(view, name, now, settings)
    if not open_:
        return Plan(tuple(_conclude(view, state, names, now, settings)))
    said = f"{len(names) - len(open_)} of {len(names)} nodes are checked; {open_[0]} is next"
    if state.message != said:
        commands.append(_answer(view.workload, state, PENDING, said, now))
    return Plan(tuple(commands), WAIT_SECONDS)


def fresh(health: NodeHealth | None, now: datetime, settings: CheckSettings) -> NodeCheck | None:
    """The node's pre-flight check, if it is new enough to count."""
    since = now - timedelta(seconds=settings.fresh_seconds)
    checks = health.status.checks if health is not None else ()
    return next(
        (one for one in checks if one.kind == PREFLIGHT and one.time is not None and one.time >= since), None
    )


def _advance(view: View, name: str, now: datetime, settings: CheckSettings) -> list[Command]:
    """Start the check of a node, or write down what it found."""
    node = view.nodes.get(name)
    if node is None:
        return []
    pod = view.pods.get(pod_name(PREFLIGHT, name, PREFLIGHT))
    if pod is None:
        return [Create(check_pod(PREFLIGHT, node, PREFLIGHT, settings))]
    found = measured(pod, now)
    if found is None:
        return []
    gone = Delete(Pod, NAMESPACE, pod.metadata.name, pod.metadata.uid, grace_period_seconds=0)
    if was_refused(pod):
        return [gone]
    health = view.healths.get(name)
    message = found.why_not if found.ran else f"not checked: {found.why_not}"
    passed = bool(found.measures) or not found.ran
    found_at = replace(entry(PREFLIGHT, found, "", passed, message), time=now)
    made = [] if health is not None else [Apply(NodeHealth, "", name, {"metadata": {"name": name}})]
    return [*made, noted(name, found_at), gone]


def _conclude(
    view: View, state: AdmissionCheckState, names: Sequence[str], now: datetime, settings: CheckSettings
) -> list[Command]:
    """All nodes are measured: let the gang pass, or send it elsewhere."""
    results = {name: found for name, one in view.healths.items() if (found := fresh(one, now, settings))}
    alike = [one.measures for one in results.values() if one.measures]
    usual = middle(alike)
    unchecked = [name for name in names if results[name].passed and not results[name].measures]
    bad: dict[str, str] = {}
    for name in sorted(set(names) - set(unchecked)):
        measures = results[name].measures
        what, part = weakest(measures, usual)
        if not measures:
            bad[name] = results[name].message or "the check failed"
        elif part < WELL:
            bad[name] = f"{what} at {part:.0%} of the median of {len(alike)} nodes: {told(measures, usual)}"
    if not bad:
        said = f"{len(names) - len(unchecked)} nodes checked; all within {1 - WELL:.0%} of the median"
        said += f"; {unchecked[0]} {results[unchecked[0]].message}" if unchecked else ""
        return [_answer(view.workload, state, READY, said, now)]
    message = "; ".join(f"{name}: {why}" for name, why in sorted(bad.items()))[:1000]
    failed = [
        noted(name, replace(results[name], passed=False, message=why[:500]))
        for name, why in sorted(bad.items())
        if results[name].passed
    ]
    if (state.retry_count or 0) >= TRIES_MAX:
        said = f"let pass after {TRIES_MAX} tries, though {message}"
        return [*failed, _answer(view.workload, state, READY, said, now)]
    opened = [
        Create(incident(name, f"pre-flight: {why}", now, results[name].time or now))
        for name, why in sorted(bad.items())
    ]
    told_of = Emit(view.workload, "PreflightFailed", message, type="Warning", action="Checking")
    return [*failed, *opened, _answer(view.workload, state, RETRY, message, now), told_of]


def _answer(workload: Workload, known: AdmissionCheckState, state: str, message: str, now: datetime) -> Apply:
    at = now if known.state != state or known.last_transition_time is None else known.last_transition_time
    said = AdmissionCheckState(name=known.name, state=state, message=message, last_transition_time=at)
    meta = workload.metadata
    fields: dict[str, Any] = {"status": {"admissionChecks": [encode(said)]}}
    if meta.resource_version:  # an answer must not reach the next attempt
        fields["metadata"] = {"resourceVersion": meta.resource_version}
    return Apply(Workload, meta.namespace, meta.name, fields, subresource="status", uid=meta.uid)


def is_preflight(pod: Pod) -> bool:
    """Whether a pod is such a check."""
    return pod.metadata.namespace == NAMESPACE and pod.metadata.labels.get(labels.NODE_CHECK) == PREFLIGHT
