"""Keeps one pod of each DaemonSet on every eligible node: caches -> plan -> writes.

A controller whose keys are daemon sets. Of nodes only what decides about eligibility brings keys: labels,
taints, coming and going; heartbeats cost nothing. Registered by `apps`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from springtide.api.apps import DaemonSet
from springtide.api.core import Pod
from springtide.api.meta import controller_of
from springtide.api.nodes import Node
from springtide.api.selectors import Labels, from_label_selector
from springtide.api.struct import encode
from springtide.builtin.daemonset_nodes import new_pod
from springtide.builtin.daemonset_plan import DaemonSetPlan, View, look_again, plan, status_of
from springtide.builtin.own_writes import BURST, OwnWrites, in_growing_batches, together
from springtide.builtin.ownership import ORPHANS, claim, owners_of, settle_claim
from springtide.builtin.replicasets import BY_NAMESPACE, BY_OWNER, namespace_of
from springtide.builtin.revision_writes import RevisionWrites
from springtide.builtin.revisions import REVISION_HASH, hash_of, superfluous
from springtide.client import ApiError, Conflict, NotFound
from springtide.runtime import Runtime
from springtide.runtime.queue import Backoff

COMPONENT = "daemonset-controller"
_SOON_SECONDS = 0.2
_FAILED_AGAIN = Backoff(base_seconds=1.0, limit_seconds=900.0)
"""How long a node whose pod failed waits for the next."""

_Signature = tuple[object, ...]


class DaemonSets:
    """Reconciles one daemon set at a time."""

    def __init__(self, runtime: Runtime, manager: str) -> None:
        self._runtime = runtime
        self._manager = manager
        self._writes = OwnWrites(runtime, manager, COMPONENT)
        self._revisions = RevisionWrites(runtime, manager, self._writes, REVISION_HASH)
        self.sets = runtime.informer(DaemonSet, indexes={BY_NAMESPACE: namespace_of})
        self.nodes = runtime.informer(Node)
        self.pods = runtime.informer(Pod, indexes={BY_OWNER: owners_of})
        self._signatures: dict[str, _Signature] = {}
        self._failures: dict[tuple[str, str], tuple[int, float]] = {}
        """By (uid of the set, node): how many pods failed in a row, and until when the next waits."""

    # -- triggers ----------------------------------------------------------------------------------

    def keys_of_pod(self, pod: Pod) -> Iterable[str]:
        """The set the pod belongs to; for an orphan, those that may take it in."""
        owner, namespace = controller_of(pod), pod.metadata.namespace
        if owner is not None:
            return (f"{namespace}/{owner.name}",) if owner.kind == "DaemonSet" else ()
        return [
            one.key
            for one in self.sets.cache.by_index(BY_NAMESPACE, namespace)
            if (selector := from_label_selector(one.spec.selector)) and selector.matches(pod.metadata.labels)
        ]

    def keys_of_node(self, node: Node) -> Iterable[str]:
        """All sets, when something about the node changed that they look at."""
        name = node.metadata.name
        current = self.nodes.cache.get(name)
        signature = (current.metadata.uid, current.metadata.labels, current.spec.taints) if current else ()
        if self._signatures.get(name) == signature:
            return ()
        if current is None:
            self._signatures.pop(name, None)
        else:
            self._signatures[name] = signature
        return [one.key for one in self.sets.cache.list()]

    # -- reconciling -------------------------------------------------------------------------------

    async def reconcile(self, key: str) -> float | None:
        """Bring the nodes' pods in line; returns when to look again."""
        owner = self.sets.cache.get(key)
        if owner is None:
            self._writes.forget(key)
            return None
        selector = from_label_selector(owner.spec.selector)
        if selector is None or owner.metadata.deletion_timestamp is not None:
            return None
        await self._writes.settle(owner)
        known = await self._revisions.current(owner, selector)
        pods = await self._claimed(owner, selector)
        if known is None or pods is None:
            return _SOON_SECONDS
        digest = hash_of(known.current)
        view = self._view(owner, pods, digest)
        decided = plan(view, self._runtime.clock.now())
        failed = await self._execute(owner, digest, decided)
        view = self._view(owner, self._writes.seen(owner, self._mine(owner)), digest)
        await self._report(view)
        live = {pod.metadata.labels.get(REVISION_HASH, "") for pod in view.pods}
        await self._revisions.remove(superfluous(known.older, live, owner.spec.revision_history_limit))
        if failed is not None:
            raise failed
        return _earliest(look_again(view, self._runtime.clock.now()), self._until_retry(owner))

    def _view(self, owner: DaemonSet, pods: list[Pod], digest: str) -> View:
        waits = partial(self._waits, owner.metadata.uid)
        return View(owner, self.nodes.cache.list(), pods, digest, waits)

    async def _claimed(self, owner: DaemonSet, selector: Labels) -> list[Pod] | None:
        orphans = self.pods.cache.by_index(BY_OWNER, ORPHANS + owner.metadata.namespace)
        found = claim(owner, selector, [*self._mine(owner), *orphans])
        pods = await settle_claim(self._runtime, self._manager, owner, found)
        return self._writes.seen(owner, pods) if pods is not None else None

    def _mine(self, owner: DaemonSet) -> list[Pod]:
        return self.pods.cache.by_index(BY_OWNER, owner.metadata.uid)

    async def _execute(self, owner: DaemonSet, digest: str, decided: DaemonSetPlan) -> ApiError | None:
        """Create and delete; the error that stopped it, if one did."""
        nodes = decided.create[:BURST]
        names, base = self._writes.names(owner, nodes), self._writes.base(owner)
        for pod, node in decided.ended:
            await self._tell_ended(owner, pod, node)
        try:
            await in_growing_batches(
                [
                    partial(self._create, owner, node, digest, name, base)
                    for node, name in zip(nodes, names, strict=True)
                ]
            )
            await together(self._writes.delete_and_tell(owner, pod) for pod in decided.delete[:BURST])
        except ApiError as error:
            return error
        return None

    async def _create(self, owner: DaemonSet, node: str, digest: str, name: str, base: str) -> None:
        pod = new_pod(owner, node, digest, name, base)
        await self._writes.create_and_tell(owner, pod, use=node)

    async def _report(self, view: View) -> None:
        status = status_of(view, self._runtime.clock.now())
        owner = view.owner
        try:
            await self._writes.status(owner, encode(owner.status), encode(status))
        except NotFound:
            return
        except Conflict:
            fresh = await self._runtime.client.get(DaemonSet, owner.metadata.name, owner.metadata.namespace)
            self._runtime.observe(fresh)

    # -- pods that end by themselves ---------------------------------------------------------------

    async def _tell_ended(self, owner: DaemonSet, pod: Pod, node: str) -> None:
        if pod.status.phase == "Succeeded":
            text = f"Found succeeded daemon pod {pod.key} on node {node}, will try to delete it"
            await self._writes.tell(owner, "SucceededDaemonPod", text)
            return
        cell = (owner.metadata.uid, node)
        failures = self._failures.get(cell, (0, 0.0))[0] + 1
        until = self._runtime.clock.monotonic() + _FAILED_AGAIN.delay_seconds(failures)
        self._failures[cell] = (failures, until)
        text = f"Found failed daemon pod {pod.key} on node {node}, will try to kill it"
        await self._writes.tell(owner, "FailedDaemonPod", text, warning=True)

    def _waits(self, uid: str, node: str) -> bool:
        return self._failures.get((uid, node), (0, 0.0))[1] > self._runtime.clock.monotonic()

    def _until_retry(self, owner: DaemonSet) -> float | None:
        """Seconds until a failed pod may be replaced; old failures are forgotten."""
        now = self._runtime.clock.monotonic()
        forgotten = 2 * _FAILED_AGAIN.limit_seconds
        self._failures = {cell: one for cell, one in self._failures.items() if one[1] > now - forgotten}
        waits = [until - now for (uid, _), (_, until) in self._failures.items() if uid == owner.metadata.uid]
        return min((wait for wait in waits if wait > 0), default=None)


def _earliest(*moments: float | None) -> float | None:
    return min((moment for moment in moments if moment is not None), default=None)
