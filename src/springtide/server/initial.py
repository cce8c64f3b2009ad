"""The objects every cluster has from its first moment: made when the server starts, where they are missing.

Namespaces and PriorityClasses of Kubernetes itself. Called by `Server.start`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from springtide.server.context import Context
from springtide.server.create import prepare, store_new
from springtide.server.kinds import ServedKind
from springtide.server.persist import decode, persist
from springtide.server.request import Request

Json = dict[str, Any]

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_PRIORITIES = {
    "system-cluster-critical": (
        2_000_000_000,
        "For pods a cluster cannot work without, though they may move.",
    ),
    "system-node-critical": (2_000_001_000, "For pods a node cannot work without; the highest priority."),
}


async def create(context: Context) -> None:
    """Make what is missing, all in one commit."""
    await asyncio.gather(*(_make(context, *one) for one in _wanted()))


async def publish_authority(context: Context, certificate: str) -> None:
    """The ConfigMap in which every API server says which authority signs the certificates of its clients."""
    kind = context.kinds.find("", "v1", "configmaps")
    if kind is None:
        return
    name, data = "extension-apiserver-authentication", {"client-ca-file": certificate}
    content = {"kind": "ConfigMap", "metadata": {"name": name}, "data": data}
    record = context.store.latest(kind.resource, f"kube-system/{name}")
    if record is None:
        await _make(context, "", "v1", "configmaps", "kube-system", content)
        return
    found = decode(record, kind)
    if found.get("data") != data:
        await persist(context, kind, {**found, "data": data}, expected=record.revision)


def _wanted() -> Iterator[tuple[str, str, str, str, Json]]:
    """Group, version, plural, namespace and content of each object."""
    for name in NAMESPACES:
        yield "", "v1", "namespaces", "", {"kind": "Namespace", "metadata": {"name": name}}
    for name, (value, description) in _PRIORITIES.items():
        priority_class = {
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": description,
        }
        yield "scheduling.k8s.io", "v1", "priorityclasses", "", priority_class


async def _make(
    context: Context, group: str, version: str, plural: str, namespace: str, content: Json
) -> None:
    kind = context.kinds.find(group, version, plural)
    if kind is None or _exists(context, kind, namespace, content["metadata"]["name"]):
        return
    obj: Json = {"apiVersion": kind.api_version, **content}
    prepare(obj, kind, namespace, context, Request("POST", f"/{plural}"))
    await store_new(obj, kind, context, dry_run=False)


def _exists(context: Context, kind: ServedKind, namespace: str, name: str) -> bool:
    key = f"{namespace}/{name}" if kind.namespaced else name
    return context.store.latest(kind.resource, key) is not None
