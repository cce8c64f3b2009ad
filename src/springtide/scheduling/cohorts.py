"""Quota in a tree: what belongs to each queue and cohort, what it lends and borrows, and what is left for it.

A node of the tree is a ClusterQueue (a leaf) or a Cohort. What a node does not lend it keeps for itself; all
the rest goes up to its parent and may be used by anybody below it, up to each one's borrowing limit. A cell
is a flavor and a resource. `Tree` is fixed as long as the queues are; `Book` is what one cycle reckons with.
Called by `quota` and `preemption`. Source: Kueue's semantics of nominalQuota, borrowingLimit and lendingLimit
over hierarchical cohorts; of its dominant resource share see `dominance`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from springtide.scheduling.dominance import NOTHING, Share, dominant, whole_weights
from springtide.scheduling.dominance import Cell as Cell


@dataclass(frozen=True)
class CellQuota:
    """What a node has of a cell."""

    nominal: int = 0
    borrowing_limit: int | None = None
    """How much of others' it may use; None: all there is."""
    lending_limit: int | None = None
    """How much of its own others may use; None: all of it."""


@dataclass(frozen=True)
class QuotaNode:
    """A ClusterQueue or Cohort, as far as quota goes."""

    name: str
    parent: str = ""
    """Name of its Cohort; empty for a root."""
    cells: Mapping[Cell, CellQuota] = field(default_factory=dict)
    weight: float = 1.0
    """Its part in fair sharing; 0: only what nobody else wants."""
    reclaimable: bool = True
    """Whether others may take back what it uses beyond its own."""
    yields_late: int = 0
    """The higher, the later it does so."""


@dataclass(frozen=True, eq=False)
class _Node:
    name: str
    parent: _Node | None
    cells: Mapping[Cell, CellQuota]
    weight: float
    reclaimable: bool
    yields_late: int
    subtree: dict[Cell, int]
    """What belongs to it and what its children put up for all below it."""
    known: dict[Cell, tuple[int, int, int | None]] = field(default_factory=dict)
    potential: dict[Cell, int] = field(default_factory=dict)
    """What it might use if nobody else used anything, once somebody has asked."""
    lendable: dict[str, int] = field(default_factory=dict)
    """Of a cohort, what it might use of each resource by weight, once somebody has asked."""

    def terms(self, cell: Cell) -> tuple[int, int, int | None]:
        """What belongs to it, what of that no one outside may use, and how much of others' it may use."""
        found = self.known.get(cell)
        if found is None:
            quota = self.cells.get(cell)
            limit = quota.borrowing_limit if quota is not None else None
            found = self.known[cell] = self.subtree.get(cell, 0), self.kept(cell), limit
        return found

    def kept(self, cell: Cell) -> int:
        """What of it no one outside may use."""
        if self.parent is None:
            return 0
        limit = self.cells[cell].lending_limit if cell in self.cells else None
        return 0 if limit is None else max(0, self.subtree.get(cell, 0) - limit)

    def might_use(self, cell: Cell) -> int:
        """What it might use if nobody else used anything."""
        found = self.potential.get(cell)
        if found is None:
            own, kept, limit = self.terms(cell)
            found = own if self.parent is None else kept + self.parent.might_use(cell)
            if limit is not None:
                found = min(found, own + limit)
            self.potential[cell] = found
        return found

    def line(self) -> Iterator[_Node]:
        """Itself and its ancestors, upwards."""
        node: _Node | None = self
        while node is not None:
            yield node
            node = node.parent


class CycleError(ValueError):
    """Cohorts are each other's parents; the text names one of them."""


