"""Where the pods of a gang go: all of them at once, or none.

One `Placement` lives for one cycle. It starts from a snapshot's free capacity; what is placed is taken at
once. How many pods fit on each node, and each node's score, are kept per class of pods and refreshed only
at the nodes that changed since the class was last looked at. Called by the plan and the benchmark.

A gang on as few nodes as possible: on one node if any holds it whole (the best by score), else the nodes
that hold most of it first and the tightest for the rest (the BestFit rule of Kueue's topology scheduling).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from springtide.scheduling.classes import PodClass
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.nodes import Floats, Ints, Mask
from springtide.scheduling.policies import LEAST_WASTE, SCARCITY, Policy
from springtide.scheduling.requests import CPU, MEMORY, PODS, STORAGE
from springtide.scheduling.snapshot import Snapshot

_REFRESH_ALL_SHARE = 8
"""When more than one in so many nodes changed, recomputing all rows at once is cheaper than picking them."""
_AVERSION_WEIGHT = 1000.0
"""Scores are shares of a node, a few units at most: a hundredth of an aversion still outweighs them."""


@dataclass(frozen=True, eq=False)
class Share:
    """Pods of one pod set per node: rows of the snapshot, and how many pods each gets."""

    rows: Ints
    counts: Ints


@dataclass(eq=False)
class View:
    """What one class of pods sees: per node how many more fit, and the node's score where any does."""

    columns: Ints
    amounts: Ints
    mask: Mask
    wanted: Floats
    aversion: Floats
    """What the pods would rather avoid; outweighs the policy's score."""
    offered: bool
    """Whether every resource asked for exists on some node."""
    fits: Ints
    ranked: Floats
    """The policy's score; infinite where nothing fits."""
    seen: int = 0
    """How much of the placement's log this view has taken in."""


