"""What the scheduler writes: the status fields of workloads and pods that it alone owns, as commands.

A workload's admission, requeueState and the conditions of this room are always applied
together, for server-side apply removes what its manager leaves out. Called by the plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from springtide.api.commands import Apply, Bind, Command, Emit
from springtide.api.core import Pod
from springtide.api.kueue import Admission, PodSetAssignment, Workload, assign_nodes
from springtide.api.meta import Condition, find_condition, set_condition
from springtide.api.struct import encode
from springtide.scheduling.facts import PodFacts, PodSetFacts, WorkloadFacts
from springtide.scheduling.ineffective import UNSUPPORTED, unsupported_condition
from springtide.scheduling.requests import quantities

OWNED = ("QuotaReserved", "Admitted", UNSUPPORTED)
_NODES_NAMED_MAX = 8


@dataclass(frozen=True)
class Verdict:
    """Why something waits: a CamelCase reason, and a sentence for people."""

    reason: str
    message: str


@dataclass(frozen=True)
class Placed:
    """Where a workload's pods go, per pod set: pods per node; and what each resource is charged to."""

    cluster_queue: str
    flavors: tuple[Mapping[str, str], ...]
    """Per pod set, the flavor of each resource."""
    usage: Mapping[tuple[str, str], int]
    """What is charged, by flavor and resource."""
    nodes: tuple[Mapping[str, int], ...]


def admit(facts: WorkloadFacts, placed: Placed, now: datetime) -> Apply:
    """Give the workload its quota and its nodes."""
    admission = Admission(
        cluster_queue=placed.cluster_queue,
        pod_set_assignments=[
            _assignment(pod_set, flavors, nodes)
            for pod_set, flavors, nodes in zip(facts.pod_sets, placed.flavors, placed.nodes, strict=True)
        ],
    )
    reserved = Condition(
        type="QuotaReserved",
        status="True",
        reason="QuotaReserved",
        message=f"Quota reserved in ClusterQueue {placed.cluster_queue}",
    )
    admitted = Condition(type="Admitted", status="True", reason="Admitted", message=_places(placed))
    return _apply(facts.obj, [reserved, admitted], now, attempt=facts.attempt, admission=admission)


def release(facts: WorkloadFacts, verdict: Verdict, now: datetime) -> Apply:
    """Take the admission back: the attempt ends, and the next one gets the next number."""
    return _apply(facts.obj, _not_admitted(verdict), now, attempt=facts.attempt + 1)


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
    return Verdict(found.reason, found.message) if found is not None and found.status == "False" else None


def bind(facts: PodFacts, node: str) -> tuple[Command, ...]:
    """Bind a plain pod."""
    metadata = facts.obj.metadata
    note = f"Successfully assigned {facts.key} to {node}"
    return (
        Bind(metadata.namespace, metadata.name, metadata.uid, node),
        Emit(facts.obj, "Scheduled", note, action="Binding"),
    )


def explain_pod(facts: PodFacts, verdict: Verdict, now: datetime) -> tuple[Command, ...]:
    """Say why a plain pod waits, as kube-scheduler does: condition and event."""
    old = [c for c in facts.obj.status.conditions if c.type == "PodScheduled"]
    new = Condition(type="PodScheduled", status="False", reason=verdict.reason, message=verdict.message)
    metadata = facts.obj.metadata
    fields = {"status": {"conditions": [encode(c) for c in set_condition(old, new, now)]}}
    return (
        Apply(Pod, metadata.namespace, metadata.name, fields, subresource="status", uid=metadata.uid),
        Emit(facts.obj, "FailedScheduling", verdict.message, type="Warning", action="Scheduling"),
    )


def admits(command: Command) -> bool:
    """Whether this command of a plan admits a workload."""
    return isinstance(command, Apply) and command.kind is Workload and "admission" in command.fields["status"]


def _assignment(
    pod_set: PodSetFacts, flavors: Mapping[str, str], nodes: Mapping[str, int]
) -> PodSetAssignment:
    usage = {name: amount * pod_set.count for name, amount in pod_set.pod_class.requests if name in flavors}
    return PodSetAssignment(
        name=pod_set.name,
        flavors={name: flavors[name] for name in usage},
        resource_usage=dict(quantities(usage)),
        count=pod_set.count,
        topology_assignment=assign_nodes(nodes.items()) if nodes else None,
    )


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
) -> Apply:
    owned = [condition for condition in obj.status.conditions if condition.type in OWNED]
    unsupported = unsupported_condition(obj)
    said = [*conditions, *([unsupported] if unsupported is not None else [])]
    stamped = [_stamped(owned, condition, obj.metadata.generation, now) for condition in said]
    status: dict[str, Any] = {"conditions": [encode(condition) for condition in stamped]}
    if admission is not None:
        status["admission"] = encode(admission)
    if attempt:
        status["requeueState"] = {"count": attempt}
    metadata = obj.metadata
    fields: dict[str, Any] = {"status": status}
    if metadata.resource_version:  # decided on this version: one changed since is decided anew
        fields["metadata"] = {"resourceVersion": metadata.resource_version}
    return Apply(Workload, metadata.namespace, metadata.name, fields, subresource="status", uid=metadata.uid)


def _stamped(owned: Sequence[Condition], new: Condition, generation: int, now: datetime) -> Condition:
    at = Condition(
        type=new.type,
        status=new.status,
        reason=new.reason,
        message=new.message,
        observed_generation=generation,
    )
    found = find_condition(set_condition(owned, at, now), new.type)
    return found if found is not None else at


def _places(placed: Placed) -> str:
    totals: dict[str, int] = {}
    for nodes in placed.nodes:
        for node, count in nodes.items():
            totals[node] = totals.get(node, 0) + count
    named = [f"{node} ({count})" for node, count in list(totals.items())[:_NODES_NAMED_MAX]]
    more = f" and {len(totals) - len(named)} more nodes" if len(totals) > len(named) else ""
    return f"Pods placed on {', '.join(named)}{more}"
