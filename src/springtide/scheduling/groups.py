"""Pod sets of one group in one domain: a leader beside its workers, whatever each of them asks of a node.

Domains that could hold every set of the group by itself are tried in turn, the tightest first, each with all
sets together; so what is found is exact, and nothing is taken in vain. Called by `placement` for workloads
that have a group; all others never come here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from springtide.scheduling.arrays import Ints
from springtide.scheduling.choice import tree_of
from springtide.scheduling.classes import PodClass
from springtide.scheduling.descent import Wanted, counted, wanted
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.nodes import Nodes
from springtide.scheduling.tree import Tree
from springtide.scheduling.views import Share, View


class Places(Protocol):
    """What of a placement is needed here."""

    def mark(self) -> int:
        """A place to come back to."""

    def rollback(self, mark: int) -> None:
        """Undo what was taken since."""

    def view(self, pod_class: PodClass) -> View:
        """What such pods see."""


Place = Callable[[PodSetFacts, Ints | None], Share | None]
"""Places one set and takes what it needs; on some nodes alone, if they are given."""


def place_groups(
    places: Places, nodes: Nodes, pod_sets: Sequence[PodSetFacts], place: Place
) -> list[Share] | None:
    """Place all sets, those of a group together; None, and perhaps something taken, if any cannot."""
    shares: dict[int, Share] = {}
    for members in _groups(pod_sets):
        found = _together(places, nodes, [pod_sets[at] for at in members], place)
        if found is None:
            return None
        shares.update(zip(members, found, strict=True))
    return [shares[at] for at in range(len(pod_sets))]


def _groups(pod_sets: Sequence[PodSetFacts]) -> list[list[int]]:
    """Which sets belong together, by their numbers; those of no group each alone."""
    found: dict[str, list[int]] = {}
    for at, pod_set in enumerate(pod_sets):
        found.setdefault(f"group/{pod_set.group}" if pod_set.group else f"set/{at}", []).append(at)
    return list(found.values())


def _together(
    places: Places, nodes: Nodes, members: Sequence[PodSetFacts], place: Place
) -> list[Share] | None:
    if len(members) > 1:
        for rows in _domains(places, nodes, members):
            for turn in (1, -1):
                found = _each(places, members, turn, rows, place)
                if found is not None:
                    return found
        if any(one.required_level for one in members):
            return None
    return _each(places, members, 1, None, place)


def _each(
    places: Places, members: Sequence[PodSetFacts], turn: int, rows: Ints | None, place: Place
) -> list[Share] | None:
    """All sets on these nodes, in this order or the other way round."""
    mark = places.mark()
    found: list[Share] = []
    for one in members[::turn]:
        share = place(one, rows)
        if share is None:
            places.rollback(mark)
            return None
        found.append(share)
    return found[::turn]


def _domains(places: Places, nodes: Nodes, members: Sequence[PodSetFacts]) -> Iterator[Ints]:
    """The nodes of each domain that holds every set by itself: the lowest level, then the tightest first."""
    tree = tree_of(nodes, members[0])
    asked = [wanted(tree, one) for one in members]
    if None in asked or not len(tree.rows):
        return
    known: list[Wanted] = [one for one in asked if one is not None]
    limit = max(one.limit for one in known)
    counts = [
        counted(tree, one.units, places.view(member.pod_class).fits, limit)
        for one, member in zip(known, members, strict=True)
    ]
    for level in range(min(one.start for one in known), limit - 1, -1):
        yield from _at(tree, level, members, known, counts)


def _at(
    tree: Tree,
    level: int,
    members: Sequence[PodSetFacts],
    asked: Sequence[Wanted],
    counts: Sequence[Sequence[Ints]],
) -> Iterator[Ints]:
    room = np.zeros(len(tree.starts[level]), dtype=np.int64)
    holds = np.ones(len(room), dtype=np.bool_)
    for member, one, of_levels in zip(members, asked, counts, strict=True):
        holds &= of_levels[level] * one.units[level] >= member.count
        room += of_levels[level] * one.units[level]
    fitting = np.flatnonzero(holds)
    for domain in fitting[np.argsort(room[fitting], kind="stable")].tolist():
        yield tree.inside(level, domain)