class Placement:
    """Free capacity of one cycle, and the choice of nodes."""

    def __init__(self, snapshot: Snapshot, policy: Policy = LEAST_WASTE) -> None:
        self._nodes = snapshot.nodes
        self._policy = policy
        self._column_of = {name: column for column, name in enumerate(snapshot.resources)}
        self._capacity = snapshot.capacity
        self._free: Ints = snapshot.capacity - snapshot.allocated
        largest = snapshot.capacity.max(axis=0, initial=1)
        scarce = [name not in (CPU, MEMORY, STORAGE, PODS) for name in snapshot.resources]
        counted = [name not in (STORAGE, PODS) for name in snapshot.resources]
        weights = np.where(scarce, SCARCITY, 1.0) * np.array(counted, dtype=np.float64)
        self._weights: Floats = weights / np.maximum(largest, 1)
        self._log: list[int] = []
        self._views: dict[PodClass, View] = {}

    def place(self, pod_sets: Sequence[PodSetFacts]) -> tuple[Share, ...] | None:
        """Place all pods of all sets and take what they need; None, and nothing taken, if any cannot."""
        placed: list[tuple[View, Share]] = []
        for pod_set in pod_sets:
            view = self.view(pod_set.pod_class)
            share = self._choose(view, pod_set)
            if share is None:
                for taken, given_back in placed:
                    self._take(taken, given_back, -1)
                return None
            self._take(view, share, +1)
            placed.append((view, share))
        return tuple(share for _, share in placed)

    def view(self, pod_class: PodClass) -> View:
        """What this class sees now."""
        view = self._views.get(pod_class)
        if view is None:
            view = self._views[pod_class] = self._new_view(pod_class)
        elif view.seen < len(self._log):
            self._refresh(view)
        return view

    def free(self, view: View) -> Ints:
        """What is free of what the class asks for: nodes × its columns. Only if `view.offered`."""
        return self._free[:, view.columns]

    def room_when_empty(self, view: View) -> Ints:
        """How many pods of the class each eligible node would hold with nothing else on it."""
        return _fits(self._capacity, view, slice(None))

    def capacity(self, view: View) -> Ints:
        """What nodes have of what the class asks for: nodes × its columns. Only if `view.offered`."""
        return self._capacity[:, view.columns]

    def offers(self, resource: str) -> bool:
        """Whether any node has the resource."""
        return resource in self._column_of

    def room_in_best_domain(self, view: View, level: str) -> int:
        """How many more pods of the class the roomiest domain of this topology label holds."""
        return int(self._room_by_domain(view.fits, level).max(initial=0))

    # -- per class ---------------------------------------------------------------------------------

    def _new_view(self, pod_class: PodClass) -> View:
        asked = [(name, amount) for name, amount in pod_class.requests if amount > 0]
        columns = [self._column_of.get(name, -1) for name, _ in asked]
        view = View(
            columns=np.array(columns, dtype=np.int64),
            amounts=np.array([amount for _, amount in asked], dtype=np.int64),
            mask=self._nodes.mask(pod_class.constraints),
            wanted=np.zeros(len(self._column_of)),
            aversion=self._nodes.aversion(pod_class.constraints) * _AVERSION_WEIGHT,
            offered=-1 not in columns,
            fits=np.zeros(len(self._nodes), dtype=np.int64),
            ranked=np.full(len(self._nodes), np.inf),
        )
        if view.offered:
            view.wanted[view.columns] = view.amounts
            view.wanted *= self._weights
            self._recompute(view, slice(None))
        view.seen = len(self._log)
        return view

    def _refresh(self, view: View) -> None:
        changed = self._log[view.seen :]
        view.seen = len(self._log)
        if not view.offered:
            return
        if len(changed) * _REFRESH_ALL_SHARE > len(self._nodes):
            self._recompute(view, slice(None))
        else:
            self._recompute(view, np.array(changed, dtype=np.int64))

    def _recompute(self, view: View, rows: slice | Ints) -> None:
        fits = _fits(self._free, view, rows)
        score = self._policy.score(self._free[rows] * self._weights, view.wanted) + view.aversion[rows]
        view.fits[rows] = fits
        view.ranked[rows] = np.where(fits > 0, score, np.inf)

    def _take(self, view: View, share: Share, sign: int) -> None:
        self._free[share.rows[:, None], view.columns] -= sign * share.counts[:, None] * view.amounts
        self._log.extend(share.rows.tolist())

    # -- choice ------------------------------------------------------------------------------------

    def _choose(self, view: View, pod_set: PodSetFacts) -> Share | None:
        if pod_set.count == 0:
            return Share(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
        level = pod_set.required_level or pod_set.preferred_level
        if level:
            domain = self._tightest_domain(view.fits, level, pod_set.count)
            if domain is not None:
                fits = np.where(domain, view.fits, 0)
                return self._spend(fits, np.where(domain, view.ranked, np.inf), pod_set.count)
            if pod_set.required_level:
                return None
        return self._spend(view.fits, view.ranked, pod_set.count)

    def _tightest_domain(self, fits: Ints, level: str, count: int) -> Mask | None:
        """The nodes of the domain that holds the set whole with the least room to spare."""
        room = self._room_by_domain(fits, level)
        enough = room >= count
        if not enough.any():
            return None
        best = int(np.where(enough, room, np.iinfo(np.int64).max).argmin())
        inside: Mask = self._nodes.domains(level).of_node == best
        return inside

    def _room_by_domain(self, fits: Ints, level: str) -> Ints:
        domains = self._nodes.domains(level)
        inside = domains.of_node >= 0
        room = np.zeros(len(domains.names), dtype=np.int64)
        np.add.at(room, domains.of_node[inside], fits[inside])
        return room

    def _spend(self, fits: Ints, ranked: Floats, count: int) -> Share | None:
        if count == 1:
            return _single(ranked)
        if int(fits.sum()) < count:
            return None
        return _even(fits, ranked, count) if self._policy.even else _packed(fits, ranked, count)


def _fits(available: Ints, view: View, rows: slice | Ints) -> Ints:
    room = (available[rows][:, view.columns] // view.amounts).min(axis=1)
    return np.where(view.mask[rows], np.maximum(room, 0), 0)


def _single(ranked: Floats) -> Share | None:
    if not len(ranked):
        return None
    row = ranked.argmin()
    if ranked[row] == np.inf:
        return None
    return Share(row.reshape(1).astype(np.int64), np.ones(1, dtype=np.int64))


def _packed(fits: Ints, ranked: Floats, count: int) -> Share:
    """As few nodes as possible; the last one the best that holds the rest whole."""
    whole = fits >= count
    if whole.any():
        row = np.where(whole, ranked, np.inf).argmin()
        return Share(row.reshape(1).astype(np.int64), np.array([count], dtype=np.int64))
    order = np.lexsort((ranked, -fits))
    reached = np.cumsum(fits[order])
    full = order[: int(np.searchsorted(reached, count))]
    rest = count - int(reached[len(full) - 1])
    candidates = fits >= rest
    candidates[full] = False
    last = np.where(candidates, ranked, np.inf).argmin()
    return Share(np.append(full, last), np.append(fits[full], rest))


def _even(fits: Ints, ranked: Floats, count: int) -> Share:
    """The lowest level to which all nodes can be filled that holds the gang; best nodes get the odd pods."""
    low, high = 0, count
    while low < high:
        level = (low + high) // 2
        if int(np.minimum(fits, level).sum()) >= count:
            high = level
        else:
            low = level + 1
    counts = np.minimum(fits, low - 1)
    odd = count - int(counts.sum())
    order = np.argsort(ranked, kind="stable")
    willing = order[fits[order] >= low][:odd]
    counts[willing] += 1
    rows = np.flatnonzero(counts)
    return Share(rows, counts[rows])
