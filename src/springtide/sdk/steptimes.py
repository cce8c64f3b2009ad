"""How long the newest steps of this rank took: what is kept of them so that one look tells of them all.

The node looks at marks every second or two, and a rank may have made twenty steps since. So nobody counts
looks: a rank keeps its newest steps itself and says of them what tells a slow rank from a disturbed one. The
median does not move for single long steps; the third least of twelve moves only once ten of them are long;
the median of three moves at once, so that whoever reads it knows to look again soon. Called by `marks`.
"""

from __future__ import annotations

import os

STEPS = 12
"""Times are told of so many steps: a long sentence or the garbage collector makes no rank slow."""
LOW_PLACE = 2
"""All but so many of them took at least `low`."""
RECENT = 3
"""`recent` is the median of so many."""
UNKNOWN = -1.0
_NOT_OPEN, _NO_FILE = -2, -1


class StepTimes:
    """In seconds; -1: not known yet."""

    __slots__ = (
        "_busies",
        "_queues",
        "_walls",
        "best",
        "best_wall",
        "busy",
        "low",
        "queued",
        "recent",
        "wall",
    )

    def __init__(self) -> None:
        self._walls: list[float] = []
        self._busies: list[float] = []
        self._queues: list[float] = []
        self.wall = UNKNOWN
        """Median of the whole step."""
        self.best_wall = UNKNOWN
        """The least that ever was."""
        self.busy = UNKNOWN
        """Median of the part in which this rank worked: it waited neither for peers nor for a processor."""
        self.best = UNKNOWN
        """The least that ever was."""
        self.low = UNKNOWN
        """Nearly all of them took at least so long; known once there are `STEPS`."""
        self.recent = UNKNOWN
        """Median of the work of the newest three."""
        self.queued = UNKNOWN
        """Median of the part in which it was ready to work, and others had the processors."""

    def add(self, wall: float) -> None:
        """A step has taken so long."""
        middle = self.wall = _middle(_kept(self._walls, wall))
        if len(self._walls) == STEPS:
            self.best_wall = middle if self.best_wall < 0 else min(self.best_wall, middle)

    def add_work(self, busy: float, queued: float) -> None:
        """Of which it worked, and waited for a processor, so long."""
        ordered = _kept(self._busies, busy)
        self.busy = _middle(ordered)
        self.recent = _middle(sorted(self._busies[-RECENT:]))
        self.queued = _middle(_kept(self._queues, queued))
        if len(ordered) == STEPS:
            self.low = ordered[LOW_PLACE]
            self.best = self.busy if self.best < 0 else min(self.best, self.busy)


class RunQueue:
    """Seconds for which the main thread was ready to run while others had the processors, since it began.

    As Linux counts them (`/proc/<pid>/schedstat`, its second number, in nanoseconds); 0 where nobody counts.
    A machine shared with others makes steps long this way, now of this rank and now of that one, and no node
    is slow for that.
    """

    __slots__ = ("_file",)

    def __init__(self) -> None:
        self._file = _NOT_OPEN

    def __call__(self) -> float:
        if self._file == _NO_FILE:
            return 0.0
        try:
            if self._file == _NOT_OPEN:
                self._file = os.open("/proc/self/schedstat", os.O_RDONLY)
            return int(os.pread(self._file, 64, 0).split()[1]) * 1e-9
        except (OSError, ValueError, IndexError):
            self._file = _NO_FILE
            return 0.0


def _kept(values: list[float], value: float) -> list[float]:
    """Remember the newest; those remembered, the least first."""
    values.append(value)
    if len(values) > STEPS:
        del values[0]
    return sorted(values)


def _middle(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
