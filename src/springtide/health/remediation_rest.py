"""What to do about nodes that nothing is being done about: begin an incident, clear up after one. Pure.

Called by `remediation_plan`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from springtide.api.commands import Create, Delete
from springtide.api.meta import ObjectMeta
from springtide.api.nodes import Node
from springtide.api.remediation import IncidentPhase
from springtide.api.springtide import Diagnosis, DiagnosisSpec
from springtide.api.struct import replace
from springtide.health import remediation_node as on_node
from springtide.health.incidents import (
    FAMILIES,
    NAMESPACE,
    began_at,
    ended_at,
    incident_name,
    moved,
    phase_of,
)
from springtide.health.remediation_view import Act, NodeView, Restore, Steps, Strike

RETAIN_SECONDS = 30 * 86400.0
"""How long an incident that is over is kept, if the policy does not count them for longer."""
QUIET_SECONDS = 3600.0
"""For so long a node that was left in service is not spoken of again for what its collectors see."""


def settled(view: NodeView, current: Diagnosis | None, now: datetime) -> tuple[Act, ...]:
    """Workloads that asked are told what became of it: then they are started again."""
    known = {one.metadata.name: one for one in view.own}
    acts: list[Act] = []
    for asking in view.asking:
        incident = known.get(incident_name(view.name, asking.metadata.uid)) or current
        phase = phase_of(incident) if incident is not None else IncidentPhase.OPEN
        if incident is not None and phase is not IncidentPhase.OPEN:
            message = f"node {view.name}: {incident.status.message}"
            acts.append(moved(asking, phase, message, now, part_of=incident.metadata.name))
    return tuple(acts)


def without_node(view: NodeView, current: Diagnosis | None, now: datetime) -> Steps:
    message = f"node {view.name} is gone"
    acts: list[Act] = [moved(one, IncidentPhase.RELEASED, message, now) for one in view.asking]
    if current is not None:
        released = IncidentPhase.RELEASED
        acts.append(moved(current, released, message, now, (released.value, "NodeGone")))
    if view.name in view.ledger:
        acts.append(Strike(view.name, view.ledger[view.name]))
    return Steps(tuple(acts))


def at_rest(view: NodeView, node: Node, now: datetime) -> Steps:
    mark = on_node.cordoned_for(node)
    if mark:
        return Steps((Restore(on_node.restore(node), mark),), 1.0)
    told = _told_well(view, node, now)
    if told or view.name in view.ledger:
        strike = (Strike(view.name, view.ledger[view.name]),) if view.name in view.ledger else ()
        return Steps((*told, *strike), 0.0)
    opened = _opened(view, now)
    if opened is not None:
        return Steps((Create(opened),), 0.0)
    return _forgotten(view, now)


def _told_well(view: NodeView, node: Node, now: datetime) -> tuple[Act, ...]:
    """The condition that spoke against the node is taken back once its incident is over."""
    bad = [one for one in node.status.conditions if one.type in FAMILIES and one.status != "True"]
    last = max(view.own, key=lambda one: ended_at(one) or now, default=None)
    if not bad or last is None:
        return ()
    message = last.status.message or "in service again"
    reason = phase_of(last).value
    return (on_node.taken_back(node, reason, message, now),)


def _opened(view: NodeView, now: datetime) -> Diagnosis | None:
    """The incident that begins: what a workload asks for before what the node's own collectors say."""
    known = {one.metadata.name for one in view.own}
    for asking in sorted(view.asking, key=lambda one: (began_at(one) or now, one.key)):
        name = incident_name(view.name, asking.metadata.uid)
        if name not in known:
            origin = f"{asking.metadata.namespace}/{asking.metadata.name}"
            spec = replace(
                asking.spec, workload="", attempt=0, budget="", retry_after_seconds=0.0, origin=origin
            )
            return _incident(name, spec, now)
    quiet_until = max((_quiet_until(one) for one in view.own), default=None)
    for spec in view.seen:
        moment = spec.detected_at or now
        name = incident_name(view.name, f"{spec.signature} {spec.origin}")
        if name not in known and (quiet_until is None or moment > quiet_until):
            return _incident(name, replace(spec, origin=""), now)
    return None


def _quiet_until(incident: Diagnosis) -> datetime:
    """What was seen until then belongs to an incident that is over."""
    end = ended_at(incident) or began_at(incident)
    if end is None:
        raise ValueError(f"incident {incident.metadata.name} is over, and nothing says since when")
    in_service = phase_of(incident) in (IncidentPhase.WITHHELD, IncidentPhase.REPORTED)
    return end + timedelta(seconds=QUIET_SECONDS) if in_service else end


def _incident(name: str, spec: DiagnosisSpec, now: datetime) -> Diagnosis:
    found = spec.detected_at or now
    metadata = ObjectMeta(name=name, namespace=NAMESPACE)
    return Diagnosis(metadata=metadata, spec=replace(spec, detected_at=found))


def _forgotten(view: NodeView, now: datetime) -> Steps:
    """Incidents that nobody counts any more."""
    keep = timedelta(seconds=max(RETAIN_SECONDS, view.policy.spec.returning.window_seconds))
    ages = [(one, (ended_at(one) or began_at(one) or now) + keep) for one in view.own]
    old = [one for one, until in ages if until <= now]
    left = min(((until - now).total_seconds() for _, until in ages if until > now), default=None)
    gone = (Delete(Diagnosis, NAMESPACE, one.metadata.name, one.metadata.uid) for one in old)
    return Steps(tuple(gone), left)
