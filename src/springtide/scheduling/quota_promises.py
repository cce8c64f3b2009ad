"""Who waits for quota first has it promised, so that smaller work of the same queue does not starve it.

The same rule as for room on nodes, in the book of quota: what runs gives its quota back in the order of its
expected ends, and others may be charged what is left over both now and then. It binds the work of the same
ClusterQueue and whoever would borrow in the same cohort; what belongs to another queue is that queue's.
Called by `reservations`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from springtide.scheduling.backfill import fewest
from springtide.scheduling.cohorts import Cell, Tree
from springtide.scheduling.durations import History
from springtide.scheduling.facts import WorkloadFacts
from springtide.scheduling.promises import QuotaPromise, passing, put_off
from springtide.scheduling.queues import ClusterQueueFacts
from springtide.scheduling.quota import Granted, Quota
from springtide.scheduling.running import Run
from springtide.scheduling.status import Verdict

Ends = Callable[[WorkloadFacts, bool], Sequence[Run]]
"""What runs and ends some time, the first first; the flag: whether the promise is firm."""


class QuotaPromises:
    """The promises of quota of one cycle."""

    def __init__(
        self,
        quota: Quota,
        tree: Tree,
        history: History,
        ends: Ends,
        now: datetime,
        firm_after_seconds: float,
    ) -> None:
        self._quota = quota
        self._tree = tree
        self._history = history
        self._ends = ends
        self._now = now
        self._firm_after = firm_after_seconds
        self._promises: dict[str, QuotaPromise] = {}

    def keys(self) -> set[str]:
        """Keys of those who have quota promised."""
        return set(self._promises)

    def promised(self, facts: WorkloadFacts) -> QuotaPromise | None:
        """What is promised to one who waits."""
        return self._promises.get(facts.key)

    def reserve(self, facts: WorkloadFacts, queue: ClusterQueueFacts, wanted: Granted, *, firm: bool) -> None:
        """Promise it its quota, unless another of its queue comes first."""
        if any(one.queue == queue.name for one in self._promises.values()):
            return
        around = self._around(queue)
        order = [run for run in self._ends(facts, firm) if run.queue in around]
        if not order:
            return
        number = fewest(lambda count: self._suffices(queue, wanted, order[:count]), len(order))
        if number is None:
            return
        change = self._ended(order[:number])
        change.update({(queue.name, cell): amount for cell, amount in wanted.usage.items()})
        last = order[number - 1]
        self._promises[facts.key] = QuotaPromise(facts.key, last.ends, firm, last, queue.name, change)

    def keeps(self, facts: WorkloadFacts, queue: ClusterQueueFacts, granted: Granted) -> Verdict | None:
        """Why it may not have what the queue has left; None if it may."""
        others = [one for one in self._promises.values() if self._binds(one, facts, queue, granted)]
        if not others:
            return None
        lasts, now = passing(facts, self._history), self._now.timestamp()
        late = [one for one in others if not lasts.in_time(one, now, self._firm_after)]
        broken = [one for one in late if not self._has_beside(one, queue, granted)]
        if broken:
            return put_off(facts, "quota", broken, self._now, self._firm_after)
        return None

    def start(self, facts: WorkloadFacts, queue: ClusterQueueFacts, granted: Granted) -> None:
        """Take note that it starts now."""
        if not self._promises:
            return
        self._promises.pop(facts.key, None)
        lasts, now = passing(facts, self._history), self._now.timestamp()
        for one in self._promises.values():
            if one.queue in self._around(queue) and lasts.in_time(one, now, self._firm_after):
                one.change.subtract({(queue.name, cell): a for cell, a in granted.usage.items()})

    def _binds(
        self, one: QuotaPromise, facts: WorkloadFacts, queue: ClusterQueueFacts, granted: Granted
    ) -> bool:
        if one.key == facts.key:
            return False
        if one.queue == queue.name:
            return True
        return granted.borrows and one.queue in self._around(queue)

    def _around(self, queue: ClusterQueueFacts) -> frozenset[str]:
        return self._tree.around(queue.name) if self._tree.has(queue.name) else frozenset((queue.name,))

    def _suffices(self, queue: ClusterQueueFacts, wanted: Granted, gone: Sequence[Run]) -> bool:
        return self._fits(queue, wanted, self._ended(gone))

    def _has_beside(self, one: QuotaPromise, queue: ClusterQueueFacts, granted: Granted) -> bool:
        return self._fits(queue, granted, one.change)

    def _fits(self, queue: ClusterQueueFacts, wanted: Granted, change: Counter[tuple[str, Cell]]) -> bool:
        """Whether the queue has it once the book has changed so."""
        book = self._quota.book
        mark = book.mark()
        for (name, cell), amount in change.items():
            book.use(name, cell, amount)
        enough = all(amount <= book.available(queue.name, cell) for cell, amount in wanted.usage.items())
        book.rollback(mark)
        return enough

    def _ended(self, gone: Sequence[Run]) -> Counter[tuple[str, Cell]]:
        """What the book has more, which is less, when these and all that is ending have ended."""
        change: Counter[tuple[str, Cell]] = Counter()
        for run in gone:
            change.subtract({(run.queue, cell): amount for cell, amount in run.usage.items()})
        change.subtract(self._quota.ending)
        return change
