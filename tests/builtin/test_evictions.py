"""Pods leave nodes whose taints they do not, or no longer, tolerate; not when everything looks failed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from springtide.api.affinity import Toleration
from springtide.api.core import Pod
from springtide.api.nodes import Node
from springtide.builtin.eviction_plan import SECONDS_A_NODE, SECONDS_A_NODE_IN_TROUBLE, leave, pace
from tests.builders import EPOCH, at, node, pod, pod_spec, taint
from tests.builtin.cluster import Cluster, Json, cluster

UNREACHABLE = "node.kubernetes.io/unreachable"
PODS = "/api/v1/namespaces/default/pods"


def _pod(*tolerations: Toleration) -> Pod:
    return pod(spec=pod_spec(cpu=1, tolerations=tolerations), node="node-1")


def _tolerating(key: str, seconds: int | None = None) -> Toleration:
    return Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=seconds)


@pytest.mark.parametrize(
    ("tolerations", "taints", "expected"),
    [
        ((), ("mine",), 100),
        ((_tolerating("mine"),), ("mine",), None),
        ((_tolerating("mine", 30),), ("mine",), 130),
        ((_tolerating("mine", -1),), ("mine",), 100),
        ((_tolerating("mine", 30), _tolerating("", 10)), ("mine",), 130),
        ((_tolerating("mine", 30),), ("mine", "other"), 100),
        ((_tolerating("mine", 30), _tolerating("other", 20)), ("mine", "other"), 120),
        ((_tolerating("mine", 30), _tolerating("mine")), ("mine",), 130),
    ],
)
def test_when_a_pod_must_leave(
    tolerations: tuple[Toleration, ...], taints: tuple[str, ...], expected: float | None
) -> None:
    tainted = node(taints=[taint(key, "NoExecute") for key in taints])
    due = leave(_pod(*tolerations), tainted, None, {}, at(100))
    assert due == (None if expected is None else at(expected))


def test_a_failing_node_waits_for_its_turn() -> None:
    failing = node(taints=[taint(UNREACHABLE, "NoExecute")], ready=False)
    patient = _pod(_tolerating(UNREACHABLE, 300))
    assert leave(patient, failing, None, {}, at(50)) is None
    assert leave(patient, failing, at(60), {UNREACHABLE: at(0)}, at(70)) == at(360)
    assert leave(_pod(), failing, at(60), {}, at(50)) == at(60)


def test_other_effects_end_no_pods() -> None:
    assert leave(_pod(), node(taints=[taint("mine", "NoSchedule")]), None, {}, EPOCH) is None


def _zone(name: str, ready: int, failed: int) -> list[Node]:
    return [
        node(f"{name}-{index}", ready=index < ready, labelled={"topology.kubernetes.io/zone": name})
        for index in range(ready + failed)
    ]


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        ([("a", 3, 0)], SECONDS_A_NODE),
        ([("a", 1, 2)], SECONDS_A_NODE),
        ([("a", 3, 2)], SECONDS_A_NODE),
        ([("a", 4, 6)], None),
        ([("a", 20, 40)], SECONDS_A_NODE_IN_TROUBLE),
        ([("a", 0, 1)], None),
        ([("a", 0, 9), ("b", 0, 3)], None),
        ([("a", 0, 9), ("b", 3, 0)], SECONDS_A_NODE),
    ],
)
def test_how_fast_nodes_are_emptied(zones: list[tuple[str, int, int]], expected: float | None) -> None:
    nodes = [one for name, ready, failed in zones for one in _zone(name, ready, failed)]
    assert pace(nodes)["/a"] == expected


async def _with_pod(world: Cluster, *tolerations: Json) -> None:
    for name in ("n", "other"):
        await world.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        ready = {"type": "Ready", "status": "True", "reason": "x"}
        await world.patch(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [ready]}})
    await world.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": "default", "finalizers": ["example.com/look"]},
            "spec": {
                "nodeName": "n",
                "containers": [{"name": "main", "image": "x"}],
                "tolerations": list(tolerations),
            },
        }
    )


async def _taint(world: Cluster, *taints: Json) -> None:
    await world.patch("/api/v1/nodes/n", {"spec": {"taints": list(taints)}})


async def _leaves(world: Cluster) -> bool:
    found = await world.get(f"{PODS}/p")
    assert found is not None
    return "deletionTimestamp" in found["metadata"]


async def test_a_pod_without_toleration_goes_at_once_and_says_why() -> None:
    async with cluster() as world:
        await _with_pod(world)
        await _taint(world, {"key": "mine", "effect": "NoExecute"})
        await asyncio.sleep(1)
        assert await _leaves(world)
        found = await world.get(f"{PODS}/p")
        assert found is not None
        (condition,) = [one for one in found["status"]["conditions"] if one["type"] == "DisruptionTarget"]
        assert (condition["reason"], condition["message"]) == (
            "DeletionByTaintManager",
            "Taint manager: deleting due to NoExecute taint",
        )


async def test_a_taint_that_goes_in_time_does_no_harm() -> None:
    async with cluster() as world:
        toleration = {"key": "mine", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}
        await _with_pod(world, toleration)
        await _taint(world, {"key": "mine", "effect": "NoExecute"})
        await asyncio.sleep(50)
        assert not await _leaves(world)
        await _taint(world)
        await asyncio.sleep(100)
        assert not await _leaves(world)
        await _taint(world, {"key": "mine", "effect": "NoExecute"})
        await asyncio.sleep(65)
        assert await _leaves(world)


@pytest.mark.parametrize("alone", [False, True])
async def test_a_silent_node_is_emptied_after_five_minutes_unless_all_are_silent(alone: bool) -> None:
    async with cluster() as world:
        await _with_pod(world)
        for name in ("n", "other") if alone else ("n",):
            unknown = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
            await world.patch(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [unknown]}})
        now = world.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        await _taint(world, {"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": now})
        await asyncio.sleep(timedelta(minutes=4, seconds=55).total_seconds())
        assert not await _leaves(world)
        await asyncio.sleep(20)
        assert await _leaves(world) == (not alone)