class Tree:
    """The queues and cohorts, linked."""

    def __init__(
        self,
        queues: Iterable[QuotaNode],
        cohorts: Iterable[QuotaNode] = (),
        weights: Mapping[Cell, Fraction] | None = None,
    ) -> None:
        """A cohort that is named but does not exist has no quota of its own. Raises CycleError.

        `weights`: how much more than 1 a cell counts in shares, where it does.
        """
        self._usual, self._weights = whole_weights(weights or {})
        known = {node.name: node for node in cohorts}
        self._cohorts: dict[str, _Node] = {}
        self._queues: dict[str, _Node] = {}
        for node in known.values():
            self._cohort(node.name, known, ())
        for queue in queues:
            parent = self._cohort(queue.parent, known, ()) if queue.parent else None
            self._queues[queue.name] = _link(queue, parent)
        members: dict[str, set[str]] = defaultdict(set)
        for name, linked in self._queues.items():
            members[self._root(linked)].add(name)
        self._members = {root: frozenset(names) for root, names in members.items()}
        for linked in (*self._queues.values(), *self._downwards()):
            _put_up(linked)

    def has(self, name: str) -> bool:
        """Whether there is a ClusterQueue of this name."""
        return name in self._queues

    def queue(self, name: str) -> _Node:
        """A ClusterQueue. Raises KeyError."""
        return self._queues[name]

    def cohort(self, name: str) -> _Node:
        """A Cohort. Raises KeyError."""
        return self._cohorts[name]

    def find(self, name: str, *, cohort: bool) -> _Node | None:
        """A ClusterQueue or Cohort, if it is of this tree."""
        return (self._cohorts if cohort else self._queues).get(name)

    def above(self, name: str) -> tuple[str, ...]:
        """The Cohorts a ClusterQueue is below, its own first."""
        return tuple(node.name for node in self._queues[name].line())[1:]

    def weight(self, cell: Cell) -> int:
        """How much a cell counts in shares, compared with others of its resource."""
        return self._weights.get(cell, self._usual)

    def lendable(self, cohort: _Node) -> Mapping[str, int]:
        """What those below a cohort might use of each resource, by weight; looked up once."""
        if not cohort.lendable:
            *_, root = cohort.line()
            for cell in root.subtree:
                more = cohort.might_use(cell) * self.weight(cell)
                cohort.lendable[cell[1]] = cohort.lendable.get(cell[1], 0) + more
        return cohort.lendable

    def around(self, name: str) -> frozenset[str]:
        """The ClusterQueues that share quota with this one, itself among them."""
        return self._members[self._root(self._queues[name])]

    def meeting(self, name: str, other: str) -> _Node | None:
        """The lowest Cohort that two ClusterQueues are both below; None if they share nothing."""
        above = {id(node) for node in self._queues[name].line()}
        return next((node for node in self._queues[other].line() if id(node) in above), None)

    def _cohort(self, name: str, known: Mapping[str, QuotaNode], below: tuple[str, ...]) -> _Node:
        if name in below:
            raise CycleError(f"Cohort {name} is its own ancestor: {' < '.join((*below, name))}")
        found = self._cohorts.get(name)
        if found is None:
            node = known.get(name, QuotaNode(name))
            parent = self._cohort(node.parent, known, (*below, name)) if node.parent else None
            found = self._cohorts[name] = _link(node, parent)
        return found

    def _downwards(self) -> list[_Node]:
        """Cohorts, children before parents."""
        return sorted(self._cohorts.values(), key=lambda node: -sum(1 for _ in node.line()))

    @staticmethod
    def _root(node: _Node) -> str:
        *_, root = node.line()
        return f"cohort {root.name}" if root is not node else f"queue {node.name}"


