"""What the scheduler writes: the status fields of workloads and pods that it alone owns, as commands.

A workload's admission, requeueState and the conditions of this room are always applied
together, for server-side apply removes what its manager leaves out. Called by the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from typing import Any

from springtide.api import labels
from springtide.api.commands import Apply, Bind, Command, Delete, Emit
from springtide.api.core import Pod
from springtide.api.gpus import GPU, Device, spelled
from springtide.api.kueue import (
    Admission,
    AdmissionCheckState,
    PodSetAssignment,
    RequeueState,
    TopologyAssignment,
    Workload,
    WorkloadReason,
    assign_devices,
    assign_nodes,
    evictions_of,
    is_deactivation,
    is_own_eviction,
    names_nodes,
    nodes_of,
)
from springtide.api.makernotes import notes as notes_of
from springtide.api.meta import Condition, find_condition, set_condition, whole_second
from springtide.api.struct import encode, replace
from springtide.scheduling import checks
from springtide.scheduling.facts import (
    DISRUPTION_TARGET,
    DOOMED_BY,
    PREEMPTION_BY_SCHEDULER,
    PodFacts,
    PodSetFacts,
    WorkloadFacts,
    attempt_of,
)
from springtide.scheduling.ineffective import UNSUPPORTED, unsupported_condition
from springtide.scheduling.nodes import NodeFacts
from springtide.scheduling.requests import quantities
from springtide.scheduling.runs import past_seconds, past_with
from springtide.scheduling.storage import SELECTED_NODE

OWNED = ("QuotaReserved", "Admitted", UNSUPPORTED)
PREEMPTED = WorkloadReason.PREEMPTED.value
CONSOLIDATED = WorkloadReason.CONSOLIDATED.value
_KEPT = (PREEMPTED, CONSOLIDATED, "Requeued")
"""Conditions of earlier attempts; and Evicted, where the scheduler itself has written it: it takes that back
with the next admission. What others evict they take back themselves."""
_TARGET = "DeactivationTarget"
_NODES_NAMED_MAX = 8


@dataclass(frozen=True)
class Verdict:
    """Why something waits: a CamelCase reason, and a sentence for people."""

    reason: str
    message: str
    nominated: str = ""
    """The node whose place is held for a plain pod."""


@dataclass(frozen=True)
class Ending:
    """Why an admitted workload gives its admission back."""

    reason: str
    """Kueue's reason of the condition Evicted; empty where somebody else has evicted it already."""
    message: str
    cause: str = ""
    """More about the reason, from a small set of words."""
    requeue_at: datetime | None = None
    """Before when it is not considered again."""
    verdict: Verdict = Verdict("Evicted", "")
    """What it then waits for."""
    deactivates: bool = False
    """Whether it stays out until its spec changes."""

    @classmethod
    def deactivating(cls, cause: str, message: str) -> Ending:
        """The end of a workload that the scheduler gives up on."""
        verdict = Verdict(
            WorkloadReason.DEACTIVATED.value,
            f"deactivated: {message}; set spec.active to false and then to true to queue it again",
        )
        return cls(WorkloadReason.DEACTIVATED.value, message, cause, None, verdict, deactivates=True)


@dataclass(frozen=True)
class Placed:
    """Where a workload's pods go, per pod set: pods per node; and what each resource is charged to."""

    cluster_queue: str
    flavors: tuple[Mapping[str, str], ...]
    """Per pod set, the flavor of each resource."""
    usage: Mapping[tuple[str, str], int]
    """What is charged, by flavor and resource."""
    nodes: tuple[Mapping[str, int], ...]
    devices: tuple[Sequence[str], ...] = ()
    """Per pod set, the devices of each pod in the order of its nodes, where nodes name theirs."""
    checks: Sequence[str] = ()
    """Names of the admission checks that must be ready before its pods may be made."""


@dataclass(frozen=True)
class Given:
    """What a plain pod gets."""

    node: str
    indices: Sequence[int] = ()
    """Its devices on the node, where that names them."""
    devices: Sequence[Device] = ()
    """The same, with what there is to say of each, where HAMi's device plugin hands them out."""
    nics: Sequence[str] = ()
    """Names of its NICs."""
    attempt: int | None = None
    """The attempt of its group, for a pod that somebody else made for one."""


def outfit(node: NodeFacts, indices: Sequence[int]) -> Given:
    """What a pod gets on a node of which it is given these devices."""
    there = [node.devices[one] for one in indices if 0 <= one < len(node.devices)]
    devices = [one for one in there if node.registered or one.kind != GPU]
    nics = node.layout.nics if node.layout is not None else ()
    names = [nics[~one].name for one in indices if one < 0 and ~one < len(nics)]
    return Given(node.name, indices, devices, names)


