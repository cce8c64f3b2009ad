"""Sets of indexes as intervals, against Python's own sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api.indexes import BadIndexes, Indexes, indexes_of, parse_indexes, read_indexes

SETS = st.sets(st.integers(0, 40))


@given(SETS, SETS)
def test_they_are_sets(one: set[int], other: set[int]) -> None:
    left, right = indexes_of(one), indexes_of(other)
    assert set(left) == one
    assert len(left) == len(one)
    assert bool(left) == bool(one)
    assert set(left | right) == one | other
    assert set(left.overlap(right)) == one & other
    assert [index for index in range(45) if index in left] == sorted(one)
    assert list(left.missing(30)) == [index for index in range(30) if index not in one]


@given(SETS)
def test_what_is_written_reads_the_same(numbers: set[int]) -> None:
    text = str(indexes_of(numbers))
    assert parse_indexes(text, 41) == indexes_of(numbers)
    assert read_indexes(text, 41) == indexes_of(numbers)
    assert read_indexes(text, 20) == indexes_of(number for number in numbers if number < 20)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [((), ""), ((3,), "3"), ((3, 4), "3,4"), ((3, 4, 5), "3-5"), ((0, 1, 2, 5, 7, 8, 9), "0-2,5,7-9")],
)
def test_the_form(numbers: tuple[int, ...], text: str) -> None:
    assert str(indexes_of(numbers)) == text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1-2-3", "at most two parts"),
        ("x", 'cannot convert string to integer for index: "x"'),
        ("1,", 'cannot convert string to integer for index: ""'),
        ("10", 'too large index: "10"'),
        ("5-10", 'too large index: "10"'),
        ("3-3", "non-increasing order, previous: 3, current: 3"),
        ("1,1", "non-increasing order, previous: 1, current: 1"),
        ("4,2-3", "non-increasing order, previous: 4, current: 2"),
    ],
)
def test_what_is_refused(text: str, fault: str) -> None:
    with pytest.raises(BadIndexes, match=fault):
        parse_indexes(text, 10)


def test_what_is_damaged_is_left_out() -> None:
    assert read_indexes("0-1,x,4-,7", 10) == Indexes(((0, 1), (7, 7)))
