"""What `health` writes on nodes it takes out of service, and how it takes that back. Pure.

One patch, bound to the version that was looked at, cordons, taints and notes the incident together, so that
no crash leaves a cordon nobody knows of. A cordon that was there before stays when ours goes. Called by
`remediation_plan`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from springtide.api import labels
from springtide.api.commands import Apply
from springtide.api.meta import set_condition, whole_second
from springtide.api.nodes import Node, NodeCondition, Taint
from springtide.api.springtide import Diagnosis
from springtide.api.struct import encode
from springtide.health.incidents import FAMILIES, family_of


@dataclass(frozen=True)
class PatchNode:
    """A merge patch of a node that is refused if the node has changed since."""

    node: str
    body: dict[str, Any]


def is_ours(node: Node, incident: str) -> bool:
    """Whether the node is out of service, and for this incident."""
    return cordoned_for(node) == incident and node.spec.unschedulable


def is_taken_back(node: Node, incident: str) -> bool:
    """Whether the node bears our mark for this incident, and a person has uncordoned it."""
    return cordoned_for(node) == incident and not node.spec.unschedulable


def cordoned_for(node: Node) -> str:
    """The incident the node is out of service for; empty: none of ours."""
    return node.metadata.annotations.get(labels.CORDONED_FOR, "")


def cordon(node: Node, incident: Diagnosis, now: datetime, *, no_execute: bool) -> PatchNode:
    """Out of service: cordon, taint and note. The cordon of an earlier incident of ours is not a person's."""
    value = incident.spec.fault_class[:63]
    effects = ("NoSchedule", "NoExecute") if no_execute else ("NoSchedule",)
    ours = [
        Taint(key=labels.TAINT_UNHEALTHY, value=value, effect=effect, time_added=_added(effect, now))
        for effect in effects
    ]
    known = node.metadata.annotations
    before = node.spec.unschedulable and (not cordoned_for(node) or labels.CORDONED_BEFORE in known)
    notes: dict[str, Any] = {labels.CORDONED_FOR: incident.metadata.name}
    if before or labels.CORDONED_BEFORE in known:
        notes[labels.CORDONED_BEFORE] = "true" if before else None
    return _patch(node, {"taints": _encoded([*_others(node), *ours]), "unschedulable": True}, notes)


def restore(node: Node) -> PatchNode:
    """In service again, unless somebody had cordoned it before."""
    before = node.metadata.annotations.get(labels.CORDONED_BEFORE) == "true"
    spec: dict[str, Any] = {"taints": _encoded(_others(node)) or None}
    if not before:
        spec["unschedulable"] = None
    gone = (labels.CORDONED_FOR, labels.CORDONED_BEFORE, labels.REPAIR)
    return _patch(node, spec, {key: None for key in gone if key in node.metadata.annotations})


def ask_for_repair(node: Node, value: str) -> PatchNode:
    """The word to an external repairer."""
    return _patch(node, {}, {labels.REPAIR: value})


def condition(
    node: Node, fault_class: str, reason: str, message: str, now: datetime, *, healthy: bool
) -> Apply:
    """The node's condition of the fault's family, beside those of ours that stand."""
    new = NodeCondition(
        type=family_of(fault_class),
        status="True" if healthy else "False",
        reason=reason,
        message=message[:1024],
        last_heartbeat_time=whole_second(now),
    )
    owned = [one for one in node.status.conditions if one.type in FAMILIES]
    fields = {"status": {"conditions": [encode(one) for one in set_condition(owned, new, now)]}}
    return Apply(Node, "", node.metadata.name, fields, "status", node.metadata.uid)


def taken_back(node: Node, reason: str, message: str, now: datetime) -> Apply:
    """All our conditions of the node say that it is healthy."""
    owned = [one for one in node.status.conditions if one.type in FAMILIES]
    for one in owned:
        if one.status != "True":
            well = NodeCondition(
                type=one.type,
                status="True",
                reason=reason,
                message=message[:1024],
                last_heartbeat_time=whole_second(now),
            )
            owned = set_condition(owned, well, now)
    fields = {"status": {"conditions": [encode(one) for one in owned]}}
    return Apply(Node, "", node.metadata.name, fields, "status", node.metadata.uid)


def is_told(node: Node, fault_class: str, reason: str, *, healthy: bool) -> bool:
    """Whether the node's condition says so already."""
    wanted = (family_of(fault_class), "True" if healthy else "False", reason)
    return any((one.type, one.status, one.reason) == wanted for one in node.status.conditions)


def _others(node: Node) -> list[Taint]:
    return [one for one in node.spec.taints if one.key != labels.TAINT_UNHEALTHY]


def _encoded(taints: list[Taint]) -> list[Any]:
    return [encode(one) for one in taints]


def _added(effect: str, now: datetime) -> datetime | None:
    return whole_second(now) if effect == "NoExecute" else None


def _patch(node: Node, spec: dict[str, Any], notes: dict[str, Any]) -> PatchNode:
    metadata: dict[str, Any] = {
        "uid": node.metadata.uid,
        "resourceVersion": node.metadata.resource_version,
        "annotations": notes,
    }
    return PatchNode(node.metadata.name, {"metadata": metadata, **({"spec": spec} if spec else {})})
