"""Empties namespaces that are being deleted, then lets them go.

A controller whose keys are namespaces. What is left, and what it waits for, stands in the conditions.
"""

from __future__ import annotations

from collections import Counter

from springtide.api.core import Namespace
from springtide.api.resources import Resource
from springtide.api.struct import encode, encode_json, replace
from springtide.builtin.graph import Item
from springtide.builtin.inventory import Inventory
from springtide.builtin.metadata_watch import read_items
from springtide.builtin.plan import NamespaceStep, Remaining, finish_namespace, needs_emptying
from springtide.client import Client, Conflict, MethodNotAllowed, NotFound
from springtide.runtime import Clock, Informer

AGAIN_SECONDS = 1.0
"""How soon to look again at what is still ending."""


class NamespaceLifecycle:
    """Reconciles one namespace at a time."""

    def __init__(
        self, client: Client, clock: Clock, inventory: Inventory, namespaces: Informer[Namespace]
    ) -> None:
        self._client = client
        self._clock = clock
        self._inventory = inventory
        self._namespaces = namespaces

    async def reconcile(self, name: str) -> float | None:
        """Delete what is in it; returns when to look again."""
        namespace = self._namespaces.cache.get(name)
        if namespace is None or not needs_emptying(namespace):
            return None
        if not self._inventory.complete:
            return AGAIN_SECONDS
        remaining = [left for one in self._kinds() if (left := await self._empty(one, name)) is not None]
        step = finish_namespace(namespace, remaining, self._clock.now())
        try:
            await self._write(namespace, step)
        except NotFound:
            return None
        except Conflict:
            return AGAIN_SECONDS
        return AGAIN_SECONDS if remaining else None

    def _kinds(self) -> list[Resource]:
        return [resource for resource in self._inventory.resources if resource.namespaced]

    async def _empty(self, resource: Resource, namespace: str) -> Remaining | None:
        """Delete the objects of one kind; what is left of them then."""
        try:
            items = await read_items(self._client, resource, namespace)
            if not all(item.deleting for item in items):
                await self._client.request("DELETE", resource.path(namespace))
                items = await read_items(self._client, resource, namespace)
        except (NotFound, MethodNotAllowed):
            return None  # the kind is gone since, or has no collection
        return _remaining(resource, items) if items else None

    async def _write(self, namespace: Namespace, step: NamespaceStep) -> None:
        if step.finalizers is not None:
            spec = replace(namespace.spec, finalizers=step.finalizers)
            path = f"/api/v1/namespaces/{namespace.metadata.name}/finalize"
            await self._client.request("PUT", path, body=encode_json(replace(namespace, spec=spec)))
        elif step.conditions is not None:
            conditions = [encode(condition) for condition in step.conditions]
            fields = {"metadata": {"uid": namespace.metadata.uid}, "status": {"conditions": conditions}}
            await self._client.apply(Namespace, namespace.metadata.name, "", fields, subresource="status")


def _remaining(resource: Resource, items: list[Item]) -> Remaining:
    held = Counter(name for item in items for name in item.finalizers)
    return Remaining(f"{resource.plural}.{resource.group}", len(items), held)
