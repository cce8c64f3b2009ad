"""Who need not be asked for one by one: workloads about which nothing decides but queue, pods, priority, age.

Those that are alike in all but age are a sort; where there are plain pods, those who stand alike against
them. Within a pass over the queue free capacity and quota only shrink, unless somebody is made to go. So once
one of a sort is refused, all behind it are, for the same reason, and a pass costs what the sorts cost and not
what all who wait do. They wake up when somebody is made to go, and with the next pass. Called by the cycle
for each who waits.
"""

from __future__ import annotations

from datetime import UTC, datetime

from springtide.scheduling.door import Door
from springtide.scheduling.facts import PodSetFacts, WorkloadFacts
from springtide.scheduling.priorities import Standing
from springtide.scheduling.queues import ClusterQueueFacts
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.status import Verdict

Why = Verdict | tuple[PodSetFacts, ...]
"""Why one waits: a sentence, or the pod sets for which there is no room."""


class Sort:
    """Workloads that are alike, in one pass."""

    __slots__ = ("behind", "parked", "since", "why")

    def __init__(self) -> None:
        self.parked = False
        """Whether one was refused, and so are those behind it."""
        self.since = datetime.max.replace(tzinfo=UTC)
        """Since when that one waits: an older one may make more others go."""
        self.why: Why | None = None
        """Why."""
        self.behind: list[WorkloadFacts] | None = None
        """The line of those who would borrow, where all of the queue that come now stand in it."""


class Parking:
    """The sorts of those who wait, and what this pass knows of them."""

    def __init__(self, snapshot: Snapshot, door: Door) -> None:
        self._sorts: dict[tuple[str, str, int, int, Standing | None], Sort | None] = {}
        self._sort_of: dict[str, Sort] = {}
        for facts in snapshot.waiting:
            if not facts.calm or facts.error or facts.key in snapshot.pods_of:
                continue
            obj = facts.obj
            standing = snapshot.against_pods(facts)
            key = obj.metadata.namespace, obj.spec.queue_name, facts.order[0], id(facts.pod_sets), standing
            if key not in self._sorts:
                queue = door.enter(facts, {})
                in_order = isinstance(queue, ClusterQueueFacts) and not queue.strict and not queue.by_use
                self._sorts[key] = Sort() if in_order else None
            sort = self._sorts[key]
            if sort is not None:
                self._sort_of[facts.key] = sort

    def clear(self) -> None:
        """A new pass begins."""
        for sort in self._sorts.values():
            if sort is not None:
                sort.parked, sort.why, sort.behind = False, None, None

    def wake(self) -> None:
        """Somebody was made to go: ask for everybody again."""
        for sort in self._sorts.values():
            if sort is not None:
                sort.parked = False

    def passes(self, facts: WorkloadFacts, *, may_borrow: bool) -> bool:
        """Whether it is clear what becomes of it for now."""
        sort = self._sort_of.get(facts.key)
        if sort is None:
            return False
        if sort.parked and facts.order[1] >= sort.since:
            return True
        if sort.behind is None or may_borrow:
            return False
        sort.behind.append(facts)
        return True

    def stand_behind(self, facts: WorkloadFacts, line: list[WorkloadFacts]) -> None:
        """Those who are like it stand in this line of those who would borrow, as it does."""
        sort = self._sort_of.get(facts.key)
        if sort is not None:
            sort.behind = line

    def park(self, facts: WorkloadFacts, why: Why) -> None:
        """It was refused, and so will be those who are like it and come later."""
        sort = self._sort_of.get(facts.key)
        if sort is not None:
            sort.parked, sort.why, sort.since = True, why, facts.order[1]

    def why(self, facts: WorkloadFacts) -> Why | None:
        """Why one like it was refused in this pass."""
        sort = self._sort_of.get(facts.key)
        return sort.why if sort is not None else None
