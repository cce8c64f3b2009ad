"""Dominant resource share: how much of what could be lent a queue or cohort has borrowed, by its weight.

Of each resource what is borrowed of all flavors is compared with what those below the parent might use at
most; the largest of these parts counts, divided by the weight. Where flavors differ in worth, each counts by
its `resourceWeights`, above and below the line alike: weights that are equal for all flavors change nothing.
Reckoned in whole numbers up to the last division, so that the order of additions cannot show. Called by
`cohorts`, `reports` and, to compare, by `turns` and `victims`.
Source: Kueue's fair sharing (KEP-1714, over hierarchical cohorts) and its weights of flavors (KEP-8902).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

Cell = tuple[str, str]
"""Flavor and resource."""
LARGEST = 2**63 - 1
"""What Kueue writes for the share of who borrows with a weight of 0."""


class Share(NamedTuple):
    """A share; compares as fair sharing does: the smaller goes first, the larger gives first."""

    outweighed: bool
    """Whether it borrows with a weight of 0: behind all others, and among such by the bare part."""
    part: float
    """Thousandths of what could be lent, divided by the weight unless that is 0."""

    @property
    def weighted(self) -> float:
        """As a number; infinite where the weight is 0."""
        return math.inf if self.outweighed else self.part

    @property
    def spelled(self) -> int:
        """As `status.fairSharing.weightedShare` has it: rounded up."""
        return LARGEST if self.outweighed else min(LARGEST, math.ceil(self.part))


NOTHING = Share(False, 0.0)


def dominant(borrowed: Mapping[str, int], lendable: Mapping[str, int], weight: float) -> Share:
    """The share of who has borrowed this of each resource, of what could be lent of each."""
    parts = (1000 * amount / lendable[name] for name, amount in borrowed.items() if lendable.get(name, 0) > 0)
    part = max(parts, default=0.0)
    return Share(False, part / weight) if weight else Share(True, part)


def whole_weights(weights: Mapping[Cell, Fraction]) -> tuple[int, dict[Cell, int]]:
    """Weights as whole numbers, and what a weight of 1 is in them."""
    usual = math.lcm(*(weight.denominator for weight in weights.values()))
    return usual, {cell: int(weight * usual) for cell, weight in weights.items()}
