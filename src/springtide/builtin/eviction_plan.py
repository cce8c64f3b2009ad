"""When pods must leave a node that is tainted NoExecute, and how many nodes are emptied at once. Pure.

Called by `evictions`. Nodes that fail are emptied slowly, and not at all while most of a zone, or every node
there is, looks failed: then it is more likely that the control plane is cut off. Source of the rules:
kube-controller-manager (tainteviction, nodelifecycle).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from springtide.api.core import Pod
from springtide.api.labels import REGION, TAINT_NOT_READY, TAINT_UNREACHABLE, ZONE
from springtide.api.meta import is_true
from springtide.api.nodes import Node, Taint

SECONDS_A_NODE = 10.0
"""Between two failed nodes of a healthy zone (node-eviction-rate 0.1)."""
SECONDS_A_NODE_IN_TROUBLE = 100.0
"""The same where most of a large zone has failed (secondary-node-eviction-rate 0.01)."""
TROUBLE = 0.55
"""The failed part of a zone from which on it is in trouble (unhealthy-zone-threshold)."""
LARGE_ZONE = 50
"""Zones of no more nodes are not emptied at all when in trouble (large-cluster-size-threshold)."""
_FEW = 2
_OF_FAILURE = (TAINT_NOT_READY, TAINT_UNREACHABLE)


def no_execute(node: Node) -> list[Taint]:
    """The taints that end pods."""
    return [taint for taint in node.spec.taints if taint.effect == "NoExecute"]


def is_failing(node: Node) -> bool:
    """Whether the node is tainted because it failed, not because a person said so."""
    return any(taint.key in _OF_FAILURE for taint in no_execute(node))


def leave(
    pod: Pod, node: Node, turn: datetime | None, seen: Mapping[str, datetime], now: datetime
) -> datetime | None:
    """When this pod must leave this node; None: it may stay.

    `turn`: when the pods of a failing node begin to count down. `seen`: by key, since when a taint that does
    not say so is there.
    """
    moments: list[datetime] = []
    for taint in no_execute(node):
        failed = taint.key in _OF_FAILURE
        if failed and turn is None:
            continue
        since = taint.time_added or seen.get(taint.key, now)
        if failed and turn is not None:
            since = max(since, turn)
        tolerating = (
            one for one in pod.spec.tolerations if one.tolerates(taint.key, taint.value, taint.effect)
        )
        first = next(tolerating, None)
        if first is None:
            moments.append(since if failed else now)
        elif first.toleration_seconds is not None:
            moments.append(since + timedelta(seconds=max(0, first.toleration_seconds)))
    return min(moments, default=None)


def zone_of(node: Node) -> str:
    """Region and zone; nodes without are one zone together."""
    marks = node.metadata.labels
    return f"{marks.get(REGION, '')}/{marks.get(ZONE, '')}"


def pace(nodes: Iterable[Node]) -> Mapping[str, float | None]:
    """By zone: seconds between two nodes that are emptied; None: none is."""
    by_zone: dict[str, list[bool]] = {}
    for node in nodes:
        by_zone.setdefault(zone_of(node), []).append(is_true(node.status.conditions, "Ready"))
    if not any(ready for zone in by_zone.values() for ready in zone):
        return dict.fromkeys(by_zone)
    return {zone: _pace_of(ready) for zone, ready in by_zone.items()}


def _pace_of(ready: list[bool]) -> float | None:
    failed = ready.count(False)
    if failed == len(ready):
        return SECONDS_A_NODE  # this zone is lost for good; others are there to take its pods
    if failed > _FEW and failed / len(ready) >= TROUBLE:
        return SECONDS_A_NODE_IN_TROUBLE if len(ready) > LARGE_ZONE else None
    return SECONDS_A_NODE
