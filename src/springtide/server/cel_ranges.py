"""Ranges of sizes and costs, from least to most, that stop at the largest number instead of growing past it.

Used by `cel_cost` and `cel_call_estimates`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

LARGEST = 2**64 - 1


class Range(NamedTuple):
    """From `least` to `most`, both included."""

    least: int
    most: int

    def plus(self, other: Range) -> Range:
        return Range(min(LARGEST, self.least + other.least), min(LARGEST, self.most + other.most))

    def times(self, other: Range) -> Range:
        return Range(min(LARGEST, self.least * other.least), min(LARGEST, self.most * other.most))

    def scaled(self, factor: float) -> Range:
        return Range(_scaled(self.least, factor), _scaled(self.most, factor))

    def union(self, other: Range) -> Range:
        return Range(min(self.least, other.least), max(self.most, other.most))


def fixed(value: int) -> Range:
    return Range(value, value)


def _scaled(value: int, factor: float) -> int:
    return min(LARGEST, math.ceil(float(value) * factor))


NOTHING, ONE, UNKNOWN = fixed(0), fixed(1), Range(0, LARGEST)
