"""What every controller measures, as Prometheus metrics named `springtide_<room>_…`.

One registry per `Runtime`, so two runtimes in one process (tests, simulation) do not meet.
Called by `controller` and `runtime`; served by `up` at /metrics.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Histogram buckets of all durations."""


class ControllerMetrics:
    """The metrics of one room's controller; labels tell several controllers of a room apart."""

    def __init__(self, registry: CollectorRegistry, room: str) -> None:
        prefix = f"springtide_{room.replace('-', '_').replace('.', '_')}"
        self.reconcile_seconds = Histogram(
            f"{prefix}_reconcile_seconds", "Time of one reconcile", buckets=SECONDS, registry=registry
        )
        self.reconcile_errors = Counter(
            f"{prefix}_reconcile_errors", "Reconciles that failed and were put back", registry=registry
        )
        self.queue_depth = Gauge(f"{prefix}_queue_depth", "Keys that wait", registry=registry)
        self.queue_seconds = Histogram(
            f"{prefix}_queue_seconds", "Time a key waited for a worker", buckets=SECONDS, registry=registry
        )
