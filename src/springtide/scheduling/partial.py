"""The most pods of a workload that fit, between as few as will do and all of them. Pure; for the cycle.

All pod sets shrink together, each by its part of what it can spare, so that one search over one number
finds the answer (the rule of Kueue's partial admission).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from springtide.scheduling.facts import PodSetFacts

PodSets = tuple[PodSetFacts, ...]


def spare(pod_sets: Sequence[PodSetFacts]) -> int:
    """How many pods it can do without."""
    return sum(one.count - one.fewest for one in pod_sets)


def smallest(pod_sets: PodSets) -> PodSets:
    """As few pods as will do."""
    return _without(pod_sets, spare(pod_sets))


def largest(pod_sets: PodSets, fits: Callable[[PodSets], bool]) -> PodSets | None:
    """The most pods for which `fits` holds, but fewer than all; None if even as few as will do do not fit.

    Whoever fits with more pods must fit with fewer. `fits` is asked about log2 of what can be spared times.
    """
    low, high = 1, spare(pod_sets)
    if high < 1 or not fits(_without(pod_sets, high)):
        return None
    while low < high:
        removed = (low + high) // 2
        if fits(_without(pod_sets, removed)):
            high = removed
        else:
            low = removed + 1
    return _without(pod_sets, high)


def _without(pod_sets: PodSets, removed: int) -> PodSets:
    """The pod sets when each gives its part of so many pods, rounded down: with more removed none grows."""
    total = spare(pod_sets)
    given = [removed * (one.count - one.fewest) // total if total else 0 for one in pod_sets]
    return tuple(
        replace(one, count=one.count - less) if less else one
        for one, less in zip(pod_sets, given, strict=True)
    )
