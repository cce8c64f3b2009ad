"""Deletes pods from nodes whose NoExecute taints they do not, or no longer, tolerate.

A controller whose keys are pods. It shares the informers of the node controllers. Registered by `controller`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from springtide.api.commands import Apply, Delete, Emit
from springtide.api.core import Pod
from springtide.api.nodes import Node
from springtide.api.podstatus import PodCondition
from springtide.api.struct import encode
from springtide.builtin.eviction_plan import is_failing, leave, no_execute, pace, zone_of
from springtide.builtin.pods import ForsakenPods
from springtide.runtime import Informer, Runtime, logger

COMPONENT = "taint-eviction-controller"
_HELD_SECONDS = 10.0
_SHORTEST_SECONDS = 0.01

log = logger("builtin.evictions")


class TaintEvictions:
    """Reconciles one pod at a time."""

    def __init__(self, runtime: Runtime, manager: str, nodes: Informer[Node], forsaken: ForsakenPods) -> None:
        self._runtime = runtime
        self._manager = manager
        self._nodes = nodes
        self._forsaken = forsaken
        self.pods = forsaken.pods
        self._turns: dict[str, datetime] = {}
        """By failing node: from when on its pods count down."""
        self._next: dict[str, datetime] = {}
        """By zone: when the next node may have its turn."""
        self._paces: Mapping[str, float | None] | None = None
        """By zone: how fast nodes are emptied, as long as no node has changed; told from all of them."""
        self._seen: dict[str, dict[str, datetime]] = {}
        """By node, by key of a taint: since when it is known here."""

    def keys_of_pod(self, pod: Pod) -> Iterable[str]:
        """The pod, if its node ends pods."""
        node = self._nodes.cache.get(pod.spec.node_name) if pod.spec.node_name else None
        return (pod.key,) if node is not None and no_execute(node) else ()

    def keys_of_node(self, node: Node) -> Iterable[str]:
        """The pods of a node that ends pods."""
        name = node.metadata.name
        self._paces = None
        current = self._nodes.cache.get(name)
        if current is None or not is_failing(current):
            self._turns.pop(name, None)
        if current is None or not no_execute(current):
            self._seen.pop(name, None)
            return ()
        return [pod.key for pod in self._forsaken.pods_on(name)]

    async def reconcile(self, key: str) -> float | None:
        """Delete the pod if its time has come; returns when to look again."""
        pod = self.pods.cache.get(key)
        node = self._nodes.cache.get(pod.spec.node_name) if pod is not None else None
        if pod is None or node is None or pod.metadata.deletion_timestamp is not None:
            return None
        now = self._runtime.clock.now()
        turn = self._turn(node, now) if is_failing(node) else None
        due = leave(pod, node, turn, self._since(node, now), now)
        if due is None:
            return _HELD_SECONDS if is_failing(node) and turn is None else None
        left = (due - now).total_seconds()
        if left > 0:
            return max(left, _SHORTEST_SECONDS)
        await self._evict(pod, now)
        return None

    def _since(self, node: Node, now: datetime) -> dict[str, datetime]:
        known = self._seen.get(node.metadata.name, {})
        known = {taint.key: known.get(taint.key, now) for taint in no_execute(node)}
        self._seen[node.metadata.name] = known
        return known

    def _turn(self, node: Node, now: datetime) -> datetime | None:
        """From when on the pods of a failing node count down; None: not while so many nodes fail."""
        name = node.metadata.name
        zone = zone_of(node)
        if self._paces is None:
            self._paces = pace(self._nodes.cache.list())
        wait = self._paces.get(zone)
        if wait is None:
            self._turns.pop(name, None)
            return None
        if name not in self._turns:
            self._turns[name] = max(now, self._next.get(zone, now))
            self._next[zone] = self._turns[name] + timedelta(seconds=wait)
        return self._turns[name]

    async def _evict(self, pod: Pod, now: datetime) -> None:
        metadata = pod.metadata
        log.info("pod evicted", pod=pod.key, node=pod.spec.node_name)
        condition = PodCondition(
            type="DisruptionTarget",
            status="True",
            reason="DeletionByTaintManager",
            message="Taint manager: deleting due to NoExecute taint",
            last_transition_time=now.replace(microsecond=0),
        )
        status = {"status": {"conditions": [encode(condition)]}}
        told = Emit(pod, "TaintManagerEviction", f"Marking for deletion Pod {pod.key}")
        await self._runtime.apply(COMPONENT, (told,))
        await self._runtime.apply(
            self._manager,
            (
                Apply(Pod, metadata.namespace, metadata.name, status, "status", metadata.uid),
                Delete(Pod, metadata.namespace, metadata.name, metadata.uid),
            ),
        )
