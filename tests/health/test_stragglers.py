"""Slow ranks: who is, whether its node is suspected, and what only looks like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as changed

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api.meta import ObjectMeta
from springtide.api.nodehealth import NodeHealth, NodeHealthStatus, Observation
from springtide.api.springtide import Diagnosis
from springtide.health.stragglers import (
    DESIGN_STEPS,
    PERSIST_STEPS,
    SMALL_LASTS_SECONDS,
    Since,
    Slow,
    diagnose,
    find,
    is_suspicion,
    still_slow,
)
from tests.builders import at
from tests.health.ganghealth import Rank, members
from tests.health.scene import gang


def one(
    busy: float, best: float | None = None, *, step: float = 1.0, group: str = "", number: int = 40
) -> Rank:
    """A rank that works so long a step."""
    return Rank(
        busy=200,
        step=number,
        busy_seconds=busy,
        best_seconds=busy if best is None else best,
        step_seconds=step,
        group=group,
    )


def slow_in(ranks: Sequence[Rank]) -> list[Slow]:
    return find(members(ranks, 201))


CASES: list[tuple[str, list[Rank], list[int], bool]] = [
    ("all alike", [one(0.5)] * 4, [], False),
    ("one turned slow by a third", [one(0.9, 0.3), one(0.3), one(0.3), one(0.31)], [0], True),
    ("of two, the one that works while the other waits", [one(0.3), one(0.9, 0.3)], [1], True),
    ("the last stage has more to do from the start", [one(0.3), one(0.3), one(0.9)], [2], False),
    (
        "the whole machine slowed down, the last stage with it",
        [one(0.6, 0.3), one(1.5, 0.9, step=1.6)],
        [1],
        False,
    ),
    ("a little slower", [one(0.3), one(0.3), one(0.4, 0.3)], [], False),
    (
        "peers differ as much among themselves",
        [one(0.2), one(0.6), one(0.25), one(0.9, 0.3), one(0.7)],
        [],
        False,
    ),
    ("slow by some milliseconds", [one(0.002), one(0.009, 0.002)], [], False),
    ("slow, and nobody waits for it", [one(0.1), one(0.3, 0.1, step=2.0)], [], False),
    (
        "declared stages are compared among themselves",
        [one(0.3), one(0.3), one(0.9, group="last")],
        [],
        False,
    ),
    (
        "a slow rank among the last stages",
        [one(0.3), one(0.9, group="l"), one(1.8, 0.9, step=2, group="l"), one(0.9, group="l")],
        [2],
        True,
    ),
]


@pytest.mark.parametrize(("what", "ranks", "slow", "turned"), CASES, ids=[case[0] for case in CASES])
def test_who_is_slow(what: str, ranks: list[Rank], slow: list[int], turned: bool) -> None:
    found = slow_in(ranks)
    assert [rank.rank.rank for rank in found] == slow
    assert all(rank.turned == turned for rank in found)


@given(st.lists(st.floats(0.05, 10.0), min_size=2, max_size=12))
def test_never_more_than_half_of_them_are_slow(busies: list[float]) -> None:
    found = slow_in([one(busy, step=max(busies)) for busy in busies])
    assert len(found) * 2 <= len(busies)
    assert all(slow.busy_seconds > slow.peers_seconds for slow in found)


def looks(*gangs: Sequence[Rank]) -> list[list[int]]:
    """Who is named at each of several looks at one gang."""
    known: dict[int, Since] = {}
    named = []
    for ranks in gangs:
        known, sure = still_slow(known, slow_in(ranks))
        named.append([slow.rank.rank for slow in sure])
    return named


def at_step(number: int, *ranks: Rank) -> list[Rank]:
    return [changed(rank, step=number) for rank in ranks]


def test_slowness_must_last() -> None:
    ranks = one(0.3), one(0.9, 0.3)
    assert looks(at_step(40, *ranks), at_step(39 + PERSIST_STEPS, *ranks)) == [[], []]
    assert looks(at_step(40, *ranks), at_step(40 + PERSIST_STEPS, *ranks)) == [[], [1]]
    well = at_step(42, one(0.3), one(0.3))
    assert looks(at_step(40, *ranks), well, at_step(44, *ranks)) == [[], [], []], "forgotten when it is over"


def test_one_that_always_was_slow_is_waited_for_longer() -> None:
    ranks = one(0.3), one(0.9)
    early, late = at_step(39 + DESIGN_STEPS, *ranks), at_step(40 + DESIGN_STEPS, *ranks)
    assert looks(at_step(40, *ranks), early, late) == [[], [], [1]]


def test_a_stage_slow_by_design_is_not_suspected_for_a_disturbed_look() -> None:
    usual, disturbed = (one(0.3), one(0.9)), (one(0.3), one(1.5, 0.9, step=1.6))
    rounds = [at_step(40 + 5 * number, *(disturbed if number % 3 else usual)) for number in range(30)]
    named = [(slow.rank.rank, slow.turned) for slow in _named(rounds)]
    assert set(named) <= {(1, False)}


def test_a_stage_slow_by_design_whose_node_became_slow_is_suspected_in_the_end() -> None:
    ranks = one(0.3), one(2.7, 0.9, step=2.8)
    before = at_step(40 + DESIGN_STEPS, one(0.3), one(0.9))
    rounds = [before, at_step(100, *ranks), at_step(99 + DESIGN_STEPS, *ranks)]
    assert not any(slow.turned for slow in _named(rounds))
    assert any(slow.turned for slow in _named([*rounds, at_step(100 + DESIGN_STEPS, *ranks)]))


def test_differences_of_short_steps_must_last_for_a_minute() -> None:
    ranks = one(0.02, step=0.06), one(0.06, 0.02, step=0.06)
    minute = round(SMALL_LASTS_SECONDS / 0.06)
    assert looks(at_step(40, *ranks), at_step(30 + minute, *ranks)) == [[], []]
    assert looks(at_step(40, *ranks), at_step(41 + minute, *ranks)) == [[], [1]]


def _named(rounds: Sequence[Sequence[Rank]]) -> list[Slow]:
    known: dict[int, Since] = {}
    named: list[Slow] = []
    for ranks in rounds:
        known, sure = still_slow(known, slow_in(ranks))
        named += sure
    return named


def test_a_new_attempt_begins_anew() -> None:
    ranks = [one(0.3, number=3), one(0.9, 0.3, number=3)]
    assert still_slow({1: Since(40, 40)}, slow_in(ranks)) == ({1: Since(3, 3)}, [])


def told(
    ranks: Sequence[Rank], health: NodeHealth | None = None, earlier: Sequence[Diagnosis] = ()
) -> Diagnosis:
    (slow,) = slow_in(ranks)
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
