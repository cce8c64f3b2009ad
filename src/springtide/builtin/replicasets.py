"""Keeps as many pods running as each ReplicaSet says: caches -> plan -> writes.

A controller whose keys are replica sets. A change of a set, of one of its pods or of a pod it may take in
brings its key. Registered by `apps`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from springtide.api.apps import ReplicaSet
from springtide.api.core import Pod
from springtide.api.meta import Object, controller_of
from springtide.api.selectors import from_label_selector
from springtide.api.struct import encode
from springtide.builtin.own_writes import BURST, OwnWrites, in_growing_batches, together
from springtide.builtin.ownership import ORPHANS, claim, owners_of, settle_claim
from springtide.builtin.replicaset_plan import look_again, plan, pod_of, status_of
from springtide.client import ApiError, Conflict, NotFound
from springtide.runtime import Runtime

COMPONENT = "replicaset-controller"
BY_OWNER = "builtin.owner"
BY_NAMESPACE = "builtin.namespace"
_SOON_SECONDS = 0.2


class ReplicaSets:
    """Reconciles one replica set at a time."""

    def __init__(self, runtime: Runtime, manager: str) -> None:
        self._runtime = runtime
        self._manager = manager
        self._writes = OwnWrites(runtime, manager, COMPONENT)
        self.sets = runtime.informer(ReplicaSet, indexes={BY_OWNER: owners_of, BY_NAMESPACE: namespace_of})
        self.pods = runtime.informer(Pod, indexes={BY_OWNER: owners_of})

    def keys_of_pod(self, pod: Pod) -> Iterable[str]:
        """The set the pod belongs to; for an orphan, those that may take it in."""
        owner = controller_of(pod)
        namespace = pod.metadata.namespace
        if owner is not None:
            return (f"{namespace}/{owner.name}",) if owner.kind == "ReplicaSet" else ()
        return [
            one.key
            for one in self.sets.cache.by_index(BY_NAMESPACE, namespace)
            if (selector := from_label_selector(one.spec.selector)) and selector.matches(pod.metadata.labels)
        ]

    async def reconcile(self, key: str) -> float | None:
        """Bring the number of pods in line; returns when to look again."""
        owner = self.sets.cache.get(key)
        if owner is None:
            self._writes.forget(key)
            return None
        await self._writes.settle(owner)
        pods = await self._claimed(owner)
        if pods is None:
            return _SOON_SECONDS
        now = self._runtime.clock.now()
        decided = plan(owner, pods, self._siblings(owner) if pods else (), now, BURST)
        failed = await self._manage(owner, decided.create, decided.delete)
        pods = self._writes.seen(owner, self._mine(owner))
        current = self.sets.cache.get(key)
        if current is not None and current.metadata.uid == owner.metadata.uid:
            await self._report(current, pods, failed, owner.metadata.generation)
        if failed is not None:
            raise failed
        return look_again(owner, pods, self._runtime.clock.now())

    async def _claimed(self, owner: ReplicaSet) -> list[Pod] | None:
        selector = from_label_selector(owner.spec.selector)
        if selector is None:
            return []
        orphans = self.pods.cache.by_index(BY_OWNER, ORPHANS + owner.metadata.namespace)
        found = claim(owner, selector, [*self._mine(owner), *orphans])
        pods = await settle_claim(self._runtime, self._manager, owner, found)
        return self._writes.seen(owner, pods) if pods is not None else None

    def _mine(self, owner: ReplicaSet) -> list[Pod]:
        return self.pods.cache.by_index(BY_OWNER, owner.metadata.uid)

    def _siblings(self, owner: ReplicaSet) -> list[Pod]:
        """Pods of all sets of the same owner: of a rollout's old and new revision."""
        above = controller_of(owner)
        sets = self.sets.cache.by_index(BY_OWNER, above.uid) if above is not None else [owner]
        return [pod for one in sets for pod in self._mine(one)]

    async def _manage(self, owner: ReplicaSet, create: int, delete: Sequence[Pod]) -> ApiError | None:
        """Create and delete; the error that stopped it, if one did."""
        names, base = self._writes.names(owner, [""] * create), self._writes.base(owner)
        try:
            await in_growing_batches([partial(self._create, owner, name, base) for name in names])
            await together(self._writes.delete_and_tell(owner, pod) for pod in delete)
        except ApiError as error:
            return error
        return None

    async def _create(self, owner: ReplicaSet, name: str, base: str) -> None:
        await self._writes.create_and_tell(owner, pod_of(owner, name, base))

    async def _report(
        self, owner: ReplicaSet, pods: Sequence[Pod], failed: ApiError | None, generation: int
    ) -> None:
        selector = from_label_selector(owner.spec.selector)
        matching = [pod for pod in pods if selector is not None and selector.matches(pod.metadata.labels)]
        why = failed.message if failed is not None else ""
        status = status_of(owner, matching, why, self._runtime.clock.now(), generation)
        try:
            await self._writes.status(owner, encode(owner.status), encode(status))
        except NotFound:
            return
        except Conflict:
            if failed is None:
                raise


def namespace_of(obj: Object) -> Iterable[str]:
    return (obj.metadata.namespace,)