def admit(facts: WorkloadFacts, placed: Placed, now: datetime) -> Apply:
    """Give the workload its quota and its nodes."""
    admission = admission_of(facts, placed)
    states = checks.begun(facts.obj, placed.checks, now)
    reserved = Condition(
        type="QuotaReserved",
        status="True",
        reason="QuotaReserved",
        message=f"Quota reserved in ClusterQueue {placed.cluster_queue}",
    )
    admitted = _admitted(states, placed)
    over = [
        Condition(type=c.type, status="False", reason="QuotaReserved", message=f"Previously: {c.message}")
        for c in _kept(facts.obj, now)
        if c.status == "True" and c.type != "Requeued"
    ]
    return _apply(
        facts.obj,
        [reserved, admitted, *over],
        now,
        attempt=facts.attempt,
        admission=admission,
        checked=states,
    )


def confirm(facts: WorkloadFacts, placed: Placed, admission: Admission | None, now: datetime) -> Apply | None:
    """Say where the checks of a workload with its quota stand: once all are ready its pods may be made.

    None if it says so already. `admission`: what it has from now on.
    """
    states = checks.begun(facts.obj, placed.checks, now)
    admitted = _admitted(states, placed)
    known = find_condition(facts.obj.status.conditions, "Admitted")
    if (
        known is not None
        and (known.status, known.message) == (admitted.status, admitted.message)
        and states == facts.obj.status.admission_checks
    ):
        return None
    kept = [one for one in facts.obj.status.conditions if one.type == "QuotaReserved"]
    return _apply(
        facts.obj, [*kept, admitted], now, attempt=facts.attempt, admission=admission, checked=states
    )


def _admitted(states: Sequence[AdmissionCheckState], placed: Placed) -> Condition:
    if checks.are_ready(states):
        return Condition(type="Admitted", status="True", reason="Admitted", message=_places(placed))
    message = checks.waits_for(states)
    return Condition(type="Admitted", status="False", reason=checks.UNSATISFIED, message=message)


def admission_of(facts: WorkloadFacts, placed: Placed) -> Admission:
    """What the workload is given."""
    return Admission(
        cluster_queue=placed.cluster_queue,
        pod_set_assignments=[
            _assignment(pod_set, flavors, _places_of(nodes, devices))
            for pod_set, flavors, nodes, devices in zip(
                facts.pod_sets,
                placed.flavors,
                placed.nodes,
                placed.devices or ((),) * len(placed.nodes),
                strict=True,
            )
        ],
    )


def keep(
    facts: WorkloadFacts,
    admission: Admission,
    lost: Sequence[str],
    reason: str,
    message: str,
    now: datetime,
) -> Apply:
    """The attempt ends, and the workload keeps its quota and places, or gets these, for the next one."""
    kept = [one for one in facts.obj.status.conditions if one.type == "QuotaReserved"]
    admitted = Condition(type="Admitted", status="False", reason=reason, message=message)
    return _apply(
        facts.obj, [*kept, admitted], now, attempt=facts.attempt, admission=admission, unhealthy=lost
    )


def resize(facts: WorkloadFacts, admission: Admission, pods: int, now: datetime) -> tuple[Command, ...]:
    """Go on with more or fewer pods; `pods`: how many more."""
    conditions = [one for one in facts.obj.status.conditions if one.type == "QuotaReserved"]
    nodes: dict[str, int] = {}
    for one in admission.pod_set_assignments:
        topology = one.topology_assignment
        for node, count in nodes_of(topology) if topology is not None and names_nodes(topology) else ():
            nodes[node] = nodes.get(node, 0) + count
    message = _places(Placed(admission.cluster_queue, (), {}, (nodes,)))
    conditions.append(Condition(type="Admitted", status="True", reason="Admitted", message=message))
    note = f"{'Grew' if pods > 0 else 'Shrank'} by {abs(pods)} pods. {message}"
    return (
        _apply(facts.obj, conditions, now, attempt=facts.attempt, admission=admission),
        Emit(facts.obj, "Resized", note, action="Resizing"),
    )


def resume(facts: WorkloadFacts, admission: Admission, message: str, now: datetime) -> Apply:
    """Begin the next attempt on the places that were kept."""
    kept = [one for one in facts.obj.status.conditions if one.type == "QuotaReserved"]
    admitted = Condition(type="Admitted", status="True", reason="Admitted", message=message)
    return _apply(
        facts.obj,
        [*kept, admitted],
        now,
        attempt=facts.attempt + 1,
        admission=admission,
        checked=facts.obj.status.admission_checks,
    )


