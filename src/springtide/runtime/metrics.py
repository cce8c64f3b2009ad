"""What every controller measures: Prometheus metrics `springtide_<room>_…` with a `controller` label.

The queues also appear under client-go's names (`workqueue_…`, label `name`), which dashboards know. One
registry per `Runtime`, so two runtimes in one process (tests, simulation) do not meet. Called by `controller`
and `runtime`; served by `up` at /metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Histogram buckets of all durations."""


@dataclass(frozen=True, slots=True)
class ControllerMetrics:
    """The metrics of one controller."""

    reconcile_seconds: Histogram
    reconcile_errors: Counter
    queue_depth: Gauge
    queue_seconds: Histogram


class MeasuredQueue(Protocol):
    """What a work queue knows of itself."""

    adds: int
    retries: int

    def __len__(self) -> int: ...

    def work_seconds(self) -> list[float]: ...


class Measured(Protocol):
    """A controller, as far as its metrics go."""

    @property
    def name(self) -> str: ...

    @property
    def queue(self) -> MeasuredQueue: ...

    @property
    def metrics(self) -> ControllerMetrics: ...


class WorkQueueMetrics(Collector):
    """client-go's metrics of work queues, read from the queues when somebody asks."""

    def __init__(self, controllers: Iterable[Measured]) -> None:
        self._controllers = controllers

    def collect(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("workqueue_depth", "Keys that wait.", labels=("name",))
        adds = CounterMetricFamily("workqueue_adds_total", "Keys added.", labels=("name",))
        retries = CounterMetricFamily("workqueue_retries_total", "Keys that failed.", labels=("name",))
        unfinished = GaugeMetricFamily(
            "workqueue_unfinished_work_seconds", "Time of work not yet done, summed.", labels=("name",)
        )
        longest = GaugeMetricFamily(
            "workqueue_longest_running_processor_seconds", "Time of the longest work.", labels=("name",)
        )
        waits = Metric("workqueue_queue_duration_seconds", "Time a key waited.", "histogram")
        works = Metric("workqueue_work_duration_seconds", "Time of the work on a key.", "histogram")
        for controller in self._controllers:
            name, queue = (controller.name,), controller.queue
            running = queue.work_seconds()
            depth.add_metric(name, len(queue))
            adds.add_metric(name, queue.adds)
            retries.add_metric(name, queue.retries)
            unfinished.add_metric(name, sum(running))
            longest.add_metric(name, max(running, default=0.0))
            _copy(controller.metrics.queue_seconds, waits, controller.name)
            _copy(controller.metrics.reconcile_seconds, works, controller.name)
        yield from (depth, adds, retries, unfinished, longest, waits, works)


def _copy(histogram: Histogram, into: Metric, name: str) -> None:
    """The same buckets under another name."""
    for metric in histogram.collect():
        for sample in metric.samples:
            suffix = sample.name.removeprefix(metric.name)
            if suffix in ("_bucket", "_count", "_sum"):
                labels = {"name": name, **{k: v for k, v in sample.labels.items() if k == "le"}}
                into.add_sample(into.name + suffix, labels, sample.value)


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
