"""metrics.k8s.io: NodeMetrics and PodMetrics, answered from the nodes themselves (`kubectl top`).

What is asked of the nodes, and how rates are made of it, is `metrics_scraper`'s. Called by `Server` for the
two kinds of the group. Source of the shapes: metrics-server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from springtide.server.context import Context
from springtide.server.forms import Form, accepted, metadata_only, table_of
from springtide.server.kinds import ServedKind
from springtide.server.metrics_scraper import Scraper, Usage
from springtide.server.persist import key_of
from springtide.server.request import Answer, Request, Response
from springtide.server.routes import Route
from springtide.server.selection import Selection
from springtide.server.status import MethodNotAllowed, NotFound, ServiceUnavailable
from springtide.store import Record

GROUP = "metrics.k8s.io"
VERBS = ("get", "list")

Json = dict[str, Any]


class MetricsApi:
    """The verb of the group, and the readings it remembers."""

    def __init__(self) -> None:
        self._scraper = Scraper()

    async def serve(self, context: Context, request: Request, route: Route, kind: ServedKind) -> Answer:
        """GET of one or all: NodeMetrics or PodMetrics. Those of whom nothing is known are left out."""
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{request.method} is not supported on {request.path}; supported: GET")
        form = accepted(request)
        source = context.kinds.find("", "v1", kind.plural)
        if source is None or context.nodes is None:
            raise ServiceUnavailable("no node of this server can be reached", retry_after_seconds=1)
        make = self._pods if kind.namespaced else self._nodes
        if route.name:
            record = context.store.get(source.resource, key_of(source, route.namespace, route.name))
            items = await make(context, [record]) if record is not None else []
            if not items:
                raise NotFound(
                    f'{kind.qualified_plural} "{route.name}" not found',
                    name=route.name,
                    group=GROUP,
                    kind=kind.plural,
                )
            return Response(200, msgspec.json.encode(_one(form, kind, items[0], context.now(), request)))
        selection = Selection(source, route, request)
        records = context.store.page(source.resource, selection.prefix).records
        items = await make(context, [one for one in records if selection.matches(one)])
        return Response(200, msgspec.json.encode(_many(form, kind, items, context.now(), request)))

    async def _nodes(self, context: Context, records: Iterable[Record]) -> list[Json]:
        nodes = [msgspec.json.decode(record.value) for record in records]
        found = await asyncio.gather(
            *(self._scraper.usage(context, node["metadata"]["name"]) for node in nodes)
        )
        return [
            {**_head("NodeMetrics", node, usage), "usage": usage.node}
            for node, usage in zip(nodes, found, strict=True)
            if usage is not None
        ]

    async def _pods(self, context: Context, records: Iterable[Record]) -> list[Json]:
        pods = [msgspec.json.decode(record.value) for record in records]
        pods = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]
        names = sorted({pod["spec"].get("nodeName", "") for pod in pods} - {""})
        found = dict(
            zip(
                names,
                await asyncio.gather(*(self._scraper.usage(context, name) for name in names)),
                strict=True,
            )
        )
        items = []
        for pod in pods:
            metadata = pod["metadata"]
            usage = found.get(pod["spec"].get("nodeName", ""))
            containers = usage.pods.get(f"{metadata['namespace']}/{metadata['name']}") if usage else None
            if usage is not None and containers:
                items.append({**_head("PodMetrics", pod, usage), "containers": containers})
        return items


def _one(form: Form, kind: ServedKind, item: Json, now: datetime, request: Request) -> Json:
    if form is Form.TABLE:
        return table_of(kind, [item], now, request)
    return metadata_only(item) if form is Form.METADATA else item


def _many(form: Form, kind: ServedKind, items: list[Json], now: datetime, request: Request) -> Json:
    if form is Form.TABLE:
        return table_of(kind, items, now, request)
    if form is Form.METADATA:
        head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
        return {**head, "metadata": {}, "items": [metadata_only(item) for item in items]}
    return {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": {}, "items": items}


def _head(kind: str, obj: Json, usage: Usage) -> Json:
    metadata = obj["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata}
    moment = usage.moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "kind": kind,
        "apiVersion": f"{GROUP}/v1beta1",
        "metadata": {**kept, "creationTimestamp": moment},
        "timestamp": moment,
        "window": f"{usage.window_seconds:.3f}".rstrip("0").rstrip(".") + "s",
    }