def release(facts: WorkloadFacts, ending: Ending, now: datetime) -> tuple[Command, ...]:
    """Take the admission back: the attempt ends, and the next one gets the next number.

    In one write: there is no state in between.
    """
    conditions = _not_admitted(ending.verdict)
    if not ending.reason:
        return (_apply(facts.obj, conditions, now, attempt=facts.attempt + 1),)
    due_to = f"DueTo{ending.cause}" if ending.cause and is_deactivation(ending.reason) else ""
    evicted = Condition(
        type="Evicted", status="True", reason=f"{ending.reason}{due_to}", message=ending.message
    )
    conditions.append(evicted)
    if ending.deactivates:
        conditions.append(Condition(type=_TARGET, status="True", reason=ending.cause, message=ending.message))
    if ending.requeue_at is not None:
        conditions.append(
            Condition(type="Requeued", status="False", reason=ending.reason, message=ending.message)
        )
    return (
        _apply(
            facts.obj,
            conditions,
            now,
            attempt=facts.attempt + 1,
            requeue_at=ending.requeue_at,
            evicted=(ending.reason, ending.cause),
        ),
        Emit(facts.obj, f"EvictedDueTo{ending.reason}", ending.message, action="Evicting"),
    )


def preempt(facts: WorkloadFacts, reason: str, message: str, now: datetime) -> tuple[Command, ...]:
    """End the attempt for the sake of another workload. In one write: there is no state in between."""
    conditions = [
        *_not_admitted(Verdict("Evicted", f"{PREEMPTED}: {message}")),
        Condition(type="Evicted", status="True", reason=PREEMPTED, message=message),
        Condition(type=PREEMPTED, status="True", reason=reason, message=message),
    ]
    return (
        _apply(facts.obj, conditions, now, attempt=facts.attempt + 1, evicted=(PREEMPTED, "")),
        Emit(facts.obj, PREEMPTED, message, action="Preempting"),
    )


def move(facts: WorkloadFacts, message: str, now: datetime) -> tuple[Command, ...]:
    """End the attempt so that the workload runs elsewhere. In one write, as with `preempt`."""
    conditions = [
        *_not_admitted(Verdict("Evicted", f"{CONSOLIDATED}: {message}")),
        Condition(type="Evicted", status="True", reason=CONSOLIDATED, message=message),
        Condition(type=CONSOLIDATED, status="True", reason="Moved", message=message),
    ]
    return (
        _apply(facts.obj, conditions, now, attempt=facts.attempt + 1, evicted=(CONSOLIDATED, "")),
        Emit(facts.obj, CONSOLIDATED, message, action="Moving"),
    )


def explain(facts: WorkloadFacts, verdict: Verdict, now: datetime) -> Apply:
    """Say why the workload waits."""
    conditions = _not_admitted(verdict)
    if find_condition(facts.obj.status.conditions, "Admitted") is None:
        conditions = conditions[:1]
    return _apply(facts.obj, conditions, now, attempt=facts.attempt)


def told(obj: Workload | Pod) -> Verdict | None:
    """The verdict the object carries already."""
    type_ = "PodScheduled" if isinstance(obj, Pod) else "QuotaReserved"
    found = find_condition(obj.status.conditions, type_)
    if found is None or found.status != "False":
        return None
    nominated = obj.status.nominated_node_name if isinstance(obj, Pod) else ""
    return Verdict(found.reason, found.message, nominated)


def is_told(obj: Workload | Pod, verdict: Verdict) -> bool:
    """Whether the object carries this verdict already."""
    if verdict.nominated or isinstance(obj, Pod):
        return told(obj) == verdict
    for one in obj.status.conditions:
        if one.type == "QuotaReserved":
            return (one.status, one.reason, one.message) == ("False", verdict.reason, verdict.message)
    return False


def bind(facts: PodFacts, given: Given, now: datetime) -> tuple[Command, ...]:
    """Bind a plain pod."""
    metadata = facts.obj.metadata
    notes: dict[str, str] = {}
    if given.devices:
        notes = notes_of(facts.obj.spec, metadata.annotations, given.node, given.devices, now)
    if given.indices:
        notes[labels.DEVICES] = spelled(given.indices)
    if given.nics:
        notes[labels.NICS] = ",".join(given.nics)
    if given.attempt is not None:
        notes[labels.ATTEMPT] = str(given.attempt)
    note = f"Successfully assigned {facts.key} to {given.node}"
    return (
        Bind(metadata.namespace, metadata.name, metadata.uid, given.node, notes),
        Emit(facts.obj, "Scheduled", note, action="Binding"),
    )


