"""What a node had a part in, over jobs: kept in NodeHealth.status.history, and what it comes to. Pure.

One bad day proves little: a node whose jobs fail again and again, whoever owns them and whatever they run, is
a lemon, even where each failure by itself looked like chance (Meta, HPCA 2025: finding them took failures of
large jobs from 14 % to 4 %). Diagnoses go with their workloads; what they said about nodes stays here, the
newest 32 incidents. Called by the history controller; `lemon_score` by whoever chooses among nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from springtide.api.commands import Apply, Plan
from springtide.api.nodehealth import Incident, NodeHealth
from springtide.api.springtide import Blame, Diagnosis
from springtide.api.struct import encode
from springtide.faults import Fault

INCIDENTS_MAX = 32
HALF_LIFE = timedelta(days=7)
"""An incident counts half after a week, a quarter after two."""
WEIGHTS = {
    Blame.NODE.value: 1.0,
    Blame.NETWORK.value: 0.5,
    Blame.STORAGE.value: 0.5,
    Blame.UNKNOWN.value: 0.25,
}
"""How much an incident says about the node, by whose fault it was found to be. What the program or the
platform did says nothing."""
LEMON_SCORE = 2.0
LEMON_WORKLOADS = 2
"""A lemon has this score, from incidents of so many workloads at least: one bad program makes no lemon."""
_NOT_THE_NODES = frozenset((Fault.POD_DELETED, Fault.TERMINATED, Fault.COLLECTOR_SILENT))


def plan(node: str, health: NodeHealth | None, diagnoses: Iterable[Diagnosis]) -> Plan:
    """The node's history with what these Diagnoses say of it."""
    known = health.status.history if health is not None else []
    history = merged(known, (incident_of(one) for one in diagnoses if concerns(one, node)))
    if history == list(known):
        return Plan()
    write = Apply(NodeHealth, "", node, {"status": {"history": [encode(one) for one in history]}}, "status")
    if health is None:
        return Plan((Apply(NodeHealth, "", node, {"metadata": {"name": node}}), write))
    return Plan((write,))


def concerns(diagnosis: Diagnosis, node: str) -> bool:
    """Whether it is held against the node; an incident that a workload's verdict opened is told by that."""
    spec = diagnosis.spec
    if spec.node != node or spec.secondary or spec.origin:
        return False
    return spec.blame in WEIGHTS and spec.fault_class not in _NOT_THE_NODES


def incident_of(diagnosis: Diagnosis) -> Incident:
    """The entry for a Diagnosis."""
    spec, meta = diagnosis.spec, diagnosis.metadata
    return Incident(
        diagnosis=diagnosis.key,
        time=spec.happened_at or spec.detected_at or meta.creation_timestamp,
        fault=spec.fault_class,
        blame=spec.blame,
        workload=f"{meta.namespace}/{spec.workload}" if spec.workload else "",
        device=spec.device,
    )


def merged(known: Sequence[Incident], seen: Iterable[Incident]) -> list[Incident]:
    """The newest incidents, oldest first. What is known stays as it is: names of Diagnoses are used again."""
    by_moment = {(one.diagnosis, one.time): one for one in (*seen, *known)}
    newest: dict[str, Incident] = {}
    for one in sorted(by_moment.values(), key=_when):
        newest[one.diagnosis] = one
    return sorted(newest.values(), key=_when)[-INCIDENTS_MAX:]


def _when(incident: Incident) -> tuple[float, str]:
    return (incident.time.timestamp() if incident.time is not None else 0.0, incident.diagnosis)


def lemon_score(history: Iterable[Incident], now: datetime) -> float:
    """How much of a lemon the node is: the sum of its incidents, each by its weight and halved every week.

    Of one workload only the incident that weighs most counts, so that a job that fails each attempt on a
    node counts once. 0 for a node nothing is known of; from 2 on it is a lemon (`is_lemon`).
    """
    heaviest: dict[str, float] = {}
    for one in history:
        weight = WEIGHTS.get(one.blame, 0.0)
        age = max(now - one.time, timedelta()) if one.time is not None else HALF_LIFE
        weight *= 0.5 ** (age / HALF_LIFE)
        whose = one.workload or one.diagnosis
        heaviest[whose] = max(heaviest.get(whose, 0.0), weight)
    return sum(heaviest.values())


def is_lemon(history: Sequence[Incident], now: datetime) -> bool:
    """Whether the node fails jobs again and again."""
    whose = {one.workload or one.diagnosis for one in history if one.blame in WEIGHTS}
    return len(whose) >= LEMON_WORKLOADS and lemon_score(history, now) >= LEMON_SCORE
