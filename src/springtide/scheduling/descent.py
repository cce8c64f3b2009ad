"""A gang down a tree of domains: as near together as it asks, each slice whole inside one domain.

First it is counted, from the nodes up, how many slices every domain holds. Then the lowest level from the
one asked for upwards is found at which one domain, the tightest, holds all; if pods only prefer to be
together, else the fewest domains at the top. From there it goes down level by level, each time into as few
domains as possible. Counts are exact: whatever fits a required level and slices is found. The steps are
those of Kueue's topology aware scheduling. Called by `choice`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from springtide.scheduling.arrays import Ints, Mask
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.packing import fewest, fullest, gaps, spend
from springtide.scheduling.tree import Tree
from springtide.scheduling.views import Share, View

_Lot = tuple[Ints, int]
"""Domains that together take so many units."""


@dataclass(frozen=True)
class Wanted:
    """What a pod set asks of a tree."""

    units: tuple[int, ...]
    """Per level, how many pods stay together there: what domains of the level are counted in."""
    start: int
    """The level of which one domain is to hold all, at first."""
    limit: int
    """The widest level of which one domain may hold all."""
    spills: bool
    """Whether several domains of that level will do, if none holds all."""
    gaps: bool
    """Whether the fullest domains come first."""


def wanted(tree: Tree, pod_set: PodSetFacts) -> Wanted | None:
    """What a pod set asks; None if the tree lacks one of its levels, or slices are wider than all pods."""
    layers = [(tree.index(one.level), one.size) for one in pod_set.slices]
    start = tree.index(pod_set.preferred_level or pod_set.required_level)
    limit = tree.index(pod_set.required_level) if pod_set.required_level else 0
    if not (pod_set.preferred_level or pod_set.required_level):
        start = layers[0][0] if layers else tree.bottom
        limit = start if pod_set.unconstrained else 0
    known = min([start, limit, *(level for level, _ in layers)]) >= 0
    if not known or start < limit or (layers and start > layers[0][0]):
        return None
    if any(above >= below for (above, _), (below, _) in pairwise(layers)):
        return None
    units = tuple(
        next((size for at, size in layers if at >= level), 1) for level in range(len(tree.levels) + 1)
    )
    return Wanted(units, start, limit, not pod_set.required_level, pod_set.unconstrained)


def counted(tree: Tree, units: Sequence[int], fits: Ints, top: int = 0) -> list[Ints]:
    """What the domains of every level hold, each in units of its level, from `top` down."""
    here = fits[tree.rows]
    found = [here // units[tree.bottom] if units[tree.bottom] > 1 else here]
    for level in range(tree.bottom - 1, top - 1, -1):
        here = tree.up(level, found[-1])
        ratio = units[level] // units[level + 1]
        found.append(here // ratio if ratio > 1 else here)
    return [*([found[-1]] * top), *reversed(found)]


def descend(tree: Tree, view: View, pod_set: PodSetFacts) -> Share | None:
    """The nodes for all pods of the set, in the order of the tree; None if they do not fit as asked."""
    asked = wanted(tree, pod_set)
    if asked is None or not len(tree.rows) or pod_set.count % asked.units[asked.limit]:
        return None
    counts = counted(tree, asked.units, view.fits, asked.limit)
    room = counts
    if max(asked.units) > 1:
        room = counted(tree, (1,) * len(asked.units), view.fits, asked.limit)
    for level in range(asked.start, asked.limit - 1, -1):
        number = pod_set.count // asked.units[level]
        if not (counts[level] >= number).any():
            continue
        if level == tree.bottom:
            return _one_node(tree, view, pod_set.count, counts[level] >= number)
        chosen = fewest(counts[level], number, room[level] if room is not counts else None)
        return _down(tree, asked, view, counts, level, chosen) if chosen is not None else None
    return _spilt(tree, asked, view, counts, pod_set.count) if asked.spills else None


def _spilt(tree: Tree, asked: Wanted, view: View, counts: list[Ints], count: int) -> Share | None:
    """Over several domains of the widest level."""
    number = count // asked.units[asked.limit]
    if asked.limit == tree.bottom:
        return _bottom(tree, asked, view, [(np.arange(len(tree.rows)), number)])
    chosen = _pack(asked)(counts[asked.limit], number, None)
    return _down(tree, asked, view, counts, asked.limit, chosen) if chosen is not None else None


def _pack(asked: Wanted) -> Callable[[Ints, int, Ints | None], tuple[Ints, Ints] | None]:
    return fullest if asked.gaps else fewest


def _down(
    tree: Tree, asked: Wanted, view: View, counts: list[Ints], level: int, top: tuple[Ints, Ints]
) -> Share | None:
    """From chosen domains of a level to the nodes."""
    lots = _lots(asked, level, *top)
    while level + 1 < tree.bottom:
        ratio = asked.units[level] // asked.units[level + 1]
        level += 1
        below: list[_Lot] = []
        for domains, number in lots:
            inside = tree.below(level - 1, domains)
            chosen = _pack(asked)(counts[level][inside], number * ratio, None)
            if chosen is None:
                return None
            below += _lots(asked, level, inside[chosen[0]], chosen[1])
        lots = below
    ratio = asked.units[level] // asked.units[level + 1]
    nodes = [(tree.below(level, domains), number * ratio) for domains, number in lots]
    return _bottom(tree, asked, view, nodes)


def _lots(asked: Wanted, level: int, domains: Ints, given: Ints) -> list[_Lot]:
    """Where slices are cut finer below, each domain takes what it was given; else all of them together."""
    if asked.units[level] == asked.units[level + 1]:
        return [(domains, int(given.sum()))]
    return [(domains[at : at + 1], number) for at, number in enumerate(given.tolist())]


def _bottom(tree: Tree, asked: Wanted, view: View, lots: Sequence[_Lot]) -> Share | None:
    """The nodes of each lot, and how many pods each takes."""
    unit = asked.units[tree.bottom]
    rows: list[Ints] = []
    counts: list[Ints] = []
    for positions, number in lots:
        here = tree.rows[positions]
        fits, ranked = view.fits[here], view.ranked[here]
        if unit > 1:
            fits = fits // unit
            ranked = np.where(fits > 0, ranked, np.inf)
        share = gaps(fits, ranked, number) if asked.gaps else spend(fits, ranked, number, view.policy)
        if share is None:
            return None
        rows.append(here[share.rows])
        counts.append(share.counts * unit)
    return in_order(tree, Share(np.concatenate(rows), np.concatenate(counts)))


def _one_node(tree: Tree, view: View, count: int, holds: Mask) -> Share:
    """The best node of those that hold all."""
    here = tree.rows[holds]
    best = here[view.ranked[here].argmin()]
    return Share(best.reshape(1), np.array([count], dtype=np.int64))


def in_order(tree: Tree, share: Share) -> Share:
    """The same nodes, neighbours in the tree side by side: pods are numbered in this order."""
    if len(share.rows) < 2:
        return share
    order = np.argsort(tree.place[share.rows], kind="stable")
    return Share(share.rows[order], share.counts[order])