def explain_pod(facts: PodFacts, verdict: Verdict, now: datetime) -> tuple[Command, ...]:
    """Say why a plain pod waits, as kube-scheduler does: condition and event."""
    old = [c for c in facts.obj.status.conditions if c.type == "PodScheduled"]
    new = Condition(type="PodScheduled", status="False", reason=verdict.reason, message=verdict.message)
    metadata = facts.obj.metadata
    told: dict[str, Any] = {"conditions": [encode(c) for c in set_condition(old, new, now)]}
    if verdict.nominated:
        told["nominatedNodeName"] = verdict.nominated
    fields = {"status": told}
    return (
        Apply(Pod, metadata.namespace, metadata.name, fields, subresource="status", uid=metadata.uid),
        Emit(facts.obj, "FailedScheduling", verdict.message, type="Warning", action="Scheduling"),
    )


def doom(victim: PodFacts, preemptor: PodFacts | WorkloadFacts, now: datetime) -> tuple[Command, ...]:
    """Tell a plain pod that it goes for somebody else; `end` deletes it once that is seen."""
    metadata, other = victim.obj.metadata, preemptor.obj.metadata
    kept = [c for c in victim.obj.status.conditions if c.type == "PodScheduled"]
    message = f"{DOOMED_BY}preempting to accommodate a higher priority pod"
    target = Condition(type=DISRUPTION_TARGET, status="True", reason=PREEMPTION_BY_SCHEDULER, message=message)
    conditions = [*kept, *set_condition([], target, now)]
    fields = {"status": {"conditions": [encode(condition) for condition in conditions]}}
    who = f"{preemptor.obj.kind.lower()} {preemptor.key}"
    note = f"Preempted by {who} (UID: {other.uid}) on node {victim.node}"
    return (
        Apply(Pod, metadata.namespace, metadata.name, fields, subresource="status", uid=metadata.uid),
        Emit(victim.obj, PREEMPTED, note, action="Preempting"),
    )


def select_node(pod: PodFacts) -> Iterator[Apply]:
    """Tell who makes the volumes of a pod's claims on which node it runs."""
    for claim in pod.unmade:
        metadata = claim.metadata
        fields = {"metadata": {"annotations": {SELECTED_NODE: pod.node}}}
        yield Apply(type(claim), metadata.namespace, metadata.name, fields, uid=metadata.uid)


def end(victim: PodFacts) -> Delete:
    """Delete a plain pod that was told that it goes: with the grace it asks for, and only this one."""
    metadata = victim.obj.metadata
    return Delete(Pod, metadata.namespace, metadata.name, metadata.uid)


def admits(command: Command) -> bool:
    """Whether this command of a plan admits a workload."""
    return isinstance(command, Apply) and command.kind is Workload and "admission" in command.fields["status"]


def _assignment(
    pod_set: PodSetFacts, flavors: Mapping[str, str], places: TopologyAssignment | None
) -> PodSetAssignment:
    usage = {name: amount * pod_set.count for name, amount in pod_set.pod_class.requests if name in flavors}
    return PodSetAssignment(
        name=pod_set.name,
        flavors={name: flavors[name] for name in usage},
        resource_usage=dict(quantities(usage)),
        count=pod_set.count,
        topology_assignment=places,
    )


def _places_of(nodes: Mapping[str, int], devices: Sequence[str]) -> TopologyAssignment | None:
    if not nodes:
        return None
    if not devices:
        return assign_nodes(nodes.items())
    pods = [node for node, count in nodes.items() for _ in range(count)]
    together = groupby(zip(pods, devices, strict=True))
    return assign_devices((node, given, len(list(same))) for (node, given), same in together)


def _not_admitted(verdict: Verdict) -> list[Condition]:
    return [
        Condition(type="QuotaReserved", status="False", reason=verdict.reason, message=verdict.message),
        Condition(
            type="Admitted", status="False", reason="NoReservation", message="The workload has no reservation"
        ),
    ]


