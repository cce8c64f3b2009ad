"""Admission checks: what besides quota and room must hold before a workload's pods may be made.

A workload that has its quota and places waits until every check of its ClusterQueue says Ready; who makes a
check sets its state on the workload. Names, states and rules are Kueue's. Pure; called by the door, the cycle
and `status`, which writes the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from springtide.api.kueue import AdmissionChecksStrategy, AdmissionCheckState, Workload
from springtide.api.meta import find_condition

PENDING, READY, RETRY, REJECTED = "Pending", "Ready", "Retry", "Rejected"
UNSATISFIED = "UnsatisfiedChecks"
"""Reason of the condition Admitted while checks are not ready."""


@dataclass(frozen=True)
class CheckRule:
    """A check of a ClusterQueue, and for which flavors it is made."""

    name: str
    flavors: frozenset[str] = frozenset()
    """None: for all."""


def rules_of(strategy: AdmissionChecksStrategy | None) -> tuple[CheckRule, ...]:
    """The checks that a ClusterQueue names."""
    said = strategy.admission_checks if strategy is not None else ()
    return tuple(CheckRule(one.name, frozenset(one.on_flavors)) for one in said)


def required(rules: Iterable[CheckRule], flavors: Iterable[str]) -> tuple[str, ...]:
    """The checks of a workload that is given these flavors, by name."""
    given = set(flavors)
    return tuple(sorted(one.name for one in rules if not one.flavors or one.flavors & given))


def begun(workload: Workload, names: Sequence[str], now: datetime) -> list[AdmissionCheckState]:
    """Where each of these checks stands: as somebody has said already, or Pending."""
    known = {one.name: one for one in workload.status.admission_checks}
    return [
        known.get(name) or AdmissionCheckState(name=name, state=PENDING, last_transition_time=now)
        for name in names
    ]


def reset(workload: Workload, now: datetime) -> list[AdmissionCheckState]:
    """All checks Pending again: the next attempt is checked anew."""
    return [
        one
        if one.state == PENDING
        else AdmissionCheckState(
            name=one.name,
            state=PENDING,
            message=f"Reset to Pending after eviction. Previously: {one.state}",
            last_transition_time=now,
            requeue_after_seconds=one.requeue_after_seconds,
            retry_count=(one.retry_count or 0) + 1 if one.state == RETRY else None,
        )
        for one in workload.status.admission_checks
    ]


def are_ready(states: Iterable[AdmissionCheckState]) -> bool:
    """Whether nothing is in the way."""
    return all(one.state == READY for one in states)


def is_waiting(workload: Workload) -> bool:
    """Whether it has its quota, and waits for checks."""
    admitted = find_condition(workload.status.conditions, "Admitted")
    return admitted is not None and admitted.status == "False" and admitted.reason == UNSATISFIED


def waits_for(states: Iterable[AdmissionCheckState]) -> str:
    """What is in the way, in words."""
    open_ones = [one for one in states if one.state != READY]
    said = "; ".join(f"{one.name}: {one.message}" if one.message else one.name for one in open_ones)
    return f"The workload has not all checks ready: waits for {said}"


def rejected(workload: Workload) -> str:
    """What was rejected and why; empty if nothing was."""
    found = [one for one in workload.status.admission_checks if one.state == REJECTED]
    return ", ".join(f"{one.name} ({one.message})" if one.message else one.name for one in found)


def retried(workload: Workload, now: datetime) -> tuple[str, datetime] | None:
    """Which checks want another try, and when; None if none does."""
    found = [one for one in workload.status.admission_checks if one.state == RETRY]
    if not found:
        return None
    at = max(
        (one.last_transition_time or now) + timedelta(seconds=one.requeue_after_seconds or 0) for one in found
    )
    said = ", ".join(f"{one.name} ({one.message})" if one.message else one.name for one in found)
    return said, at
