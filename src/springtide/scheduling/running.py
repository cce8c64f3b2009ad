"""What runs, and when each is expected to end. Called by `reservations` and `outlook`."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime

from springtide.scheduling import runs
from springtide.scheduling.backfill import Places
from springtide.scheduling.facts import WorkloadFacts
from springtide.scheduling.releasing import held_by
from springtide.scheduling.snapshot import Snapshot


@dataclass(frozen=True, eq=False)
class Run:
    """Work that runs, or is started in this cycle."""

    facts: WorkloadFacts
    started: float
    ends: float
    """When it is expected to end, in seconds of the epoch."""
    limited: bool
    """Whether it is ended by its own limit, if not before."""
    known: bool
    """Whether its end is known: by its limit, or by what ran before."""
    places: Places
    queue: str
    """The ClusterQueue it is charged to."""
    usage: Mapping[tuple[str, str], int]
    """What is charged."""

    @property
    def named(self) -> str:
        """Its key and size, for people."""
        devices = runs.devices_of(self.facts.pod_sets)
        number = devices or sum(pod_set.count for pod_set in self.facts.pod_sets)
        noun = "device" if devices else "pod"
        return f"{self.facts.key} ({number} {noun}{'' if number == 1 else 's'})"


def by_end(run: Run) -> tuple[float, str]:
    """Sorts runs: the first to end first."""
    return run.ends, run.facts.key


def run_of(
    facts: WorkloadFacts,
    places: Places,
    started: float,
    snapshot: Snapshot,
    now: datetime,
    *,
    queue: str,
    usage: Mapping[tuple[str, str], int],
) -> Run:
    """What is expected of work that runs since `started`."""
    limited = runs.has_limit(facts.obj)
    ends = now.timestamp() + runs.runs_on(facts, snapshot.history, now)
    known = runs.says_how_long(facts.obj) or snapshot.history.knows(runs.sort_of(facts.obj, facts.pod_sets))
    return Run(facts, started, ends, limited, known, places, queue, usage)


def running(snapshot: Snapshot, now: datetime, ended: Container[str]) -> list[Run]:
    """All admitted workloads but those that are ending."""
    return [
        run_of(
            facts,
            tuple(held_by(facts, snapshot.gone.get(facts.key, {}))),
            started.timestamp(),
            snapshot,
            now,
            queue=facts.admission.cluster_queue,
            usage=facts.usage,
        )
        for facts in snapshot.admitted
        if facts.evicted is None and facts.key not in ended and facts.admission is not None
        if (started := runs.started_at(facts.obj)) is not None
    ]
