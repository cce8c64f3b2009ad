"""What is said of a slow rank: whether its node is suspected, and what clears it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as changed

from springtide.api.meta import ObjectMeta
from springtide.api.nodehealth import NodeHealth, NodeHealthStatus, Observation
from springtide.api.springtide import Diagnosis
from springtide.health.slowness import find
from springtide.health.stragglers import diagnose, is_suspicion
from tests.builders import at
from tests.health.ganghealth import Rank, members
from tests.health.scene import gang
from tests.health.test_slowness import one


def told(
    ranks: Sequence[Rank], health: NodeHealth | None = None, earlier: Sequence[Diagnosis] = ()
) -> Diagnosis:
    (slow,) = find(members(ranks, 201))
    return diagnose(gang(), 0, slow, health, earlier, at(201))


TURNED = [one(0.3), one(0.9, 0.3)]


def test_a_rank_that_became_slow_makes_its_node_suspected_and_no_more() -> None:
    found = told(TURNED)
    assert is_suspicion(found)
    assert (found.spec.blame, found.spec.action, found.spec.node) == ("unknown", "ignore", "n1")
    assert found.metadata.name == "trainjob-job-0-slow-1"
    assert found.spec.message == (
        "rank 1 (job-node-0-1 on n1) works 3.0 times as long a step as its peers: 0.9 s, they 0.3 s;"
        " at its best it took 0.3 s, so its node may have become slow"
    )


def test_a_stage_that_is_slow_by_design_blames_no_node() -> None:
    found = told([one(0.3), one(0.9)])
    assert not is_suspicion(found)
    assert (found.spec.blame, found.spec.action) == ("program", "ignore")
    assert "from its first steps on" in found.spec.message


def test_who_gets_less_of_the_processors_makes_its_node_suspected() -> None:
    found = told([one(0.3), changed(one(0.3), queued_seconds=0.7)])
    assert is_suspicion(found)
    assert found.metadata.name == "trainjob-job-0-slow-1"
    assert found.spec.message.endswith("1 s, they 0.3 s; for 0.7 s of that others had its processors")


def test_what_moves_with_the_rank_is_not_the_node() -> None:
    before = told(TURNED)
    elsewhere = changed_node(before, "n7")
    assert told(TURNED, earlier=[elsewhere]).spec.blame == "program"
    assert told(TURNED, earlier=[before]).spec.blame == "unknown", "the same node proves nothing"


def changed_node(diagnosis: Diagnosis, node: str) -> Diagnosis:
    from springtide.api.struct import replace

    return replace(diagnosis, spec=replace(diagnosis.spec, node=node))


def test_throttled_clocks_support_a_suspicion() -> None:
    seen = Observation(
        id="1", source="nvml:GPU-1", line="hw_thermal_slowdown 12 (+4 in 10 s)", last_time=at(190)
    )
    old = Observation(id="2", source="nvml:GPU-1", line="sw_power_cap slowdown", last_time=at(-900))
    health = NodeHealth(metadata=ObjectMeta(name="n1"), status=NodeHealthStatus(observations=[old, seen]))
    found = told(TURNED, health)
    assert found.spec.confidence > told(TURNED).spec.confidence
    assert found.spec.evidence[-1].line == seen.line
    assert len(found.spec.evidence) == 2
