"""Incidents of nodes: Diagnoses in kube-system that name a node and no workload; how far each is. Pure.

An incident is opened by a workload's Diagnosis that wants the node out of service, by what the node's own
collectors saw, or by a check. Called by `remediation_plan`, its controller and the CLI.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from springtide.api.commands import Apply
from springtide.api.meta import Condition, find_condition, set_condition
from springtide.api.remediation import OVER, IncidentPhase
from springtide.api.springtide import Action, Diagnosis
from springtide.api.struct import encode
from springtide.faults import Fault

NAMESPACE = "kube-system"
CORDONED, DRAINED, REPAIRED, CHECKED = "Cordoned", "Drained", "Repaired", "Checked"
"""Conditions of steps; the last condition bears the name of the phase the incident ended in."""
BREAKER_OPEN = "BreakerOpen"
"""Reason of Withheld while as many nodes are out of service as may be: looked at again when one returns."""
MASS_SYMPTOM = "MassSymptom"
"""Reason of Withheld where many nodes show the same at once."""

GPU, NETWORK, STORAGE, HOST = "GPUHealthy", "NetworkHealthy", "StorageHealthy", "HostHealthy"
FAMILIES = (GPU, NETWORK, STORAGE, HOST)
"""Conditions of nodes: True means healthy, as with Ready."""
_NETWORK = frozenset((Fault.NIC_FAULT, Fault.NETWORK_UNREACHABLE, Fault.PEER_LOST))
_STORAGE = frozenset((Fault.DISK_FAULT, Fault.DISK_FULL, Fault.STORAGE_ERROR))


def family_of(fault_class: str) -> str:
    """The node condition a fault class speaks against."""
    if fault_class in _NETWORK:
        return NETWORK
    if fault_class in _STORAGE:
        return STORAGE
    about_gpu = fault_class.startswith("Gpu") or fault_class in (Fault.DEVICE_ERROR, Fault.FABRIC_NOT_READY)
    return GPU if about_gpu else HOST


def is_incident(diagnosis: Diagnosis) -> bool:
    """Whether it asks for a node to be taken out of service, on the node's own account."""
    spec = diagnosis.spec
    asks = spec.action == Action.CORDON_EVICT
    return asks and bool(spec.node) and not spec.workload and diagnosis.metadata.namespace == NAMESPACE


def asks_for_node(diagnosis: Diagnosis) -> bool:
    """Whether it is a workload's Diagnosis that wants its node out, and nobody has answered it yet."""
    spec = diagnosis.spec
    wants = spec.action == Action.CORDON_EVICT and bool(spec.node) and bool(spec.workload)
    return wants and not diagnosis.status.phase


def phase_of(incident: Diagnosis) -> IncidentPhase:
    """How far an incident is."""
    return IncidentPhase(incident.status.phase or IncidentPhase.OPEN)


def is_over(incident: Diagnosis) -> bool:
    """Whether nothing more is done about it."""
    return phase_of(incident) in OVER and not waits_for_breaker(incident)


def waits_for_breaker(incident: Diagnosis) -> bool:
    """Whether it is held back only until another node returns."""
    found = find_condition(incident.status.conditions, IncidentPhase.WITHHELD.value)
    return phase_of(incident) is IncidentPhase.WITHHELD and found is not None and found.reason == BREAKER_OPEN


def is_out(incident: Diagnosis) -> bool:
    """Whether its node was taken out of service for it and is not back."""
    return not is_over(incident) and phase_of(incident) not in (IncidentPhase.OPEN, IncidentPhase.WITHHELD)


def incident_name(node: str, origin: str) -> str:
    """The name of an incident: the same for the same origin, so that one created twice is one."""
    return f"{node[:200]}.{hashlib.sha256(origin.encode()).hexdigest()[:10]}"


def symptom_of(incident: Diagnosis) -> str:
    """By what incidents are alike: the signature that decided, else the fault class."""
    return incident.spec.signature or incident.spec.fault_class


def began_at(incident: Diagnosis) -> datetime | None:
    """When it was found, else when it was written."""
    return incident.spec.detected_at or incident.metadata.creation_timestamp


def time_of(incident: Diagnosis, step: str) -> datetime | None:
    """When a step was done; None: not yet."""
    found = find_condition(incident.status.conditions, step)
    return found.last_transition_time if found is not None and found.status == "True" else None


def ended_at(incident: Diagnosis) -> datetime | None:
    """When nothing more was done about it."""
    return time_of(incident, phase_of(incident).value) if is_over(incident) else None


def alike_within(incident: Diagnosis, others: Iterable[Diagnosis], window_seconds: float) -> list[Diagnosis]:
    """Incidents with the same symptom that began within the window around this one, itself included."""
    mine, window = began_at(incident), timedelta(seconds=window_seconds)
    found = {incident.metadata.name: incident}
    for other in others:
        theirs = began_at(other)
        near = mine is not None and theirs is not None and abs(theirs - mine) <= window
        if near and symptom_of(other) == symptom_of(incident):
            found[other.metadata.name] = other
    return [found[name] for name in sorted(found)]


def recent(incidents: Sequence[Diagnosis], now: datetime, window_seconds: float) -> list[Diagnosis]:
    """Incidents of a node within the window for which it was taken out of service."""
    since = now - timedelta(seconds=window_seconds)
    return [one for one in incidents if (began_at(one) or now) > since and time_of(one, CORDONED) is not None]


def moved(
    incident: Diagnosis,
    phase: IncidentPhase,
    message: str,
    now: datetime,
    *steps: tuple[str, str],
    part_of: str = "",
) -> Apply:
    """The incident in another phase; `steps` are conditions, as type and reason, that are now True."""
    conditions: list[Condition] = list(incident.status.conditions)
    for type_, reason in steps:
        done = Condition(type=type_, status="True", reason=reason, message=message)
        conditions = set_condition(conditions, done, now)
    status: dict[str, Any] = {"phase": phase.value, "message": message}
    if conditions:
        status["conditions"] = [encode(one) for one in conditions]
    if part_of:
        status["incident"] = part_of
    meta = incident.metadata
    fields: dict[str, Any] = {"status": status}
    if meta.resource_version:  # who is late, or no longer leads, must not take an incident back
        fields["metadata"] = {"resourceVersion": meta.resource_version}
    return Apply(Diagnosis, meta.namespace, meta.name, fields, "status", meta.uid)
