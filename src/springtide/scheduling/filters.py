"""What pods ask of each other, applied to one cycle's nodes: near, away, spread, ports.

A placement asks `through` for what its class sees beside what is free, and tells every pod it places, takes
away or lets go. Counts start from the snapshot; only books that somebody needs are opened. Nothing here runs
for classes of pods that have no sort.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from springtide.scheduling import filters_affinity, filters_spread
from springtide.scheduling.arrays import Floats, Ints, Mask
from springtide.scheduling.between import Group, Port, Sort, Spread, Term
from springtide.scheduling.classes import Constraints
from springtide.scheduling.filters_books import Book, Counted
from springtide.scheduling.neighbours import Neighbourhood
from springtide.scheduling.nodes import Domains, Nodes
from springtide.scheduling.relations import Relations
from springtide.scheduling.views import Share, View

_HARMONY_WEIGHT = 1000.0
"""Wishes about other pods outweigh the policy's score, as those about nodes do."""
_EACH_NODE = ""
"""Stands for the node itself where a topology label is expected."""


@dataclass(frozen=True, eq=False)
class _Asked:
    """What one sort has to look at."""

    near: tuple[Book, ...]
    near_itself: bool
    apart: tuple[tuple[Term, Book], ...]
    """Its own distance, and that of pods that run."""
    ports: tuple[tuple[Port, Book], ...]
    spreads: tuple[tuple[Spread, Book, bool], ...]
    """Hard ones; and whether the pod counts itself."""
    even: tuple[tuple[Spread, Book], ...]
    """Soft ones."""
    wishes: tuple[tuple[int, Book], ...]


