"""Rolls out Deployments: caches -> plan -> writes to their replica sets -> status.

A controller whose keys are deployments. A change of a deployment or of one of its sets brings its key; so
does the end of a pod where old pods must be gone before new ones start. Registered by `apps`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace as replace_fields

from springtide.api.apps import Deployment, ReplicaSet
from springtide.api.core import Pod
from springtide.api.meta import controller_of
from springtide.api.selectors import from_label_selector
from springtide.api.struct import encode
from springtide.builtin.deployment_plan import DeploymentPlan, SetChange, plan
from springtide.builtin.deployment_sets import REVISION, find_new, same_template, size
from springtide.builtin.deployment_status import Seen, look_again, status_of
from springtide.builtin.own_writes import UNKNOWN_OUTCOME, OwnWrites
from springtide.builtin.ownership import ORPHANS, claim, owners_of, settle_claim
from springtide.builtin.pod_state import FINISHED
from springtide.builtin.replicasets import BY_NAMESPACE, BY_OWNER, namespace_of
from springtide.client import AlreadyExists, ApiError, Conflict, NotFound
from springtide.runtime import Runtime

COMPONENT = "deployment-controller"
_SOON_SECONDS = 0.2


class Deployments:
    """Reconciles one deployment at a time."""

    def __init__(self, runtime: Runtime, manager: str) -> None:
        self._runtime = runtime
        self._manager = manager
        self._client = runtime.client.with_manager(manager)
        self._writes = OwnWrites(runtime, manager, COMPONENT)
        self.deployments = runtime.informer(Deployment, indexes={BY_NAMESPACE: namespace_of})
        self.sets = runtime.informer(ReplicaSet, indexes={BY_OWNER: owners_of})
        self.pods = runtime.informer(Pod, indexes={BY_OWNER: owners_of})

    # -- triggers ----------------------------------------------------------------------------------

    def keys_of_set(self, one: ReplicaSet) -> Iterable[str]:
        """The deployment the set belongs to; for an orphan, those that may take it in."""
        owner, namespace = controller_of(one), one.metadata.namespace
        if owner is not None:
            return (f"{namespace}/{owner.name}",) if owner.kind == "Deployment" else ()
        return [
            found.key
            for found in self.deployments.cache.by_index(BY_NAMESPACE, namespace)
            if (selector := from_label_selector(found.spec.selector))
            and selector.matches(one.metadata.labels)
        ]

    def keys_of_pod(self, pod: Pod) -> Iterable[str]:
        """The deployment that waits for the pod to end, if it does."""
        owner = controller_of(pod)
        if owner is None or owner.kind != "ReplicaSet":
            return ()
        one = self.sets.cache.get(f"{pod.metadata.namespace}/{owner.name}")
        above = controller_of(one) if one is not None else None
        if above is None or above.kind != "Deployment":
            return ()
        found = self.deployments.cache.get(f"{pod.metadata.namespace}/{above.name}")
        waits = found is not None and found.spec.strategy.type == "Recreate"
        return (found.key,) if found is not None and waits else ()

    # -- reconciling -------------------------------------------------------------------------------

    async def reconcile(self, key: str) -> float | None:
        """Take the rollout one step further; returns when to look again."""
        deployment = self.deployments.cache.get(key)
        if deployment is None:
            self._writes.forget(key)
            return None
        await self._writes.settle(deployment)
        sets = await self._claimed(deployment)
        if sets is None:
            return _SOON_SECONDS
        decided = plan(deployment, sets, old_pods_run=self._old_pods_run(deployment, sets))
        try:
            seen = await self._execute(deployment, decided)
        except Conflict:
            return _SOON_SECONDS  # a set changed since: decide anew
        return await self._report(deployment, seen)

    async def _claimed(self, deployment: Deployment) -> list[ReplicaSet] | None:
        selector = from_label_selector(deployment.spec.selector)
        if selector is None:
            return []
        mine = self.sets.cache.by_index(BY_OWNER, deployment.metadata.uid)
        orphans = self.sets.cache.by_index(BY_OWNER, ORPHANS + deployment.metadata.namespace)
        found = claim(deployment, selector, [*mine, *orphans])
        return await settle_claim(self._runtime, self._manager, deployment, found)

    def _old_pods_run(self, deployment: Deployment, sets: list[ReplicaSet]) -> bool:
        new = find_new(deployment, sets)
        return any(
            pod.status.phase not in FINISHED
            for one in sets
            if new is None or one.metadata.uid != new.metadata.uid
            for pod in self.pods.cache.by_index(BY_OWNER, one.metadata.uid)
        )

    async def _execute(self, deployment: Deployment, decided: DeploymentPlan) -> Seen:
        """Write to the sets; what is worth saying in the status. Raises Conflict where one changed since."""
        seen = Seen(rolls=decided.rolls)
        if decided.create is not None:
            seen = await self._create(deployment, decided.create, seen)
        for change in decided.changes:
            await self._change(deployment, change)
        for one in decided.delete:
            metadata = one.metadata
            try:
                await self._client.delete(ReplicaSet, metadata.name, metadata.namespace, uid=metadata.uid)
            except NotFound:
                continue
        return seen

    async def _create(self, deployment: Deployment, one: ReplicaSet, seen: Seen) -> Seen:
        name = one.metadata.name
        try:
            made = await self._client.create(one)
        except AlreadyExists:
            await self._settle_collision(deployment, one)
            return seen
        except UNKNOWN_OUTCOME:
            raise
        except ApiError as error:
            text = f'Failed to create new replica set "{name}": {error.message}'
            await self._writes.tell(deployment, "ReplicaSetCreateError", text, warning=True)
            await self._report(deployment, replace_fields(seen, creation_error=text))
            raise
        self._runtime.observe(made)
        if size(made):
            text = f"Scaled up replica set {name} from 0 to {size(made)}"
            await self._writes.tell(deployment, "ScalingReplicaSet", text)
        return replace_fields(seen, created=True)

    async def _settle_collision(self, deployment: Deployment, one: ReplicaSet) -> None:
        """The name is taken: by our own set that the cache does not show yet, or by another."""
        try:
            found = await self._client.get(ReplicaSet, one.metadata.name, one.metadata.namespace)
        except NotFound:
            raise Conflict(f"replicasets {one.metadata.name!r} existed a moment ago and is gone") from None
        self._runtime.observe(found)
        owner = controller_of(found)
        ours = owner is not None and owner.uid == deployment.metadata.uid
        if ours and same_template(found.spec.template, deployment.spec.template):
            raise Conflict(f"replicasets {one.metadata.name!r} exists already")
        count = (deployment.status.collision_count or 0) + 1
        body = {"status": {"collisionCount": count}}
        await self._writes.change(deployment, deployment, body, subresource="status")
        raise Conflict(f"replicasets {one.metadata.name!r} belongs to another; a new name is chosen")

    async def _change(self, deployment: Deployment, change: SetChange) -> None:
        before, after = change.before, change.after
        noted = {
            key: value
            for key, value in after.metadata.annotations.items()
            if before.metadata.annotations.get(key) != value
        }
        spec: dict[str, int | None] = {}
        if size(before) != size(after):
            spec["replicas"] = size(after)
        if before.spec.min_ready_seconds != after.spec.min_ready_seconds:
            spec["minReadySeconds"] = after.spec.min_ready_seconds or None
        body = {"metadata": {"annotations": noted} if noted else {}, "spec": spec}
        await self._writes.change(deployment, before, body)
        if size(before) != size(after):
            direction = "up" if size(after) > size(before) else "down"
            text = (
                f"Scaled {direction} replica set {before.metadata.name} from {size(before)} to {size(after)}"
            )
            await self._writes.tell(deployment, "ScalingReplicaSet", text)

    async def _report(self, deployment: Deployment, seen: Seen) -> float | None:
        """Write the status, and the revision of the new set; returns when the rollout would time out."""
        now = self._runtime.clock.now()
        sets = self.sets.cache.by_index(BY_OWNER, deployment.metadata.uid)
        new = find_new(deployment, sets)
        status = status_of(deployment, sets, new, seen, now)
        revision = new.metadata.annotations.get(REVISION, "") if new is not None else ""
        noted = deployment.metadata.annotations.get(REVISION, "")
        before, after = encode(deployment.status), encode(status)
        changed = {key: value for key, value in after.items() if before.get(key) != value}
        changed.update({key: None for key in before if key not in after})
        body: dict[str, object] = {"status": changed} if changed else {}
        if revision and revision != noted:
            body["metadata"] = {"annotations": {REVISION: revision}}
        if body:
            try:
                await self._writes.change(deployment, deployment, body, subresource="status")
            except NotFound:
                return None
            except Conflict:
                return _SOON_SECONDS
        return look_again(deployment, status, now)
