"""Slow ranks: who is, since when, and what only looks like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from dataclasses import replace as changed
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.health.slowness import (
    CLEAR_SECONDS,
    DESIGN_STEPS,
    FRESH_STEPS,
    MILD_STEPS,
    QUEUED_SECONDS,
    SEEN_STEPS,
    SMALL_LASTS_SECONDS,
    Since,
    Slow,
    find,
    still_slow,
)
from springtide.sdk.steptimes import StepTimes
from tests.health.ganghealth import Rank, members


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


def test_who_became_clearly_slow_is_named_at_the_first_look() -> None:
    ranks = at_step(40, one(0.3), one(0.9, 0.3))
    assert looks(ranks) == [[1]]
    assert looks(at_step(40, one(0.3), changed(one(0.9, 0.3), low_seconds=0.32))) == [[]], (
        "in some steps it was as quick as its peers"
    )


def test_who_became_somewhat_slow_must_go_on() -> None:
    ranks = one(1.2), one(1.9, 1.2, step=2.0)
    assert looks(at_step(40, *ranks), at_step(39 + MILD_STEPS, *ranks)) == [[], []]
    assert looks(at_step(40, *ranks), at_step(40 + MILD_STEPS, *ranks)) == [[], [1]]
    short = [changed(rank, step_seconds=1.2, busy_seconds=(rank.busy_seconds or 0) / 2) for rank in ranks]
    assert looks(at_step(40, *short), at_step(40 + MILD_STEPS, *short)) == [[], []], "not half a minute"
    well = at_step(42, one(1.2), one(1.2))
    assert looks(at_step(40, *ranks), well, at_step(61, *ranks)) == [[], [], []], "forgotten when it is over"


def test_steps_however_short_must_be_slow_for_seconds() -> None:
    ranks = one(0.06, step=0.2), one(0.18, 0.06, step=0.2)
    left = round(CLEAR_SECONDS / 0.2) - SEEN_STEPS
    assert looks(at_step(40, *ranks), at_step(39 + left, *ranks)) == [[], []]
    assert looks(at_step(40, *ranks), at_step(40 + left, *ranks)) == [[], [1]]


def test_peers_are_compared_with_as_they_are_now() -> None:
    turned = one(0.9, 0.3)
    assert looks([changed(one(0.3), step=40 - FRESH_STEPS), turned]) == [[1]]
    old = changed(one(0.3), step=39 - FRESH_STEPS, quiet_from=80.0)
    assert looks([old, turned]) == [[]], "it may have become slow as well"
    assert looks([changed(old, quiet_from=99.0), turned]) == [[1]], "its steps have other numbers"
    assert looks([changed(one(0.3), recent_seconds=0.9), turned]) == [[]], "all become slower"


def test_who_gets_less_of_the_processors_is_named_after_minutes() -> None:
    ranks = one(0.3), changed(one(0.3), queued_seconds=0.7)
    steps = round(QUEUED_SECONDS) - SEEN_STEPS
    assert looks(at_step(40, *ranks), at_step(39 + steps, *ranks)) == [[], []]
    assert looks(at_step(40, *ranks), at_step(40 + steps, *ranks)) == [[], [1]]
    both = [changed(one(0.3), queued_seconds=0.5), changed(one(0.3), queued_seconds=0.7)]
    assert looks(at_step(40, *both), at_step(400, *both)) == [[], []], "the machine is busy for all"


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


def test_differences_of_very_short_steps_must_last_for_a_minute() -> None:
    ranks = one(0.01, step=0.05), one(0.04, 0.01, step=0.05)
    minute = round(SMALL_LASTS_SECONDS / 0.05) - SEEN_STEPS
    assert looks(at_step(40, *ranks), at_step(39 + minute, *ranks)) == [[], []]
    assert looks(at_step(40, *ranks), at_step(40 + minute, *ranks)) == [[], [1]]


def _named(rounds: Sequence[Sequence[Rank]]) -> list[Slow]:
    known: dict[int, Since] = {}
    named: list[Slow] = []
    for ranks in rounds:
        known, sure = still_slow(known, slow_in(ranks))
        named += sure
    return named


def test_a_new_attempt_begins_anew() -> None:
    ranks = [one(0.3, number=3), one(0.9, 0.3, number=3)]
    known, _ = still_slow({1: Since(40, 40)}, slow_in(ranks))
    assert known == {1: Since(3, 3)}


@dataclass
class Ranks:
    """Ranks that train together step by step; what each takes is told by its own `StepTimes`."""

    count: int
    base: float
    times: list[StepTimes] = field(default_factory=list)
    step: int = 0
    known: dict[int, Since] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.times = [StepTimes() for _ in range(self.count)]

    def take(self, factors: Sequence[float]) -> list[int]:
        """One step, so many times as long as usual on each; who is named after it."""
        works = [self.base * factor for factor in factors]
        for times, work in zip(self.times, works, strict=True):
            times.add(max(works))
            times.add_work(work, 0.0)
        self.step += 1
        self.known, sure = still_slow(self.known, slow_in([self._told(one) for one in self.times]))
        return [slow.rank.rank for slow in sure]

    def _told(self, times: StepTimes) -> Rank:
        return Rank(
            busy=200,
            step=self.step,
            busy_seconds=times.busy,
            low_seconds=times.low,
            recent_seconds=times.recent,
            best_seconds=times.best if times.best > 0 else None,
            step_seconds=times.wall,
        )


def noise(seed: Random, count: int, most: float) -> list[float]:
    return [seed.uniform(1.0, most) for _ in range(count)]


@given(st.integers(0, 2**32), st.integers(2, 5), st.floats(0.03, 3.0))
@settings(max_examples=30, deadline=None)
def test_equal_ranks_are_never_named_whatever_disturbs_them(number: int, count: int, base: float) -> None:
    ranks, seed = Ranks(count, base), Random(number)
    for _ in range(6):
        victim, times = seed.randrange(count), seed.uniform(1.0, 9.0)
        for step in range(15):
            factors = noise(seed, count, 1.4)
            factors[victim] *= times if step < 9 else 1.0
            assert ranks.take(factors) == []


@given(st.integers(0, 2**32), st.integers(2, 5), st.floats(0.03, 3.0))
@settings(max_examples=30, deadline=None)
def test_a_rank_at_a_third_is_named_within_twelve_steps_or_some_seconds(
    number: int, count: int, base: float
) -> None:
    ranks, seed = Ranks(count, base), Random(number)
    victim, steps = seed.randrange(count), 1
    for _ in range(20):
        assert ranks.take(noise(seed, count, 1.2)) == []

    def slowed() -> list[int]:
        factors = noise(seed, count, 1.2)
        factors[victim] *= 3
        return ranks.take(factors)

    while not (named := slowed()):
        steps += 1
        assert steps <= max(12, CLEAR_SECONDS / (3 * base) + 2), "eight of twenty are left to tell of it"
    assert named == [victim]
