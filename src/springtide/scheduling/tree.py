"""Nodes as a tree of domains: block, rack, node; counted level by level with one pass of numpy each.

Made by `Nodes` for the levels of a topology, and kept there until a node changes its labels. A domain is
named by its value and those of all levels above it, so that rack 1 of block A is not rack 1 of block B.
Nodes that lack one of the labels are not in the tree. Called by `choice`, `descent` and `groups`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from springtide.api.labels import HOSTNAME
from springtide.scheduling.arrays import Ints


@dataclass(frozen=True, eq=False)
class Tree:
    """Levels from the widest to the nodes themselves; nodes in an order in which each domain is one run."""

    levels: tuple[str, ...]
    """Names of the levels above the nodes, the widest first."""
    rows: Ints
    """Rows of the nodes in the tree, neighbours side by side."""
    place: Ints
    """Of each row of the snapshot its position in `rows`; behind all others for nodes not in the tree."""
    starts: tuple[Ints, ...]
    """Per level, the position at which each domain begins; of the nodes, one each."""
    children: tuple[Ints, ...]
    """Per level but the last, the number of each domain's first child; then that of all children."""
    names: tuple[tuple[str, ...], ...]
    """Per level, the value of each domain's label."""

    @property
    def bottom(self) -> int:
        """The number of the level of nodes."""
        return len(self.levels)

    def index(self, level: str) -> int:
        """The number of a level; -1 for one that is not of this tree."""
        if level in self.levels:
            return self.levels.index(level)
        return self.bottom if level == HOSTNAME else -1

    def up(self, level: int, counts: Ints) -> Ints:
        """What the domains of a level hold, by what those of the level below hold."""
        firsts = self.children[level][:-1]
        return np.add.reduceat(counts, firsts) if len(firsts) else np.zeros(0, dtype=np.int64)

    def below(self, level: int, domains: Ints) -> Ints:
        """The domains of the next level inside these."""
        first, last = self.children[level][domains], self.children[level][domains + 1]
        if len(first) == 1:
            return np.arange(first[0], last[0])
        return np.concatenate([np.arange(a, b) for a, b in zip(first.tolist(), last.tolist(), strict=True)])

    def inside(self, level: int, domain: int) -> Ints:
        """The rows of the nodes of a domain."""
        starts = self.starts[level]
        end = int(starts[domain + 1]) if domain + 1 < len(starts) else len(self.rows)
        return self.rows[int(starts[domain]) : end]

    def domains(self, level: int) -> Ints:
        """Of each row the number of its domain; -1 for nodes that are not in the tree."""
        found = np.searchsorted(self.starts[level], self.place, side="right") - 1
        found[self.place >= len(self.rows)] = -1
        return found.astype(np.int64)

    def domain_of(self, level: int, row: int) -> int:
        """The number of the domain a node is in; -1 if it is not in the tree."""
        position = int(self.place[row])
        if position >= len(self.rows):
            return -1
        return int(np.searchsorted(self.starts[level], position, side="right")) - 1


def grow(number: int, levels: Sequence[str], value_of: Callable[[int, str], str | None]) -> Tree:
    """The tree of so many nodes. `value_of` gives a node's domain by its row and the level."""
    above = tuple(levels[:-1] if levels and levels[-1] == HOSTNAME else levels)
    paths: list[tuple[tuple[str, ...], int]] = []
    for row in range(number):
        values = [value_of(row, level) for level in above]
        path = tuple(value for value in values if value is not None)
        if len(path) == len(values):
            paths.append((path, row))
    paths.sort()
    rows = np.array([row for _, row in paths], dtype=np.int64)
    place = np.full(number, len(rows), dtype=np.int64)
    place[rows] = np.arange(len(rows))
    starts: list[Ints] = []
    names: list[tuple[str, ...]] = []
    for depth in range(1, len(above) + 1):
        firsts = [
            at for at, (path, _) in enumerate(paths) if at == 0 or path[:depth] != paths[at - 1][0][:depth]
        ]
        starts.append(np.array(firsts, dtype=np.int64))
        names.append(tuple(paths[at][0][depth - 1] for at in firsts))
    starts.append(np.arange(len(rows), dtype=np.int64))
    children = tuple(
        np.append(np.searchsorted(below, firsts), len(below)) for firsts, below in pairwise(starts)
    )
    return Tree(above, rows, place, tuple(starts), children, tuple(names))
