"""The HyperNodes the cluster has, kept current, and what is written into their status.

The cluster state tells it of every change and asks it for the tree over the nodes before a snapshot; the
tree is resolved anew only when a HyperNode, or the name or labels of a node, has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from springtide.api.commands import Apply
from springtide.api.hypernodes import HyperNode
from springtide.api.meta import Condition, find_condition, set_condition
from springtide.api.struct import encode
from springtide.scheduling.hypernodes import Network, Standing, resolve
from springtide.scheduling.nodes import Nodes

READY = "Ready"


class HyperNodes:
    """All HyperNodes by name."""

    def __init__(self) -> None:
        self._objects: dict[str, HyperNode] = {}
        self._seen: Mapping[str, Mapping[str, str]] | None = None
        self._network = Network()

    def change(self, old: HyperNode | None, new: HyperNode | None) -> bool:
        """One came, changed or went; whether that matters to placement."""
        if old is not None and (new is None or new.metadata.name != old.metadata.name):
            self._objects.pop(old.metadata.name, None)
        known = self._objects.get(new.metadata.name) if new is not None else None
        if new is not None:
            self._objects[new.metadata.name] = new
        if new is not None and known is not None and known.spec == new.spec:
            return False
        self._seen = None
        return True

    def over(self, nodes: Nodes) -> Nodes:
        """The nodes with the levels of HyperNodes over them."""
        if not self._objects:
            return nodes.in_network(Network()) if nodes.network.levels else nodes
        labels = {facts.name: facts.labels for facts in nodes.facts}
        if self._seen != labels:
            self._seen = labels
            self._network = resolve(self._objects.values(), labels)
        return nodes if nodes.network is self._network else nodes.in_network(self._network)

    def objects(self) -> tuple[HyperNode, ...]:
        """As last seen, for what their status says."""
        return tuple(self._objects.values())


def hyper_node_commands(network: Network, objects: tuple[HyperNode, ...], now: datetime) -> Iterator[Apply]:
    """What brings the status of HyperNodes up to date."""
    for one in objects:
        standing = network.standings.get(one.metadata.name)
        if standing is None:
            continue
        known = find_condition(one.status.conditions, READY)
        new = _condition(standing)
        same = known is not None and (known.status, known.reason, known.message) == (
            new.status,
            new.reason,
            new.message,
        )
        if same and one.status.node_count == len(standing.nodes):
            continue
        kept = [known] if known is not None else []
        conditions = [encode(condition) for condition in set_condition(kept, new, now)]
        status: dict[str, Any] = {"conditions": conditions, "nodeCount": len(standing.nodes)}
        metadata = one.metadata
        yield Apply(HyperNode, "", metadata.name, {"status": status}, subresource="status", uid=metadata.uid)


def _condition(standing: Standing) -> Condition:
    if standing.trouble:
        return Condition(type=READY, status="False", reason=standing.reason, message=standing.trouble)
    message = f"{len(standing.nodes)} nodes" + (f"; {standing.note}" if standing.note else "")
    return Condition(type=READY, status="True", reason=standing.reason, message=message)
