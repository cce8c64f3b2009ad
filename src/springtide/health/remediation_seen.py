"""Faults that a node's own collectors saw while no workload complains, and collectors that fell silent. Pure.

Only what the node itself recorded counts here (kernel, driver, counters): any program can write what it
likes into its log, so a log line speaks only through the Diagnosis of its workload. Called by
`remediation_controller` for one node at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from springtide.api.meta import ObjectMeta, is_true
from springtide.api.nodehealth import Collector, CollectorState, NodeHealth, Observation
from springtide.api.nodes import Node
from springtide.api.springtide import Action, Blame, Diagnosis, DiagnosisSpec, Evidence
from springtide.faults import VERDICTS, Fault, Match, Override, Secondary, match
from springtide.health.incidents import NAMESPACE, incident_name
from springtide.health.observed import is_of_machine
from springtide.health.remediation import Failure, asks_for_cordon
from springtide.health.remediation_policy import Effective

OBSERVATION_AGE = timedelta(hours=1)
"""What was last seen longer ago does not begin an incident: the node may have been mended since."""
SILENT_AFTER = timedelta(seconds=180)
"""Collectors write at least every half minute; none of them having written for so long is silence."""


def overrides_of(policy: Effective) -> Mapping[str, Override]:
    """What the site knows better, as the matcher takes it."""
    return {
        name: Override(
            blame=Blame(one.blame) if one.blame else None,
            action=Action(one.action) if one.action else None,
        )
        for name, one in policy.overrides.items()
    }


def seen_on(node: str, health: NodeHealth, policy: Effective) -> list[DiagnosisSpec]:
    """What would take the node out of service by its policy, earliest first; `origin` tells them apart."""
    overrides = overrides_of(policy)
    found: list[tuple[datetime, DiagnosisSpec]] = []
    for one in health.status.observations:
        moment = one.last_time or one.time
        if moment is None or not is_of_machine(one):
            continue
        meaning = match(one.line, one.context, overrides)
        if meaning is not None and asks_for_cordon(_failure(meaning), policy):
            found.append((moment, _spec(node, one, meaning, moment)))
    return [spec for _, spec in sorted(found, key=lambda pair: (pair[0], pair[1].origin))]


def is_recent(spec: DiagnosisSpec, now: datetime) -> bool:
    """Whether what was seen still says something about the node."""
    return spec.detected_at is not None and now - spec.detected_at <= OBSERVATION_AGE


def silent_collectors(node: Node, health: NodeHealth | None, now: datetime) -> Iterator[tuple[str, datetime]]:
    """Which sources of a living node fell silent, and since when; `all` where none of them writes."""
    if health is None or not is_true(node.status.conditions, "Ready"):
        return
    times = [one.time for one in health.status.collectors if one.time is not None]
    newest = max(times, default=None)
    if newest is not None and now - newest > SILENT_AFTER:
        yield "all", newest
        return
    for one in health.status.collectors:
        if one.state == CollectorState.SILENT:
            yield one.name, one.time or now


def next_silence(health: NodeHealth | None, now: datetime) -> float | None:
    """Seconds until the collectors would count as silent if they wrote nothing more."""
    times = [one.time for one in health.status.collectors if one.time is not None] if health else []
    left = (max(times) + SILENT_AFTER - now).total_seconds() if times else 0.0
    return left + 1.0 if left > 0 else None


def silence(node: str, collector: str, since: datetime, health: NodeHealth, now: datetime) -> Diagnosis:
    """The Diagnosis of a collector that fell silent; nothing is done about it unless a policy says so."""
    said = next((one for one in health.status.collectors if one.name == collector), Collector(name=collector))
    which = "no collector" if collector == "all" else f"collector {collector} not"
    verdict = VERDICTS[Fault.COLLECTOR_SILENT]
    spec = DiagnosisSpec(
        node=node,
        fault_class=Fault.COLLECTOR_SILENT.value,
        blame=verdict.blame.value,
        action=Action.IGNORE.value,
        message=f"{which} heard from on node {node} since {since:%H:%M:%S} UTC"
        + (f": {said.message}" if said.message else ""),
        next_step=verdict.next_step,
        happened_at=since,
        detected_at=now,
        evidence=[Evidence(source=f"nodehealth:{node}", line=said.message or said.state, time=since)],
    )
    name = incident_name(node, f"silent {collector} {since.isoformat()}")
    return Diagnosis(metadata=ObjectMeta(name=name, namespace=NAMESPACE), spec=spec)


def is_silence(diagnosis: Diagnosis) -> bool:
    """Whether it is about collectors that nobody acts on."""
    spec = diagnosis.spec
    return spec.fault_class == Fault.COLLECTOR_SILENT and spec.action == Action.IGNORE and bool(spec.node)


def _failure(meaning: Match) -> Failure:
    return Failure(
        fault_class=meaning.fault.value,
        blame=meaning.blame.value,
        action=meaning.action.value,
        confidence=meaning.confidence,
        signature=meaning.signature,
        secondary=meaning.secondary is Secondary.YES,
    )


def _spec(node: str, seen: Observation, meaning: Match, moment: datetime) -> DiagnosisSpec:
    verdict = VERDICTS[meaning.fault]
    return DiagnosisSpec(
        node=node,
        fault_class=meaning.fault.value,
        blame=meaning.blame.value,
        action=Action.CORDON_EVICT.value,
        confidence=meaning.confidence,
        message=f"{verdict.meaning} Seen on node {node}: {seen.line[:256]}",
        signature=meaning.signature,
        device=seen.device or meaning.device,
        happened_at=seen.time,
        detected_at=moment,
        origin=f"{seen.collector} {seen.id} {seen.time.isoformat() if seen.time else ''}",
        next_step=verdict.next_step,
        evidence=[Evidence(source=seen.source, line=seen.line, time=seen.time)],
    )
