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

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from springtide.scheduling import runs
from springtide.scheduling.arrays import Mask
from springtide.scheduling.backfill import Places, fewest, give
from springtide.scheduling.facts import PodFacts, PodSetFacts, WorkloadFacts
from springtide.scheduling.placement import Placement
from springtide.scheduling.releasing import Held, held_by
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.status import Verdict
from springtide.scheduling.views import Share

TRIALS_MAX = 8
"""So many are tried in one cycle: who waits behind them for other nodes is promised nothing yet."""
FIRM_AFTER_SECONDS = 1800.0
"""Who has waited so long for room is not passed by work without a limit any more."""

Item = WorkloadFacts | PodFacts


@dataclass(frozen=True, eq=False)
class Run:
    """Work that runs, or was started in this cycle."""

    facts: WorkloadFacts
    started: float
    ends: float
    """When it is expected to end."""
    limited: bool
    """Whether it is ended by then, or not much later, by its own limit."""
    known: bool
    """Whether its end is known: by its limit, or by what ran before."""
    places: Places


@dataclass(frozen=True, eq=False)
class Promise:
    """A place held for one who waits."""

    key: str
    starts: float
    """When it is expected to start, in seconds of the epoch."""
    firm: bool
    last: Run
    """What has to end for it last."""
    nodes: Mask
    """Those it may run on."""

    @property
    def when(self) -> datetime:
        """When it is expected to start."""
        return datetime.fromtimestamp(self.starts, UTC)

    @property
    def reason(self) -> str:
        """What has to end for that."""
        return f"when {self.last.facts.key} ({_size(self.last.facts)}) ends"

    def said(self, now: datetime) -> str:
        """When it is expected to start and why then, in words."""
        return f"expected to start about {clock_time(self.when, now)}: {self.reason}"


