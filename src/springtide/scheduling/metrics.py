"""What the scheduler measures. Made by `controller`; the names are a promise to dashboards."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from springtide.api.commands import Bind, Plan
from springtide.scheduling.status import admits

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class CycleMetrics:
    """Counts and durations of scheduling cycles."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.cycle_seconds = Histogram(
            "springtide_scheduling_cycle_seconds",
            "Time to take a snapshot and decide, without the writes",
            buckets=_SECONDS,
            registry=registry,
        )
        self._admitted = Counter(
            "springtide_scheduling_workloads_admitted", "Workloads given quota and nodes", registry=registry
        )
        self._bound = Counter("springtide_scheduling_pods_bound", "Plain pods bound", registry=registry)
        self._waiting = Gauge(
            "springtide_scheduling_waiting", "Workloads and plain pods that wait", registry=registry
        )

    def observe(self, plan: Plan) -> None:
        """Take one plan into account."""
        self._admitted.inc(sum(admits(command) for command in plan.commands))
        self._bound.inc(sum(isinstance(command, Bind) for command in plan.commands))
        self._waiting.set(len(plan.notes))
