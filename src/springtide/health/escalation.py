"""When a node goes for what it had a part in before, though no verdict alone would take it out. Pure.

A bad cable or a GPU that dies in silence shows itself as a failure that is the network's or nobody's: the job
goes elsewhere, the node stays in service and breaks the next attempt that it is given. What speaks against
the node is that failures come back to it: over jobs, or in one job that had left it in between. What speaks
for it: that the failure follows the rank wherever it runs, and that among few nodes, or many failures, the
same node is met again by chance. Called by `plan` for each verdict; `remediation` decides on it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import comb

from springtide.api.nodehealth import Incident
from springtide.api.remediation import Escalation, Step
from springtide.api.springtide import Blame, Diagnosis, DiagnosisSpec
from springtide.faults import Fault

SUSPECT = frozenset((Blame.NETWORK.value, Blame.UNKNOWN.value))
"""Blames that count where a policy names none."""
CHANCE_MAX = 0.02
"""A node is not blamed if it would have been met as often, with this probability, had nodes been drawn."""
LEAVES = (Step.RESTART_ELSEWHERE, Step.SHRINK, Step.CORDON_AND_EVICT)
"""Steps after which the attempt that follows does not use the node."""


@dataclass(frozen=True)
class Suspect:
    """Who failed, where."""

    workload: str
    """`namespace/name`."""
    node: str
    pod_set: str
    rank: int | None
    fault_class: str
    blame: str


def implications(
    suspect: Suspect,
    earlier: Sequence[Diagnosis],
    histories: Mapping[str, Sequence[Incident]],
    terms: Escalation,
    now: datetime,
) -> int:
    """How many failures, this one included, take the node out; 0 if they do not.

    `earlier`: Diagnoses of the same workload. `histories`: what nodes had a part in, of all nodes that are
    watched, by name.
    """
    blames = frozenset(terms.blames) or SUSPECT
    if not terms.incidents or not suspect.node or suspect.blame not in blames:
        return 0
    since = now - timedelta(seconds=terms.window_seconds)
    own = [one.spec for one in earlier if _written_at(one, now) > since and _counts(one.spec, blames)]
    if any(_follows(suspect, one) for one in own):
        return 0
    left = sum(1 for one in own if one.node == suspect.node and one.step in LEAVES)
    others = {
        one.workload or one.diagnosis
        for one in _within(histories.get(suspect.node, ()), blames, since)
        if one.workload != suspect.workload
    }
    before = left + len(others)
    if before + 1 < terms.incidents:
        return 0
    all_before = sum(1 for history in histories.values() for _ in _within(history, blames, since))
    return 0 if chance(before, max(before, all_before), len(histories)) > CHANCE_MAX else before + 1


def chance(before: int, all_before: int, nodes: int) -> float:
    """How probable it is at most that one of so many nodes, drawn at random for each of the failures before,
    was drawn at least so often."""
    if not before:
        return 1.0
    return min(1.0, comb(all_before, before) / nodes**before) if nodes else 1.0


def _follows(suspect: Suspect, earlier: DiagnosisSpec) -> bool:
    """Whether the same rank failed alike on another node: then it is not the node."""
    alike = (earlier.pod_set, earlier.rank, earlier.fault_class)
    mine = (suspect.pod_set, suspect.rank, suspect.fault_class)
    return suspect.rank is not None and alike == mine and earlier.node not in ("", suspect.node)


def _counts(spec: DiagnosisSpec, blames: Container[str]) -> bool:
    return spec.blame in blames and not spec.secondary


def _within(history: Iterable[Incident], blames: Container[str], since: datetime) -> Iterable[Incident]:
    """Failures only: that a node is suspected to be slow is answered by its check."""
    return (
        one
        for one in history
        if one.time is not None and one.time > since and one.blame in blames and one.fault != Fault.STRAGGLER
    )


def _written_at(diagnosis: Diagnosis, now: datetime) -> datetime:
    return diagnosis.metadata.creation_timestamp or diagnosis.spec.detected_at or now
