"""What would become of a workload if it were there now: one cycle, of which nothing is written.

Called by `springtide plan`. It is the cycle that the scheduler runs, on the same snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from springtide.api.kueue import Workload
from springtide.scheduling.cycle import Cycle
from springtide.scheduling.facts import PREEMPTION_BY_SCHEDULER
from springtide.scheduling.outlook import Start
from springtide.scheduling.plan import Options, decided_on
from springtide.scheduling.pod_preemption import priority_of as priority_of_pod
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.state import ClusterState
from springtide.scheduling.victims import priority_of


@dataclass(frozen=True)
class Victim:
    """A workload or plain pod that would have to go."""

    workload: str
    """Its key; of a plain pod, `pod` before it."""
    priority: int
    pods: int
    reason: str
    """Kueue's reason: `InClusterQueue`, `InCohortReclamation` …; of plain pods kube-scheduler's."""


@dataclass(frozen=True)
class Forecast:
    """What would become of one workload."""

    workload: str
    starts: bool
    """Whether it would be admitted in this very cycle."""
    cluster_queue: str = ""
    nodes: Mapping[str, Mapping[str, int]] | None = None
    """Pods per node, by pod set, if it starts."""
    flavors: Mapping[str, Mapping[str, str]] | None = None
    """Flavor of each resource, by pod set, if it starts."""
    reason: str = ""
    """Why it would wait, in a sentence."""
    victims: tuple[Victim, ...] = ()
    """Who would have to go for it first."""
    expected_start: datetime | None = None
    """When it is expected to start, if it would wait."""
    expected_reason: str = ""
    """What it would wait for until then."""


def forecast(
    state: ClusterState, wanted: Iterable[Workload], now: datetime, options: Options | None = None
) -> list[Forecast]:
    """What one cycle would decide about these workloads, were all of them there; `state` learns of them."""
    keys = []
    for workload in wanted:
        state.change_workload(None, workload)
        keys.append(workload.key)
    cycle = decided_on(state.snapshot(), now, replace(options or Options(), starts_max=None))
    cycle.explain(now, refresh=True)
    found = [_of(key, cycle) for key in keys]
    if all(one.starts or one.victims for one in found):
        return found
    starts = cycle.expected_starts()
    return [_with_start(one, starts.get(one.workload)) for one in found]


def expected(snapshot: Snapshot, now: datetime, options: Options | None = None) -> dict[str, Start]:
    """When the workloads that wait are expected to start, by key, of those of which anything can be said."""
    cycle = decided_on(snapshot, now, replace(options or Options(), starts_max=None))
    return cycle.expected_starts()


def _with_start(found: Forecast, start: Start | None) -> Forecast:
    if start is None or found.starts or found.victims:
        return found
    return replace(found, expected_start=start.at, expected_reason=start.reason)


def victims_for(cycle: Cycle, kind: str, key: str) -> tuple[Victim, ...]:
    """Who has to go for this Workload or Pod, as the cycle found."""
    gangs = (
        Victim(
            one.victim.facts.key,
            priority_of(one.victim.facts),
            sum(pod_set.count for pod_set in one.victim.facts.pod_sets),
            one.victim.reason,
        )
        for one in cycle.preempted
        if (one.preemptor.obj.kind, one.preemptor.key) == (kind, key)
    )
    pods = (
        Victim(f"pod {pod.key}", priority_of_pod(pod), 1, PREEMPTION_BY_SCHEDULER)
        for pod, preemptor in cycle.preempted_pods
        if (preemptor.obj.kind, preemptor.key) == (kind, key)
    )
    return *gangs, *pods


def _of(key: str, cycle: Cycle) -> Forecast:
    if key not in cycle.admitted:
        victims = victims_for(cycle, "Workload", key)
        return Forecast(key, False, reason=cycle.notes.get(key, ""), victims=victims)
    facts, placed = cycle.admitted[key]
    names = [pod_set.name for pod_set in facts.pod_sets]
    return Forecast(
        key,
        True,
        placed.cluster_queue,
        nodes=dict(zip(names, placed.nodes, strict=True)),
        flavors=dict(zip(names, placed.flavors, strict=True)),
    )
