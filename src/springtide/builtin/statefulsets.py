"""Keeps the numbered pods of StatefulSets, their claims and revisions: caches -> plan -> writes.

A controller whose keys are stateful sets. A pod's name follows from its number, so creating it twice is one
creation. Registered by `apps`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from springtide.api.apps import ControllerRevision, StatefulSet
from springtide.api.core import PersistentVolumeClaim, Pod
from springtide.api.meta import controller_of
from springtide.api.selectors import Labels, from_label_selector
from springtide.api.struct import encode
from springtide.builtin.own_writes import UNKNOWN_OUTCOME, OwnWrites, in_growing_batches, together
from springtide.builtin.ownership import ORPHANS, Claim, claim, owners_of, settle_claim
from springtide.builtin.replicasets import BY_NAMESPACE, BY_OWNER, namespace_of
from springtide.builtin.revision_writes import RevisionWrites
from springtide.builtin.revisions import superfluous
from springtide.builtin.statefulset_plan import StatefulSetPlan, look_again, plan, status_of
from springtide.builtin.statefulset_pods import (
    claim_owners,
    claims_for,
    is_stale,
    missing_labels,
    ordinal_of,
    ordinals,
    revision_of,
)
from springtide.client import AlreadyExists, ApiError, Conflict, NotFound
from springtide.runtime import Runtime

COMPONENT = "statefulset-controller"
_HASH_LABEL = "controller.kubernetes.io/hash"
_SOON_SECONDS = 0.2
_CLAIM_SECONDS = 1.0


class ClaimGoing(Exception):
    """A claim of that name is being deleted: the pod waits until it is gone."""


class StatefulSets:
    """Reconciles one stateful set at a time."""

    def __init__(self, runtime: Runtime, manager: str) -> None:
        self._runtime = runtime
        self._manager = manager
        self._client = runtime.client.with_manager(manager)
        self._writes = OwnWrites(runtime, manager, COMPONENT)
        self._revisions = RevisionWrites(runtime, manager, self._writes, _HASH_LABEL)
        self.sets = runtime.informer(StatefulSet, indexes={BY_NAMESPACE: namespace_of})
        self.pods = runtime.informer(Pod, indexes={BY_OWNER: owners_of})
        self.claims = runtime.informer(PersistentVolumeClaim)

    def keys_of_pod(self, pod: Pod) -> Iterable[str]:
        """The set the pod belongs to; for an orphan, the one that may take it in."""
        owner, namespace = controller_of(pod), pod.metadata.namespace
        if owner is not None:
            return (f"{namespace}/{owner.name}",) if owner.kind == "StatefulSet" else ()
        found = self.sets.cache.get(f"{namespace}/{pod.metadata.name.rpartition('-')[0]}")
        return (found.key,) if found is not None else ()

    async def reconcile(self, key: str) -> float | None:
        """Take the set one step further; returns when to look again."""
        owner = self.sets.cache.get(key)
        if owner is None:
            self._writes.forget(key)
            return None
        selector = from_label_selector(owner.spec.selector)
        if selector is None:
            return None
        await self._writes.settle(owner)
        pods = await self._claimed(owner, selector)
        if pods is None:
            return _SOON_SECONDS
        known = await self._revisions.current(owner, selector)
        if known is None:
            return _SOON_SECONDS
        update = known.current
        named = (one for one in known.older if one.metadata.name == owner.status.current_revision)
        current = next(named, update)
        decided = plan(owner, pods, current, update, self._runtime.clock.now())
        failed = await self._execute(owner, decided, pods)
        pods = self._writes.seen(owner, self.pods.cache.by_index(BY_OWNER, owner.metadata.uid))
        await self._report(owner, pods, current, update)
        live = {current.metadata.name, update.metadata.name, *map(revision_of, pods)}
        await self._revisions.remove(superfluous(known.older, live, owner.spec.revision_history_limit))
        if isinstance(failed, ClaimGoing):
            return _CLAIM_SECONDS
        if failed is not None:
            raise failed
        return look_again(owner, pods, self._runtime.clock.now())

    async def _claimed(self, owner: StatefulSet, selector: Labels) -> list[Pod] | None:
        mine = self.pods.cache.by_index(BY_OWNER, owner.metadata.uid)
        orphans = self.pods.cache.by_index(BY_OWNER, ORPHANS + owner.metadata.namespace)
        found = claim(owner, selector, [*mine, *orphans])
        found = Claim(
            found.mine, [pod for pod in found.adopt if ordinal_of(owner, pod) is not None], found.release
        )
        pods = await settle_claim(self._runtime, self._manager, owner, found)
        return self._writes.seen(owner, pods) if pods is not None else None

    # -- writing -----------------------------------------------------------------------------------

    async def _execute(
        self, owner: StatefulSet, decided: StatefulSetPlan, pods: Sequence[Pod]
    ) -> ApiError | ClaimGoing | None:
        """Write what was decided; what stopped it, if anything did."""
        try:
            if owner.metadata.deletion_timestamp is None:
                for pod in pods:
                    await self._repair(owner, pod)
            for pod in decided.prepare:
                await self._make_claims(owner, pod)
            await in_growing_batches([partial(self._create, owner, pod) for pod in decided.create])
            await together(self._delete(owner, pod) for pod in decided.delete)
        except (ApiError, ClaimGoing) as error:
            return error
        return None

    async def _create(self, owner: StatefulSet, pod: Pod) -> None:
        name, of = pod.metadata.name, owner.metadata.name
        await self._make_claims(owner, pod)
        try:
            made = await self._writes.create(owner, pod)
        except UNKNOWN_OUTCOME:
            raise
        except ApiError as error:
            text = f"Create Pod {name} in StatefulSet {of} failed error: {error.message}"
            await self._writes.tell(owner, "FailedCreate", text, warning=True)
            raise
        if made is not None:
            text = f"Create Pod {name} in StatefulSet {of} successful"
            await self._writes.tell(owner, "SuccessfulCreate", text)
            await self._repair(owner, made)

    async def _delete(self, owner: StatefulSet, pod: Pod) -> None:
        name, of = pod.metadata.name, owner.metadata.name
        try:
            await self._writes.delete(owner, pod)
        except UNKNOWN_OUTCOME:
            raise
        except ApiError as error:
            text = f"Delete Pod {name} in StatefulSet {of} failed error: {error.message}"
            await self._writes.tell(owner, "FailedDelete", text, warning=True)
            raise
        text = f"Delete Pod {name} in StatefulSet {of} successful"
        await self._writes.tell(owner, "SuccessfulDelete", text)

    async def _make_claims(self, owner: StatefulSet, pod: Pod) -> None:
        """Create the claims the pod mounts. Raises ClaimGoing if one of that name has to go first."""
        ordinal = ordinal_of(owner, pod)
        for wanted in claims_for(owner, ordinal) if ordinal is not None else ():
            known = self.claims.cache.get(wanted.key)
            if known is None:
                await self._make_claim(owner, pod, wanted)
            elif known.metadata.deletion_timestamp is not None:
                raise ClaimGoing(f"pvc {wanted.metadata.name} is being deleted")
            elif is_stale(known, pod.metadata.name, pod.metadata.uid):
                raise ClaimGoing(f"pvc {wanted.metadata.name} goes with an earlier pod")

    async def _make_claim(self, owner: StatefulSet, pod: Pod, wanted: PersistentVolumeClaim) -> None:
        name, of = wanted.metadata.name, owner.metadata.name
        try:
            self._runtime.observe(await self._client.create(wanted))
        except AlreadyExists:
            return
        except UNKNOWN_OUTCOME:
            raise
        except ApiError as error:
            place = f"for Pod {pod.metadata.name} in StatefulSet {of}"
            text = f"Create Claim {name} {place} failed error: {error.message}"
            await self._writes.tell(owner, "FailedCreate", text, warning=True)
            raise
        text = f"Create Claim {name} Pod {pod.metadata.name} in StatefulSet {of} success"
        await self._writes.tell(owner, "SuccessfulCreate", text)

    async def _repair(self, owner: StatefulSet, pod: Pod) -> None:
        """Give the pod its identity back, and its claims the owners that the retention policy asks for."""
        ordinal = ordinal_of(owner, pod)
        if ordinal is None:
            return
        labels = missing_labels(owner, pod)
        if labels:
            await self._writes.change(owner, pod, {"metadata": {"labels": labels}})
        condemned = ordinal not in ordinals(owner)
        for wanted in claims_for(owner, ordinal):
            known = self.claims.cache.get(wanted.key)
            if known is None:
                continue
            owners = claim_owners(owner, pod, known, condemned=condemned)
            if owners is not None:
                body = {"metadata": {"ownerReferences": [encode(one) for one in owners]}}
                await self._writes.change(owner, known, body)

    async def _report(
        self,
        owner: StatefulSet,
        pods: Sequence[Pod],
        current: ControllerRevision,
        update: ControllerRevision,
    ) -> None:
        status = status_of(owner, pods, current, update, self._runtime.clock.now())
        try:
            await self._writes.status(owner, encode(owner.status), encode(status))
        except NotFound:
            return
        except Conflict:
            self._runtime.observe(
                await self._client.get(StatefulSet, owner.metadata.name, owner.metadata.namespace)
            )
