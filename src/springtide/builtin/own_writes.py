"""What a controller knows of its own writes before the caches show them: no pod twice, no delete forgotten.

Called by the apps controllers, one `OwnWrites` each. Caches lag, and answers get lost. A create whose outcome
is unknown is tried again under the same name, so it happens at most once; a delete or change whose outcome is
unknown is looked up before the next decision. After a restart nothing of this is left and nothing is needed:
the caches start from a fresh list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from springtide.api.commands import Emit
from springtide.api.core import Pod
from springtide.api.meta import Object, controller_of
from springtide.builtin.pod_names import PodNames
from springtide.client import AlreadyExists, ApiError, Conflict, NotFound, ServerError, Unreachable
from springtide.runtime import Runtime

T = TypeVar("T", bound=Object)

UNKNOWN_OUTCOME = (ServerError, Unreachable)
"""Answers after which the write may or may not have happened."""
BURST = 500
"""Pods created or deleted for one owner in one go."""

Place = tuple[type[Object], str, str, str]
"""Kind, namespace, name and uid of an object."""


@dataclass
class _Memory:
    """What is remembered for one owner."""

    uid: str
    names: PodNames
    next_number: int = 0
    pending: dict[str, str] = field(default_factory=dict)
    """Names of pods whose creation was begun and not seen to succeed or fail, and what each is for."""
    gone: set[str] = field(default_factory=set)
    """UIDs of pods known to be deleted that the cache still shows."""
    doubts: set[Place] = field(default_factory=set)
    """Objects whose last write may or may not have happened."""


class NameTaken(ApiError):
    """A pod of this name belongs to somebody else."""

    default_reason = "AlreadyExists"


class OwnWrites:
    """The writes of one controller to the pods, and other objects, of its owners."""

    def __init__(
        self,
        runtime: Runtime,
        manager: str,
        component: str,
        pod_names: Callable[[str, str], PodNames] = PodNames,
    ) -> None:
        self._runtime = runtime
        self._client = runtime.client.with_manager(manager)
        self._component = component
        self._pod_names = pod_names
        self._memories: dict[str, _Memory] = {}

    # -- reading -----------------------------------------------------------------------------------

    async def settle(self, owner: Object) -> None:
        """Look up what is in doubt; raises if the server cannot say. Call it before deciding anything."""
        memory = self._memory(owner)
        for place in sorted(memory.doubts, key=str):
            kind, namespace, name, uid = place
            try:
                found = await self._client.get(kind, name, namespace)
            except NotFound:
                memory.gone.add(uid)
            else:
                self._runtime.observe(found)
                if found.metadata.uid != uid:
                    memory.gone.add(uid)
            memory.doubts.discard(place)
        for name in list(memory.pending):
            try:
                self._runtime.observe(await self._client.get(Pod, name, owner.metadata.namespace))
            except NotFound:
                continue  # it may still come to be: the name is kept for it

    def seen(self, owner: Object, pods: Iterable[Pod]) -> list[Pod]:
        """The owner's pods of the cache, without those known to be gone."""
        memory = self._memory(owner)
        pods = list(pods)
        memory.gone &= {pod.metadata.uid for pod in pods}
        names = {pod.metadata.name for pod in pods}
        memory.pending = {name: use for name, use in memory.pending.items() if name not in names}
        memory.next_number = max(memory.next_number, memory.names.after(names))
        return [pod for pod in pods if pod.metadata.uid not in memory.gone]

    def forget(self, key: str) -> None:
        """The owner is gone."""
        self._memories.pop(key, None)

    # -- names -------------------------------------------------------------------------------------

    def names(self, owner: Object, uses: Sequence[str]) -> list[str]:
        """A name for each pod to be created; `uses` tells what each is for (a node), or is all the same.

        A name whose creation has no known outcome comes first, for the same use.
        """
        memory = self._memory(owner)
        free = dict(memory.pending)
        chosen: list[str] = []
        for use in uses:
            name = next((name for name, other in free.items() if other == use), None)
            if name is None:
                name = memory.names.name(memory.next_number)
                memory.next_number += 1
            free.pop(name, None)
            chosen.append(name)
        return chosen

    def base(self, owner: Object) -> str:
        """What the names of the owner's pods begin with."""
        return self._memory(owner).names.base

    # -- writing -----------------------------------------------------------------------------------

    async def create(self, owner: Object, pod: Pod, use: str = "") -> Pod | None:
        """Create a pod, once; None if it was there already. Raises NameTaken, and what the server says."""
        memory, name = self._memory(owner), pod.metadata.name
        memory.pending[name] = use
        try:
            made = await self._client.create(pod)
        except UNKNOWN_OUTCOME:
            raise
        except AlreadyExists:
            memory.pending.pop(name, None)
            await self._take_in(owner, pod)
            return None
        except ApiError:
            memory.pending.pop(name, None)
            raise
        memory.pending.pop(name, None)
        self._runtime.observe(made)
        return made

    async def _take_in(self, owner: Object, pod: Pod) -> None:
        """A pod of this name exists: ours, as the cache did not show yet, or somebody else's."""
        try:
            found = await self._client.get(Pod, pod.metadata.name, pod.metadata.namespace)
        except NotFound:
            return  # and gone again
        controller = controller_of(found)
        if controller is None or controller.uid != owner.metadata.uid:
            raise NameTaken(f"pods {pod.metadata.name!r} already exists and does not belong to {owner.key}")
        self._runtime.observe(found)

    async def delete(self, owner: Object, pod: Pod) -> None:
        """Delete this very pod; one that is gone is fine."""
        memory, metadata = self._memory(owner), pod.metadata
        collection = self._client.collection(Pod)
        try:
            left = await collection.delete(metadata.name, metadata.namespace, uid=metadata.uid)
        except NotFound:
            memory.gone.add(metadata.uid)
        except (Conflict, *UNKNOWN_OUTCOME):  # a conflict may mean that another pod has the name now
            memory.doubts.add((Pod, metadata.namespace, metadata.name, metadata.uid))
            raise
        else:
            if left is None:
                memory.gone.add(metadata.uid)
            else:
                self._runtime.observe(left)

    async def create_and_tell(self, owner: Object, pod: Pod, use: str = "") -> None:
        """As `create`, with an event about what came of it; of an unknown outcome nothing is told."""
        try:
            made = await self.create(owner, pod, use)
        except UNKNOWN_OUTCOME:
            raise
        except ApiError as error:
            await self.tell(owner, "FailedCreate", f"Error creating: {error.message}", warning=True)
            raise
        if made is not None:
            await self.tell(owner, "SuccessfulCreate", f"Created pod: {pod.metadata.name}")

    async def delete_and_tell(self, owner: Object, pod: Pod) -> None:
        """As `delete`, with an event about what came of it; of an unknown outcome nothing is told."""
        try:
            await self.delete(owner, pod)
        except UNKNOWN_OUTCOME:
            raise
        except ApiError as error:
            await self.tell(owner, "FailedDelete", f"Error deleting: {error.message}", warning=True)
            raise
        await self.tell(owner, "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")

    async def change(self, owner: Object, obj: T, body: dict[str, Any], *, subresource: str = "") -> T:
        """Merge `body` into this very version of an object. Raises Conflict if it changed since."""
        metadata = obj.metadata
        wanted = {
            **body,
            "metadata": {
                **body.get("metadata", {}),
                "uid": metadata.uid,
                "resourceVersion": metadata.resource_version,
            },
        }
        try:
            written = await self._client.patch(
                type(obj), metadata.name, metadata.namespace, wanted, subresource=subresource
            )
        except UNKNOWN_OUTCOME:
            self._memory(owner).doubts.add((type(obj), metadata.namespace, metadata.name, metadata.uid))
            raise
        self._runtime.observe(written)
        return written

    async def finish(self, owner: Object, pod: Pod, finalizer: str) -> None:
        """Take a finalizer off this very pod, whatever else changed in it; one that is gone is fine."""
        memory, metadata = self._memory(owner), pod.metadata
        body = {"metadata": {"uid": metadata.uid, "$deleteFromPrimitiveList/finalizers": [finalizer]}}
        try:
            written = await self._client.patch(
                Pod, metadata.name, metadata.namespace, body, patch_type="strategic"
            )
        except NotFound:
            memory.gone.add(metadata.uid)
        except (Conflict, *UNKNOWN_OUTCOME):  # a conflict may mean that another pod has the name now
            memory.doubts.add((Pod, metadata.namespace, metadata.name, metadata.uid))
            raise
        else:
            self._runtime.observe(written)
            left = written.metadata
            waits = left.finalizers or left.deletion_grace_period_seconds
            if left.deletion_timestamp is not None and not waits:
                memory.gone.add(left.uid)  # this was the last thing it waited for

    async def status(self, owner: T, before: dict[str, Any], after: dict[str, Any]) -> T:
        """Make the owner's status `after`; writes only what differs, and nothing if nothing does."""
        changed = _difference(before, after)
        if not changed:
            return owner
        return await self.change(owner, owner, {"status": changed}, subresource="status")

    async def tell(self, owner: Object, reason: str, note: str, *, warning: bool = False) -> None:
        """Record an event about the owner."""
        event = Emit(owner, reason, note, type="Warning" if warning else "Normal")
        await self._runtime.apply(self._component, (event,))

    def _memory(self, owner: Object) -> _Memory:
        found = self._memories.get(owner.key)
        if found is None or found.uid != owner.metadata.uid:
            names = self._pod_names(owner.metadata.name, owner.metadata.uid)
            found = self._memories[owner.key] = _Memory(owner.metadata.uid, names)
        return found


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The merge patch that makes `after` of `before`."""
    changed: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            if inner := _difference(old, value):
                changed[key] = inner
        elif old != value:
            changed[key] = value
    return changed


async def in_growing_batches(work: Sequence[Callable[[], Awaitable[object]]]) -> None:
    """Do 1, then 2, then 4 … at once, and stop after a batch in which one failed, with its error.

    So a quota or a bad template costs one refused request and not hundreds.
    """
    begin, size = 0, 1
    while begin < len(work):
        await together([one() for one in work[begin : begin + size]])
        begin, size = begin + size, size * 2


async def together(work: Iterable[Awaitable[object]]) -> None:
    """Do all at once; raises the first error after all have ended."""
    for answer in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(answer, BaseException):
            raise answer
