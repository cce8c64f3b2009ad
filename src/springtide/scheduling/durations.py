"""How long workloads run: learned from those that ended, bounded by the limit a workload sets itself.

Who runs what for how long differs by orders of magnitude within one queue, so an estimate is a distribution,
not a number: its mean orders queues, its middle says when running work is expected to end, its upper part
who surely ends in time. What is known of one sort of work is blended with what is known of wider ones: a sort
that was never seen is expected to last as long as work of its user, its queue, its size, or any.
Called by `runs` for the live cycle and by the replay of job traces. Nothing here reads a clock.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from springtide.scheduling.arrays import Floats

STEPS_PER_DOUBLING = 4
"""Durations are told apart to within a factor of 2 ** (1 / 4), about a fifth."""
_BINS = 27 * STEPS_PER_DOUBLING
"""From one second to about four years."""
_EDGES: Floats = 2.0 ** (np.arange(1, _BINS + 1) / STEPS_PER_DOUBLING)
"""The longest duration of each bin."""
_MIDDLES: Floats = _EDGES * 2.0 ** (-0.5 / STEPS_PER_DOUBLING)
WIDER_COUNTS = 4.0
"""What is known of a wider sort counts as much as so many runs of the narrower one."""
UNKNOWN_SECONDS = 3600.0
"""Before anything has ended, this is the middle of what is expected."""
_UNKNOWN_SPREAD = 3.0
"""Standard deviation of that expectation, in doublings."""
_STEM = re.compile(r"[-_.](?:[0-9]+|(?=[a-z0-9]*[0-9])[a-z0-9]{5,})$|(?<=[^0-9])[0-9]+$")
"""What tells runs of the same thing apart, at the end of a name: a number, or random letters and digits."""


@dataclass(frozen=True, slots=True)
class Sort:
    """What makes two workloads alike."""

    queue: str = ""
    user: str = ""
    stem: str = ""
    """Its name without what tells one run from the next; see `stem_of`."""
    devices: int = 0

    @property
    def widening(self) -> tuple[tuple[str | int, ...], ...]:
        """The sorts it belongs to, the widest first."""
        lines: list[tuple[str | int, ...]] = [(), (self.devices,), (self.queue, self.devices)]
        if self.user:
            lines.append((self.queue, self.user, self.devices))
        if self.stem:
            lines.append((self.queue, self.user, self.stem, self.devices))
        return tuple(lines)


def stem_of(name: str) -> str:
    """The name without its endings that differ from run to run: `bert-large-7f3k9` is `bert-large`."""
    while (shorter := _STEM.sub("", name)) != name and shorter:
        name = shorter
    return name


@dataclass(frozen=True, eq=False)
class Estimate:
    """How long work of one sort lasts: how likely each bin is."""

    likely: Floats
    """Sums up to 1."""
    mean_seconds: float
    _reached: Floats

    def quantile(self, part: float, elapsed: float = 0.0) -> float:
        """Seconds after which this part of such work has ended, of that which lasts longer than `elapsed`."""
        gone = self._ended_by(elapsed)
        if gone >= 1.0 - 1e-9:
            return elapsed * (1.0 + part)
        wanted = gone + part * (1.0 - gone)
        bin_ = min(int(np.searchsorted(self._reached, wanted)), _BINS - 1)
        before = float(self._reached[bin_ - 1]) if bin_ else 0.0
        inside = float(self.likely[bin_])
        share = (wanted - before) / inside if inside > 0 else 1.0
        low = float(_EDGES[bin_ - 1]) if bin_ else 1.0
        inside_bin: float = low * math.pow(float(_EDGES[bin_]) / low, min(1.0, max(0.0, share)))
        return max(elapsed, inside_bin)

    def _ended_by(self, seconds: float) -> float:
        """The part of such work that has ended by then."""
        if seconds <= 1.0:
            return 0.0
        position = math.log2(seconds) * STEPS_PER_DOUBLING
        bin_ = int(position)
        if bin_ >= _BINS:
            return 1.0
        before = float(self._reached[bin_ - 1]) if bin_ else 0.0
        return before + (position - bin_) * float(self.likely[bin_])


KNOWN_RUNS = 3
"""Of a user's or a job's own runs with as many devices: from so many on its durations count as known."""
SORTS_MAX = 8192
"""So many sorts are remembered; beyond that the half of which least is known is forgotten."""
_WIDE = 3
"""So many of a sort's widest lines say nothing of its user."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """Runs of one sort that ended."""

    counts: Floats
    runs: int


