"""How many pods, or slices of pods, each of some nodes or domains takes: pure arithmetic on what each holds.

A gang goes on as few as possible: on one if any holds it whole, else those that hold most first and the
tightest for the rest (the BestFit rule of Kueue's topology scheduling). Nodes are chosen by their score,
domains by how little room they leave. Called by `choice` for nodes and by `descent` for domains.
"""

from __future__ import annotations

import numpy as np

from springtide.scheduling.arrays import Floats, Ints
from springtide.scheduling.policies import Policy
from springtide.scheduling.views import Share

_LARGEST = np.iinfo(np.int64).max


def spend(fits: Ints, ranked: Floats, count: int, policy: Policy) -> Share | None:
    """The nodes for so many pods; None if they do not hold them."""
    if count == 1:
        return _single(ranked)
    if int(fits.sum()) < count:
        return None
    return _even(fits, ranked, count) if policy.even else _packed(fits, ranked, count)


def gaps(fits: Ints, ranked: Floats, count: int) -> Share | None:
    """The same, the fullest nodes first: Kueue's LeastFreeCapacity, for pods that may be anywhere."""
    if int(fits.sum()) < count:
        return None
    order = np.lexsort((ranked, fits))
    order = order[fits[order] > 0]
    whole = int(np.searchsorted(fits[order], count))
    if whole < len(order):
        return Share(order[whole : whole + 1], np.array([count], dtype=np.int64))
    return Share(*_first(order, fits, count))


def fewest(room: Ints, number: int, tie: Ints | None = None) -> tuple[Ints, Ints] | None:
    """The domains for so many slices, and what each takes: one if one holds all, else as few as possible.

    Of equally tight ones that with the least `tie`, then the first.
    """
    enough = room >= number
    if enough.any():
        best = _tightest(np.where(enough, room, _LARGEST), tie)
        return np.array([best], dtype=np.int64), np.array([number], dtype=np.int64)
    order = np.argsort(-room, kind="stable")
    reached = np.cumsum(room[order])
    if not len(order) or reached[-1] < number:
        return None
    full = order[: int(np.searchsorted(reached, number))]
    rest = number - int(reached[len(full) - 1])
    left = np.where(room >= rest, room, _LARGEST)
    left[full] = _LARGEST
    return np.append(full, _tightest(left, tie)), np.append(room[full], rest)


def fullest(room: Ints, number: int, tie: Ints | None = None) -> tuple[Ints, Ints] | None:
    """The same, the fullest domains first unless one holds all."""
    enough = room >= number
    if enough.any():
        best = _tightest(np.where(enough, room, _LARGEST), tie)
        return np.array([best], dtype=np.int64), np.array([number], dtype=np.int64)
    if int(room.sum()) < number:
        return None
    order = np.argsort(room, kind="stable")
    return _first(order[room[order] > 0], room, number)


def _tightest(room: Ints, tie: Ints | None) -> int:
    if tie is None:
        return int(room.argmin())
    least = np.flatnonzero(room == room.min())
    return int(least[tie[least].argmin()])


def _first(order: Ints, room: Ints, number: int) -> tuple[Ints, Ints]:
    """As many of the first of an order as are needed, all but the last of them full."""
    reached = np.cumsum(room[order])
    chosen = order[: int(np.searchsorted(reached, number)) + 1]
    given = room[chosen].copy()
    given[-1] -= int(given.sum()) - number
    return chosen, given


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
