"""Which nodes a pod set gets, of what its class sees: pure, called by `placement` for each pod set.

A gang goes on as few nodes as possible: on one node if any holds it whole (the best by score), else the nodes
that hold most of it first and the tightest for the rest (the BestFit rule of Kueue's topology scheduling),
within the tightest domain of its topology level that holds it.
"""

from __future__ import annotations

import numpy as np

from springtide.scheduling.arrays import Floats, Ints, Mask
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.nodes import Nodes
from springtide.scheduling.policies import Policy
from springtide.scheduling.views import Share, View


def choose(nodes: Nodes, view: View, pod_set: PodSetFacts) -> Share | None:
    """The nodes for all pods of the set; None if they do not fit."""
    if pod_set.count == 0:
        return Share(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    level = pod_set.required_level or pod_set.preferred_level
    if level:
        domain = _tightest_domain(nodes, view.fits, level, pod_set.count)
        if domain is not None:
            fits = np.where(domain, view.fits, 0)
            ranked = np.where(domain, view.ranked, np.inf)
            return _spend(fits, ranked, pod_set.count, view.policy)
        if pod_set.required_level:
            return None
    return _spend(view.fits, view.ranked, pod_set.count, view.policy)


def room_by_domain(nodes: Nodes, fits: Ints, level: str) -> Ints:
    """How many pods each domain of this topology label holds."""
    domains = nodes.domains(level)
    inside = domains.of_node >= 0
    room = np.zeros(len(domains.names), dtype=np.int64)
    np.add.at(room, domains.of_node[inside], fits[inside])
    return room


def _tightest_domain(nodes: Nodes, fits: Ints, level: str, count: int) -> Mask | None:
    """The nodes of the domain that holds the set whole with the least room to spare."""
    room = room_by_domain(nodes, fits, level)
    enough = room >= count
    if not enough.any():
        return None
    best = int(np.where(enough, room, np.iinfo(np.int64).max).argmin())
    inside: Mask = nodes.domains(level).of_node == best
    return inside


def _spend(fits: Ints, ranked: Floats, count: int, policy: Policy) -> Share | None:
    if count == 1:
        return _single(ranked)
    if int(fits.sum()) < count:
        return None
    return _even(fits, ranked, count) if policy.even else _packed(fits, ranked, count)


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
