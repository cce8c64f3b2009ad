"""Where the pods of a gang go: all of them at once, or none.

One `Placement` lives for one cycle. It starts from a snapshot's free capacity; what is placed is taken at
once. What classes of pods see of it is `sights`, which nodes a set gets is `choice`; what is free, and what
has changed, is `supply`. Called by the cycle, the replays and the benchmarks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from math import inf
from typing import NamedTuple

import numpy as np

from springtide.scheduling.arrays import Ints
from springtide.scheduling.choice import choose, inside, room_in_best_domain
from springtide.scheduling.classes import PodClass
from springtide.scheduling.devices import Devices, Taken
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.filters import Filters
from springtide.scheduling.filters_gang import place_neighbours
from springtide.scheduling.fragments import Fragments
from springtide.scheduling.groups import place_groups
from springtide.scheduling.nodes import Nodes
from springtide.scheduling.policies import FRAGMENTS, Policy
from springtide.scheduling.releasing import Held
from springtide.scheduling.requests import CPU
from springtide.scheduling.sights import Sights, room
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.supply import Supply
from springtide.scheduling.views import Share, View

_ONE = np.ones(1, dtype=np.int64)
_ONE.flags.writeable = False


class _Move(NamedTuple):
    """Something taken (or given back), so that it can be undone."""

    pod_class: PodClass
    takes: Ints
    """What one pod takes of every resource."""
    share: Share
    sign: int


@dataclass(frozen=True, eq=False)
class _Before:
    """What was free on some nodes before much was given back at once."""

    rows: Ints
    free: Ints
    devices: tuple[Ints, ...]
    filters: int
    """What `Filters.mark` said."""


class Placement:
    """Free capacity of one cycle, and the choice of nodes."""

    def __init__(self, snapshot: Snapshot, policy: Policy = FRAGMENTS, seed: int = 0) -> None:
        self._nodes = snapshot.nodes
        self._capacity = snapshot.capacity
        self._whole = snapshot.devices_when_empty
        cpu = snapshot.resources.index(CPU) if CPU in snapshot.resources else None
        self._fragments = Fragments(
            snapshot.demands,
            self._whole.models,
            self._whole.share.shape[1],
            int(self._capacity[:, cpu].max(initial=0)) if cpu is not None else 0,
            policy.weights,
            self._whole.memories,
        )
        self._supply = Supply(snapshot, self._fragments)
        self._all = np.arange(len(self._nodes))
        self._sights = Sights(self._nodes, self._supply, self._fragments, policy, np.random.default_rng(seed))
        self._moves: list[_Move | _Before] = []
        self._row_of = {facts.name: row for row, facts in enumerate(snapshot.nodes.facts)}
        self._ending = list(snapshot.releasing)
        self._coming: Ints | None = None
        self._coming_devices: tuple[Ints, ...] = ()
        self._filters = Filters(snapshot.nodes, snapshot.neighbourhood, self._row_of)

    def place(
        self, pod_sets: Sequence[PodSetFacts], within: Placement | None = None
    ) -> tuple[Share, ...] | None:
        """Place all pods of all sets and take what they need; None, and nothing taken, if any cannot.

        `within` is the same nodes at another moment: only what is free then too is given; nothing is taken
        of it, so that more than one set at a time may be given too much.
        """
        if len(pod_sets) == 1 and not pod_sets[0].group:
            share = self.place_set(pod_sets[0], within)
            return None if share is None else (share,)
        mark = self.mark()
        if any(pod_set.group for pod_set in pod_sets):
            together = place_groups(
                self, self._nodes, pod_sets, lambda one, rows: self.place_set(one, within, rows)
            )
            if together is None:
                self.rollback(mark)
            return tuple(together) if together is not None else None
        for order in _orders(len(pod_sets)):
            shares: dict[int, Share] = {}
            for index in order:
                share = self.place_set(pod_sets[index], within)
                if share is None:
                    break
                shares[index] = share
            else:
                return tuple(shares[index] for index in range(len(pod_sets)))
            self.rollback(mark)
            if not shares:  # this one does not even fit by itself
                return None
        return None

    def place_set(
        self, pod_set: PodSetFacts, within: Placement | None = None, rows: Ints | None = None
    ) -> Share | None:
        """Place all pods of one set and take what they need, perhaps on these nodes alone."""
        if pod_set.pod_class.between is not None:
            if within is None and rows is None and _is_lone(pod_set):
                return self._place_one(self._filters.ranked(self._sights.ranked(pod_set.pod_class)))
            return place_neighbours(
                self,
                self._nodes,
                self._filters,
                pod_set,
                lambda: self._look(pod_set.pod_class, within, rows),
                lambda share: self.take(pod_set.pod_class, share),
            )
        if within is None and rows is None and _is_lone(pod_set):
            return self._place_one(self._sights.ranked(pod_set.pod_class))
        share = choose(self._nodes, self._look(pod_set.pod_class, within, rows), pod_set)
        return self.take(pod_set.pod_class, share) if share is not None else None

    def _place_one(self, view: View) -> Share | None:
        """The node with the best score, for one pod that asks nothing of the others or the topology."""
        row = int(view.ranked.argmin()) if len(view.ranked) else -1
        if row < 0 or view.ranked.item(row) == inf:
            return None
        rows, asked = np.array([row]), view.asked
        devices: tuple[Taken, ...] = ()
        if asked is not None:
            device = self._sights.pick(view, rows)
            if view.plain and self._supply.devices.take_part(row, device, asked.share):
                devices = ((device,),)
            else:
                devices = (self._supply.devices.take(row, asked, device),)
        share = Share(rows, _ONE, devices)
        self._moves.append(_Move(view.pod_class, view.takes, share, +1))
        if view.pod_class.between is not None:
            self._filters.count(view.pod_class.between, share, +1)
        self._supply.use(row, view.takes)
        return share

    def _look(self, pod_class: PodClass, within: Placement | None, rows: Ints | None) -> View:
        """What such pods see, perhaps at two moments, perhaps of some nodes alone."""
        view = self.view(pod_class)
        seen = view if within is None else _both(view, within)
        return seen if rows is None else inside(seen, rows)

    def take(self, pod_class: PodClass, share: Share) -> Share:
        """Take so many pods of a class on these nodes, of which devices is chosen anew."""
        return self._take(self._sights.ranked(pod_class), share)

    def give_back(self, pod_class: PodClass, share: Share) -> None:
        """Free what pods hold, as if they were gone."""
        self._move(_Move(pod_class, self._sights.takes(pod_class), share, -1))

    def put(self, pod_class: PodClass, share: Share) -> None:
        """Take what `place` chose before."""
        self._move(_Move(pod_class, self._sights.takes(pod_class), share, +1))

    def vacate(self, held: Iterable[Held]) -> None:
        """Free what pods hold, as if they were gone."""
        shares = list(self._shares(held))
        if not shares:
            return
        rows = np.unique(np.concatenate([share.rows for _, share in shares]))
        before = _Before(rows, self._supply.free[:, rows], self.devices.rows(rows), self._filters.mark())
        self._moves.append(before)
        for pod_class, share in shares:
            asked = pod_class.devices
            if pod_class.between is not None:
                self._filters.leave(pod_class.between, share)
            if share.devices and asked is not None:
                self.devices.give_back_all(_row_of_each(share), share.devices, asked)
            elif asked is not None:
                self.devices.give_back_used(share.rows, share.counts, asked)
            self._supply.free[:, share.rows] += self._sights.takes(pod_class)[:, None] * share.counts
        self._supply.touch(rows)

    def occupy(self, held: Iterable[Held]) -> bool:
        """Take what pods held before, where all of it is still free; otherwise nothing."""
        mark = self.mark()
        for pod_class, share in self._shares(held):
            asked = pod_class.devices
            if (self._room_at(pod_class, share) < share.counts).any() or not self._bears(pod_class, share):
                self.rollback(mark)
                return False
            if asked is None or not share.devices:
                self._take(self._sights.known(pod_class), share)
                continue
            fine = self.devices.take_back(_row_of_each(share), share.devices, asked)
            self._note(_Move(pod_class, self._sights.takes(pod_class), share, +1))
            if not fine:
                self.rollback(mark)
                return False
        return True

    def end(self, held: Iterable[Held]) -> None:
        """Note that this ends, too: before the first look at `later`."""
        self._ending += held

    @contextmanager
    def later(self) -> Iterator[None]:
        """Within: as if all that ends were gone, and whoever is made to go by `vacate`.

        What is taken within is taken of what ends first, and of what is free now only for the rest. Of what
        ends the others are then left so much less. No `mark` from outside may be rolled back to after.
        """
        supply = self._supply
        now, devices, seen = supply.free.copy(), self.devices.copy(), supply.changes
        self._filters.later = True
        self._end_all()
        yield
        self._filters.later = False
        touched = supply.touched(seen)
        self._coming = supply.free - np.minimum(supply.free, now)
        supply.free[:] -= self._coming
        self._coming_devices = self.devices.keep_to(devices, touched)
        supply.touch(touched)

    def twin(self) -> Placement:
        """The same nodes with the same free, of which something else may become: nothing is shared."""
        other = copy(self)
        other._supply = self._supply.twin()
        other._sights = self._sights.twin(other._supply)
        other._moves, other._ending = [], []
        other._coming, other._coming_devices = None, ()
        other._filters = self._filters.twin()
        return other

    def mark(self) -> int:
        """A place to come back to with `rollback`."""
        return len(self._moves)

    def rollback(self, mark: int) -> None:
        """Undo everything taken and given back since the mark."""
        while len(self._moves) > mark:
            done = self._moves.pop()
            if isinstance(done, _Before):
                self._supply.free[:, done.rows] = done.free
                self.devices.set_rows(done.rows, done.devices)
                self._filters.rollback(done.filters)
                self._supply.touch(done.rows)
                continue
            self._apply(done._replace(sign=-done.sign))

    def stranded(self) -> float:
        """Free hundredths of devices that no typical pod could use."""
        seen = self._supply.seen(self._all)
        return float(seen.share.sum() - self._fragments.usable(seen).sum())

    def view(self, pod_class: PodClass) -> View:
        """What this class sees now."""
        return self._sights.view(pod_class)

    def free(self, view: View) -> Ints:
        """What is free of what the class asks for: nodes × its columns. Only if `view.offered`."""
        return self._supply.free[view.columns].T

    def room_when_empty(self, view: View) -> Ints:
        """How many pods of the class each eligible node would hold with nothing else on it."""
        return room(self._capacity.T[view.columns], self._whole, view, self._all)

    def capacity(self, view: View) -> Ints:
        """What nodes have of what the class asks for: nodes × its columns. Only if `view.offered`."""
        return self._capacity[:, view.columns]

    @property
    def filters(self) -> Filters:
        """What pods ask of each other. Not to be changed."""
        return self._filters

    @property
    def nodes(self) -> Nodes:
        """All nodes."""
        return self._nodes

    @property
    def devices(self) -> Devices:
        """What is free of devices. Not to be changed."""
        return self._supply.devices

    @property
    def devices_when_empty(self) -> Devices:
        """What there is of devices."""
        return self._whole

    def row_of(self, node: str) -> int:
        """The row of a node; -1 if there is none of this name."""
        return self._row_of.get(node, -1)

    def domain_of(self, level: str) -> Ints:
        """The number of each node's domain by this topology label; -1 for none."""
        return self._nodes.domains(level).of_node

    def offers(self, resource: str) -> bool:
        """Whether any node has the resource."""
        return resource in self._supply.columns

    def room_in_best_domain(self, view: View, pod_set: PodSetFacts) -> int:
        """How many more pods of the set the roomiest domain that it may be in holds."""
        return room_in_best_domain(self._nodes, view.fits, pod_set)

    # -- taking ------------------------------------------------------------------------------------

    def _take(self, view: View, share: Share) -> Share:
        asked = view.asked
        if asked is not None:
            counted = zip(share.rows.tolist(), share.counts.tolist(), strict=True)
            devices = tuple(
                self.devices.take(row, asked, self._sights.pick(view, np.array([row])) if number == 0 else -1)
                for row, count in counted
                for number in range(count)
            )
            share = Share(share.rows, share.counts, devices)
        self._note(_Move(view.pod_class, view.takes, share, +1))
        return share

    def _end_all(self) -> None:
        """Free everything that ends."""
        if self._coming is None:
            self.vacate(self._ending)
            return
        rows = np.flatnonzero(self._coming.any(axis=0))
        self._supply.free[:] += self._coming
        self.devices.add(self._coming_devices, rows)
        self._supply.touch(rows)

    def _shares(self, held: Iterable[Held]) -> Iterator[tuple[PodClass, Share]]:
        """What is held, class by class: first those of which it is known which devices they have."""
        counts: dict[tuple[bool, int], tuple[PodClass, Counter[int]]] = {}
        devices: dict[tuple[int, int], list[Taken]] = {}
        for one in held:
            row = self._row_of.get(one.node)
            if row is None:
                continue
            which = bool(one.devices) and max(one.devices) < len(self.devices.named[row])
            known = counts.setdefault((not which, id(one.pod_class)), (one.pod_class, Counter()))
            known[1][row] += one.count
            if which:
                devices.setdefault((id(one.pod_class), row), []).extend([one.devices] * one.count)
        for (unknown, _), (pod_class, of_row) in sorted(counts.items(), key=lambda item: item[0][0]):
            rows = np.fromiter(of_row.keys(), dtype=np.int64, count=len(of_row))
            number = np.fromiter(of_row.values(), dtype=np.int64, count=len(of_row))
            taken = () if unknown else tuple(t for row in of_row for t in devices[(id(pod_class), row)])
            yield pod_class, Share(rows, number, taken)

    def _room_at(self, pod_class: PodClass, share: Share) -> Ints:
        """How many pods of the class fit, on any node and with the devices they had."""
        takes, asked = self._sights.takes(pod_class), pod_class.devices
        columns = np.flatnonzero(takes)
        room: Ints = (self._supply.free[columns[:, None], share.rows] // takes[columns, None]).min(axis=0)
        if asked is not None and not share.devices:
            room = np.minimum(room, self.devices.fits(share.rows, asked))
        return room

    def _move(self, move: _Move) -> None:
        self._moves.append(move)
        self._apply(move)

    def _note(self, move: _Move) -> None:
        """Remember and count what was taken of devices already."""
        self._moves.append(move)
        self._count(move)

    def _apply(self, move: _Move) -> None:
        asked = move.pod_class.devices
        if asked is not None:
            devices = iter(move.share.devices)
            for row, count in zip(move.share.rows.tolist(), move.share.counts.tolist(), strict=True):
                for _ in range(count):
                    self.devices.move(row, next(devices), asked, -move.sign)
        self._count(move)

    def _bears(self, pod_class: PodClass, share: Share) -> bool:
        """Whether other pods bear such pods there, and they them."""
        if pod_class.between is None:
            return True
        allowed = self._filters.through(self.view(pod_class)).fits[share.rows] > 0
        return bool(allowed.all())

    def _count(self, move: _Move) -> None:
        share = move.share
        if move.pod_class.between is not None:
            self._filters.count(move.pod_class.between, share, move.sign)
        if len(share.rows) == 1:
            count = move.sign * int(share.counts[0])
            self._supply.use(int(share.rows[0]), move.takes if count == 1 else move.takes * count)
        else:
            self._supply.use_many(share.rows, move.sign * share.counts, move.takes)


def _is_lone(pod_set: PodSetFacts) -> bool:
    """Whether it is one pod that goes wherever it is best."""
    return pod_set.count == 1 and not (
        pod_set.required_level or pod_set.preferred_level or pod_set.slices or pod_set.unconstrained
    )


def _orders(number: int) -> Iterable[Sequence[int]]:
    """In which orders pod sets are tried: as they stand, then so that each is the first once.

    What one set is given another may need; a set that has fewer nodes to go to is better off early.
    """
    return (
        ((first, *(i for i in range(number) if i != first)) for first in range(number)) if number else ((),)
    )


def _row_of_each(share: Share) -> Ints:
    """The row of each pod."""
    return np.repeat(share.rows, share.counts)


def _both(view: View, other: Placement) -> View:
    """What a class sees that is free here and there."""
    fits = np.minimum(view.fits, other.view(view.pod_class).fits)
    return replace(view, fits=fits, ranked=np.where(fits > 0, view.ranked, np.inf))
