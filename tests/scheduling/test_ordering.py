"""In which order those who wait are considered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.scheduling.ordering import (
    FIFO,
    PRIORITY,
    SHORTEST,
    Candidate,
    Ordering,
    ageing_bound,
    find_ordering,
    known_orderings,
    register_ordering,
)

HOUR = 3600.0
NAMES = ("first", "urgent", "short", "long")
WAITING = (
    Candidate("first", 0, 0.0, 10 * HOUR, 8),
    Candidate("urgent", 10, 3 * HOUR, 10 * HOUR, 1),
    Candidate("short", 0, 1 * HOUR, 60.0, 64),
    Candidate("long", 0, 2 * HOUR, 1000 * HOUR, 1),
)


@pytest.mark.parametrize(
    ("ordering", "expected"),
    [
        (FIFO, ["first", "short", "long", "urgent"]),
        (PRIORITY, ["urgent", "first", "short", "long"]),
        (SHORTEST, ["urgent", "short", "first", "long"]),
    ],
    ids=lambda value: value.name if isinstance(value, Ordering) else "",
)
def test_orders(ordering: Ordering, expected: list[str]) -> None:
    assert [one.key for one in sorted(WAITING, key=ordering.rank)] == expected


def test_orders_are_known_by_name() -> None:
    assert {"fifo", "priority", "shortest"} <= set(known_orderings())
    assert find_ordering("fifo") is FIFO
    with pytest.raises(ValueError, match=r"'nonsense' is not registered; known: .*fifo"):
        find_ordering("nonsense")
    with pytest.raises(ValueError, match="'fifo' is registered already"):
        register_ordering(Ordering("fifo", FIFO.rank))


CANDIDATES = st.builds(
    Candidate,
    key=st.uuids().map(str),
    priority=st.just(0),
    since=st.floats(0.0, 1e7),
    lasts=st.floats(1.0, 1e8),
    devices=st.integers(1, 512),
)


@given(one=CANDIDATES, other=CANDIDATES, backlog=st.floats(0.0, 1e7))
def test_nobody_is_overtaken_by_what_came_later_than_the_bound(
    one: Candidate, other: Candidate, backlog: float
) -> None:
    one, other = replace(one, backlog=backlog), replace(other, backlog=backlog)
    if other.since > one.since + ageing_bound(backlog) + 1e-6:
        assert SHORTEST.rank(one) < SHORTEST.rank(other)
    else:
        assert one == other or SHORTEST.rank(one) != SHORTEST.rank(other)


@given(since=st.floats(0.0, 1e7), lasts=st.floats(1.0, 1e8), few=st.integers(1, 8), many=st.integers(9, 512))
def test_size_does_not_count(since: float, lasts: float, few: int, many: int) -> None:
    assert SHORTEST.rank(Candidate("a", 0, since, lasts, few)) == SHORTEST.rank(
        Candidate("a", 0, since, lasts, many)
    )
