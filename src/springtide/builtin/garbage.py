"""The garbage collector: objects whose owners are all gone go too.

A controller whose keys are uids. It deletes only what it is sure of: an owner counts as gone when its
deletion was seen, or when the server, asked at this moment, has no object of that name or one with another
uid.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from springtide.api.commands import Emit
from springtide.api.meta import Object, ObjectMeta
from springtide.api.resources import Resource
from springtide.builtin.graph import Item, Owner
from springtide.builtin.inventory import Inventory
from springtide.builtin.metadata_watch import read_item
from springtide.builtin.plan import Disown, Finish, OwnerState, Remove, Step, Unblock, collect
from springtide.client import Client, Conflict, NotFound
from springtide.client.prepare import PATCH_TYPES
from springtide.runtime import logger

RECHECK_SECONDS = 60.0
"""How soon an owner that could not be judged, or that no watch has shown yet, is looked at again."""
_CONFLICT_SECONDS = 0.2

log = logger("builtin.garbage")


class GarbageCollector:
    """Reconciles one object at a time against its owners and dependents."""

    def __init__(
        self, client: Client, inventory: Inventory, tell: Callable[[Emit], Awaitable[object]]
    ) -> None:
        self._client = client
        self._inventory = inventory
        self._tell = tell

    async def reconcile(self, uid: str) -> float | None:
        """Settle the fate of one object; returns when to look again."""
        item = self._inventory.graph.get(uid)
        if item is None:
            return None
        owners = (
            {owner.uid: await self._state(item, owner) for owner in item.owners} if not item.deleting else {}
        )
        steps = collect(item, owners, self._inventory.graph.dependents(uid))
        try:
            for step in steps:
                await self._write(step)
        except Conflict:
            return _CONFLICT_SECONDS  # it changed since; the watch brings what it is now
        unseen = any(self._inventory.graph.get(one) is None for one in owners)
        return RECHECK_SECONDS if unseen and not steps else None

    async def _state(self, item: Item, owner: Owner) -> OwnerState:
        known, graph = self._inventory.graph.get(owner.uid), self._inventory.graph
        resource = known.resource if known is not None else self._inventory.find(owner.group, owner.kind)
        if known is not None and known.namespace not in ("", item.namespace):
            await self._tell(_misplaced(item, owner))
        if resource is not None and resource.namespaced and not item.namespace:
            return OwnerState.UNKNOWN  # nobody can say which namespace is meant
        if known is not None:
            return _state_of(known) if _is_meant(known, owner, item) else OwnerState.GONE
        if graph.is_gone(owner.uid) or graph.is_gone(_place(item, owner)):
            return OwnerState.GONE
        return OwnerState.UNKNOWN if resource is None else await self._ask(item, owner, resource)

    async def _ask(self, item: Item, owner: Owner, resource: Resource) -> OwnerState:
        found = await read_item(self._client, resource, item.namespace, owner.name)
        if found is None or found.uid != owner.uid:
            self._inventory.graph.mark_gone(_place(item, owner))
            return OwnerState.GONE
        return _state_of(found)

    async def _write(self, step: Step) -> None:
        try:
            match step:
                case Remove():
                    await self._remove(step)
                case Disown():
                    left = [one for one in step.item.owners if one.uid not in step.owners]
                    await self._patch(step.item, "ownerReferences", msgspec.to_builtins(left))
                case Unblock():
                    free = [
                        msgspec.structs.replace(one, block_owner_deletion=False) for one in step.item.owners
                    ]
                    await self._patch(step.item, "ownerReferences", msgspec.to_builtins(free))
                case Finish():
                    left_finalizers = [name for name in step.item.finalizers if name != step.finalizer]
                    await self._patch(step.item, "finalizers", left_finalizers)
        except NotFound:
            return

    async def _remove(self, step: Remove) -> None:
        item = step.item
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": step.propagation,
            "preconditions": {"uid": item.uid, "resourceVersion": item.version},
        }
        await self._client.request("DELETE", _path(item), body=msgspec.json.encode(options))
        log.info("deleted", kind=item.resource.kind, namespace=item.namespace, object=item.name)

    async def _patch(self, item: Item, field: str, value: Sequence[object]) -> None:
        metadata = {"uid": item.uid, "resourceVersion": item.version, field: value or None}
        body = msgspec.json.encode({"metadata": metadata})
        query = {"fieldManager": self._client.manager}
        content_type = PATCH_TYPES["merge"]
        await self._client.request("PATCH", _path(item), query=query, body=body, content_type=content_type)


def _place(item: Item, owner: Owner) -> str:
    """Where the reference says its owner is. That it is not there says nothing about other places."""
    return f"{item.namespace}/{owner.api_version}/{owner.kind}/{owner.name}/{owner.uid}"


def _misplaced(item: Item, owner: Owner) -> Emit:
    """An object cannot belong to one of another namespace."""
    metadata = ObjectMeta(name=item.name, namespace=item.namespace, uid=item.uid)
    regarding = Object(api_version=item.resource.api_version, kind=item.resource.kind, metadata=metadata)
    meant = (
        f"[{owner.api_version}/{owner.kind}, namespace: {item.namespace}, name: {owner.name}, "
        f"uid: {owner.uid}]"
    )
    note = f'ownerRef {meant} does not exist in namespace "{item.namespace}"'
    return Emit(regarding, "OwnerRefInvalidNamespace", note, type="Warning")


def _path(item: Item) -> str:
    return item.resource.path(item.namespace, item.name)


def _state_of(owner: Item) -> OwnerState:
    return OwnerState.WAITING if owner.waits_for_dependents else OwnerState.PRESENT


def _is_meant(known: Item, owner: Owner, item: Item) -> bool:
    """Whether the object with this uid is also the one the reference names, within reach of the dependent."""
    same = (known.resource.group, known.resource.kind, known.name) == (owner.group, owner.kind, owner.name)
    return same and known.namespace in ("", item.namespace)
