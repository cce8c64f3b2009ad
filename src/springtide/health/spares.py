"""Nodes kept free for gangs that lose one: which bear the taint `springtide.dev/spare`. Pure.

A spare is an ordinary node with an ordinary taint, so that any scheduler keeps off it; the engine lets gangs
that lost a node have it (`scheduling/stranded`). Once it is used it is a spare no more, and the next free
node takes its place. Called by `spares_controller`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from springtide.api import labels
from springtide.api.meta import is_true
from springtide.api.nodes import Node, Taint
from springtide.api.remediation import Spares
from springtide.api.struct import encode
from springtide.health.remediation_node import PatchNode
from springtide.health.remediation_policy import Effective


def is_spare(node: Node) -> bool:
    """Whether it bears the taint."""
    return any(taint.key == labels.TAINT_SPARE for taint in node.spec.taints)


def plan(nodes: Sequence[Node], policies: Mapping[str, Effective], used: Collection[str]) -> list[PatchNode]:
    """Taints to put on and to take off.

    `policies`: by node, the one that counts for it. `used`: nodes that pods are on, or that admitted
    workloads were given.
    """
    wanted = _wanted(nodes, policies, used)
    return [_turned(node) for node in nodes if is_spare(node) != (node.metadata.name in wanted)]


def _wanted(
    nodes: Sequence[Node], policies: Mapping[str, Effective], used: Collection[str]
) -> frozenset[str]:
    """Names of nodes to be kept: those that are kept already come first, so that nothing changes in vain."""
    kept: set[str] = set()
    asked = {policy.name: policy.spec.spares for policy in policies.values()}
    free = [node for node in nodes if _is_free(node, used)]
    free.sort(key=lambda node: (not is_spare(node), node.metadata.name))
    for name, wishes in sorted(asked.items()):
        mine = [node for node in free if policies[node.metadata.name].name == name]
        for wish in wishes:
            chosen = [one.metadata.name for one in mine if _fits(one, wish) and one.metadata.name not in kept]
            kept.update(chosen[: wish.count])
    return frozenset(kept)


def _is_free(node: Node, used: Collection[str]) -> bool:
    well = is_true(node.status.conditions, "Ready") and node.metadata.deletion_timestamp is None
    others = [taint for taint in node.spec.taints if taint.key != labels.TAINT_SPARE]
    closed = node.spec.unschedulable or any(one.effect in ("NoSchedule", "NoExecute") for one in others)
    return well and not closed and node.metadata.name not in used


def _fits(node: Node, wish: Spares) -> bool:
    return all(node.metadata.labels.get(key) == value for key, value in wish.node_selector.items())


def _turned(node: Node) -> PatchNode:
    """The node with the taint if it had none, else without it."""
    taints = [one for one in node.spec.taints if one.key != labels.TAINT_SPARE]
    if not is_spare(node):
        taints.append(Taint(key=labels.TAINT_SPARE, effect="NoSchedule"))
    metadata = {"uid": node.metadata.uid, "resourceVersion": node.metadata.resource_version}
    spec = {"taints": [encode(one) for one in taints] or None}
    return PatchNode(node.metadata.name, {"metadata": metadata, "spec": spec})
