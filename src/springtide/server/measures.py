"""What requests there were and how long they took, counted as kube-apiserver counts them.

Every request passes here twice, so it costs two dictionary look-ups and no more; the names and labels of
Prometheus are put on when somebody asks for them (`exposition`). Filled by `Server.handle`. Buckets and
labels are those of kube-apiserver's stable metrics, so that dashboards and alerts for it work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from springtide.server.request import Answer, Request, Response
from springtide.server.routes import Route
from springtide.store import Durations

SECONDS = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0),
    *(4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0),
)
_LABELS = ("verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component")
_SUBRESOURCES = frozenset(
    (
        *("approval", "attach", "binding", "ephemeralcontainers", "eviction", "exec", "finalize", "log"),
        *("portforward", "proxy", "resize", "scale", "status", "token"),
    )
)
_APPLY = "application/apply-patch+yaml"
_READS = ("GET", "HEAD")

Labels = tuple[str, str, str, str, str, str, str]
"""The first seven of `_LABELS`; the component is always the API server."""


class Measures(Collector):
    """The counts of one server."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[Labels, int]] = Counter()
        self._durations: dict[Labels, Durations] = {}
        self._in_flight = {True: 0, False: 0}

    def begin(self, request: Request) -> None:
        self._in_flight[request.method in _READS] += 1

    def end(self, request: Request, route: Route | None, answer: Answer, seconds: float) -> None:
        """`route` is None unless a kind is served there, so that nobody makes up labels."""
        self._in_flight[request.method in _READS] -= 1
        labels = _labels(request, route)
        self._requests[labels, answer.status if isinstance(answer, Response) else 200] += 1
        if isinstance(answer, Response):  # a stream has only begun
            durations = self._durations.get(labels)
            if durations is None:
                durations = self._durations[labels] = Durations(SECONDS)
            durations.observe(seconds)

    def abandon(self, request: Request) -> None:
        """The client went away before there was an answer."""
        self._in_flight[request.method in _READS] -= 1

    def collect(self) -> Iterator[Metric]:
        """For Prometheus."""
        total = CounterMetricFamily(
            "apiserver_request_total",
            "Requests by verb, dry run, group, version, resource, scope, component and code.",
            labels=(*_LABELS, "code"),
        )
        for (labels, code), count in list(self._requests.items()):
            total.add_metric((*labels, "apiserver", str(code)), count)
        yield total
        seconds = HistogramMetricFamily(
            "apiserver_request_duration_seconds",
            "Time until the answer was there; watches and followed logs are not in it.",
            labels=_LABELS,
        )
        for labels, durations in list(self._durations.items()):
            seconds.add_metric((*labels, "apiserver"), durations.cumulative(), durations.total_seconds)
        yield seconds
        in_flight = GaugeMetricFamily(
            "apiserver_current_inflight_requests",
            "Requests that are being worked on.",
            labels=("request_kind",),
        )
        for reads, count in self._in_flight.items():
            in_flight.add_metric(("readOnly" if reads else "mutating",), count)
        yield in_flight


def _labels(request: Request, route: Route | None) -> Labels:
    dry_run = "All" if request.query.get("dryRun") else ""
    if route is None:
        return (request.method if request.method in _VERBS else "unknown", dry_run, "", "", "", "", "")
    scope = "resource" if route.name else "namespace" if route.namespace else "cluster"
    if not route.name and request.method == "POST":
        scope = "resource"
    return (
        _verb(request, route),
        dry_run,
        route.group,
        route.version,
        route.plural,
        route.subresource if route.subresource in _SUBRESOURCES or not route.subresource else "unknown",
        scope,
    )


_VERBS = {"GET": "GET", "HEAD": "GET", "POST": "POST", "PUT": "PUT", "PATCH": "PATCH", "DELETE": "DELETE"}


def _verb(request: Request, route: Route) -> str:
    if request.method == "GET" and request.flag("watch"):
        return "WATCH"
    if not route.name:
        if request.method == "GET":
            return "LIST"
        if request.method == "DELETE":
            return "DELETECOLLECTION"
    if request.method == "PATCH" and request.media_type == _APPLY:
        return "APPLY"
    return _VERBS.get(request.method, "unknown")
