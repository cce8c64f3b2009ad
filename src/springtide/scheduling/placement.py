"""Where the pods of a gang go: all of them at once, or none.

One `Placement` lives for one cycle. It starts from a snapshot's free capacity; what is placed is taken at
once. How many pods fit on each node, and each node's score, are kept per class of pods and refreshed only
at the nodes that changed since the class was last looked at. Which of them a set gets is `choice`.
Called by the cycle, the replays and the benchmarks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from springtide.scheduling.arrays import Floats, Ints
from springtide.scheduling.choice import choose, inside, room_in_best_domain
from springtide.scheduling.classes import PodClass
from springtide.scheduling.devices import BINPACK, Devices, Taken
from springtide.scheduling.devices import SPREAD as SPREADING
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.filters import Filters
from springtide.scheduling.filters_gang import place_neighbours
from springtide.scheduling.fragments import Fragments, Seen
from springtide.scheduling.groups import place_groups
from springtide.scheduling.policies import FRAGMENTS, PACKING, SCARCITY, SPREAD, Policy, Sight
from springtide.scheduling.releasing import Held
from springtide.scheduling.requests import CPU, MEMORY, PODS, STORAGE
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.views import Share, View

_REFRESH_ALL_SHARE = 8
"""When more than one in so many nodes changed, recomputing all rows at once is cheaper than picking them."""
_AVERSION_WEIGHT = 1000.0
"""Scores are shares of a node, a few units at most: a hundredth of an aversion still outweighs them."""


@dataclass(frozen=True, eq=False)
class _Move:
    """Something taken (or given back), so that it can be undone."""

    view: View
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
        self._policy = policy
        self._column_of = {name: column for column, name in enumerate(snapshot.resources)}
        self._capacity = snapshot.capacity
        self._free: Ints = snapshot.capacity - snapshot.allocated
        self._devices = snapshot.devices.copy()
        self._whole = snapshot.devices_when_empty
        self._weights = _weights(snapshot)
        self._weighted: Floats = self._free * self._weights
        self._cpu = self._column_of.get(CPU)
        cpu_max = int(self._capacity[:, self._cpu].max(initial=0)) if self._cpu is not None else 0
        devices_max = self._devices.share.shape[1]
        self._fragments = Fragments(
            snapshot.demands,
            self._devices.models,
            devices_max,
            cpu_max,
            policy.weights,
            self._devices.memories,
        )
        self._random = np.random.default_rng(seed)
        self._log: list[int] = []
        self._moves: list[_Move | _Before] = []
        self._views: dict[PodClass, View] = {}
        self._usable: Floats = self._fragments.usable(self._seen(slice(None)))
        self._usable_seen = 0
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
        mark = self.mark()
        if any(pod_set.group for pod_set in pod_sets):
            together = place_groups(
                self, self._nodes, pod_sets, lambda one, rows: self.place_set(one, within, rows)
            )
            if together is None:
                self.rollback(mark)
            return tuple(together) if together is not None else None
        shares: list[Share] = []
        for pod_set in pod_sets:
            share = self.place_set(pod_set, within)
            if share is None:
                self.rollback(mark)
                return None
            shares.append(share)
        return tuple(shares)

    def place_set(
        self, pod_set: PodSetFacts, within: Placement | None = None, rows: Ints | None = None
    ) -> Share | None:
        """Place all pods of one set and take what they need, perhaps on these nodes alone."""
        if pod_set.pod_class.between is not None:
            return place_neighbours(
                self,
                self._nodes,
                self._filters,
                pod_set,
                lambda: self._look(pod_set.pod_class, within, rows),
                lambda share: self.take(pod_set.pod_class, share),
            )
        share = choose(self._nodes, self._look(pod_set.pod_class, within, rows), pod_set)
        return self._take(self._views[pod_set.pod_class], share) if share is not None else None

    def _look(self, pod_class: PodClass, within: Placement | None, rows: Ints | None) -> View:
        """What such pods see, perhaps at two moments, perhaps of some nodes alone."""
        view = self.view(pod_class)
        seen = view if within is None else _both(view, within)
        return seen if rows is None else inside(seen, rows)

    def take(self, pod_class: PodClass, share: Share) -> Share:
        """Take so many pods of a class on these nodes, of which devices is chosen anew."""
        return self._take(self.view(pod_class), share)

    def give_back(self, pod_class: PodClass, share: Share) -> None:
        """Free what pods hold, as if they were gone."""
        self._move(_Move(self.view(pod_class), share, -1))

    def put(self, pod_class: PodClass, share: Share) -> None:
        """Take what `place` chose before."""
        self._move(_Move(self.view(pod_class), share, +1))

    def vacate(self, held: Iterable[Held]) -> None:
        """Free what pods hold, as if they were gone."""
        shares = list(self._shares(held))
        if not shares:
            return
        rows = np.unique(np.concatenate([share.rows for _, share in shares]))
        before = _Before(rows, self._free[rows], self._devices.rows(rows), self._filters.mark())
        self._moves.append(before)
        for pod_class, share in shares:
            asked = pod_class.devices
            if pod_class.between is not None:
                self._filters.leave(pod_class.between, share)
            if share.devices and asked is not None:
                self._devices.give_back_all(_row_of_each(share), share.devices, asked)
            elif asked is not None:
                self._devices.give_back_used(share.rows, share.counts, asked)
            self._free_up(self._known(pod_class), share, -1)

    def occupy(self, held: Iterable[Held]) -> bool:
        """Take what pods held before, where all of it is still free; otherwise nothing."""
        mark = self.mark()
        for pod_class, share in self._shares(held):
            view, asked = self._known(pod_class), pod_class.devices
            if (self._room_at(view, share) < share.counts).any() or not self._bears(view, share):
                self.rollback(mark)
                return False
            if asked is None or not share.devices:
                self._take(view, share)
                continue
            fine = self._devices.take_back(_row_of_each(share), share.devices, asked)
            self._moves.append(_Move(view, share, +1))
            self._count(view, share, +1)
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
        now = self._free.copy(), self._devices.copy()
        seen = len(self._log)
        self._filters.later = True
        self._end_all()
        yield
        self._filters.later = False
        touched = np.unique(np.array(self._log[seen:], dtype=np.int64))
        self._coming = self._free - np.minimum(self._free, now[0])
        self._free -= self._coming
        self._coming_devices = self._devices.keep_to(now[1], touched)
        self._touch(touched)

    def twin(self) -> Placement:
        """The same nodes with the same free, of which something else may become: nothing is shared."""
        other = copy(self)
        other._free, other._weighted = self._free.copy(), self._weighted.copy()
        other._devices, other._usable = self._devices.copy(), self._usable.copy()
        other._log, other._usable_seen = self._log[self._usable_seen :], 0
        other._moves, other._views, other._ending = [], {}, []
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
                self._free[done.rows] = done.free
                self._devices.set_rows(done.rows, done.devices)
                self._filters.rollback(done.filters)
                self._touch(done.rows)
                continue
            self._apply(_Move(done.view, done.share, -done.sign))

    def stranded(self) -> float:
        """Free hundredths of devices that no typical pod could use."""
        seen = self._seen(slice(None))
        return float(seen.share.sum() - self._fragments.usable(seen).sum())

    def view(self, pod_class: PodClass) -> View:
        """What this class sees now."""
        view = self._views.get(pod_class)
        if view is None:
            view = self._views[pod_class] = self._new_view(pod_class)
        elif view.policy.fickle:
            self._recompute(view, slice(None))
        elif view.seen < len(self._log):
            self._refresh(view)
        return view

    def free(self, view: View) -> Ints:
        """What is free of what the class asks for: nodes × its columns. Only if `view.offered`."""
        return self._free[:, view.columns]

    def room_when_empty(self, view: View) -> Ints:
        """How many pods of the class each eligible node would hold with nothing else on it."""
        return _fits(self._capacity, self._whole, view, slice(None))

    def capacity(self, view: View) -> Ints:
        """What nodes have of what the class asks for: nodes × its columns. Only if `view.offered`."""
        return self._capacity[:, view.columns]

    @property
    def filters(self) -> Filters:
        """What pods ask of each other. Not to be changed."""
        return self._filters

    @property
    def devices(self) -> Devices:
        """What is free of devices. Not to be changed."""
        return self._devices

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
        return resource in self._column_of

    def room_in_best_domain(self, view: View, pod_set: PodSetFacts) -> int:
        """How many more pods of the set the roomiest domain that it may be in holds."""
        return room_in_best_domain(self._nodes, view.fits, pod_set)

    # -- per class ---------------------------------------------------------------------------------

    def _new_view(self, pod_class: PodClass) -> View:
        asked = [(name, amount) for name, amount in pod_class.requests if amount > 0]
        columns = [self._column_of.get(name, -1) for name, _ in asked]
        view = View(
            pod_class=pod_class,
            columns=np.array(columns, dtype=np.int64),
            amounts=np.array([amount for _, amount in asked], dtype=np.int64),
            mask=self._nodes.mask(pod_class.constraints),
            wanted=np.zeros(len(self._column_of)),
            cpu=next((amount for name, amount in asked if name == CPU), 0),
            aversion=self._nodes.aversion(pod_class.constraints) * _AVERSION_WEIGHT,
            offered=-1 not in columns,
            fits=np.zeros(len(self._nodes), dtype=np.int64),
            ranked=np.full(len(self._nodes), np.inf),
            device=np.full(len(self._nodes), -1, dtype=np.int64),
            policy=self._policy_of(pod_class),
        )
        if view.offered:
            view.wanted[view.columns] = view.amounts
            view.wanted *= self._weights
            self._recompute(view, slice(None))
        view.seen = len(self._log)
        return view

    def _policy_of(self, pod_class: PodClass) -> Policy:
        """How nodes are chosen for such pods: as they say themselves, or as the scheduler does."""
        said = pod_class.devices.node_policy if pod_class.devices is not None else ""
        return {BINPACK: PACKING, SPREADING: SPREAD}.get(said, self._policy)

    def _refresh(self, view: View) -> None:
        changed = list(dict.fromkeys(self._log[view.seen :]))
        view.seen = len(self._log)
        if not view.offered:
            return
        if len(changed) * _REFRESH_ALL_SHARE > len(self._nodes):
            self._recompute(view, slice(None))
        else:
            self._recompute(view, np.array(changed, dtype=np.int64))

    def _recompute(self, view: View, rows: slice | Ints) -> None:
        fits = _fits(self._free, self._devices, view, rows)
        view.fits[rows] = fits
        ranking = view.policy.score(self._sight(view, rows))
        cost = ranking.cost + view.aversion[rows]
        cost[fits <= 0] = np.inf
        view.ranked[rows] = cost
        if ranking.device is not None:
            view.device[rows] = ranking.device

    def _sight(self, view: View, rows: slice | Ints) -> Sight:
        changed = self._log[self._usable_seen :] if self._whole.share.shape[1] else []
        if changed:
            again = np.array(changed, dtype=np.int64)
            self._usable[again] = self._fragments.usable(self._seen(again))
            self._usable_seen = len(self._log)
        return Sight(
            free=self._weighted[rows],
            wanted=view.wanted,
            cpu=view.cpu,
            asked=view.pod_class.devices,
            nodes=self._seen(rows),
            usable=self._usable[rows],
            fragments=self._fragments,
            random=self._random,
        )

    def _seen(self, rows: slice | Ints) -> Seen:
        cpu = (
            self._free[rows, self._cpu] if self._cpu is not None else np.zeros_like(self._devices.model[rows])
        )
        return Seen(cpu, self._devices.model[rows], self._devices.share[rows])

    # -- taking ------------------------------------------------------------------------------------

    def _take(self, view: View, share: Share) -> Share:
        asked = view.pod_class.devices
        if asked is not None:
            counted = zip(share.rows.tolist(), share.counts.tolist(), strict=True)
            devices = tuple(
                self._devices.take(row, asked, int(view.device[row]) if number == 0 else -1)
                for row, count in counted
                for number in range(count)
            )
            share = Share(share.rows, share.counts, devices)
        self._moves.append(_Move(view, share, +1))
        self._count(view, share, +1)
        return share

    def _end_all(self) -> None:
        """Free everything that ends."""
        if self._coming is None:
            self.vacate(self._ending)
            return
        rows = np.flatnonzero(self._coming.any(axis=1))
        self._free += self._coming
        self._devices.add(self._coming_devices, rows)
        self._touch(rows)

    def _touch(self, rows: Ints) -> None:
        self._weighted[rows] = self._free[rows] * self._weights
        self._log.extend(rows.tolist())

    def _shares(self, held: Iterable[Held]) -> Iterator[tuple[PodClass, Share]]:
        """What is held, class by class: first those of which it is known which devices they have."""
        counts: dict[tuple[bool, int], tuple[PodClass, Counter[int]]] = {}
        devices: dict[tuple[int, int], list[Taken]] = {}
        for one in held:
            row = self._row_of.get(one.node)
            if row is None:
                continue
            which = bool(one.devices) and max(one.devices) < len(self._devices.named[row])
            known = counts.setdefault((not which, id(one.pod_class)), (one.pod_class, Counter()))
            known[1][row] += one.count
            if which:
                devices.setdefault((id(one.pod_class), row), []).extend([one.devices] * one.count)
        for (unknown, _), (pod_class, of_row) in sorted(counts.items(), key=lambda item: item[0][0]):
            rows = np.fromiter(of_row.keys(), dtype=np.int64, count=len(of_row))
            number = np.fromiter(of_row.values(), dtype=np.int64, count=len(of_row))
            taken = () if unknown else tuple(t for row in of_row for t in devices[(id(pod_class), row)])
            yield pod_class, Share(rows, number, taken)

    def _known(self, pod_class: PodClass) -> View:
        """What the class sees, perhaps an older sight."""
        found = self._views.get(pod_class)
        return found if found is not None else self.view(pod_class)

    def _room_at(self, view: View, share: Share) -> Ints:
        """How many pods of the class fit, on any node and with the devices they had."""
        rows, asked = share.rows, view.pod_class.devices
        room: Ints = (self._free[rows][:, view.columns] // view.amounts).min(axis=1)
        if asked is not None and not share.devices:
            room = np.minimum(room, self._devices.fits(rows, asked))
        return room

    def _move(self, move: _Move) -> None:
        self._moves.append(move)
        self._apply(move)

    def _apply(self, move: _Move) -> None:
        asked = move.view.pod_class.devices
        if asked is not None:
            devices = iter(move.share.devices)
            for row, count in zip(move.share.rows.tolist(), move.share.counts.tolist(), strict=True):
                for _ in range(count):
                    self._devices.move(row, next(devices), asked, -move.sign)
        self._count(move.view, move.share, move.sign)

    def _bears(self, view: View, share: Share) -> bool:
        """Whether other pods bear such pods there, and they them."""
        if view.pod_class.between is None:
            return True
        allowed = self._filters.through(self.view(view.pod_class)).fits[share.rows] > 0
        return bool(allowed.all())

    def _count(self, view: View, share: Share, sign: int) -> None:
        if view.pod_class.between is not None:
            self._filters.count(view.pod_class.between, share, sign)
        self._free_up(view, share, sign)

    def _free_up(self, view: View, share: Share, sign: int) -> None:
        if len(share.rows) == 1:
            row = int(share.rows[0])
            self._free[row, view.columns] -= view.amounts * (sign * int(share.counts[0]))
            self._weighted[row] = self._free[row] * self._weights
            self._log.append(row)
            return
        self._free[share.rows[:, None], view.columns] -= sign * share.counts[:, None] * view.amounts
        self._weighted[share.rows] = self._free[share.rows] * self._weights
        self._log.extend(share.rows.tolist())


def _row_of_each(share: Share) -> Ints:
    """The row of each pod."""
    return np.repeat(share.rows, share.counts)


def _both(view: View, other: Placement) -> View:
    """What a class sees that is free here and there."""
    fits = np.minimum(view.fits, other.view(view.pod_class).fits)
    return replace(view, fits=fits, ranked=np.where(fits > 0, view.ranked, np.inf))


def _weights(snapshot: Snapshot) -> Floats:
    largest = snapshot.capacity.max(axis=0, initial=1)
    scarce = [name not in (CPU, MEMORY, STORAGE, PODS) for name in snapshot.resources]
    counted = [name not in (STORAGE, PODS) for name in snapshot.resources]
    weights = np.where(scarce, SCARCITY, 1.0) * np.array(counted, dtype=np.float64)
    found: Floats = weights / np.maximum(largest, 1)
    return found


def _fits(available: Ints, devices: Devices, view: View, rows: slice | Ints) -> Ints:
    room = (available[rows][:, view.columns] // view.amounts).min(axis=1)
    if view.pod_class.devices is not None:
        room = np.minimum(room, devices.fits(rows, view.pod_class.devices))
    return np.where(view.mask[rows], np.maximum(room, 0), 0)
