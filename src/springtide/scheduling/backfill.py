"""Work that waits in the order of its queue, and what may start before its turn without delaying it.

EASY backfill (Lifka 1995, Mu'alem and Feitelson 2001) on nodes rather than on a number: the first that cannot
start gets a reservation. Running work is given back on a trial in the order of its expected end until the
first fits; that moment is its shadow time, and from then on it holds its place in `future`, which is the
cluster at that moment. Others start if they end before it, or if they fit on nodes both now and then.
Called by the replay of job traces, which keeps one; the live cycle keeps nothing: see `reservations`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from springtide.scheduling.classes import PodClass
from springtide.scheduling.durations import Lasting
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.placement import Placement
from springtide.scheduling.releasing import Held
from springtide.scheduling.views import Share

Places = tuple[tuple[PodClass, Share] | Held, ...]
"""What a workload has of a placement: taken of it, or known from its pods."""
Remaining = Callable[[str, float], float]
"""How many more seconds the workload of this key runs, that has run for so many."""


@dataclass(frozen=True, eq=False)
class Reservation:
    """The place of the first that waits."""

    key: str
    starts: float
    """When it is expected to start: the shadow time."""
    made: float
    shares: tuple[Share, ...]
    """Where."""


@dataclass(eq=False)
class _Running:
    """Work that runs, and where it is found in either placement."""

    key: str
    started: float
    ends: float
    """When it is expected to end."""
    held: Places
    ahead: Places = ()
    """What it has of `future` without the trial; nothing while that is not known there."""
    beside: Places = ()
    """What it has of `future` on the trial only: it was started beside the reservation."""
    gone: bool = False
    """Whether it was given back on the trial."""


class Backfill:
    """What runs, what is reserved, and what may start."""

    def __init__(self, placement: Placement, future: Placement, remaining: Remaining) -> None:
        """`placement` and `future` are made of the same snapshot; the second is for this object alone."""
        self._placement = placement
        self._future = future
        self._remaining = remaining
        self._running: dict[str, _Running] = {}
        self._reservation: Reservation | None = None
        self._mark = future.mark()
        self._started: dict[str, _Running] = {}
        self._ended: list[_Running] = []

    @property
    def reservation(self) -> Reservation | None:
        """What is held for the first that waits."""
        return self._reservation

    def runs(self, key: str, held: Iterable[Held], started: float, ends: float) -> None:
        """Say what runs already: part of the snapshot that both placements are made of."""
        places: Places = tuple(held)
        self._running[key] = _Running(key, started, ends, places, ahead=places)

    def start(
        self, key: str, pod_sets: Sequence[PodSetFacts], now: float, lasts: Lasting, *, first: bool = False
    ) -> tuple[Share, ...] | None:
        """Start it if that delays nobody who has a reservation; None, and nothing is taken, if it would.

        `first` comes before whoever has one, who loses it where there is no other way.
        """
        reserved = self._reservation
        own = reserved is not None and reserved.key == key
        beside: Places = ()
        if reserved is None or own or now + lasts.cautious <= reserved.starts:
            shares = self._placement.place(pod_sets)
        else:
            shares, beside = self._beside(pod_sets)
        if shares is None and first and not own:
            shares, beside, own = self._placement.place(pod_sets), (), True
        if shares is None:
            return None
        if own:
            self.release()
        held = tuple((pod_set.pod_class, share) for pod_set, share in zip(pod_sets, shares, strict=True))
        run = _Running(key, now, now + lasts.expected, held, beside=beside)
        self._running[key] = run
        if self._reservation is None:
            run.ahead = self._take(held)
        else:
            self._started[key] = run
        return shares

    def end(self, key: str) -> None:
        """It has ended: what it had is free."""
        run = self._running.pop(key)
        give(self._placement, run.held)
        if self._started.pop(key, None) is not None:
            give(self._future, run.beside)
            return
        if not run.gone:
            give(self._future, run.ahead)
        if self._reservation is None:
            self._mark = self._future.mark()
        else:
            self._ended.append(run)

    def room_beside(self, pod_class: PodClass) -> int:
        """How many pods of this class fit now and beside what is reserved: those may be of any length."""
        now, then = self._placement.view(pod_class), self._future.view(pod_class)
        return int(np.minimum(now.fits, then.fits).sum())

    def reserve(self, key: str, pod_sets: Sequence[PodSetFacts], now: float) -> Reservation | None:
        """Hold a place for the first that waits, as early as any; None if it does not fit an empty cluster.

        It is expected to start when so much of what runs has ended, in the order of expected ends, as it
        needs: the smallest number is found by doubling and halving.
        """
        self.release()
        for run in self._running.values():
            if run.ends <= now:
                run.ends = now + max(1.0, self._remaining(run.key, now - run.started))
        order = sorted(self._running.values(), key=lambda run: (run.ends, run.key))
        marks = [self._mark]
        high = fewest(lambda number: self._fits_after(order, marks, number, pod_sets), len(order))
        if high is None:
            self._future.rollback(self._mark)
            return None
        starts = order[high - 1].ends if order else now
        while high < len(order) and order[high].ends <= starts:
            high += 1
        self._give_back_first(order, marks, high)
        for run in order[:high]:
            run.gone = True
        shares = self._future.place(pod_sets)
        if shares is None:
            raise RuntimeError(f"{key}: what fitted on a trial does not fit when more is free")
        self._reservation = Reservation(key, starts, now, shares)
        return self._reservation

    def release(self) -> None:
        """Give the reservation up, and bring `future` up to what runs now."""
        if self._reservation is None:
            return
        self._future.rollback(self._mark)
        for run in self._ended:
            give(self._future, run.ahead)
        for run in self._started.values():
            run.ahead, run.beside = self._take(run.held), ()
        for run in self._running.values():
            run.gone = False
        self._ended.clear()
        self._started.clear()
        self._reservation = None
        self._mark = self._future.mark()

    # -- trial -------------------------------------------------------------------------------------

    def _fits_after(
        self, order: Sequence[_Running], marks: list[int], number: int, pod_sets: Sequence[PodSetFacts]
    ) -> bool:
        self._give_back_first(order, marks, number)
        mark = self._future.mark()
        fits = self._future.place(pod_sets) is not None
        self._future.rollback(mark)
        return fits

    def _give_back_first(self, order: Sequence[_Running], marks: list[int], number: int) -> None:
        """Make `future` the cluster after so many have ended; marks[i] is where i have."""
        if number < len(marks):
            del marks[number + 1 :]
            self._future.rollback(marks[number])
        for run in order[len(marks) - 1 : number]:
            give(self._future, run.ahead)
            marks.append(self._future.mark())

    def _beside(self, pod_sets: Sequence[PodSetFacts]) -> tuple[tuple[Share, ...] | None, Places]:
        """Place on nodes that hold it now and at the shadow time, beside what is reserved."""
        now, then = self._placement.mark(), self._future.mark()
        shares: list[Share] = []
        beside: list[tuple[PodClass, Share]] = []
        for pod_set in pod_sets:
            found = self._placement.place((pod_set,), within=self._future)
            if found is None:
                self._placement.rollback(now)
                self._future.rollback(then)
                return None, ()
            shares += found
            beside.append((pod_set.pod_class, self._future.take(pod_set.pod_class, found[0])))
        return tuple(shares), tuple(beside)

    def _take(self, places: Places) -> Places:
        """Take the same of `future` while nothing is reserved, for good."""
        taken = (place for place in places if not isinstance(place, Held))
        found = tuple((pod_class, self._future.take(pod_class, share)) for pod_class, share in taken)
        self._mark = self._future.mark()
        return found


def fewest(fits: Callable[[int], bool], most: int) -> int | None:
    """The smallest number, at least one if there are so many, for which it fits; None if not even for `most`.

    Found by doubling and halving: where it fits for some number it fits for all larger ones.
    """
    low, high = 0, min(1, most)
    while not fits(high):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            high = middle
        else:
            low = middle
    return high


def give(placement: Placement, places: Places) -> None:
    """Free what a workload has of a placement."""
    for place in places:
        if isinstance(place, Held):
            placement.vacate((place,))
        else:
            placement.give_back(*place)
