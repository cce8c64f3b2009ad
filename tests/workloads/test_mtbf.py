"""How long a job may expect to run undisturbed, by what its nodes have seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from springtide.api.containers import Container, EnvVar
from springtide.api.core import Node, Pod, PodSpec
from springtide.api.meta import ObjectMeta
from springtide.api.nodehealth import Incident, NodeHealth, NodeHealthStatus
from springtide.api.nodes import NodeStatus
from springtide.workloads.mtbf import HISTORY_MAX, PRIOR_RATE, mtbf_seconds, with_mtbf

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = 86400.0


def health(name: str, days: float, *ago: float, blame: str = "node") -> NodeHealth:
    """A node watched for so many days, with incidents so many days ago."""
    history = [
        Incident(diagnosis=f"d{number}", time=NOW - timedelta(days=at), blame=blame)
        for number, at in enumerate(ago)
    ]
    created = NOW - timedelta(days=days)
    return NodeHealth(
        metadata=ObjectMeta(name=name, creation_timestamp=created), status=NodeHealthStatus(history=history)
    )


def of(units: dict[str, int], *healths: NodeHealth, gpus: int = 8) -> float | None:
    def node(name: str) -> Node:
        return Node(metadata=ObjectMeta(name=name), status=NodeStatus(capacity={"nvidia.com/gpu": str(gpus)}))

    return mtbf_seconds(units, healths, node, NOW)


def test_before_anything_was_seen_it_is_llama_3s_rate() -> None:
    assert of({"a": 8}, health("a", 0)) == pytest.approx(1 / (8 * PRIOR_RATE), rel=0.01)
    whole = of({f"n{number}": 8 for number in range(2048)}, health("n0", 0))
    assert whole == pytest.approx(54 * DAY / 419, rel=0.01)  # 16,384 GPUs: every 3.1 hours


def test_where_nobody_watches_nothing_is_said() -> None:
    assert of({"a": 8}) is None
    assert of({}, health("a", 1)) is None


def test_a_long_quiet_time_lengthens_it_and_incidents_shorten_it() -> None:
    prior = 1 / (8 * PRIOR_RATE)
    quiet = of({"a": 8}, health("a", 5000))
    lemon = of({"a": 8}, health("a", 30, 1, 5, 9, 20))
    assert quiet is not None
    assert lemon is not None
    assert lemon < 20 * DAY < prior < quiet  # four in 30 days, drawn towards the fleet
    mixed = of({"a": 8, "b": 8}, health("a", 30, 1, 5, 9, 20), health("b", 30))
    assert mixed is not None
    assert lemon / 2 < mixed < 2 * lemon  # the lemon sets the pace of the whole gang


def test_a_new_node_counts_as_the_fleet_does() -> None:
    fleet = [health(f"n{number}", 300, *range(10, 200, 10)) for number in range(10)]
    known, new = of({"n0": 8}, *fleet), of({"new": 8}, *fleet)
    assert known is not None
    assert new is not None
    assert new == pytest.approx(known, rel=0.3)
    assert new < 30 * DAY


def test_a_programs_own_failures_are_not_the_nodes() -> None:
    assert of({"a": 8}, health("a", 30, 1, 2, 3, blame="program")) == of({"a": 8}, health("a", 30))


def test_where_old_incidents_were_forgotten_only_the_time_of_those_that_are_left_counts() -> None:
    often = [float(number + 1) for number in range(HISTORY_MAX)]
    assert of({"a": 8}, health("a", 3000, *often)) == of({"a": 8}, health("a", 32, *often))


def test_containers_are_told_unless_their_author_has_said_it() -> None:
    own = Container(name="own", env=[EnvVar(name="SPRINGTIDE_MTBF_SECONDS", value="60")])
    pod = Pod(metadata=ObjectMeta(name="p"), spec=PodSpec(containers=[Container(name="one"), own]))
    told = with_mtbf(pod, 12300.0)
    assert [one.env[0].value for one in told.spec.containers] == ["12300", "60"]
    assert with_mtbf(pod, None) is pod
