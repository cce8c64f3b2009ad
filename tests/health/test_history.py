"""A node's history over jobs: what is held against it, and when it is a lemon."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api.commands import Apply
from springtide.api.meta import ObjectMeta
from springtide.api.nodehealth import Incident, NodeHealth, NodeHealthStatus
from springtide.api.springtide import Diagnosis, DiagnosisSpec
from springtide.api.struct import decode
from springtide.health.history import (
    HALF_LIFE,
    INCIDENTS_MAX,
    concerns,
    is_lemon,
    lemon_score,
    merged,
    plan,
)
from tests.builders import at

NOW = at(0) + 4 * HALF_LIFE


def verdict(number: int = 0, **fields: Any) -> Diagnosis:
    """A workload's verdict that names node n1 and blames it."""
    spec = {"workload": f"job-{number}", "node": "n1", "blame": "node", "fault_class": "GpuOffBus"}
    made = DiagnosisSpec(**{**spec, "detected_at": at(number), **fields})
    return Diagnosis(metadata=ObjectMeta(name=f"job-{number}-0", namespace="default"), spec=made)


def incident(number: int, *, days: float = 0, blame: str = "node", workload: str | None = None) -> Incident:
    whose = f"default/job-{number}" if workload is None else workload
    return Incident(
        diagnosis=f"default/d-{number}", time=NOW - timedelta(days=days), blame=blame, workload=whose
    )


def kept(health: NodeHealth | None, *diagnoses: Diagnosis) -> list[Incident]:
    """The history as it is written."""
    *made, write = plan("n1", health, diagnoses).commands
    assert all(isinstance(one, Apply) and one.kind is NodeHealth for one in (*made, write))
    assert isinstance(write, Apply)
    assert (write.subresource, set(write.fields["status"])) == ("status", {"history"})
    return [decode(Incident, one) for one in write.fields["status"]["history"]]


def with_history(*history: Incident) -> NodeHealth:
    return NodeHealth(metadata=ObjectMeta(name="n1"), status=NodeHealthStatus(history=list(history)))


def test_an_incident_outlives_its_workload() -> None:
    first = kept(None, verdict(1))
    assert [(one.diagnosis, one.fault, one.workload) for one in first] == [
        ("default/job-1-0", "GpuOffBus", "default/job-1")
    ]
    assert plan("n1", with_history(*first), [verdict(1)]).commands == (), "a second run writes nothing"
    assert plan("n1", with_history(*first), []).commands == (), "though the Diagnosis is gone"
    assert [one.workload for one in kept(with_history(*first), verdict(2))] == [
        "default/job-1",
        "default/job-2",
    ]


@pytest.mark.parametrize(
    ("what", "fields", "counts"),
    [
        ("a broken GPU", {}, True),
        ("a hang whose reason is unknown", {"blame": "unknown", "fault_class": "Hang"}, True),
        ("a slow rank", {"blame": "unknown", "fault_class": "Straggler"}, True),
        ("a user's error", {"blame": "program"}, False),
        ("a deleted pod", {"blame": "platform", "fault_class": "PodDeleted"}, False),
        ("a consequence", {"secondary": True}, False),
        ("another node", {"node": "n2"}, False),
        ("the node's incident that a workload's verdict opened", {"origin": "default/job-1-0"}, False),
    ],
)
def test_what_is_held_against_a_node(what: str, fields: dict[str, Any], counts: bool) -> None:
    assert concerns(verdict(**fields), "n1") == counts


def test_only_the_newest_are_kept() -> None:
    history = merged([], [incident(number, days=number) for number in range(100)])
    assert len(history) == INCIDENTS_MAX
    assert history[-1].diagnosis == "default/d-0"


def test_a_lemon_fails_different_jobs() -> None:
    assert is_lemon([incident(1), incident(2)], NOW)
    assert not is_lemon([incident(1), incident(2, workload="default/job-1")], NOW), "one job twice"
    assert not is_lemon([incident(number, blame="unknown") for number in range(7)], NOW)
    assert is_lemon([incident(number, blame="unknown") for number in range(8)], NOW)
    assert not is_lemon([incident(1, days=8), incident(2, days=8)], NOW), "it is long ago"
    assert not is_lemon([], NOW)


def test_a_score_halves_every_week() -> None:
    assert lemon_score([incident(1)], NOW) == 1
    assert lemon_score([incident(1, days=7)], NOW) == 0.5
    assert lemon_score([incident(1, blame="program")], NOW) == 0


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), max_size=60))
def test_merging_again_changes_nothing(entries: list[tuple[int, int]]) -> None:
    seen = [incident(number, days=days) for number, days in entries]
    once = merged([], seen)
    assert merged(once, []) == once
    assert len({one.diagnosis for one in once}) == len(once)
