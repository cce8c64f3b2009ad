"""When no node is taken out of service any more: too many are out, or too many show the same. Pure.

Called by `remediation_plan` and, for the count that decides, by the controller with the ledger just read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from springtide.api.meta import ObjectMeta, find_condition
from springtide.api.remediation import Breaker, IncidentPhase
from springtide.api.springtide import Action, Blame, Diagnosis, DiagnosisSpec, Evidence
from springtide.health.incidents import (
    NAMESPACE,
    REPAIRED,
    alike_within,
    began_at,
    incident_name,
    phase_of,
    symptom_of,
)

_UNDOABLE = (IncidentPhase.OPEN, IncidentPhase.CORDONED, IncidentPhase.WITHHELD)
"""Phases in which an incident is dropped when it turns out that many nodes show the same."""
UNTOUCHED = "NoRepairer"
"""Reason of Repaired where nobody mended anything."""
NAMES_MAX = 16
"""How many nodes a message names."""


def cap_of(breaker: Breaker, nodes: int) -> int:
    """How many of so many nodes may be out of service at a time."""
    text = breaker.max_cordoned
    if not text.endswith("%"):
        return int(text)
    percent = int(text[:-1])
    return max(1, nodes * percent // 100) if percent and nodes else 0


def is_full(ledger: Mapping[str, str], node: str, peers: Collection[str], cap: int) -> bool:
    """Whether another node than those in the ledger would be one too many."""
    return node not in ledger and sum(1 for held in ledger if held in peers) >= cap


def crowd(incident: Diagnosis, incidents: Iterable[Diagnosis], breaker: Breaker) -> list[str]:
    """The nodes that show the same at the same time, if they are so many that none of them is to blame."""
    if not breaker.symptom_nodes or not _is_undoable(incident):
        return []
    alike = alike_within(incident, incidents, breaker.symptom_window_seconds)
    nodes = sorted({one.spec.node for one in alike})
    return nodes if len(nodes) >= breaker.symptom_nodes else []


def _is_undoable(incident: Diagnosis) -> bool:
    """Whether nobody has begun to mend the node."""
    repaired = find_condition(incident.status.conditions, REPAIRED)
    unmended = repaired is not None and repaired.reason == UNTOUCHED
    phase = phase_of(incident)
    return phase in _UNDOABLE or (phase is IncidentPhase.CHECKING and unmended)


def crowd_diagnosis(
    incident: Diagnosis, incidents: Iterable[Diagnosis], nodes: list[str], breaker: Breaker, now: datetime
) -> Diagnosis:
    """What is said once of a symptom that many nodes show."""
    alike = alike_within(incident, incidents, breaker.symptom_window_seconds)
    first = min(alike, key=lambda one: (began_at(one) or now, one.metadata.name))
    named = ", ".join(nodes[:NAMES_MAX]) + (", …" if len(nodes) > NAMES_MAX else "")
    spec = DiagnosisSpec(
        fault_class=incident.spec.fault_class,
        signature=incident.spec.signature,
        blame=Blame.PLATFORM.value,
        action=Action.IGNORE.value,
        confidence=0.9,
        message=f"{len(nodes)} nodes show {symptom_of(incident)} within "
        f"{breaker.symptom_window_seconds:g} s: {named}. What they share is to blame, or the job that ran on "
        "them; none of them is taken out of service for it",
        next_step="Look at what these nodes share: drivers, firmware, switch, power, the job itself.",
        detected_at=now,
        evidence=[
            Evidence(source=f"node:{one.spec.node}", line=one.spec.message[:256], time=began_at(one))
            for one in alike[:NAMES_MAX]
        ],
    )
    name = incident_name("symptom", f"{symptom_of(incident)} {first.metadata.name}")
    return Diagnosis(metadata=ObjectMeta(name=name, namespace=NAMESPACE), spec=spec)


def is_told(incident: Diagnosis, diagnoses: Iterable[Diagnosis], breaker: Breaker, now: datetime) -> bool:
    """Whether the crowd was spoken of already."""
    since = now - timedelta(seconds=breaker.symptom_window_seconds)
    return any(
        one.metadata.namespace == NAMESPACE
        and not one.spec.node
        and not one.spec.workload
        and symptom_of(one) == symptom_of(incident)
        and (began_at(one) or now) >= since
        for one in diagnoses
    )
