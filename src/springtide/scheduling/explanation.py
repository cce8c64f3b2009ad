"""Why somebody waits, since when, behind whom, and what would let it start: one answer from one snapshot.

The scheduler's own cycle decides it once more, of which nothing is written; what would help is tried
(`remedies`). Called by `springtide explain`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from springtide.api.meta import Condition, find_condition
from springtide.scheduling import checks
from springtide.scheduling.cycle import Cycle
from springtide.scheduling.facts import PodFacts, WorkloadFacts
from springtide.scheduling.plan import Options, decided_on
from springtide.scheduling.remedies import Item, Trial, remedies
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.state import ClusterState
from springtide.scheduling.status import told
from springtide.scheduling.whatif import Victim, victims_for

AHEAD_MAX = 10
"""So many of those before it are named."""
_CLOSED = (
    "WaitingForPods",
    "Suspended",
    "Evicted",
    "Misconfigured",
    "SchedulingGated",
    "WaitingForPreemptedWorkloads",
    "WaitingForBackoff",
    "Deactivated",
)
"""Reasons that lie with the object itself, or pass by themselves: nothing is tried."""


@dataclass(frozen=True)
class Explanation:
    """Why one workload or plain pod waits."""

    kind: str
    key: str
    starts: bool
    """Whether the scheduler's next cycle starts it."""
    reason: str
    """CamelCase, the reason of its condition."""
    message: str
    since: datetime | None = None
    """Since when it waits for this reason."""
    cluster_queue: str = ""
    position: int = 0
    """Its place among those who wait in its ClusterQueue, from 1; 0 for a plain pod."""
    waiting: int = 0
    """How many wait there."""
    ahead: tuple[str, ...] = ()
    """Who is before it there, the first first; ten at most."""
    expected_start: datetime | None = None
    """When it is expected to start, if anything can be said of that."""
    expected_reason: str = ""
    """What it waits for until then."""
    victims: tuple[Victim, ...] = ()
    """Who would have to go for it."""
    tried: tuple[Trial, ...] = ()
    """What would let it start now, and what was tried in vain."""


def explained(
    state: ClusterState, kind: str, key: str, now: datetime, options: Options | None = None
) -> Explanation | None:
    """Why this Workload or Pod waits; None if it does not wait. `state` is spoilt by trials."""
    options = options or Options()
    snapshot = state.snapshot()
    item = _find(snapshot, kind, key)
    if item is None:
        return _checked(snapshot, key) if kind == "Workload" else _seated(snapshot, key)
    cycle: Cycle = decided_on(snapshot, now, options)
    cycle.explain(now, refresh=True)
    starts = key in (cycle.bound if isinstance(item, PodFacts) else cycle.admitted)
    verdict, known = cycle.why(item), _condition(item)
    reason = verdict.reason if verdict is not None else ""
    queue, line = _line(snapshot, item)
    before = [one.key for one in line if one.order < item.order]
    start = cycle.expected_starts().get(key) if not starts else None
    return Explanation(
        kind=kind,
        key=key,
        starts=starts,
        reason=reason,
        message=verdict.message if verdict is not None else "",
        since=_since(item, known),
        cluster_queue=queue,
        position=len(before) + 1 if queue else 0,
        waiting=len(line),
        ahead=tuple(before[:AHEAD_MAX]),
        expected_start=start.at if start is not None else None,
        expected_reason=start.reason if start is not None else "",
        victims=victims_for(cycle, kind, key),
        tried=() if starts or reason in _CLOSED else tuple(remedies(state, item, now, options)),
    )


def _find(snapshot: Snapshot, kind: str, key: str) -> Item | None:
    lines: tuple[Item, ...] = snapshot.pods if kind == "Pod" else snapshot.waiting
    return next((one for one in lines if one.key == key), None)


def _checked(snapshot: Snapshot, key: str) -> Explanation | None:
    """One that has quota and places, and waits for admission checks."""
    facts = next((one for one in snapshot.admitted if one.key == key), None)
    if facts is None or not checks.is_waiting(facts.obj) or facts.admission is None:
        return None
    known = find_condition(facts.obj.status.conditions, "Admitted")
    return Explanation(
        kind="Workload",
        key=key,
        starts=False,
        reason=checks.UNSATISFIED,
        message=checks.waits_for(facts.obj.status.admission_checks),
        since=known.last_transition_time if known is not None else None,
        cluster_queue=facts.admission.cluster_queue,
    )


def _seated(snapshot: Snapshot, key: str) -> Explanation | None:
    """A pod of a group: it is the group that waits."""
    for workload, seating in snapshot.members.items():
        for pod in seating.pods:
            verdict = told(pod.obj) if pod.key == key else None
            if verdict is not None:
                message = f"it is one of a gang: `springtide explain workload/{workload.partition('/')[2]}`"
                known = find_condition(pod.obj.status.conditions, "PodScheduled")
                since = known.last_transition_time if known is not None else None
                return Explanation("Pod", key, False, verdict.reason, message, since)
    return None


def _line(snapshot: Snapshot, item: Item) -> tuple[str, list[WorkloadFacts]]:
    """The ClusterQueue it stands in, and who waits there, in order."""
    if isinstance(item, PodFacts):
        return "", []
    tree = snapshot.queues
    queue = tree.line(item.obj)[1]
    line = [one for one in snapshot.waiting if tree.line(one.obj)[1] == queue]
    return queue, sorted(line, key=lambda one: one.order)


def _condition(item: Item) -> Condition | None:
    name = "PodScheduled" if isinstance(item, PodFacts) else "QuotaReserved"
    return find_condition(item.obj.status.conditions, name)


def _since(item: Item, known: Condition | None) -> datetime | None:
    if known is not None and known.status == "False":
        return known.last_transition_time
    return item.obj.metadata.creation_timestamp
