"""What every controller measures: Prometheus metrics `springtide_<room>_…` with a `controller` label.

One registry per `Runtime`, so two runtimes in one process (tests, simulation) do not meet.
Called by `controller` and `runtime`; served by `up` at /metrics.
"""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Histogram buckets of all durations."""


@dataclass(frozen=True, slots=True)
class ControllerMetrics:
    """The metrics of one controller."""

    reconcile_seconds: Histogram
    reconcile_errors: Counter
    queue_depth: Gauge
    queue_seconds: Histogram


class RoomMetrics:
    """The metrics of one room's controllers."""

    def __init__(self, registry: CollectorRegistry, room: str) -> None:
        prefix = f"springtide_{room.replace('-', '_')}"
        labels = ("controller",)
        self._reconcile_seconds = Histogram(
            f"{prefix}_reconcile_seconds", "Time of one reconcile", labels, buckets=SECONDS, registry=registry
        )
        self._reconcile_errors = Counter(
            f"{prefix}_reconcile_errors",
            "Reconciles that failed",
            labels,
            registry=registry,
        )
        self._queue_depth = Gauge(f"{prefix}_queue_depth", "Keys that wait", labels, registry=registry)
        self._queue_seconds = Histogram(
            f"{prefix}_queue_seconds", "Time a key waited", labels, buckets=SECONDS, registry=registry
        )

    def controller(self, name: str) -> ControllerMetrics:
        """The children of one controller."""
        return ControllerMetrics(
            self._reconcile_seconds.labels(name),
            self._reconcile_errors.labels(name),
            self._queue_depth.labels(name),
            self._queue_seconds.labels(name),
        )
