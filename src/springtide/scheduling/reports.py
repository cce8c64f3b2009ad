"""What queues say of themselves: how many workloads wait and run in each, and how much quota they hold.

The status of ClusterQueues, LocalQueues and Cohorts belongs to this room. Where queues share fairly, those of
cohorts and the cohorts say how much they have borrowed for their weight (`weightedShare`). Called by the plan
at the end of a cycle and by the cluster state, which remembers what every queue says already, so that only
changes are written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from springtide.api.commands import Apply, Command
from springtide.api.kueue import ClusterQueue, Cohort, LocalQueue
from springtide.api.meta import Condition, find_condition, set_condition
from springtide.api.struct import encode
from springtide.scheduling.cohorts import Book
from springtide.scheduling.facts import WorkloadFacts
from springtide.scheduling.ineffective import UNSUPPORTED, unsupported_condition
from springtide.scheduling.network import hyper_node_commands
from springtide.scheduling.queues import Closed, QueueTree
from springtide.scheduling.requests import format_amount
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.status import Placed

_OWNED = ("Active", UNSUPPORTED)
_CLUSTER = "ClusterQueue"
Queue = ClusterQueue | LocalQueue
Used = Mapping[tuple[str, str], int]
"""Amount by (flavor, resource)."""


@dataclass
class Tally:
    """What one queue holds."""

    waiting: int = 0
    admitted: int = 0
    used: Counter[tuple[str, str]] = field(default_factory=Counter)


class Report:
    """Counts up workloads by queue, then says which queues' status is out of date."""

    def __init__(
        self, tree: QueueTree, samples: Mapping[str, dict[str, Any]] | None = None, *, fair: bool = False
    ) -> None:
        """`samples`: `status.fairSharing` of LocalQueues that share by use, by key.

        `fair`: whether queues share fairly.
        """
        self._tree = tree
        self._fair = fair
        self._samples = samples or {}
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._pairs: dict[tuple[str, str], tuple[Tally, ...]] = {}
        self._running: dict[tuple[str, str], Tally] = {}
        """What runs of each pair of queues, until it is counted in each of the two."""

    def waits(self, local: str, cluster: str, number: int = 1) -> None:
        """Count workloads that wait; `local` is namespace/name, either may be empty."""
        for tally in self._of(local, cluster):
            tally.waiting += number

    def runs(self, local: str, cluster: str, used: Used) -> None:
        """Count a workload that has its admission."""
        together = self._running.get((local, cluster))
        if together is None:
            together = self._running[local, cluster] = Tally()
        together.admitted += 1
        sums = together.used
        for cell, amount in used.items():
            sums[cell] = sums.get(cell, 0) + amount

    def commands(self, queues: Iterable[Queue], cohorts: Iterable[Cohort], now: datetime) -> Iterator[Apply]:
        """One status for every queue and cohort that says something else so far."""
        self._count_running()
        book = self._book() if self._fair else None
        for queue in queues:
            tally = self._tallies.get((queue.kind, queue.key), Tally())
            status = self._status(queue, tally, now)
            if isinstance(queue, ClusterQueue) and book is not None:
                status |= _sharing(book, queue.metadata.name, cohort=False)
            if status != _said(queue):
                yield _apply(queue, status)
        for cohort in cohorts:
            status = {} if book is None else _sharing(book, cohort.metadata.name, cohort=True)
            said = cohort.status.fair_sharing
            if status != ({} if said is None else {"fairSharing": encode(said)}):
                yield _apply(cohort, status)

    def _count_running(self) -> None:
        for pair, together in self._running.items():
            for tally in self._of(*pair):
                tally.admitted += together.admitted
                for cell, amount in together.used.items():
                    tally.used[cell] = tally.used.get(cell, 0) + amount
        self._running.clear()

    def _book(self) -> Book:
        """Who uses how much of the tree."""
        of_queues = {name: tally.used for (kind, name), tally in self._tallies.items() if kind == _CLUSTER}
        return Book(self._tree.quota, of_queues)

    def _of(self, local: str, cluster: str) -> tuple[Tally, ...]:
        found = self._pairs.get((local, cluster))
        if found is None:
            named = (("LocalQueue", local), (_CLUSTER, cluster))
            found = tuple(self._tallies.setdefault(one, Tally()) for one in named if one[1])
            self._pairs[local, cluster] = found
        return found

    def _status(self, queue: Queue, tally: Tally, now: datetime) -> dict[str, Any]:
        known = [c for c in queue.status.conditions if c.type in _OWNED]
        conditions = [_stamped(known, self._active(queue), now)]
        unsupported = unsupported_condition(queue, fair=self._fair)
        if unsupported is not None:
            conditions.append(_stamped(known, unsupported, now))
        used = _flavors(tally.used)
        status: dict[str, Any] = {
            "conditions": [encode(condition) for condition in conditions],
            "pendingWorkloads": tally.waiting,
            "reservingWorkloads": tally.admitted,
            "admittedWorkloads": tally.admitted,
        }
        if isinstance(queue, LocalQueue) and self._samples.get(queue.key):
            status["fairSharing"] = self._samples[queue.key]
        return {**status, "flavorsReservation": used, "flavorsUsage": used} if used else status

    def _active(self, queue: Queue) -> Condition:
        if isinstance(queue, ClusterQueue):
            closed = self._tree.closed(queue.metadata.name)
        else:
            closed = self._tree.closed_locally(queue.key)
        if isinstance(closed, Closed):
            reason = "Stopped" if closed.reason == "Suspended" else closed.reason
            return Condition(type="Active", status="False", reason=reason, message=closed.message)
        return Condition(type="Active", status="True", reason="Ready", message="Can admit new workloads")


