"""In which order those who wait are considered: small functions with a registered name.

An order gives each who waits a key; the smallest is considered first. A key must not depend on what the clock
says now, so that queues stay sorted while time passes: who waits longer gains on those who come later, never
on those who wait beside it. The first who cannot start gets a reservation, see `backfill`.
Called by `lineup` for the live cycle and by the replay of job traces, where a site tries its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from springtide.scheduling.plugins import Registry

AGEING_SECONDS = 86400.0
"""Nobody is overtaken by work that came so much later, however short it is, while little waits."""
AGEING_BACKLOGS = 2.0
"""Where much waits: by work that came later by more than so many times what it takes to run all that waits.
In a crowded queue everybody is old, and a bound below the time that all have to wait would be no order."""
STRETCH = 30.0
"""Work gives way to shorter work that comes within so many times the difference of what both last."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One who waits, as an order sees it."""

    key: str
    priority: int
    since: float
    """When it began to wait, in seconds of any epoch."""
    lasts: float
    """How long it is expected to run, in seconds (mean)."""
    devices: int
    """How many devices it asks for."""
    backlog: float = 0.0
    """Seconds that all who wait would keep the whole cluster busy; the same for each of them."""
    deadline: float = math.inf
    """When it should have ended (annotation `springtide.dev/deadline`), in seconds of the same epoch."""
    score: float = 1.0
    """What part of what it asks for its LocalQueue uses; 1 where nothing is known. See `scores`."""


Rank = tuple[float, float, str]
"""The smallest comes first."""


@dataclass(frozen=True)
class Ordering:
    """An order with a name."""

    name: str
    rank: Callable[[Candidate], Rank]


_orderings = Registry(Ordering, "ordering")
register_ordering, find_ordering, known_orderings = _orderings.register, _orderings.find, _orderings.known


def _fifo(candidate: Candidate) -> Rank:
    """Who came first, whatever the priorities."""
    return 0.0, candidate.since, candidate.key


def _priority(candidate: Candidate) -> Rank:
    """The highest priority, then who came first."""
    return float(-candidate.priority), candidate.since, candidate.key


def _shortest(candidate: Candidate) -> Rank:
    """The highest priority, then who came first, where long work is taken to have come later.

    By how much is bounded: nobody starves. How many devices work asks for does not count against it.
    """
    handicap = min(ageing_bound(candidate.backlog), STRETCH * candidate.lasts)
    return float(-candidate.priority), candidate.since + handicap, candidate.key


def _deadline(candidate: Candidate) -> Rank:
    """The highest priority, then who has to start first to end in time.

    Who has no deadline, or one far away, counts as if it had to start within the bound: nobody starves.
    """
    latest = min(candidate.deadline - candidate.lasts, candidate.since + ageing_bound(candidate.backlog))
    return float(-candidate.priority), latest, candidate.key


def _right_sized(candidate: Candidate) -> Rank:
    """The highest priority, then who came first, where those who waste what they ask for came later.

    By how much is bounded: a queue that uses nothing of what it asks for is as late as the bound.
    """
    handicap = (1.0 - candidate.score) * ageing_bound(candidate.backlog)
    return float(-candidate.priority), candidate.since + handicap, candidate.key


def ageing_bound(backlog: float) -> float:
    """Seconds: nobody is overtaken by what came so much later."""
    return max(AGEING_SECONDS, AGEING_BACKLOGS * backlog)


FIFO = register_ordering(Ordering("fifo", _fifo))
PRIORITY = register_ordering(Ordering("priority", _priority))
SHORTEST = register_ordering(Ordering("shortest", _shortest))
DEADLINE = register_ordering(Ordering("deadline", _deadline))
RIGHT_SIZED = register_ordering(Ordering("right-sized", _right_sized))
