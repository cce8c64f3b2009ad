"""Nodes that go silent are marked, and the mark goes when they speak again."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.builtin.cluster import Cluster, cluster

Json = dict[str, Any]
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "KubeletReady",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


async def _join(world: Cluster) -> None:
    await world.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    await _report(world)
    await world.create(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "n", "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": "n"},
        }
    )


async def _report(world: Cluster) -> None:
    await world.patch("/api/v1/nodes/n/status", {"status": {"conditions": [READY]}})


async def _renew(world: Cluster) -> None:
    at = world.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n"
    await world.patch(path, {"spec": {"renewTime": at}})


async def _node(world: Cluster) -> tuple[str, str, list[tuple[str, str]]]:
    node = await world.get("/api/v1/nodes/n")
    assert node is not None
    ready = next(one for one in node["status"]["conditions"] if one["type"] == "Ready")
    taints = [(taint["key"], taint["effect"]) for taint in node.get("spec", {}).get("taints", [])]
    return ready["status"], ready["reason"], taints


UNREACHABLE = [
    ("node.kubernetes.io/unreachable", "NoSchedule"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
]


async def test_a_node_that_renews_its_lease_is_left_alone() -> None:
    async with cluster() as world:
        await _join(world)
        for _ in range(12):
            await asyncio.sleep(10)
            await _renew(world)
        assert await _node(world) == ("True", "KubeletReady", [])


async def test_a_silent_node_becomes_unknown_and_unreachable_after_forty_seconds() -> None:
    async with cluster() as world:
        await _join(world)
        await _renew(world)
        await asyncio.sleep(38)
        assert await _node(world) == ("True", "KubeletReady", [])
        await asyncio.sleep(4)
        assert await _node(world) == ("Unknown", "NodeStatusUnknown", UNREACHABLE)
        before = await world.revision()
        await asyncio.sleep(200)
        assert await world.revision() == before, "once is enough"


async def test_a_node_that_reports_again_loses_its_taints() -> None:
    async with cluster() as world:
        await _join(world)
        await asyncio.sleep(45)
        await world.patch(
            "/api/v1/nodes/n",
            {"spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}, *_as_objects(UNREACHABLE)]}},
        )
        await _renew(world)
        await _report(world)
        await asyncio.sleep(1)
        assert await _node(world) == ("True", "KubeletReady", [("gpu", "NoSchedule")])


async def test_a_node_that_says_it_is_not_ready_is_tainted_so() -> None:
    async with cluster() as world:
        await _join(world)
        await world.patch(
            "/api/v1/nodes/n/status", {"status": {"conditions": [{**READY, "status": "False"}]}}
        )
        await asyncio.sleep(1)
        _, _, taints = await _node(world)
        assert taints == [
            ("node.kubernetes.io/not-ready", "NoSchedule"),
            ("node.kubernetes.io/not-ready", "NoExecute"),
        ]


async def test_a_node_without_a_lease_promised_nothing() -> None:
    async with cluster() as world:
        await world.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
        await _report(world)
        await asyncio.sleep(500)
        assert await _node(world) == ("True", "KubeletReady", [])


def _as_objects(taints: list[tuple[str, str]]) -> list[Json]:
    return [{"key": key, "effect": effect} for key, effect in taints]
