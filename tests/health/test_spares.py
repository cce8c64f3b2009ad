"""Nodes kept free: as many as the policy says, the same ones for as long as they are free."""

from __future__ import annotations

from typing import Any

from springtide.api import labels
from springtide.api.core import Node
from springtide.api.remediation import Spares
from springtide.api.struct import replace
from springtide.health import spares_controller
from springtide.health.remediation_policy import effective
from springtide.health.spares import is_spare, plan
from tests import builders
from tests.health.incidentscene import policy
from tests.training.control_plane import control_plane

KEEP = Spares(count=1)


def chosen(nodes: list[Node], *used: str, **spec: Any) -> dict[str, bool]:
    """Which nodes change, and whether they become spares."""
    keep = effective(policy(**{"spares": [KEEP], **spec}))
    patches = plan(nodes, {node.metadata.name: keep for node in nodes}, used)
    return {one.node: bool(one.body["spec"]["taints"]) for one in patches}


def spare(name: str, **more: Any) -> Node:
    return builders.node(name, taints=[builders.taint(labels.TAINT_SPARE)], **more)


def test_a_free_node_is_kept_and_a_used_one_is_not() -> None:
    nodes = [builders.node("a"), builders.node("b"), builders.node("c")]
    assert chosen(nodes, "a") == {"b": True}


def test_a_spare_stays_while_it_is_free_and_another_follows_when_it_is_used() -> None:
    nodes = [builders.node("a"), spare("b"), builders.node("c")]
    assert chosen(nodes) == {}
    assert chosen(nodes, "b") == {"a": True, "b": False}


def test_nodes_out_of_service_or_not_ready_are_no_spares() -> None:
    out = builders.node("a", cordoned=True)
    ill = builders.node("b", ready=False)
    tainted = builders.node("c", taints=[builders.taint(labels.TAINT_UNHEALTHY)])
    assert chosen([out, ill, tainted]) == {}


def test_each_wish_has_nodes_of_its_own() -> None:
    nodes = [
        builders.node(name, labelled={"gpu": kind}) for name, kind in (("a", "x"), ("b", "y"), ("c", "y"))
    ]
    wishes = [Spares(node_selector={"gpu": "y"}, count=1), Spares(count=1)]
    assert chosen(nodes, spares=wishes) == {"b": True, "a": True}


def test_without_a_wish_nothing_is_kept() -> None:
    assert chosen([spare("a"), builders.node("b")], spares=[]) == {"a": False}


async def test_the_taint_goes_when_a_pod_comes_and_another_node_takes_its_place() -> None:
    async with control_plane(spares_controller.register) as plane:
        await plane.client.create(policy(spares=[KEEP]))
        await plane.settle(1)
        assert is_spare(await plane.client.get(Node, "n0"))
        runs = builders.pod("runs", node="n0", phase="Running", ready=True)
        await plane.put(replace(runs, metadata=replace(runs.metadata, uid="")))
        await plane.settle(1)
        assert not is_spare(await plane.client.get(Node, "n0"))
        assert is_spare(await plane.client.get(Node, "n1"))
        before = await plane.revision()
        await plane.settle(60)
        assert await plane.revision() == before
