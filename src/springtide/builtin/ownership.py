"""Which objects belong to an owner, by its selector and by what they say themselves. Pure; and its writes.

Called by the apps controllers for pods, replica sets and revisions. An object that says it is ours and no
longer matches is let go; one that matches and belongs to nobody is taken. Source of the rules:
kube-controller-manager's controller reference manager.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from springtide.api.meta import Object, controller_of, owner_reference
from springtide.api.selectors import Labels
from springtide.api.struct import encode
from springtide.client import Conflict, Invalid, NotFound
from springtide.runtime import Runtime

T = TypeVar("T", bound=Object)

ORPHANS = "orphans/"
"""Index value of objects without a controller: this and their namespace."""


@dataclass(frozen=True)
class Claim(Generic[T]):
    """How the candidates stand to an owner."""

    mine: list[T] = field(default_factory=list)
    adopt: list[T] = field(default_factory=list)
    release: list[T] = field(default_factory=list)


def claim(owner: Object, selector: Labels, candidates: Iterable[T]) -> Claim[T]:
    """Sort candidates of the owner's namespace. An owner that is being deleted takes and lets go nothing."""
    found: Claim[T] = Claim()
    deleting = owner.metadata.deletion_timestamp is not None
    for obj in candidates:
        controller, matches = controller_of(obj), selector.matches(obj.metadata.labels)
        if controller is not None and controller.uid == owner.metadata.uid:
            if matches:
                found.mine.append(obj)
            elif not deleting:
                found.release.append(obj)
        elif controller is None and matches and not deleting and obj.metadata.deletion_timestamp is None:
            found.adopt.append(obj)
    return found


def owners_of(obj: Object) -> Iterable[str]:
    """Index by controller: its uid, or the namespace of an orphan."""
    controller = controller_of(obj)
    return (controller.uid,) if controller is not None else (ORPHANS + obj.metadata.namespace,)


async def settle_claim(
    runtime: Runtime, manager: str, owner: Object, found: Claim[T], finalizer: str = ""
) -> list[T] | None:
    """Write what was decided; returns what belongs to the owner now, each with `finalizer` if one is given.

    Before the first adoption the owner is asked for anew: one that is going takes nothing, and None says that
    the cache is behind and nothing may be decided from it.
    """
    for obj in found.release:
        references = [one for one in obj.metadata.owner_references if one.uid != owner.metadata.uid]
        left = [one for one in obj.metadata.finalizers if one != finalizer]
        await _write(runtime, manager, obj, references, left)
    if not found.adopt:
        return found.mine
    if not await _may_adopt(runtime, owner):
        return None
    mine = list(found.mine)
    for obj in found.adopt:
        references = [*obj.metadata.owner_references, owner_reference(owner)]
        finalizers = list(dict.fromkeys([*obj.metadata.finalizers, *([finalizer] if finalizer else [])]))
        adopted = await _write(runtime, manager, obj, references, finalizers)
        if adopted is not None:
            mine.append(adopted)
    return mine


async def _may_adopt(runtime: Runtime, owner: Object) -> bool:
    try:
        fresh = await runtime.client.get(type(owner), owner.metadata.name, owner.metadata.namespace)
    except NotFound:
        return False
    return fresh.metadata.uid == owner.metadata.uid and fresh.metadata.deletion_timestamp is None


async def _write(
    runtime: Runtime, manager: str, obj: T, references: list[Any], finalizers: list[str]
) -> T | None:
    """Replace owner references and finalizers of this very version; None if it is gone or changed since."""
    metadata = obj.metadata
    body: dict[str, Any] = {
        "metadata": {
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
            "ownerReferences": [encode(one) for one in references],
        }
    }
    if finalizers != metadata.finalizers:
        body["metadata"]["finalizers"] = finalizers
    client = runtime.client.with_manager(manager)
    try:
        written = await client.patch(type(obj), metadata.name, metadata.namespace, body)
    except (NotFound, Conflict, Invalid):
        return None
    runtime.observe(written)
    return written
