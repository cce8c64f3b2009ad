"""Sets of indexes written as intervals, such as `0-2,5`: how an Indexed Job says what is done.

Called by the server, which checks what is written, and by the Job controller, which counts with it. All
operations take time by the number of intervals, not of indexes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from springtide.api.numbers import whole_number


class BadIndexes(ValueError):
    """A text that is no set of indexes below the limit; says where."""


@dataclass(frozen=True, slots=True)
class Indexes:
    """A set of whole numbers from 0 on. `intervals` are inclusive, apart from each other, and ascending."""

    intervals: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.intervals)

    def __bool__(self) -> bool:
        return bool(self.intervals)

    def __contains__(self, index: object) -> bool:
        if not isinstance(index, int):
            return False
        place = bisect_right(self.intervals, (index, 1 << 62))
        return place > 0 and self.intervals[place - 1][1] >= index

    def __iter__(self) -> Iterator[int]:
        for first, last in self.intervals:
            yield from range(first, last + 1)

    def __str__(self) -> str:
        return ",".join(_spell(first, last) for first, last in self.intervals)

    def __or__(self, other: Indexes) -> Indexes:
        merged: list[tuple[int, int]] = []
        for first, last in sorted((*self.intervals, *other.intervals)):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        return Indexes(tuple(merged))

    def overlap(self, other: Indexes) -> Indexes:
        """What is in both."""
        found: list[tuple[int, int]] = []
        mine, theirs = list(self.intervals), list(other.intervals)
        here = there = 0
        while here < len(mine) and there < len(theirs):
            first = max(mine[here][0], theirs[there][0])
            last = min(mine[here][1], theirs[there][1])
            if first <= last:
                found.append((first, last))
            if mine[here][1] < theirs[there][1]:
                here += 1
            else:
                there += 1
        return Indexes(tuple(found))

    def missing(self, limit: int) -> Iterator[int]:
        """The indexes below `limit` that are not in the set, ascending."""
        candidate = 0
        for first, last in self.intervals:
            yield from range(candidate, min(first, limit))
            candidate = max(candidate, last + 1)
        yield from range(candidate, limit)


def indexes_of(numbers: Iterable[int]) -> Indexes:
    """The set of these numbers."""
    return Indexes() | Indexes(tuple((one, one) for one in sorted(set(numbers))))


def parse_indexes(text: str, limit: int) -> Indexes:
    """Read a set strictly. Raises BadIndexes for a wrong form, order, or an index from `limit` on."""
    intervals: list[tuple[int, int]] = []
    for part in text.split(",") if text else ():
        first, last = _interval(part, limit)
        if intervals and intervals[-1][1] >= first:
            raise BadIndexes(f"non-increasing order, previous: {intervals[-1][1]}, current: {first}")
        intervals.append((first, last))
    return Indexes() | Indexes(tuple(intervals))


def read_indexes(text: str, limit: int) -> Indexes:
    """Read what may be damaged or reach beyond `limit`: what cannot be read or is too large is left out."""
    found: list[tuple[int, int]] = []
    for part in text.split(",") if text else ():
        ends = part.split("-")
        first, last = whole_number(ends[0]), whole_number(ends[-1])
        if first is None or last is None or not all(end.isdecimal() for end in ends):
            continue
        last = min(last, limit - 1)
        if first <= last:
            found.append((first, last))
    return Indexes() | Indexes(tuple(found))


def _interval(text: str, limit: int) -> tuple[int, int]:
    ends = text.split("-")
    if len(ends) > 2:
        raise BadIndexes(
            f'the fragment "{text}" violates the requirement that an index interval can have at most two '
            "parts separated by '-'"
        )
    numbers = [_index(end, limit) for end in ends]
    if len(numbers) == 2 and numbers[0] >= numbers[1]:
        raise BadIndexes(f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}")
    return numbers[0], numbers[-1]


def _index(text: str, limit: int) -> int:
    if not text.isascii() or not text.isdecimal():
        raise BadIndexes(f'cannot convert string to integer for index: "{text}"')
    index = whole_number(text)
    if index is None or index >= limit:
        raise BadIndexes(f'too large index: "{text}"')
    return index


def _spell(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"
