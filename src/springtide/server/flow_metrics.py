"""What `flow` did, as kube-apiserver tells it: who was served, who waits, who was refused and why.

Names are those of Kubernetes' API priority and fairness, so that dashboards and alerts for it work. There are
two of its priority levels here: `exempt`, whose requests never wait, and `global-default`, which is everybody
else. `Server` adds the registry to those that /metrics shows.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from springtide.server.flow import Flow

_PREFIX = "apiserver_flowcontrol_"
_LEVEL, _BOTH = ("priority_level",), ("priority_level", "flow_schema")
_ALL = ("global-default", "global-default")
_EXEMPT = ("exempt", "exempt")


def flow_registry(flow: Flow) -> CollectorRegistry:
    """The numbers of one server's flow."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_FlowMetrics(flow))
    return registry


class _FlowMetrics(Collector):
    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    def collect(self) -> Iterator[Metric]:
        flow = self._flow
        dispatched = CounterMetricFamily(
            f"{_PREFIX}dispatched_requests_total", "Requests that were let in.", labels=_BOTH
        )
        dispatched.add_metric(_EXEMPT, flow.exempt)
        dispatched.add_metric(_ALL, flow.served)
        rejected = CounterMetricFamily(
            f"{_PREFIX}rejected_requests_total",
            "Requests that were answered 429, by reason.",
            labels=(*_BOTH, "reason"),
        )
        for reason, count in flow.refused.items():
            rejected.add_metric((*_ALL, reason), count)
        waits = HistogramMetricFamily(
            f"{_PREFIX}request_wait_duration_seconds",
            "How long requests waited for their turn, and whether it came.",
            labels=(*_BOTH, "execute"),
        )
        for execute, found in (("true", flow.waits), ("false", flow.vain_waits)):
            waits.add_metric((*_ALL, execute), found.cumulative(), found.total_seconds)
        yield from (dispatched, rejected, waits, *self._gauges())

    def _gauges(self) -> Iterator[Metric]:
        flow = self._flow
        for name, text, labels, value in (
            (
                "nominal_limit_seats",
                "Requests that are answered at the same time.",
                _LEVEL,
                flow.limits.seats,
            ),
            ("current_executing_requests", "Requests that have a seat now.", _BOTH, flow.taken),
            ("current_executing_seats", "Seats that are taken now.", _BOTH, flow.taken),
            ("current_inqueue_requests", "Requests that wait for a seat now.", _BOTH, flow.waiting),
        ):
            gauge = GaugeMetricFamily(_PREFIX + name, text, labels=labels)
            gauge.add_metric(_ALL[: len(labels)], value)
            yield gauge
