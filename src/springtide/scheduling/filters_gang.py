"""Pods of one gang that concern each other: one after the other, each seeing those before it, or none.

Called by `placement` for pod sets whose class has a sort; all others never come here. At most one pod a node
(distance by host name, a port of the node) is a limit on what fits there, so that the gang is chosen at once
like any other. Everything else is tried pod by pod, within each domain that must, or should, hold it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from springtide.scheduling.arrays import Ints, Mask
from springtide.scheduling.choice import choose, tree_of
from springtide.scheduling.descent import wanted
from springtide.scheduling.devices import Taken
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.filters import Filters
from springtide.scheduling.nodes import Nodes
from springtide.scheduling.views import Share, View


class Ground(Protocol):
    """What of a placement is needed here."""

    def mark(self) -> int:
        """A place to come back to."""

    def rollback(self, mark: int) -> None:
        """Undo what was taken since."""


Look = Callable[[], View]
"""What the class sees now beside other pods, on the nodes that it may have."""
Take = Callable[[Share], Share]
"""Takes pods, and says which devices they have."""


def place_neighbours(
    ground: Ground, nodes: Nodes, filters: Filters, pod_set: PodSetFacts, look: Look, take: Take
) -> Share | None:
    """Place all pods of a set and take what they need; None, and nothing taken, if they cannot."""
    base = look()
    seen = filters.through(base)
    if pod_set.count == 1 or not filters.concerns_itself(base):
        share = choose(nodes, seen, pod_set)
        return take(share) if share is not None else None
    lone = filters.at_most_one(base)
    if lone is not None:
        share = choose(
            nodes, replace(seen, fits=np.where(lone, np.minimum(seen.fits, 1), seen.fits)), pod_set
        )
        return take(share) if share is not None else None
    walk = _Walk(ground, nodes, filters, pod_set, look, take)
    if pod_set.slices:
        return walk.whole(seen)
    for rows in _domains(nodes, filters, seen, pod_set):
        share = walk.along(rows)
        if share is not None:
            return share
    return None


class _Walk:
    """Trials of one set."""

    def __init__(
        self, ground: Ground, nodes: Nodes, filters: Filters, pod_set: PodSetFacts, look: Look, take: Take
    ) -> None:
        self._ground = ground
        self._nodes = nodes
        self._filters = filters
        self._one = replace(pod_set, count=1, required_level="", preferred_level="", slices=(), levels=())
        self._pod_set = pod_set
        self._look = look
        self._take = take

    def along(self, inside: Mask | None) -> Share | None:
        """One pod after the other, where each sees the best node."""
        mark = self._ground.mark()
        taken: list[Share] = []
        confined = inside if self._pod_set.required_level else None
        for _ in range(self._pod_set.count):
            seen = self._filters.through(self._look(), confined)
            if inside is not None:
                seen = replace(
                    seen,
                    fits=np.where(inside, seen.fits, 0),
                    ranked=np.where(inside, seen.ranked, np.inf),
                )
            share = choose(self._nodes, seen, self._one)
            if share is None:
                self._ground.rollback(mark)
                return None
            taken.append(self._take(share))
        return together(taken)

    def whole(self, seen: View) -> Share | None:
        """All pods where the set as one would be, if they bear with each other there."""
        share = choose(self._nodes, seen, self._pod_set)
        if share is None:
            return None
        mark = self._ground.mark()
        taken = []
        confined = self._required(int(share.rows[0])) if self._pod_set.required_level else None
        for row in np.repeat(share.rows, share.counts).tolist():
            if self._filters.through(self._look(), confined).fits[row] <= 0:
                self._ground.rollback(mark)
                return None
            taken.append(self._take(Share(np.array([row], dtype=np.int64), np.ones(1, dtype=np.int64))))
        return together(taken)

    def _required(self, row: int) -> Mask:
        """The nodes of the domain that the set is confined to, if this is one of them."""
        tree = tree_of(self._nodes, self._pod_set)
        domains = tree.domains(tree.index(self._pod_set.required_level))
        found: Mask = domains == domains[row]
        return found


def together(shares: list[Share]) -> Share:
    """Several shares of single pods as one, in the order in which nodes were first chosen."""
    of_row: dict[int, list[Taken]] = {}
    counts: dict[int, int] = {}
    for share in shares:
        row = int(share.rows[0])
        counts[row] = counts.get(row, 0) + 1
        of_row.setdefault(row, []).extend(share.devices)
    rows: Ints = np.fromiter(counts.keys(), dtype=np.int64, count=len(counts))
    number = np.fromiter(counts.values(), dtype=np.int64, count=len(counts))
    return Share(rows, number, tuple(taken for row in counts for taken in of_row[row]))


def _domains(nodes: Nodes, filters: Filters, seen: View, pod_set: PodSetFacts) -> Iterator[Mask | None]:
    """The nodes to try: of each domain that could hold the set, the tightest first; None: all of them."""
    if pod_set.required_level or pod_set.preferred_level:
        tree = tree_of(nodes, pod_set)
        asked = wanted(tree, pod_set)
        for level in range(asked.start, asked.limit - 1, -1) if asked is not None else ():
            yield from _holding(tree.domains(level), seen, pod_set.count)
    if pod_set.required_level:
        return
    for label in filters.itself_near(seen):
        yield from _holding(nodes.domains(label).of_node, seen, pod_set.count)
    yield None


def _holding(domain_of: Ints, seen: View, count: int) -> Iterator[Mask]:
    """The nodes of each domain with room for so many pods, the tightest first."""
    inside = domain_of >= 0
    room = np.zeros(int(domain_of.max(initial=-1)) + 1, dtype=np.int64)
    np.add.at(room, domain_of[inside], seen.fits[inside])
    for domain in np.argsort(room, kind="stable").tolist():
        if room[domain] >= count:
            yield domain_of == domain