def reports(
    snapshot: Snapshot,
    samples: Mapping[str, dict[str, Any]],
    used: Mapping[str, Used],
    admitted: Mapping[str, tuple[WorkloadFacts, Placed]],
    now: datetime,
    *,
    fair: bool,
) -> list[Command]:
    """Commands that bring the status of all queues up to date, at the end of a cycle.

    `samples`, `fair`: see `Report`. `used`: what those hold who were admitted before and stay so, by key.
    `admitted`: those of this cycle, by key.
    """
    tree, counts = snapshot.queues, Report(snapshot.queues, samples, fair=fair)
    waiting = (one for one in snapshot.waiting if one.key not in admitted)
    for line, number in Counter(tree.line(facts.obj) for facts in waiting).items():
        counts.waits(*line, number)
    for facts in snapshot.admitted:
        if facts.key in used and facts.admission is not None:
            counts.runs(tree.line(facts.obj)[0], facts.admission.cluster_queue, used[facts.key])
        else:
            counts.waits(*tree.line(facts.obj))
    for facts, placed in admitted.values():
        counts.runs(tree.line(facts.obj)[0], placed.cluster_queue, placed.usage)
    commands: list[Command] = list(counts.commands(snapshot.queue_objects, snapshot.cohort_objects, now))
    commands += hyper_node_commands(snapshot.nodes.network, snapshot.hyper_nodes, now)
    if snapshot.volcano is not None:
        new = {key: placed.usage for key, (_, placed) in admitted.items()}
        over = {facts.key: facts.usage for facts in snapshot.admitted if facts.key not in used}
        commands += snapshot.volcano.commands(snapshot.usage, new, over)
    return commands


def _sharing(book: Book, name: str, *, cohort: bool) -> dict[str, Any]:
    """What a queue or cohort says of its share; nothing of one that is in no cohort, or in a circle."""
    if not book.shares(name, cohort=cohort):
        return {}
    return {"fairSharing": {"weightedShare": book.share(name, cohort=cohort).spelled}}


def _apply(obj: Queue | Cohort, status: dict[str, Any]) -> Apply:
    meta = obj.metadata
    fields = {"status": status}
    return Apply(type(obj), meta.namespace, meta.name, fields, subresource="status", uid=meta.uid)


def _stamped(known: list[Condition], new: Condition, now: datetime) -> Condition:
    """The condition with its time of transition."""
    return next(one for one in set_condition(known, new, now) if one.type == new.type)


def _flavors(used: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    by_flavor: dict[str, list[dict[str, Any]]] = {}
    for (flavor, name), amount in sorted((+used).items()):
        resources = by_flavor.setdefault(flavor, [])
        resources.append({"name": name, "total": format_amount(name, amount)})
    return [{"name": flavor, "resources": resources} for flavor, resources in by_flavor.items()]


def _said(queue: Queue) -> dict[str, Any]:
    """The status as it would be applied."""
    found = (find_condition(queue.status.conditions, type_) for type_ in _OWNED)
    said: dict[str, Any] = {
        "conditions": [encode(condition) for condition in found if condition is not None],
        "pendingWorkloads": queue.status.pending_workloads,
        "reservingWorkloads": queue.status.reserving_workloads,
        "admittedWorkloads": queue.status.admitted_workloads,
    }
    if queue.status.fair_sharing is not None:
        said["fairSharing"] = encode(queue.status.fair_sharing)
    reserved = [
        {
            "name": flavor.name,
            "resources": [{"name": r.name, "total": str(r.total)} for r in flavor.resources],
        }
        for flavor in queue.status.flavors_reservation
    ]
    return {**said, "flavorsReservation": reserved, "flavorsUsage": reserved} if reserved else said
