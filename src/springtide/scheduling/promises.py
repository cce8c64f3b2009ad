"""What one who waits is promised: when it is expected to start, and after what. See `reservations`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from springtide.scheduling import runs
from springtide.scheduling.arrays import Mask
from springtide.scheduling.cohorts import Cell
from springtide.scheduling.durations import History
from springtide.scheduling.facts import PodFacts, WorkloadFacts
from springtide.scheduling.running import Run
from springtide.scheduling.status import Verdict

Item = WorkloadFacts | PodFacts
_POD_LIMIT = "spec.activeDeadlineSeconds"
_WORKLOAD_LIMIT = "spec.maximumExecutionTimeSeconds"
_FINE_SECONDS = 6 * 3600.0


@dataclass(frozen=True, eq=False)
class Promise:
    """Something held for one who waits."""

    key: str
    starts: float
    """When it is expected to start, in seconds of the epoch."""
    firm: bool
    """Whether only what has a limit of its own may start in front of it."""
    last: Run
    """What has to end for it last."""

    @property
    def when(self) -> datetime:
        """When it is expected to start."""
        return datetime.fromtimestamp(self.starts, UTC)

    @property
    def reason(self) -> str:
        """What has to end for that."""
        return f"when {self.last.named} ends"

    def said(self, now: datetime) -> str:
        """When it is expected to start and why then, in words."""
        return f"expected to start about {clock_time(self.when, now)}: {self.reason}"


@dataclass(frozen=True, eq=False)
class RoomPromise(Promise):
    """A place on nodes."""

    nodes: Mask
    """Those it may run on."""


@dataclass(frozen=True, eq=False)
class QuotaPromise(Promise):
    """Quota of a ClusterQueue."""

    queue: str
    change: Counter[tuple[str, Cell]]
    """What the book will have more by then: what is promised, less what has ended."""


@dataclass(frozen=True, slots=True)
class Passing:
    """Who may pass by others: how long it lasts, surely and usually."""

    limit: float
    """Seconds after which it is ended at the latest."""
    usual: float
    """Seconds after which its like has mostly ended; infinite where nothing is known."""

    def in_time(self, promise: Promise, now: float, firm_after_seconds: float) -> bool:
        """Whether it has surely ended before the promised start."""
        bound = self.limit if promise.firm else min(self.limit, self.usual)
        return bound <= window(promise, now, firm_after_seconds)


def passing(facts: Item, history: History) -> Passing:
    """How long one who wants to start will take."""
    if isinstance(facts, PodFacts):
        return Passing(runs.pod_limit(facts.obj), math.inf)
    known = runs.says_how_long(facts.obj) or history.knows(runs.sort_of(facts.obj, facts.pod_sets))
    usual = runs.lasts(facts, history).cautious if known else math.inf
    return Passing(runs.limit_left(facts.obj), usual)


def window(promise: Promise, now: float, firm_after_seconds: float) -> float:
    """For how many seconds others may use what is promised."""
    left = promise.starts - now
    return min(left, firm_after_seconds) if promise.firm else left


def put_off(
    facts: Item, what: str, promises: Iterable[Promise], now: datetime, firm_after_seconds: float
) -> Verdict:
    """Why it does not start although there is what it needs, and what would let it."""
    first = min(promises, key=lambda one: (one.starts, one.key))
    most = _rounded(window(first, now.timestamp(), firm_after_seconds))
    pod = isinstance(facts, PodFacts)
    field = _POD_LIMIT if pod else _WORKLOAD_LIMIT
    remedy = f"; with {field} of at most {most} it would start now" if most >= 1 else ""
    return Verdict(
        "Unschedulable" if pod else "PendingEvaluation",
        f"there is {what}, but it might put off {first.key}, which is expected to start about "
        f"{clock_time(first.when, now)}{remedy}",
    )


def _rounded(seconds: float) -> int:
    """Whole seconds; of long times whole minutes, or five: a number that ticks is written again and again."""
    step = 300 if seconds >= 600 else 60 if seconds >= 120 else 1
    return int(seconds // step) * step


def clock_time(when: datetime, now: datetime) -> str:
    """A moment for people, as exactly as it is known: to five minutes, or to the hour if it is far away."""
    step = 300 if (when - now).total_seconds() < _FINE_SECONDS else 3600
    rounded = datetime.fromtimestamp(math.ceil(when.timestamp() / step) * step, UTC)
    return f"{rounded:%H:%M} UTC" if rounded.date() == now.date() else f"{rounded:%Y-%m-%d %H:%M} UTC"