class Reservations:
    """The promises of one cycle."""

    def __init__(
        self,
        snapshot: Snapshot,
        placement: Placement,
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
        self._promises: dict[tuple[str, str], Promise] = {}
        self._future: Placement | None = None
        self._started: list[tuple[WorkloadFacts, Places]] = []
        self._runs: list[Run] | None = None
        self._hopeless: set[tuple[PodSetFacts, ...]] = set()
        self._trials = 0

    def promised(self, facts: Item) -> Promise | None:
        """What is held for one who waits."""
        return self._promises.get(_ref(facts)) if self._promises else None

    def place(self, facts: Item, pod_sets: tuple[PodSetFacts, ...]) -> tuple[Share, ...] | Verdict | None:
        """Place it where that puts nobody's start off; why not, if it would; None if there is no room."""
        if not self._promises or _ref(facts) in self._promises or self._ends_in_time(facts):
            return self._placement.place(pod_sets)
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
        return self._put_off(facts)

    def start(self, facts: WorkloadFacts, pod_sets: Sequence[PodSetFacts], shares: Sequence[Share]) -> None:
        """Take note that it starts now."""
        if self._promises:
            self._promises.pop(_ref(facts), None)
        places = tuple((one.pod_class, share) for one, share in zip(pod_sets, shares, strict=True))
        self._started.append((facts, places))

    def reserve(self, facts: Item, pod_sets: tuple[PodSetFacts, ...]) -> None:
        """Promise a place to one who finds no room, unless another of the same nodes has one."""
        if pod_sets in self._hopeless or self._trials >= TRIALS_MAX or _ref(facts) in self._promises:
            return
        firm = facts.order[1].timestamp() + self._firm_after <= self._now
        if not firm and not self._anything_known:
            return
        nodes = self._eligible(pod_sets)
        if nodes is None or any((one.nodes & nodes).any() for one in self._promises.values()):
            return
        self._trials += 1
        promise = self._promise(facts, pod_sets, nodes, firm=firm)
        if promise is None:
            self._hopeless.add(pod_sets)
        else:
            self._promises[_ref(facts)] = promise

    # -- promising ---------------------------------------------------------------------------------

    @property
    def _anything_known(self) -> bool:
        """Whether the end of anything that runs may be known."""
        return bool(self._history) or any(runs.has_limit(one.obj) for one in self._snapshot.admitted)

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
    ) -> Promise | None:
        """The place that becomes free first, taken in `future`; None if none is known to."""
        order = [one for one in self._ends(facts, firm=firm) if self._touches(one, nodes)]
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
                return Promise(facts.key, last.ends, firm, last, nodes)
        future.rollback(marks[0])
        return None

    def _ends(self, facts: Item, *, firm: bool) -> list[Run]:
        """What runs and ends some time, the first to end first."""
        known = [*self._running(), *(self._run(one, places, self._now) for one, places in self._started)]
        if not firm:
            return sorted((one for one in known if one.known), key=_by_end)
        since = facts.order[1].timestamp() + self._firm_after
        settled = sorted((one for one in known if one.limited or one.started < since), key=_by_end)
        passed = sorted(
            (one for one in known if not one.limited and one.started >= since),
            key=lambda one: (one.started, one.facts.key),
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

    # -- what runs ---------------------------------------------------------------------------------

    def _running(self) -> list[Run]:
        if self._runs is None:
            ended, gone = self._ended(), self._snapshot.gone
            self._runs = [
                self._run(facts, tuple(held_by(facts, gone.get(facts.key, {}))), started.timestamp())
                for facts in self._snapshot.admitted
                if facts.evicted is None and facts.key not in ended
                if (started := runs.started_at(facts.obj)) is not None
            ]
        return self._runs

    def _run(self, facts: WorkloadFacts, places: Places, started: float) -> Run:
        limited = runs.has_limit(facts.obj)
        ends = self._now + runs.runs_on(facts, self._history, self._moment)
        known = limited or self._history.knows(runs.sort_of(facts.obj, facts.pod_sets))
        return Run(facts, started, ends, limited, known, places)

    # -- passing by --------------------------------------------------------------------------------

    def _ends_in_time(self, facts: Item) -> bool:
        """Whether it has surely ended before anybody is expected to start to whom a place was promised."""
        limit = runs.limit_left(facts.obj) if isinstance(facts, WorkloadFacts) else runs.pod_limit(facts.obj)
        usual = math.inf
        if isinstance(facts, WorkloadFacts) and self._history.knows(runs.sort_of(facts.obj, facts.pod_sets)):
            usual = runs.lasts(facts, self._history).cautious
        for promise in self._promises.values():
            window = promise.starts - self._now
            bound = limit if promise.firm else min(limit, usual)
            if bound > (min(window, self._firm_after) if promise.firm else window):
                return False
        return True

    def _held(self, pod_sets: Sequence[PodSetFacts], shares: Sequence[Share]) -> list[Held]:
        names = self._snapshot.nodes.facts
        return [
            Held(pod_set.pod_class, names[row].name, count)
            for pod_set, share in zip(pod_sets, shares, strict=True)
            for row, count in zip(share.rows.tolist(), share.counts.tolist(), strict=True)
        ]

    def _put_off(self, facts: Item) -> Verdict:
        first = min(self._promises.values(), key=lambda one: one.starts)
        window = first.starts - self._now
        most = int(min(window, self._firm_after) if first.firm else window)
        field = "spec.maximumExecutionTimeSeconds" if isinstance(facts, WorkloadFacts) else _POD_LIMIT
        remedy = f"; with {field} of at most {most} it would start now" if most >= 1 else ""
        return Verdict(
            "PendingEvaluation" if isinstance(facts, WorkloadFacts) else "Unschedulable",
            f"there is room, but it might put off {first.key}, which is expected to start about "
            f"{clock_time(first.when, self._moment)}{remedy}",
        )


_POD_LIMIT = "spec.activeDeadlineSeconds"
_FINE_SECONDS = 3600.0


def clock_time(when: datetime, now: datetime) -> str:
    """A moment for people, as exactly as it is known: to five minutes, or to the hour if it is far away."""
    step = 300 if (when - now).total_seconds() < _FINE_SECONDS * 6 else 3600
    seconds = math.ceil(when.timestamp() / step) * step
    rounded = datetime.fromtimestamp(seconds, UTC)
    return f"{rounded:%H:%M} UTC" if rounded.date() == now.date() else f"{rounded:%Y-%m-%d %H:%M} UTC"


def _size(facts: WorkloadFacts) -> str:
    devices = runs.devices_of(facts.pod_sets)
    if devices:
        return f"{devices} {'device' if devices == 1 else 'devices'}"
    pods = sum(pod_set.count for pod_set in facts.pod_sets)
    return f"{pods} {'pod' if pods == 1 else 'pods'}"


def _end_first(future: Placement, order: Sequence[Run], marks: list[int], number: int) -> None:
    """Make `future` the cluster after so many of them have ended; marks[i] is where i have."""
    if number < len(marks):
        del marks[number + 1 :]
        future.rollback(marks[number])
    for run in order[len(marks) - 1 : number]:
        give(future, run.places)
        marks.append(future.mark())


def _by_end(run: Run) -> tuple[float, str]:
    return run.ends, run.facts.key


def _ref(facts: Item) -> tuple[str, str]:
    return facts.obj.kind, facts.key