class History:
    """What has ended, by sort. An estimate is renewed when a sixteenth more of its sort is known."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str | int, ...], _Seen] = {}
        self._estimates: dict[Sort, tuple[int, Estimate]] = {}

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self._seen)

    def copy(self) -> History:
        """The same, which may learn more without this one."""
        other = History()
        other._seen, other._estimates = self._seen.copy(), self._estimates.copy()
        return other

    def knows(self, sort: Sort) -> bool:
        """Whether enough work of this sort's own user or job has ended to say how long it takes."""
        own = (self._seen.get(line) for line in sort.widening[_WIDE:])
        return any(seen.runs >= KNOWN_RUNS for seen in own if seen is not None)

    def record(self, sort: Sort, seconds: float) -> None:
        """Learn that work of this sort ran for so long, to its end."""
        bin_ = about(seconds)
        if len(self._seen) > SORTS_MAX:
            self._forget()
        for line in sort.widening:
            seen = self._seen.get(line)
            counts = seen.counts.copy() if seen is not None else np.zeros(_BINS)
            counts[bin_] += 1.0
            self._seen[line] = _Seen(counts, 1 + (seen.runs if seen is not None else 0))

    def estimate(self, sort: Sort) -> Estimate:
        """What is expected of work of this sort."""
        lines = sort.widening
        runs = sum(seen.runs for line in lines if (seen := self._seen.get(line)) is not None)
        known = self._estimates.get(sort)
        if known is not None and runs <= known[0] + known[0] // 16:
            return known[1]
        likely = _UNKNOWN
        for line in lines:
            seen = self._seen.get(line)
            if seen is not None:
                likely = (WIDER_COUNTS * likely + seen.counts) / (WIDER_COUNTS + seen.runs)
        found = _estimate(likely)
        self._estimates[sort] = runs, found
        return found

    def _forget(self) -> None:
        """Drop the narrow sorts of which least is known; what they said of wider ones stays."""
        narrow = sorted(
            (line for line in self._seen if len(line) >= _WIDE),
            key=lambda line: (self._seen[line].runs, tuple(map(str, line))),
        )
        for line in narrow[: len(self._seen) // 2]:
            del self._seen[line]
        self._estimates.clear()


@dataclass(frozen=True, slots=True)
class Lasting:
    """What is expected of one workload, in seconds from its start."""

    mean: float
    """For the order of queues."""
    expected: float
    """It is as likely to end before as after."""
    cautious: float
    """By then it has most likely ended."""


CAUTIOUS = 0.8
"""Of those that are started because they end in time, so many do."""


def lasting(estimate: Estimate, limit: float | None = None) -> Lasting:
    """What is expected of work that is stopped after `limit` seconds (`maximumExecutionTimeSeconds`)."""
    bound = math.inf if limit is None else limit
    return Lasting(
        mean=min(estimate.mean_seconds, bound),
        expected=min(estimate.quantile(0.5), bound),
        cautious=min(estimate.quantile(CAUTIOUS), bound),
    )


def certain(seconds: float) -> Lasting:
    """What is expected of work of which the duration is known."""
    return Lasting(seconds, seconds, seconds)


def about(seconds: float) -> int:
    """The number of the bin: durations of one bin differ by a fifth at most."""
    return min(_BINS - 1, max(0, math.ceil(math.log2(max(1.0, seconds)) * STEPS_PER_DOUBLING) - 1))


def remaining(estimate: Estimate, elapsed: float, limit: float | None = None) -> float:
    """How many more seconds work is expected to run that runs since `elapsed` seconds; at least one."""
    end = estimate.quantile(0.5, elapsed)
    return max(1.0, (end if limit is None else min(end, limit)) - elapsed)


def _unknown() -> Floats:
    away = (np.log2(_MIDDLES) - math.log2(UNKNOWN_SECONDS)) / _UNKNOWN_SPREAD
    weights: Floats = np.exp(-0.5 * away * away)
    return weights / float(weights.sum())


def _estimate(likely: Floats) -> Estimate:
    return Estimate(likely, float(likely @ _MIDDLES), likely.cumsum())


_UNKNOWN = _unknown()