def _apply(
    obj: Workload,
    conditions: Sequence[Condition],
    now: datetime,
    *,
    attempt: int,
    admission: Admission | None = None,
    requeue_at: datetime | None = None,
    evicted: tuple[str, str] | None = None,
    unhealthy: Sequence[str] = (),
    checked: Sequence[AdmissionCheckState] | None = None,
) -> Apply:
    kept = _kept(obj, now)
    owned = [*(condition for condition in obj.status.conditions if condition.type in OWNED), *kept]
    unsupported = unsupported_condition(obj)
    said = [*conditions, *([unsupported] if unsupported is not None else [])]
    stamped = [_stamped(owned, condition, obj.metadata.generation, now) for condition in said]
    stamped += [encode(one) for one in kept if all(one.type != new.type for new in said)]
    status: dict[str, Any] = {"conditions": stamped}
    if admission is not None:
        status["admission"] = encode(admission)
    known = obj.status.requeue_state.requeue_at if obj.status.requeue_state is not None else None
    at = requeue_at or (known if known is not None and known > now else None)
    if attempt or at is not None:
        status["requeueState"] = encode(RequeueState(count=attempt or None, requeue_at=at))
    if unhealthy:
        status["unhealthyNodes"] = [{"name": name} for name in unhealthy]
    stats = _stats(obj, evicted)
    if stats:
        status["schedulingStats"] = {"evictions": stats}
    if checked is None:  # an attempt that ends is checked anew
        ended = attempt > attempt_of(obj)
        checked = checks.reset(obj, now) if ended else obj.status.admission_checks
    if checked:
        status["admissionChecks"] = [encode(one) for one in checked]
    ran_out = evicted is not None and evicted[1] == WorkloadReason.MAXIMUM_EXECUTION_TIME_EXCEEDED
    ends = attempt > attempt_of(obj) or bool(unhealthy)
    ran = past_with(obj, now) if ends else past_seconds(obj)
    if ran and not ran_out:
        status["accumulatedPastExecutionTimeSeconds"] = int(ran)
    metadata = obj.metadata
    fields: dict[str, Any] = {"status": status}
    if metadata.resource_version:  # decided on this version: one changed since is decided anew
        fields["metadata"] = {"resourceVersion": metadata.resource_version}
    return Apply(Workload, metadata.namespace, metadata.name, fields, subresource="status", uid=metadata.uid)


def _kept(obj: Workload, now: datetime) -> list[Condition]:
    """What the scheduler has said of earlier attempts."""
    return [_past(obj, one, now) for one in obj.status.conditions if _is_kept(obj, one)]


def _is_kept(obj: Workload, one: Condition) -> bool:
    if one.type == "Evicted":
        return is_own_eviction(one.reason) or one.reason == "QuotaReserved"
    if one.type == _TARGET:
        return one.observed_generation == obj.metadata.generation
    return one.type in _KEPT


def _past(obj: Workload, one: Condition, now: datetime) -> Condition:
    """The condition as it is now: a wait ends by itself."""
    state = obj.status.requeue_state
    at = state.requeue_at if state is not None else None
    if one.type != "Requeued" or one.status == "True" or (at is not None and at > now):
        return one
    return replace(
        one,
        status="True",
        reason=WorkloadReason.BACKOFF_FINISHED.value,
        message="The time to wait is over",
        last_transition_time=now,
    )


def _stats(obj: Workload, evicted: tuple[str, str] | None) -> list[dict[str, Any]]:
    """How often it was evicted, by reason."""
    counts = evictions_of(obj)
    if evicted is not None:
        counts[evicted] = counts.get(evicted, 0) + 1
    return [
        {"reason": reason, "underlyingCause": cause, "count": count}
        for (reason, cause), count in sorted(counts.items())
    ]


def _stamped(owned: Sequence[Condition], new: Condition, generation: int, now: datetime) -> dict[str, Any]:
    """What is applied of a condition: its time is that of the last change of its status."""
    old = find_condition(owned, new.type)
    since = old.last_transition_time if old is not None and old.status == new.status else _whole_second(now)
    return dict(_applied(new.type, new.status, new.reason, new.message, generation, since))


_whole_second = lru_cache(maxsize=64)(whole_second)


@lru_cache(maxsize=4096)
def _applied(
    type_: str, status: str, reason: str, message: str, generation: int, since: datetime | None
) -> Mapping[str, Any]:
    """A condition as it is applied: thousands who wait for the same are told the same."""
    return encode(
        Condition(
            type=type_,
            status=status,
            reason=reason,
            message=message,
            observed_generation=generation,
            last_transition_time=since,
        )
    )


def _places(placed: Placed) -> str:
    totals: dict[str, int] = {}
    for nodes in placed.nodes:
        for node, count in nodes.items():
            totals[node] = totals.get(node, 0) + count
    return placed_on(totals)


def placed_on(totals: Mapping[str, int]) -> str:
    """Where pods are, for people."""
    named = [f"{node} ({count})" for node, count in list(totals.items())[:_NODES_NAMED_MAX]]
    more = f" and {len(totals) - len(named)} more nodes" if len(totals) > len(named) else ""
    return f"Pods placed on {', '.join(named)}{more}"
