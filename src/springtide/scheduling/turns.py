"""Whose turn it is among those who would borrow: by the order of the queue, or by fair shares.

Who asks for what belongs to its own queue is considered before all of them: else a workload that gave
borrowed quota back would take it again at once. With fair sharing cohorts and queues contend level by level:
of what a cohort has below it, the one goes first whose share would be smallest with the workload it puts
forward, and the cohort puts forward that workload one level higher, against its own siblings. This also keeps
victims and preemptors from changing places for ever. Called by the cycle. Source of the contest: Kueue's fair
sharing over hierarchical cohorts.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from springtide.scheduling.dominance import Share

T = TypeVar("T")
"""A workload."""
Place = Callable[[T], tuple[Any, ...]]
"""Sorts workloads as they stand in one line."""
Standing = tuple[Share, ...]
"""Shares from the top of the cohort tree down to the queue."""
_TOP = ""
"""Where those meet that share no quota."""


def by_order(lines: Mapping[str, Sequence[T]], place: Place[T]) -> Iterator[T]:
    """All of them, as they stand in one line."""
    return iter(sorted((one for line in lines.values() for one in line), key=place))


def by_share(
    lines: Mapping[str, Sequence[T]],
    above: Callable[[str], Sequence[str]],
    standing: Callable[[str, T], Standing],
    place: Place[T],
) -> Iterator[T]:
    """All of them, the winner of each contest next.

    `above`: the cohorts of a queue, its own first; `standing`: what shares it and they would have with a
    workload. Shares change with what is done for each in between; what a winner was put forward with is
    looked up again when its turn comes, and it contends anew where that is no longer so.
    """
    left = {queue: list(reversed(line)) for queue, line in lines.items() if line}
    paths = {queue: (*(f"cohort {name}" for name in above(queue)), _TOP) for queue in left}
    levels: dict[str, _Contest] = {}

    def shares(queue: str) -> tuple[Share | None, ...]:
        """What a queue's first is put forward with on each level, its own first; at the top nothing."""
        return *reversed(standing(queue, left[queue][-1])), None

    def contend(queue: str) -> None:
        """Bring all contests up to date in which what is below the queue's cohorts is put forward."""
        child, known = queue, {queue: shares(queue)} if left[queue] else {}
        first: str | None = queue if left[queue] else None
        for level, name in enumerate(paths[queue]):
            contest = levels.setdefault(name, _Contest())
            if first is None:
                contest.leave(child)
            else:
                if first not in known:
                    known[first] = shares(first)
                depth = len(paths[first]) - len(paths[queue])
                share = known[first][level + depth]
                contest.enter(child, first, (share, place(left[first][-1])), known[first])
            child, first = name, contest.first()

    for queue in left:
        contend(queue)
    while (winner := levels[_TOP].first() if levels else None) is not None:
        if shares(winner) != levels[_TOP].shares_of_first():
            contend(winner)
            continue
        yield left[winner].pop()
        contend(winner)


@dataclass
class _Contest:
    """Who is put forward by each child of a cohort; the smallest first."""

    heap: list[tuple[tuple[Any, ...], str, str]] = field(default_factory=list)
    """Key, child and the queue it puts forward; some are out of date."""
    current: dict[str, tuple[tuple[Any, ...], str, tuple[Share | None, ...]]] = field(default_factory=dict)
    """By child: key, queue, and what shares it was put forward with."""

    def enter(self, child: str, queue: str, key: tuple[Any, ...], shares: tuple[Share | None, ...]) -> None:
        """A child puts forward a queue's first."""
        known = self.current.get(child)
        self.current[child] = key, queue, shares
        if known is None or known[:2] != (key, queue):
            heapq.heappush(self.heap, (key, child, queue))

    def leave(self, child: str) -> None:
        """A child has nobody left."""
        self.current.pop(child, None)

    def first(self) -> str | None:
        """The queue whose first wins; None: nobody is left."""
        while self.heap:
            key, child, queue = self.heap[0]
            known = self.current.get(child)
            if known is not None and known[:2] == (key, queue):
                return queue
            heapq.heappop(self.heap)
        return None

    def shares_of_first(self) -> tuple[Share | None, ...]:
        """What the winner was put forward with: after `first`."""
        return self.current[self.heap[0][1]][2]
