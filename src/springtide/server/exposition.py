"""GET /metrics: the server's own numbers, the store's, and those of whoever shares the process.

Prometheus' text format. Names are kube-apiserver's and etcd's where they have one for the same thing. The
`Context` holds the registries; `up` adds that of its controllers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from springtide.store import Store

if TYPE_CHECKING:
    from springtide.server.context import Context

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def expose(context: Context) -> bytes:
    """Everything measured in this process."""
    own = CollectorRegistry(auto_describe=False)
    own.register(context.measures)
    own.register(_StoreMetrics(context.store))
    return b"".join(generate_latest(registry) for registry in (own, *context.registries, REGISTRY))


class _StoreMetrics(Collector):
    """What the store says of itself."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        store, usage = self._store, self._store.usage
        objects = GaugeMetricFamily(
            "apiserver_resource_objects", "Stored objects by resource.", labels=("group", "resource")
        )
        watchers = GaugeMetricFamily(
            "apiserver_longrunning_requests",
            "Open watches by resource.",
            labels=("verb", "group", "resource"),
        )
        for resource in store.resources():
            group, _, plural = resource.rpartition("/")
            objects.add_metric((group, plural), store.count(resource))
            if watching := store.watchers_of(resource):
                watchers.add_metric(("WATCH", group, plural), watching)
        commits = HistogramMetricFamily(
            "etcd_disk_backend_commit_duration_seconds", "Time of one commit to the disk, with its sync."
        )
        commits.add_metric((), store.commits.cumulative(), store.commits.total_seconds)
        yield from (objects, watchers, commits)
        for name, text, value in (
            ("springtide_store_revision", "Newest committed revision.", store.revision),
            ("springtide_store_compact_revision", "Oldest revision that can be read.", store.compacted),
            ("springtide_store_pending_writes", "Writes that wait for their commit.", store.pending),
            ("springtide_store_full", "1 while only deleting is accepted, for lack of space.", store.full),
            ("etcd_server_quota_backend_bytes", "Size limit of the database.", store.limits.database_bytes),
            ("etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of the database in use.", usage.in_use),
            ("etcd_mvcc_db_total_size_in_bytes", "Bytes of the database file.", usage.on_disk),
            ("apiserver_storage_size_bytes", "Bytes of the database file.", usage.on_disk),
        ):
            yield GaugeMetricFamily(name, text, value=float(value))
