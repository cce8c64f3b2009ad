"""Wires the controllers every cluster has into a runtime: garbage, namespaces, nodes, forsaken pods.

`up` and the simulator call `register` once, for the embedded control plane only: a real cluster has its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from springtide.api.coordination import Lease
from springtide.api.core import Namespace
from springtide.api.nodes import Node
from springtide.builtin.apps import register_apps
from springtide.builtin.batch import register_batch
from springtide.builtin.disruption import register_disruption
from springtide.builtin.endpoints import register_endpoints
from springtide.builtin.evictions import TaintEvictions
from springtide.builtin.garbage import GarbageCollector
from springtide.builtin.inventory import Inventory
from springtide.builtin.namespaces import NamespaceLifecycle
from springtide.builtin.nodes import LEASE_NAMESPACE, NodeLifecycle
from springtide.builtin.pods import ForsakenPods
from springtide.builtin.roles import register_roles
from springtide.builtin.serviceaccounts import register_serviceaccounts
from springtide.builtin.terminated import TerminatedPods
from springtide.runtime import Runtime

ROOM = "builtin"
_COLLECTOR = "garbage-collector-controller"


@dataclass(frozen=True, slots=True)
class Settings:
    """How this room works."""

    collector_workers: int = 8
    """Objects the garbage collector settles at once."""
    namespace_workers: int = 2
    """Namespaces emptied at once."""


def register(runtime: Runtime, settings: Settings | None = None) -> None:
    """Add the controllers to a runtime."""
    chosen = settings or Settings()
    inventory = Inventory(runtime.client.with_manager(ROOM), runtime.clock)
    runtime.background("builtin-inventory", inventory.run)
    _register_garbage(runtime, inventory, chosen)
    _register_namespaces(runtime, inventory, chosen)
    _register_nodes(runtime)
    register_disruption(runtime, inventory)
    register_apps(runtime)
    register_batch(runtime)
    register_endpoints(runtime, ROOM)
    register_serviceaccounts(runtime)
    register_roles(runtime)


def _register_garbage(runtime: Runtime, inventory: Inventory, chosen: Settings) -> None:
    client = runtime.client.with_manager(ROOM)
    collector = GarbageCollector(client, inventory, lambda event: runtime.apply(_COLLECTOR, (event,)))
    garbage = runtime.controller("builtin.garbage", collector.reconcile, (), workers=chosen.collector_workers)

    def look_at(uids: Iterable[str]) -> None:
        for uid in uids:
            garbage.queue.add(uid)

    inventory.on_change(look_at)


def _register_namespaces(runtime: Runtime, inventory: Inventory, chosen: Settings) -> None:
    client = runtime.client.with_manager(ROOM)
    namespaces = runtime.informer(Namespace)
    lifecycle = NamespaceLifecycle(client, runtime.clock, inventory, namespaces)
    runtime.controller(
        "builtin.namespaces",
        lifecycle.reconcile,
        [(namespaces, lambda namespace: (namespace.key,))],
        workers=chosen.namespace_workers,
    )


def _register_nodes(runtime: Runtime) -> None:
    nodes = runtime.informer(Node)
    leases = runtime.informer(Lease, namespace=LEASE_NAMESPACE)
    node_lifecycle = NodeLifecycle(runtime, ROOM, nodes, leases)
    runtime.controller(
        "builtin.nodes",
        node_lifecycle.reconcile,
        [(nodes, lambda node: (node.key,)), (leases, lambda lease: (lease.metadata.name,))],
    )
    forsaken = ForsakenPods(runtime, ROOM, nodes)
    runtime.controller(
        "builtin.pods",
        forsaken.reconcile,
        [(forsaken.pods, forsaken.keys_of_pod), (nodes, forsaken.keys_of_node)],
    )
    runtime.background("builtin-terminated", TerminatedPods(runtime, ROOM, forsaken.pods).run)
    evictions = TaintEvictions(runtime, ROOM, nodes, forsaken)
    runtime.controller(
        "builtin.evictions",
        evictions.reconcile,
        [(evictions.pods, evictions.keys_of_pod), (nodes, evictions.keys_of_node)],
    )
