"""Whose turn it is among those who would borrow: by the order of the queue, or by fair shares.

Who asks for what belongs to its own queue is considered before all of them: else a workload that gave
borrowed quota back would take it again at once. With fair sharing the queue that would have the smallest
share goes first, which also keeps victims and preemptors from changing places for ever. Called by the cycle.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from springtide.scheduling.facts import WorkloadFacts

Standing = tuple[float, ...]
"""Shares from the top of the cohort tree down; the smaller goes first."""


def by_order(
    lines: Mapping[str, Sequence[WorkloadFacts]], place: Callable[[WorkloadFacts], tuple[Any, ...]]
) -> Iterator[WorkloadFacts]:
    """All of them, as they stand in one line."""
    return iter(sorted((one for line in lines.values() for one in line), key=place))


def by_share(
    lines: Mapping[str, Sequence[WorkloadFacts]], standing: Callable[[str, WorkloadFacts], Standing]
) -> Iterator[WorkloadFacts]:
    """The first of the queue whose share would be smallest with it, again and again.

    Shares change with what is done for each in between, and only ever grow: a stale one is looked up again
    when its turn comes.
    """
    left = {queue: list(reversed(line)) for queue, line in lines.items() if line}
    turns = [(standing(queue, line[-1]), line[-1].order, queue) for queue, line in left.items()]
    heapq.heapify(turns)
    while turns:
        known, order, queue = turns[0]
        now = standing(queue, left[queue][-1])
        if now > known:
            heapq.heapreplace(turns, (now, order, queue))
            continue
        heapq.heappop(turns)
        yield left[queue].pop()
        if left[queue]:
            following = left[queue][-1]
            heapq.heappush(turns, (standing(queue, following), following.order, queue))
