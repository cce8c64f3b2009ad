"""DaemonSets, with the real server, scheduler and simulated nodes."""

from __future__ import annotations

from springtide.api.core import Node
from tests.builtin.apps_scene import Scene, image, scene, workload


async def placed(cluster: Scene) -> dict[str, str]:
    """Node -> image of the pod that runs there."""
    return {
        pod.spec.node_name: pod.spec.containers[0].image
        for pod in await cluster.pods()
        if pod.status.phase == "Running"
    }


async def test_every_node_gets_one_pod_and_keeps_it_while_cordoned() -> None:
    async with scene(nodes=3) as cluster:
        await cluster.client.patch(Node, "node-1", "", {"spec": {"unschedulable": True}})
        await cluster.create("daemonsets", workload("DaemonSet"))

        async def everywhere() -> bool:
            return len(await placed(cluster)) == 3

        await cluster.until(everywhere)
        found = await cluster.get("daemonsets/web")
        assert found is not None
        [pod, *_] = await cluster.pods()
        assert pod.metadata.labels["pod-template-generation"] == "1"
        assert {one.key for one in pod.spec.tolerations} >= {"node.kubernetes.io/unschedulable"}

        async def told() -> bool:
            found = await cluster.get("daemonsets/web")
            status = found["status"] if found is not None else {}
            return bool(status.get("numberAvailable") == status.get("desiredNumberScheduled") == 3)

        await cluster.until(told)


async def test_pods_leave_nodes_that_no_longer_match_and_come_to_those_that_do() -> None:
    async with scene(nodes=3) as cluster:
        await cluster.client.patch(Node, "node-0", "", {"metadata": {"labels": {"disk": "fast"}}})
        await cluster.create("daemonsets", workload("DaemonSet", pod={"nodeSelector": {"disk": "fast"}}))

        async def only(node: str) -> bool:
            return set(await placed(cluster)) == {node}

        await cluster.until(lambda: only("node-0"))
        await cluster.client.patch(Node, "node-0", "", {"metadata": {"labels": {"disk": None}}})
        await cluster.client.patch(Node, "node-2", "", {"metadata": {"labels": {"disk": "fast"}}})
        await cluster.until(lambda: only("node-2"))
        assert {pod.spec.node_name for pod in await cluster.pods(ending=True)} == {"node-2"}


async def test_a_taint_keeps_new_pods_away_and_no_execute_drives_them_off() -> None:
    async with scene(nodes=2) as cluster:
        await cluster.create("daemonsets", workload("DaemonSet"))

        async def on(*nodes: str) -> bool:
            return set(await placed(cluster)) == set(nodes)

        await cluster.until(lambda: on("node-0", "node-1"))
        taint = {"key": "team", "value": "a", "effect": "NoSchedule"}
        await cluster.client.patch(Node, "node-0", "", {"spec": {"taints": [taint]}})

        async def misplaced() -> bool:
            found = await cluster.get("daemonsets/web")
            return found is not None and found["status"]["numberMisscheduled"] == 1

        await cluster.until(misplaced)
        assert await on("node-0", "node-1")
        await cluster.client.patch(
            Node, "node-0", "", {"spec": {"taints": [{**taint, "effect": "NoExecute"}]}}
        )
        await cluster.until(lambda: on("node-1"))


async def test_an_update_replaces_one_pod_at_a_time() -> None:
    async with scene(nodes=4) as cluster:
        await cluster.create("daemonsets", workload("DaemonSet"))

        async def everywhere(tag: str) -> bool:
            found = await placed(cluster)
            return len(found) == 4 and set(found.values()) == {tag}

        await cluster.until(lambda: everywhere("app:1"))
        await cluster.patch("daemonsets/web", image("app:2"), "strategic-merge")
        fewest = 4

        async def rolled() -> bool:
            nonlocal fewest
            fewest = min(fewest, len(await placed(cluster)))
            return await everywhere("app:2")

        await cluster.until(rolled)
        assert fewest >= 3
        assert sorted(one["revision"] for one in await cluster.listed("controllerrevisions")) == [1, 2]


async def test_with_surge_the_new_pod_is_there_before_the_old_one_goes() -> None:
    async with scene(nodes=3) as cluster:
        surge = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        await cluster.create("daemonsets", workload("DaemonSet", updateStrategy=surge))

        async def everywhere(tag: str) -> bool:
            pods = await cluster.pods()
            return (
                len(pods) == 3
                and set((await placed(cluster)).values()) == {tag}
                and len(await placed(cluster)) == 3
            )

        await cluster.until(lambda: everywhere("app:1"))
        await cluster.patch("daemonsets/web", image("app:2"), "strategic-merge")
        fewest, most = 3, 3

        async def rolled() -> bool:
            nonlocal fewest, most
            fewest = min(fewest, len(await placed(cluster)))
            most = max(most, len(await cluster.pods()))
            return await everywhere("app:2")

        await cluster.until(rolled)
        assert (fewest, most) == (3, 4)
