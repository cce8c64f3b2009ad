"""The fewest and cheapest that must go so that a workload can start: quota and nodes in one search.

Candidates go in a given order until what asks fits, in its quota and on the nodes; the shortest such prefix
is found by bisection, each step a trial placement on the cycle's own free capacity. Then everybody is put
back who is not in the way after all. Where room on nodes is what is short, the same is tried in orders that
open places side by side (`openings`), and of the outcomes that break the fewest budgets the cheapest wins.
If all of them together do not help, nobody goes. Called by `claims`; leaves placement and book as they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from springtide.scheduling.cohorts import Book, Cell
from springtide.scheduling.leaving import Leaver
from springtide.scheduling.openings import losses, orders
from springtide.scheduling.placement import Placement
from springtide.scheduling.victims import Asking
from springtide.scheduling.views import Share

_ALSO_IN_ORDER_MAX = 256
"""Where room is short, so few candidates are also tried in their own order."""


@dataclass(frozen=True)
class Found:
    """Who has to go, and where the preemptor then runs."""

    victims: tuple[Leaver, ...]
    shares: tuple[Share, ...]
    loss: float


class Trial:
    """What would be if candidates went: a placement and a book to try on."""

    def __init__(self, placement: Placement, book: Book, asking: Asking) -> None:
        self.placement = placement
        self.book = book
        self.asking = asking

    def remove(self, some: Iterable[Leaver]) -> None:
        """As if they were gone."""
        gone = list(some)
        self.placement.vacate(held for one in gone for held in one.held)
        for (queue, cell), amount in _usage(gone).items():
            self.book.use(queue, cell, -amount)

    def put_back(self, one: Leaver, *, borrow: bool) -> bool:
        """As if it had stayed, if there is room for it as well."""
        mark = self.mark()
        for cell, amount in one.usage.items():
            self.book.use(one.queue, cell, amount)
        if self.has_quota(borrow=borrow) and self.placement.occupy(one.held):
            return True
        self.rollback(mark)
        return False

    def has_quota(self, *, borrow: bool) -> bool:
        """Whether the preemptor fits in its quota."""
        queue = self.asking.queue
        if not queue.groups:
            return True
        for cell, amount in self.asking.granted.usage.items():
            if amount > self.book.available(queue.name, cell):
                return False
            if not borrow and self.book.borrowed(queue.name, cell, amount):
                return False
        return True

    def fits(self, *, borrow: bool) -> bool:
        """Whether it could start."""
        if not self.has_quota(borrow=borrow):
            return False
        mark = self.placement.mark()
        placed = self.placement.place(self.asking.pod_sets) is not None
        self.placement.rollback(mark)
        return placed

    def mark(self) -> tuple[int, int]:
        """A place to come back to."""
        return self.placement.mark(), self.book.mark()

    def rollback(self, mark: tuple[int, int]) -> None:
        """As it was then."""
        self.placement.rollback(mark[0])
        self.book.rollback(mark[1])


def search(trial: Trial, candidates: Sequence[Leaver], *, borrow: bool) -> Found | None:
    """Whom to let go of these, who may go in this order; None if even all of them would not help."""
    start = trial.mark()
    trial.remove(candidates)
    hopeless = not trial.fits(borrow=borrow)
    trial.rollback(start)
    if hopeless:
        return None
    loss_of = losses(candidates)
    tries: Iterable[Sequence[Leaver]] = (candidates,)
    if _is_short_of_room(trial, candidates, borrow=borrow):
        opened = orders(trial.placement, trial.asking.pod_sets, candidates, loss_of)
        tries = (*opened, candidates) if len(candidates) <= _ALSO_IN_ORDER_MAX else opened
    found = [one for order in tries if (one := _along(trial, order, loss_of, borrow=borrow)) is not None]
    if not found:
        return _along(trial, candidates, loss_of, borrow=borrow)
    return min(found, key=lambda one: (sum(victim.breaks_budget for victim in one.victims), one.loss))


def _is_short_of_room(trial: Trial, candidates: Sequence[Leaver], *, borrow: bool) -> bool:
    """Whether those who have to go for the quota's sake leave too little room on the nodes."""
    start = trial.mark()
    length = 0
    if not trial.has_quota(borrow=borrow):
        length = _prefix(trial, candidates, partial(trial.has_quota, borrow=borrow)) or 0
    short = not trial.fits(borrow=borrow)
    trial.rollback(start)
    return short and length < len(candidates)


def _along(trial: Trial, order: Sequence[Leaver], loss_of: dict[str, float], *, borrow: bool) -> Found | None:
    """Whom to let go, trying them in this order."""
    start = trial.mark()
    length = _prefix(trial, order, partial(trial.fits, borrow=borrow))
    if length is None:
        return None
    shares = trial.placement.place(trial.asking.pod_sets)
    if shares is None:
        trial.rollback(start)
        return None
    gone = order[:length]
    stay = _not_needed(trial, gone, shares, borrow=borrow)
    trial.rollback(start)
    victims = [one for one in gone if one.key not in stay]
    if stay and not _suffice(trial, victims, borrow=borrow):
        victims = list(gone)
    return Found(tuple(victims), shares, sum(loss_of[one.key] for one in victims))


def _not_needed(trial: Trial, gone: Sequence[Leaver], shares: Sequence[Share], *, borrow: bool) -> set[str]:
    """Who of them may stay after all, now that the preemptor has its place; the first to go stay last."""
    rows = {int(row) for share in shares for row in share.rows}
    apart = [one for one in gone if not any(trial.placement.row_of(held.node) in rows for held in one.held)]
    stay: set[str] = set()
    mark = trial.book.mark()
    for (queue, cell), amount in _usage(apart).items():
        trial.book.use(queue, cell, amount)
    if trial.has_quota(borrow=borrow):
        stay = {one.key for one in apart}
    else:
        trial.book.rollback(mark)
    last_first = sorted(gone, key=lambda one: one.order)[::-1]
    return stay | {
        one.key for one in last_first if one.key not in stay and trial.put_back(one, borrow=borrow)
    }


def _usage(some: Iterable[Leaver]) -> Counter[tuple[str, Cell]]:
    of_queue: dict[str, dict[Cell, int]] = {}
    for one in some:
        sums = of_queue.setdefault(one.queue, {})
        for cell, amount in one.usage.items():
            sums[cell] = sums.get(cell, 0) + amount
    return Counter({(queue, cell): sum_ for queue, sums in of_queue.items() for cell, sum_ in sums.items()})


def _prefix(trial: Trial, order: Sequence[Leaver], helps: Callable[[], bool]) -> int | None:
    """How many of the first have to go; they are removed. None, and nothing removed, if all do not help."""
    start = trial.mark()
    low, step = 0, 1
    while True:
        high = min(len(order), low + step)
        before = trial.mark()
        trial.remove(order[low:high])
        if helps():
            break
        if high == len(order):
            trial.rollback(start)
            return None
        low, step = high, 2 * step
    trial.rollback(before)
    while high - low > 1:
        middle = (low + high) // 2
        before = trial.mark()
        trial.remove(order[low:middle])
        if helps():
            trial.rollback(before)
            high = middle
        else:
            low = middle
    trial.remove(order[low:high])
    return high


def _suffice(trial: Trial, victims: Sequence[Leaver], *, borrow: bool) -> bool:
    start = trial.mark()
    trial.remove(victims)
    enough = trial.fits(borrow=borrow)
    trial.rollback(start)
    return enough