class Book:
    """Who uses how much of a tree; grows and shrinks with `use`, and back to a `mark`."""

    def __init__(self, tree: Tree, usage: Mapping[str, Mapping[Cell, int]] | None = None) -> None:
        self._tree = tree
        self._used: dict[_Node, dict[Cell, int]] = defaultdict(dict)
        self._over: dict[Cell, set[str]] = defaultdict(set)
        self._moves: list[tuple[str, Cell, int]] = []
        for queue, cells in (usage or {}).items():
            if tree.has(queue):
                for cell, amount in cells.items():
                    self._apply(queue, cell, amount)

    def use(self, queue: str, cell: Cell, amount: int) -> None:
        """Use so much more; negative gives back."""
        self._moves.append((queue, cell, amount))
        self._apply(queue, cell, amount)

    def mark(self) -> int:
        """A place to come back to with `rollback`."""
        return len(self._moves)

    def rollback(self, mark: int) -> None:
        """Undo every use since the mark."""
        while len(self._moves) > mark:
            queue, cell, amount = self._moves.pop()
            self._apply(queue, cell, -amount)

    def used(self, queue: str, cell: Cell) -> int:
        """What the queue uses."""
        return self._used[self._tree.queue(queue)].get(cell, 0)

    def available(self, queue: str, cell: Cell) -> int:
        """What the queue may use beyond what it does; negative if it uses more than it may."""
        return self._available(self._tree.queue(queue), cell)

    def potential(self, queue: str, cell: Cell) -> int:
        """What the queue might use if nobody else used anything."""
        return self._tree.queue(queue).might_use(cell)

    def borrowed(self, queue: str, cell: Cell, more: int = 0) -> int:
        """What the queue uses of others', if it used so much more."""
        node = self._tree.queue(queue)
        return max(0, self._used[node].get(cell, 0) + more - node.subtree.get(cell, 0))

    def exceeds(self, node: _Node, cells: Iterable[Cell]) -> bool:
        """Whether a node uses more than belongs to it of any of these."""
        used = self._used[node]
        return any(used.get(cell, 0) > node.subtree.get(cell, 0) for cell in cells)

    def exceeding(self, cells: Iterable[Cell]) -> set[str]:
        """The ClusterQueues that use more than belongs to them of any of these."""
        return set().union(*(self._over[cell] for cell in cells))

    def is_below_nominal(self, queue: str, cell: Cell) -> bool:
        """Whether the queue uses less than belongs to it."""
        node = self._tree.queue(queue)
        return self._used[node].get(cell, 0) < node.subtree.get(cell, 0)

    def is_entitled(self, node: _Node, more: Mapping[Cell, int]) -> tuple[bool, dict[Cell, int]]:
        """Whether so much more is within what belongs to a node; and what of it would go up to its parent."""
        used = self._used[node]
        within = all(used.get(cell, 0) + more[cell] <= node.subtree.get(cell, 0) for cell in more)
        left = {cell: max(0, more[cell] - max(0, node.kept(cell) - used.get(cell, 0))) for cell in more}
        return within, left

    def share(self, name: str, more: Mapping[Cell, int] | None = None, *, cohort: bool = False) -> Share:
        """Dominant resource share of a queue or a cohort, if it used so much more."""
        return self.share_of(self._tree.cohort(name) if cohort else self._tree.queue(name), more)

    def shares(self, name: str, *, cohort: bool = False) -> bool:
        """Whether a queue or cohort is in a cohort; False for one that is not of this tree."""
        found = self._tree.find(name, cohort=cohort)
        return found is not None and found.parent is not None

    def standing(self, queue: str) -> tuple[Share, ...]:
        """Shares of the queue's cohorts and its own, from the top: the larger has more than others."""
        line = list(self._tree.queue(queue).line())
        return tuple(self.share_of(node) for node in reversed(line[:-1]))

    def share_of(self, node: _Node, more: Mapping[Cell, int] | None = None) -> Share:
        """The same, of a node of the tree. A root has none."""
        if node.parent is None:
            return NOTHING
        used = self._used[node]
        borrowed: dict[str, int] = {}
        for cell in {**used, **more} if more else used:
            over = used.get(cell, 0) + (more.get(cell, 0) if more else 0) - node.subtree.get(cell, 0)
            if over > 0:
                borrowed[cell[1]] = borrowed.get(cell[1], 0) + over * self._tree.weight(cell)
        return dominant(borrowed, self._tree.lendable(node.parent), node.weight) if borrowed else NOTHING

    def _apply(self, queue: str, cell: Cell, amount: int) -> None:
        """What a node cannot take from what it keeps for itself it takes from its parent, and so on up.

        A queue that sets no quota at all has nothing to do with that of others.
        """
        leaf = self._tree.queue(queue)
        if not leaf.cells:
            return
        if self._used[leaf].get(cell, 0) + amount > leaf.subtree.get(cell, 0):
            self._over[cell].add(queue)
        else:
            self._over[cell].discard(queue)
        node: _Node | None = leaf
        while node is not None:
            of_node = self._used[node]
            used = of_node.get(cell, 0)
            of_node[cell] = used + amount
            kept = node.terms(cell)[1]
            amount = max(0, used + amount - kept) - max(0, used - kept)
            if not amount:
                return
            node = node.parent

    def _available(self, node: _Node, cell: Cell) -> int:
        used = self._used[node].get(cell, 0)
        own, kept, limit = node.terms(cell)
        if node.parent is None:
            return own - used
        above = self._available(node.parent, cell)
        if limit is not None:
            above = min(above, own - kept - max(0, used - kept) + limit)
        return max(0, kept - used) + above


def _link(node: QuotaNode, parent: _Node | None) -> _Node:
    nominal = {cell: quota.nominal for cell, quota in node.cells.items()}
    return _Node(node.name, parent, node.cells, node.weight, node.reclaimable, node.yields_late, nominal)


def _put_up(node: _Node) -> None:
    """Add to the parent what the node lends. Children come before their parents."""
    if node.parent is None:
        return
    for cell, amount in node.subtree.items():
        node.parent.subtree[cell] = node.parent.subtree.get(cell, 0) + amount - node.kept(cell)
