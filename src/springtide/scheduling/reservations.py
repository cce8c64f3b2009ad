"""Who waits for room first has a place promised, and who comes later must not put that off.

EASY backfill in the live cycle. Nothing is remembered between cycles: who runs, since when and for how long
at most is read off the objects, what is usual off the history (`runs`), and every cycle promises anew. The
first that finds no room is promised the place that becomes free first, in the order in which what runs is
expected to end; others start if they surely end before that moment, or fit both now and then (`future`).

How long what runs will take must be known for that: by its limit, or because work like it has ended before.
Where it is not, everybody who fits starts, as in Kueue, until the first has waited for `firm_after_seconds`.
From then on its promise is firm: only what has a limit may start in front of it, and what started since
without one counts last, in the order of its start. That order never changes, so the place of the first only
ever comes nearer: it waits for what ran by then to end, and for what came later but for bounded time.
Called by the cycle. Costs nothing while nobody waits for room, or nothing is known and nobody waits for long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property

import numpy as np

from springtide.scheduling import runs
from springtide.scheduling.arrays import Mask
from springtide.scheduling.backfill import Places, fewest, give
from springtide.scheduling.cohorts import Cell
from springtide.scheduling.facts import PodSetFacts, WorkloadFacts
from springtide.scheduling.placement import Placement
from springtide.scheduling.promises import Item, Promise, RoomPromise, passing, put_off
from springtide.scheduling.queues import ClusterQueueFacts
from springtide.scheduling.quota import Granted, Quota
from springtide.scheduling.quota_promises import QuotaPromises
from springtide.scheduling.releasing import Held
from springtide.scheduling.running import Run, by_end, run_of, running
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.status import Verdict
from springtide.scheduling.views import Share
from springtide.scheduling.volcano_terms import patience_seconds

TRIALS_MAX = 8
"""So many are tried in one cycle: who waits behind them for other nodes is promised nothing yet."""
FIRM_AFTER_SECONDS = 1800.0
"""Who has waited so long for room is not passed by work without a limit any more."""


class Reservations:
    """The promises of one cycle."""

    def __init__(
        self,
        snapshot: Snapshot,
        placement: Placement,
        quota: Quota,
        now: datetime,
        ended: Callable[[], set[str]],
        firm_after_seconds: float = FIRM_AFTER_SECONDS,
    ) -> None:
        """`ended`: keys of the admitted workloads that this cycle ends."""
        self._snapshot = snapshot
        self._history = snapshot.history
        self._placement = placement
        self._now = now.timestamp()
        self._moment = now
        self._ended = ended
        self._firm_after = firm_after_seconds
        self._promises: dict[tuple[str, str], RoomPromise] = {}
        self._quotas = QuotaPromises(
            quota, snapshot.queues.quota, snapshot.history, self._ends, now, firm_after_seconds
        )
        self._future: Placement | None = None
        self._started: list[tuple[WorkloadFacts, Places, str, Mapping[Cell, int]]] = []
        self._runs: list[Run] | None = None
        self._hopeless: set[tuple[PodSetFacts, ...]] = set()
        self._in_front: dict[tuple[str, tuple[PodSetFacts, ...]], Verdict] = {}
        """What was refused because it might put somebody off: what is left beside promises only shrinks."""
        self._starts_limited = False
        self._trials = 0

    def look_again(self) -> None:
        """A pass begins: who was told that it might put somebody off may find no room by now."""
        self._in_front.clear()

    def keys(self) -> set[str]:
        """Keys of those who have something promised."""
        return {key for _, key in self._promises} | self._quotas.keys()

    def promised(self, facts: Item) -> Promise | None:
        """What is held for one who waits."""
        found = self._promises.get(_ref(facts)) if self._promises else None
        return found or (self._quotas.promised(facts) if isinstance(facts, WorkloadFacts) else None)

    def place(self, facts: Item, pod_sets: tuple[PodSetFacts, ...]) -> tuple[Share, ...] | Verdict | None:
        """Place it where that puts nobody's start off; why not, if it would; None if there is no room."""
        if not self._promises or _ref(facts) in self._promises:
            return self._placement.place(pod_sets)
        lasts = passing(facts, self._history)
        late = [one for one in self._promises.values() if not lasts.in_time(one, self._now, self._firm_after)]
        if not late:
            return self._placement.place(pod_sets)
        known = self._in_front.get((facts.obj.kind, pod_sets))
        if known is not None:
            return known
        future = self._future
        assert future is not None
        mark = self._placement.mark()
        shares = self._placement.place(pod_sets, within=future)
        if shares is not None:
            if future.occupy(self._held(pod_sets, shares)):
                return shares
            self._placement.rollback(mark)
        if self._placement.place(pod_sets) is None:
            return None
        self._placement.rollback(mark)
        refused = put_off(facts, "room", late, self._moment, self._firm_after)
        self._in_front[facts.obj.kind, pod_sets] = refused
        return refused

    def keeps(self, facts: WorkloadFacts, queue: ClusterQueueFacts, granted: Granted) -> Verdict | None:
        """Why it may not have quota that is left; None if it may."""
        return self._quotas.keeps(facts, queue, granted)

    def start(
        self,
        facts: WorkloadFacts,
        queue: ClusterQueueFacts,
        granted: Granted,
        pod_sets: Sequence[PodSetFacts],
        shares: Sequence[Share],
    ) -> None:
        """Take note that it starts now."""
        if self._promises.pop(_ref(facts), None) is not None:
            self._in_front.clear()
        self._quotas.start(facts, queue, granted)
        places = tuple((one.pod_class, share) for one, share in zip(pod_sets, shares, strict=True))
        self._starts_limited = self._starts_limited or runs.says_how_long(facts.obj)
        self._started.append((facts, places, queue.name, granted.usage))

    def reserve_quota(self, facts: WorkloadFacts, queue: ClusterQueueFacts, wanted: Granted) -> None:
        """Promise quota to one who finds none left."""
        firm = self._is_firm(facts)
        if self._trials < TRIALS_MAX and (firm or self._may_know):
            self._trials += 1
            self._quotas.reserve(facts, queue, wanted, firm=firm)

    def reserve(self, facts: Item, pod_sets: tuple[PodSetFacts, ...]) -> None:
        """Promise a place to one who finds no room, unless another of the same nodes has one."""
        if pod_sets in self._hopeless or self._trials >= TRIALS_MAX or _ref(facts) in self._promises:
            return
        firm = self._is_firm(facts)
        if not firm and not self._may_know:
            return
        if any(one.nodes.all() for one in self._promises.values()):
            return
        nodes = self._eligible(pod_sets)
        if nodes is None or any((one.nodes & nodes).any() for one in self._promises.values()):
            self._hopeless.add(pod_sets)
            return
        self._trials += 1
        promise = self._promise(facts, pod_sets, nodes, firm=firm)
        if promise is None:
            self._hopeless.add(pod_sets)
        else:
            self._promises[_ref(facts)] = promise

    # -- promising ---------------------------------------------------------------------------------

    @property
    def _may_know(self) -> bool:
        """Whether the end of anything that runs, or starts now, may be known."""
        return self._starts_limited or self._anything_known

    @cached_property
    def _anything_known(self) -> bool:
        """Whether the end of anything that runs may be known."""
        return bool(self._history) or any(runs.says_how_long(one.obj) for one in self._snapshot.admitted)

    def _eligible(self, pod_sets: Sequence[PodSetFacts]) -> Mask | None:
        """The nodes it may run on; None if they could not hold it even when empty."""
        nodes: Mask = np.zeros(len(self._snapshot.nodes), dtype=np.bool_)
        for pod_set in pod_sets:
            view = self._placement.view(pod_set.pod_class)
            if not view.offered or int(self._placement.room_when_empty(view).sum()) < pod_set.count:
                return None
            nodes |= view.mask
        return nodes

    def _promise(
        self, facts: Item, pod_sets: Sequence[PodSetFacts], nodes: Mask, *, firm: bool
    ) -> RoomPromise | None:
        """The place that becomes free first, taken in `future`; None if none is known to."""
        order = [one for one in self._ends(facts, firm) if self._touches(one, nodes)]
        if not order:
            return None
        future = self._ahead()
        marks = [future.mark()]

        def fits(number: int) -> bool:
            _end_first(future, order, marks, number)
            mark = future.mark()
            found = future.place(pod_sets) is not None
            future.rollback(mark)
            return found

        number = fewest(fits, len(order))
        if number is not None:
            _end_first(future, order, marks, number)
            if future.place(pod_sets) is not None:
                last = order[number - 1]
                return RoomPromise(facts.key, last.ends, firm, last, nodes)
        future.rollback(marks[0])
        return None

    def _is_firm(self, facts: Item) -> bool:
        return facts.order[1].timestamp() + patience_seconds(facts.obj, self._firm_after) <= self._now

    def _ends(self, facts: Item, firm: bool) -> list[Run]:
        """What runs and ends some time, the first to end first."""
        if self._runs is None:
            self._runs = running(self._snapshot, self._moment, self._ended())
        self._runs += [
            run_of(one, places, self._now, self._snapshot, self._moment, queue=queue, usage=usage)
            for one, places, queue, usage in self._started
        ]
        self._started.clear()
        known = self._runs
        if not firm:
            return sorted((one for one in known if one.known), key=by_end)
        since = facts.order[1].timestamp() + patience_seconds(facts.obj, self._firm_after)
        settled = sorted((one for one in known if one.limited or one.started < since), key=by_end)
        passed = sorted(
            (one for one in known if not one.limited and one.started >= since),
            key=lambda one: (one.started, one.facts.order),
        )
        for one in passed:
            settled.append(replace(one, ends=max(one.ends, settled[-1].ends if settled else 0.0)))
        return settled

    def _ahead(self) -> Placement:
        """The cluster as it will be: at first as it is once everything has ended that is ending."""
        if self._future is None:
            with self._placement.later():
                self._future = self._placement.twin()
        return self._future

    def _touches(self, run: Run, nodes: Mask) -> bool:
        if nodes.all():
            return True
        for place in run.places:
            if isinstance(place, Held):
                row = self._placement.row_of(place.node)
                if row >= 0 and nodes[row]:
                    return True
            elif nodes[place[1].rows].any():
                return True
        return False

    def _held(self, pod_sets: Sequence[PodSetFacts], shares: Sequence[Share]) -> list[Held]:
        names = self._snapshot.nodes.facts
        return [
            Held(pod_set.pod_class, names[row].name, count)
            for pod_set, share in zip(pod_sets, shares, strict=True)
            for row, count in zip(share.rows.tolist(), share.counts.tolist(), strict=True)
        ]


def _end_first(future: Placement, order: Sequence[Run], marks: list[int], number: int) -> None:
    """Make `future` the cluster after so many of them have ended; marks[i] is where i have."""
    if number < len(marks):
        del marks[number + 1 :]
        future.rollback(marks[number])
    for run in order[len(marks) - 1 : number]:
        give(future, run.places)
        marks.append(future.mark())


def _ref(facts: Item) -> tuple[str, str]:
    return facts.obj.kind, facts.key
