"""Ends pods that their node cannot end any more, so that nothing waits for them forever.

A controller whose keys are pods. It shares the pods' informer with the rooms that have one anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from springtide.api.core import Pod
from springtide.api.nodes import Node
from springtide.builtin.plan import give_up, is_out_of_service
from springtide.client import NotFound
from springtide.runtime import Informer, Runtime, logger

_BY_NODE = "builtin.node"

log = logger("builtin.pods")


class ForsakenPods:
    """Reconciles one pod at a time."""

    def __init__(self, runtime: Runtime, manager: str, nodes: Informer[Node]) -> None:
        self._runtime = runtime
        self._manager = manager
        self._nodes = nodes
        self.pods = runtime.informer(Pod, indexes={_BY_NODE: _node_of})
        self._missing: dict[str, datetime] = {}
        """Since when a node that pods are bound to was not there."""

    def pods_on(self, node: str) -> list[Pod]:
        """The pods bound to a node."""
        return self.pods.cache.by_index(_BY_NODE, node)

    def keys_of_pod(self, pod: Pod) -> Iterable[str]:
        """The pod, if its node cannot end it."""
        if not pod.spec.node_name:
            return ()
        node = self._nodes.cache.get(pod.spec.node_name)
        forsaken = node is None or (pod.metadata.deletion_timestamp is not None and is_out_of_service(node))
        return (pod.key,) if forsaken else ()

    def keys_of_node(self, node: Node) -> Iterable[str]:
        """The pods of a node that went away or was taken out of service; at once, the node came back."""
        name = node.metadata.name
        current = self._nodes.cache.get(name)
        if current is not None:
            self._missing.pop(name, None)
            if not is_out_of_service(current):
                return ()
        return [pod.key for pod in self.pods.cache.by_index(_BY_NODE, name)]

    async def reconcile(self, key: str) -> float | None:
        """Delete the pod if it is time; returns when to look again."""
        pod = self.pods.cache.get(key)
        if pod is None or not pod.spec.node_name:
            return None
        name, now = pod.spec.node_name, self._runtime.clock.now()
        node = self._nodes.cache.get(name)
        since = now if node is not None else self._missing.setdefault(name, now)
        decided = give_up(pod, node, since, now)
        if not decided.commands or (node is None and await self._node_exists(name)):
            return decided.requeue_after_seconds
        log.warning("pod given up", pod=key, node=name)
        await self._runtime.apply(self._manager, decided.commands)
        return None

    async def _node_exists(self, name: str) -> bool:
        """Ask the server itself: a cache that lags must not cost a pod its life."""
        try:
            await self._runtime.client.get(Node, name)
        except NotFound:
            return False
        return True


def _node_of(pod: Pod) -> Iterable[str]:
    return (pod.spec.node_name,) if pod.spec.node_name else ()
