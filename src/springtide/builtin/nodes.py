"""Marks nodes that went silent, and clears the mark when they report again.

A controller whose keys are nodes. A node's sign of life is its Lease in kube-node-lease; its age is counted
from when this program saw it change, so neither clock skew nor a stop of the whole platform makes living
nodes look dead. A node that never had a Lease promised no signs and is left alone.
"""

from __future__ import annotations

from datetime import datetime

from springtide.api.commands import Apply
from springtide.api.coordination import Lease
from springtide.api.nodes import Node, Taint
from springtide.api.struct import encode
from springtide.builtin.plan import grace_of, watch_node
from springtide.client import Conflict, NotFound
from springtide.runtime import Informer, Runtime, logger

LEASE_NAMESPACE = "kube-node-lease"
_CONFLICT_SECONDS = 0.2

_Sign = tuple[str, datetime | None]

log = logger("builtin.nodes")


class NodeLifecycle:
    """Reconciles one node at a time."""

    def __init__(
        self, runtime: Runtime, manager: str, nodes: Informer[Node], leases: Informer[Lease]
    ) -> None:
        self._runtime = runtime
        self._manager = manager
        self._nodes = nodes
        self._leases = leases
        self._seen: dict[str, tuple[_Sign, datetime]] = {}
        """By node: the newest sign of life, and when it was first seen here."""

    async def reconcile(self, name: str) -> float | None:
        """Bring condition and taints in line with the node's last sign of life."""
        node = self._nodes.cache.get(name)
        if node is None:
            self._seen.pop(name, None)
            return None
        lease = self._leases.cache.get(f"{LEASE_NAMESPACE}/{name}")
        if lease is None:
            return None
        now = self._runtime.clock.now()
        grace = grace_of(lease.spec.lease_duration_seconds)
        step = watch_node(node, self._alive_at(node, lease, now), now, grace)
        if step.condition is not None:
            log.warning("node went silent", node=name, reason=step.condition.reason)
            fields = {"status": {"conditions": [encode(step.condition)]}}
            uid = node.metadata.uid
            await self._runtime.apply(self._manager, [Apply(Node, "", name, fields, "status", uid)])
            return 0.0
        if step.taints is not None:
            return await self._write_taints(node, step.taints)
        return step.again_seconds

    def _alive_at(self, node: Node, lease: Lease, now: datetime) -> datetime:
        sign = (node.metadata.uid, lease.spec.renew_time)
        known = self._seen.get(node.metadata.name)
        if known is None or known[0] != sign:
            known = self._seen[node.metadata.name] = (sign, now)
        return known[1]

    async def _write_taints(self, node: Node, taints: list[Taint]) -> float | None:
        """Replace the taints: a list with several writers, hence the precondition on its version."""
        metadata = {"uid": node.metadata.uid, "resourceVersion": node.metadata.resource_version}
        body = {"metadata": metadata, "spec": {"taints": [encode(taint) for taint in taints]}}
        client = self._runtime.client.with_manager(self._manager)
        try:
            self._runtime.observe(await client.patch(Node, node.metadata.name, "", body))
        except Conflict:
            return _CONFLICT_SECONDS
        except NotFound:
            return None
        return 0.0
