"""Orders of victims that open places side by side, the cheapest places first; and what each victim loses.

Letting the newest and least important go first frees pieces all over the cluster; a gang, or a pod of eight
GPUs, needs whole nodes, perhaps of one rack. Here every node's victims are added up at once: how many more
pods fit after each of them goes, and what that costs. Called by `preemption`, which tries the orders out and
does not depend on them being exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from springtide.scheduling.arrays import Ints
from springtide.scheduling.choice import tree_of
from springtide.scheduling.compartments import Opened, Step, by_domain, by_slices
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.leaving import Leaver
from springtide.scheduling.placement import Placement
from springtide.scheduling.views import View

PRIORITY_FACTOR = 1000.0
"""A second of one priority is worth so many of the next lower one."""
_PRIORITIES_MAX = 60
"""Beyond so many different priorities the highest count alike: a float holds no more."""
DOMAINS_TRIED_MAX = 6
_One = TypeVar("_One", bound=Leaver)


def losses(candidates: Iterable[Leaver]) -> dict[str, float]:
    """What is lost with each, by key: device-seconds (by the victim policy), more for a higher priority, and
    for one that breaks a budget more than for any other."""
    found = list(candidates)
    levels = sorted({one.rank for one in found})
    level_of = {priority: min(level, _PRIORITIES_MAX) for level, priority in enumerate(levels)}
    return {one.key: PRIORITY_FACTOR ** level_of[one.rank] * one.size * one.price for one in found}


def orders(
    placement: Placement,
    pod_sets: Sequence[PodSetFacts],
    candidates: Sequence[_One],
    loss_of: dict[str, float],
) -> Iterator[list[_One]]:
    """Orders worth a trial: over the whole cluster, or one for each of the cheapest domains."""
    asking = next((one for one in pod_sets if not _fits_alone(placement, one)), None)
    if asking is None:  # a group of sets each of which fits somewhere: all of it is to fit in one domain
        together = (one for one in pod_sets if one.group and one.required_level)
        asking = max(together, key=lambda one: one.count, default=None)
    if asking is None:
        return
    view = placement.view(asking.pod_class)
    if not view.offered:
        return
    steps = sorted(_steps(placement, asking, view, candidates, loss_of), key=lambda step: step.price)
    if not (asking.required_level or asking.slices):
        yield _ordered(steps, candidates)
        return
    tree = tree_of(placement.nodes, asking)
    free = {row: int(view.fits[row]) for row in np.flatnonzero(view.fits > 0).tolist()}
    opened = by_slices(tree, asking, Opened(steps, free))
    if not asking.required_level:
        yield _ordered(opened.steps, candidates)
        return
    for inside in by_domain(tree, asking, opened, DOMAINS_TRIED_MAX):
        yield _ordered(inside, candidates)


def _fits_alone(placement: Placement, pod_set: PodSetFacts) -> bool:
    mark = placement.mark()
    fits = placement.place((pod_set,)) is not None
    placement.rollback(mark)
    return fits


def _ordered(steps: Iterable[Step], candidates: Sequence[_One]) -> list[_One]:
    """Victims of these steps first, then all others."""
    first = dict.fromkeys(index for step in steps for index in step.victims)
    rest = (index for index in range(len(candidates)) if index not in first)
    return [candidates[index] for index in (*first, *rest)]


def _steps(
    placement: Placement,
    asking: PodSetFacts,
    view: View,
    candidates: Sequence[Leaver],
    loss_of: dict[str, float],
) -> Iterator[Step]:
    rows, victims, counts, freed = _places(placement, view, candidates)
    if not len(rows):
        return
    most = max(1, int(placement.room_when_empty(view).max(initial=1)))
    nodes_needed = -(-asking.count // most)
    loss = np.array([loss_of[one.key] for one in candidates])[victims]
    pods = np.maximum(np.array([one.pods for one in candidates]), 1)[victims]
    loss = loss * np.minimum(1.0, np.maximum(counts / pods, 1 / nodes_needed))
    order = np.lexsort((victims, rows))
    rows, victims, freed, loss = rows[order], victims[order], freed[order], loss[order]
    firsts = np.flatnonzero(np.append(True, rows[1:] != rows[:-1]))
    of_row = np.repeat(np.arange(len(firsts)), np.diff(np.append(firsts, len(rows))))
    total = np.cumsum(freed, axis=0)
    gained = total - (total[firsts] - freed[firsts])[of_row]
    fits = np.maximum(((placement.free(view)[rows] + gained) // view.amounts).min(axis=1), 0)
    yield from _steps_of_rows(view, rows.tolist(), victims.tolist(), fits.tolist(), loss.tolist())


def _steps_of_rows(
    view: View, rows: Sequence[int], victims: Sequence[int], fits: Sequence[int], loss: Sequence[float]
) -> Iterator[Step]:
    row, before, price, lost = -1, 0, 0.0, 0.0
    pending: list[int] = []
    for index, here in enumerate(rows):
        if here != row:
            row, before, price, lost, pending = here, int(view.fits[here]), 0.0, 0.0, []
        pending.append(victims[index])
        lost += loss[index]
        if fits[index] > before:
            price = max(price, lost / (fits[index] - before))
            yield Step(price, row, fits[index] - before, tuple(pending))
            before, lost, pending = fits[index], 0.0, []


def _places(placement: Placement, view: View, candidates: Sequence[Leaver]) -> tuple[Ints, Ints, Ints, Ints]:
    """Row, victim, pods and what they take of what is asked for; one entry for each victim's place."""
    vectors: dict[int, Ints] = {}
    names = [name for name, amount in view.pod_class.requests if amount > 0]
    rows, victims, counts, freed = [], [], [], []
    for index, one in enumerate(candidates):
        for held in one.held:
            row = placement.row_of(held.node)
            if row < 0 or not view.mask[row]:
                continue
            vector = vectors.get(id(held.pod_class))
            if vector is None:
                amounts = held.pod_class.amounts
                vector = np.array([amounts.get(name, 0) for name in names], dtype=np.int64)
                vectors[id(held.pod_class)] = vector
            rows.append(row)
            victims.append(index)
            counts.append(held.count)
            freed.append(vector)
    number = np.array(counts, dtype=np.int64)
    together = np.array(freed, dtype=np.int64).reshape(len(rows), len(names)) * number[:, None]
    return np.array(rows, dtype=np.int64), np.array(victims, dtype=np.int64), number, together