class Filters:
    """Pods that have to do with each other, on the nodes of one cycle."""

    def __init__(self, nodes: Nodes, neighbourhood: Neighbourhood | None, row_of: Mapping[str, int]) -> None:
        self.later = False
        """Whether pods that go count as gone."""
        self._nodes = nodes
        self._row_of = row_of
        self._neighbourhood = neighbourhood or Neighbourhood(Relations({}), {})
        self._relations = self._neighbourhood.relations
        self._books: dict[tuple[Counted, str, bool, bytes | None], Book] = {}
        self._books_of: dict[Sort, list[Book]] = {}
        self._asked: dict[tuple[Sort, bytes], _Asked] = {}
        self._asked_of = len(self._relations)
        self._placed: dict[Sort, Counter[int]] = defaultdict(Counter)
        self._gone: dict[Sort, Counter[int]] = defaultdict(Counter)
        self._leaving: dict[Sort, dict[int, int]] = {}
        self._moves: list[tuple[Sort, Ints, Ints, bool]] = []

    def twin(self) -> Filters:
        """The same as of now, of which something else may become."""
        other = Filters(self._nodes, self._neighbourhood, self._row_of)
        for sort, rows, pods, gone in self._moves:
            other._move(sort, rows, pods, gone=gone)
        return other

    def through(self, view: View, confined: Mask | None = None) -> View:
        """What the class sees of the nodes, beside what is free: where it may go, and where it likes to.

        `confined`: the nodes that its gang must stay on, so that it spreads over these alone.
        """
        sort = view.pod_class.between
        if sort is None:
            return view
        allowed, ranked = self._apply(view, sort, confined)
        return replace(view, fits=np.where(allowed, view.fits, 0), ranked=ranked)

    def ranked(self, view: View) -> View:
        """The same, but for how many fit."""
        sort = view.pod_class.between
        return view if sort is None else replace(view, ranked=self._apply(view, sort)[1])

    def _apply(self, view: View, sort: Sort, confined: Mask | None = None) -> tuple[Mask, Floats]:
        """The nodes that are left, and their scores."""
        asked = self._of(sort, view.pod_class.constraints)
        allowed: Mask = view.ranked < np.inf
        for mask, _ in self._masks(asked, confined):
            allowed &= mask
        ranked: Floats = np.where(allowed, view.ranked, np.inf)
        if asked.wishes:
            ranked += _HARMONY_WEIGHT * filters_affinity.dislike(asked.wishes, allowed, later=self.later)
        if asked.even:
            ranked += _HARMONY_WEIGHT * filters_spread.unevenness(asked.even, allowed, later=self.later)
        return allowed, ranked

    def concerns_itself(self, view: View) -> bool:
        """Whether one pod of the class changes where the next may go, or likes to."""
        sort = view.pod_class.between
        if sort is None or sort.own is None:
            return False
        return bool(sort.own.ports) or any(self._relations.matches(one, sort) for one in sort.own.groups)

    def at_most_one(self, view: View) -> Mask | None:
        """The nodes that hold at most one such pod, if that is all that such pods ask of each other."""
        sort = view.pod_class.between
        if sort is None or sort.own is None:
            return None
        own = sort.own
        groups = [*(term.group for term in (*own.near, *own.likes)), *(one.group for one in own.spreads)]
        if any(self._relations.matches(group, sort) for group in groups):
            return None
        lone = np.full(len(self._nodes), bool(own.ports))
        for term in own.away:
            if self._relations.matches(term.group, sort):
                domains = self._nodes.domains(term.level)
                inside = domains.of_node >= 0
                if len(domains.names) != int(inside.sum()):
                    return None
                lone |= inside
        return lone

    def itself_near(self, view: View) -> tuple[str, ...]:
        """The labels within whose values all pods of the class must be together."""
        sort = view.pod_class.between
        if sort is None or sort.own is None or not sort.own.near:
            return ()
        together = self._relations.matches(sort.own.near[0].group, sort)
        return tuple(term.level for term in sort.own.near) if together else ()

    def reasons(self, view: View) -> Iterator[tuple[Mask, str]]:
        """For each thing asked: the nodes it leaves, and words for what keeps the others away."""
        sort = view.pod_class.between
        if sort is not None:
            yield from self._masks(self._of(sort, view.pod_class.constraints))

    # -- counting ----------------------------------------------------------------------------------

    def count(self, sort: Sort, share: Share, sign: int) -> None:
        """Pods of this sort were placed (or taken back)."""
        self._move(sort, share.rows, sign * share.counts, gone=False)

    def leave(self, sort: Sort, share: Share) -> None:
        """Pods of this sort go: they count no more in what is `later`."""
        self._move(sort, share.rows, share.counts, gone=True)

    def mark(self) -> int:
        """A place to come back to."""
        return len(self._moves)

    def rollback(self, mark: int) -> None:
        """As it was then."""
        for sort, rows, pods, gone in reversed(self._moves[mark:]):
            self._enter(sort, rows, -pods, gone=gone)
        del self._moves[mark:]

    def _move(self, sort: Sort, rows: Ints, pods: Ints, *, gone: bool) -> None:
        self._moves.append((sort, rows, pods, gone))
        self._enter(sort, rows, pods, gone=gone)

    def _enter(self, sort: Sort, rows: Ints, pods: Ints, *, gone: bool) -> None:
        self._relations.add(sort)
        of_row = (self._gone if gone else self._placed)[sort]
        before = [of_row[row] for row in rows.tolist()]
        for row, number in zip(rows.tolist(), pods.tolist(), strict=True):
            of_row[row] += number
        for book in self._books_with(sort):
            book.add(
                rows,
                self._running(sort, rows, before, pods) if gone and book.running_only else pods,
                gone=gone,
            )

    def _running(self, sort: Sort, rows: Ints, gone_before: Iterable[int], pods: Ints) -> Ints:
        """How many of those who go were not being deleted already: of each node, these go first."""
        leaving = self._leaving_of(sort)
        found = [
            max(0, before + number - leaving.get(row, 0)) - max(0, before - leaving.get(row, 0))
            for row, before, number in zip(rows.tolist(), gone_before, pods.tolist(), strict=True)
        ]
        return np.array(found, dtype=np.int64)

    def _leaving_of(self, sort: Sort) -> Mapping[int, int]:
        found = self._leaving.get(sort)
        if found is None:
            standing = self._neighbourhood.standing.get(sort)
            rows, _, leaving = standing.rows(self._nodes, self._row_of) if standing is not None else _NOBODY
            found = dict(zip(rows.tolist(), leaving.tolist(), strict=True))
            self._leaving[sort] = found
        return found

    # -- books -------------------------------------------------------------------------------------

    def _books_with(self, sort: Sort) -> list[Book]:
        """The books in which pods of a sort are counted."""
        found = self._books_of.get(sort)
        if found is None:
            found = [book for key, book in self._books.items() if self._counts_in(sort, key[0])]
            self._books_of[sort] = found
        return found

    def _counts_in(self, sort: Sort, counted: Counted) -> bool:
        if isinstance(counted, Group):
            return self._relations.matches(counted, sort)
        if sort.own is None:
            return False
        if isinstance(counted, Port):
            return any(counted.clashes(port) for port in sort.own.ports)
        return counted in sort.own.away or counted in sort.own.carried

    def _sorts_in(self, counted: Counted) -> Iterable[Sort]:
        if isinstance(counted, Group):
            return self._relations.members(counted)
        if isinstance(counted, Port):
            return self._relations.clashing(counted)
        return self._relations.carriers(counted)

    def _book(
        self,
        counted: Counted,
        level: str,
        *,
        running_only: bool = False,
        eligible: Mask | None = None,
        eligible_key: bytes | None = None,
    ) -> Book:
        key = counted, level, running_only, eligible_key
        found = self._books.get(key)
        if found is not None:
            return found
        book = self._books[key] = Book(self._domains(level), eligible, running_only)
        for sort in self._sorts_in(counted):
            standing = self._neighbourhood.standing.get(sort)
            if standing is not None:
                rows, pods, leaving = standing.rows(self._nodes, self._row_of)
                book.add(rows, pods - leaving if running_only else pods)
            if sort in self._placed:
                book.add(*_arrays(self._placed[sort]))
            if sort in self._gone:
                rows, pods = _arrays(self._gone[sort])
                zeros = [0] * len(rows)
                book.add(rows, self._running(sort, rows, zeros, pods) if running_only else pods, gone=True)
        for sort in self._sorts_in(counted):
            if sort in self._books_of:
                self._books_of[sort].append(book)
        return book

    def _domains(self, level: str) -> Domains:
        if level != _EACH_NODE:
            return self._nodes.domains(level)
        return Domains(np.arange(len(self._nodes)), tuple(facts.name for facts in self._nodes.facts))

    # -- what is asked -----------------------------------------------------------------------------

    def _of(self, sort: Sort, constraints: Constraints) -> _Asked:
        if self._asked_of != len(self._relations):
            self._asked.clear()
            self._asked_of = len(self._relations)
        found = self._asked.get((sort, constraints.key))
        if found is None:
            found = self._asked[sort, constraints.key] = self._compile(sort, constraints)
        return found

    def _compile(self, sort: Sort, constraints: Constraints) -> _Asked:
        own = sort.own
        met = list(self._relations.met_by(sort))
        distances = [(term, self._book(term, term.level)) for term in met if not term.weight]
        wishes = [(term.weight, self._book(term, term.level)) for term in met if term.weight]
        if own is None:
            return _Asked((), False, tuple(distances), (), (), (), tuple(wishes))
        hard = [one for one in own.spreads if one.hard]
        soft = [one for one in own.spreads if not one.hard]
        return _Asked(
            near=tuple(self._book(term.group, term.level) for term in own.near),
            near_itself=bool(own.near) and self._relations.matches(own.near[0].group, sort),
            apart=(*((term, self._book(term.group, term.level)) for term in own.away), *distances),
            ports=tuple((port, self._book(port, _EACH_NODE)) for port in own.ports),
            spreads=tuple(
                (one, self._spread(one, hard, constraints), self._relations.matches(one.group, sort))
                for one in hard
            ),
            even=tuple((one, self._spread(one, soft, constraints)) for one in soft),
            wishes=(*((term.weight, self._book(term.group, term.level)) for term in own.likes), *wishes),
        )

    def _spread(self, one: Spread, beside: Iterable[Spread], constraints: Constraints) -> Book:
        """The book of a spread, which counts nodes that have all the labels that matter to the pod."""
        levels = sorted({other.level for other in beside})
        eligible: Mask = np.logical_and.reduce([self._nodes.domains(level).of_node >= 0 for level in levels])
        if one.honors_affinity:
            eligible = eligible & self._nodes.selected(constraints)
        if one.honors_taints:
            eligible = eligible & self._nodes.tolerated(constraints)
        honors = bytes((one.honors_affinity, one.honors_taints))
        asked = constraints.key if any(honors) else b""
        key = b"|".join((honors, asked, *(level.encode() for level in levels)))
        return self._book(one.group, one.level, running_only=True, eligible=eligible, eligible_key=key)

    def _masks(self, asked: _Asked, confined: Mask | None = None) -> Iterator[tuple[Mask, str]]:
        later = self.later
        if asked.near:
            near = filters_affinity.together(asked.near, counts_itself=asked.near_itself, later=later)
            yield near, "no pods there that it must be near to"
        for term, book in asked.apart:
            words = f"pods must not share a {term.level} with {term.group.words}"
            yield filters_affinity.apart(book, later=later), words
        for port, book in asked.ports:
            yield filters_affinity.apart(book, later=later), f"host port {port.number} taken"
        for spread, book, counts_itself in asked.spreads:
            skews = filters_spread.skews(
                spread, book, counts_itself=counts_itself, later=later, inside=confined
            )
            over = skews[skews > spread.max_skew]
            skew = f" (skew {int(over.min())} > {spread.max_skew})" if len(over) else ""
            words = f"would break the spread of {spread.group.words} over {spread.level}{skew}"
            yield filters_spread.within_skew(book, skews, spread.max_skew), words


_NOBODY: tuple[Ints, Ints, Ints] = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))


def _arrays(of_row: Mapping[int, int]) -> tuple[Ints, Ints]:
    rows = np.fromiter(of_row.keys(), dtype=np.int64, count=len(of_row))
    return rows, np.fromiter(of_row.values(), dtype=np.int64, count=len(of_row))
