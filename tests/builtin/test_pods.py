"""Pods whose node cannot end them: given up when the node is surely gone, never when it is only silent."""

from __future__ import annotations

import asyncio

from springtide.api.core import Pod
from springtide.builtin.terminated import TerminatedPods
from springtide.runtime import Runtime
from tests.builtin.cluster import Cluster, Json, cluster

POD = "/api/v1/namespaces/default/pods/p"
NODE: Json = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}


async def _pod(world: Cluster, **metadata: object) -> None:
    await world.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": "default", **metadata},
            "spec": {"nodeName": "n", "containers": [{"name": "main", "image": "x"}]},
        }
    )


async def test_a_pod_of_a_deleted_node_is_deleted_after_a_while() -> None:
    async with cluster() as world:
        await world.create(NODE)
        await _pod(world, finalizers=["example.com/look"])
        await asyncio.sleep(60)
        await world.delete("/api/v1/nodes/n")
        await asyncio.sleep(38)
        pod = await world.get(POD)
        assert pod is not None
        assert "deletionTimestamp" not in pod["metadata"]
        await asyncio.sleep(4)
        pod = await world.get(POD)
        assert pod is not None
        assert "deletionTimestamp" in pod["metadata"]
        assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "NodeLost")
        assert pod["status"]["message"] == "node n no longer exists"
        await world.patch(POD, {"metadata": {"finalizers": None}})
        assert await world.get(POD) is None


async def test_a_node_that_registers_anew_keeps_its_pods() -> None:
    async with cluster() as world:
        await world.create(NODE)
        await _pod(world)
        await world.delete("/api/v1/nodes/n")
        await asyncio.sleep(30)
        await world.create(NODE)
        await asyncio.sleep(100)
        assert await world.get(POD) is not None
        await world.delete("/api/v1/nodes/n")
        await asyncio.sleep(30)
        assert await world.get(POD) is not None, "the time starts anew"


async def test_a_pod_that_ends_on_a_silent_node_waits() -> None:
    async with cluster() as world:
        await world.create(NODE)
        await _pod(world)
        await world.delete(POD)
        await asyncio.sleep(1000)
        assert await world.get(POD) is not None


async def test_out_of_service_means_nothing_runs_there() -> None:
    async with cluster() as world:
        await world.create(NODE)
        await _pod(world)
        await world.delete(POD)
        await asyncio.sleep(5)
        taint = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
        await world.patch("/api/v1/nodes/n", {"spec": {"taints": [taint]}})
        await asyncio.sleep(1)
        assert await world.get(POD) is None


async def test_a_pod_bound_to_a_node_that_never_was_goes_too() -> None:
    async with cluster() as world:
        await _pod(world)
        await asyncio.sleep(45)
        assert await world.get(POD) is None


async def test_only_so_many_ended_pods_are_kept_the_newest() -> None:
    async with cluster(controllers=False) as world:
        runtime = Runtime(world.client, world.clock)
        pods = runtime.informer(Pod)
        runtime.background("tidy", TerminatedPods(runtime, "builtin", pods, kept=2).run)
        task = asyncio.create_task(runtime.run())
        for number in range(4):
            name = f"p{number}"
            await world.create(
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": name, "namespace": "default"},
                    "spec": {"containers": [{"name": "main", "image": "x"}]},
                }
            )
            path = f"/api/v1/namespaces/default/pods/{name}"
            if number:
                await world.patch(f"{path}/status", {"status": {"phase": "Succeeded"}})
            await asyncio.sleep(2)
        await asyncio.sleep(30)
        names = [one.metadata.name for one in (await world.client.list(Pod)).items]
        assert names == ["p0", "p2", "p3"], "the oldest that ended goes; the one that has not ended stays"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
