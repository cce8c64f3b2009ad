"""Deployments and their replica sets, with the real server, scheduler and simulated nodes."""

from __future__ import annotations

import asyncio

from tests.builtin.apps_scene import image, scene, workload


async def test_a_deployment_runs_its_pods_and_says_so() -> None:
    async with scene() as cluster:
        await cluster.create("deployments", workload("Deployment", replicas=3))
        found = await cluster.settled("deployments/web")
        conditions = {one["type"]: (one["status"], one["reason"]) for one in found["status"]["conditions"]}
        assert conditions == {
            "Available": ("True", "MinimumReplicasAvailable"),
            "Progressing": ("True", "NewReplicaSetAvailable"),
        }
        [one] = await cluster.list("replicasets")
        digest = one["metadata"]["labels"]["pod-template-hash"]
        assert one["metadata"]["name"] == f"web-{digest}"
        assert one["metadata"]["annotations"] == {
            "deployment.kubernetes.io/desired-replicas": "3",
            "deployment.kubernetes.io/max-replicas": "4",
            "deployment.kubernetes.io/revision": "1",
        }
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
        assert found["metadata"]["generation"] == 1
        pods = await cluster.pods()
        assert all(pod.metadata.labels["pod-template-hash"] == digest for pod in pods)
        assert all(pod.metadata.generate_name == f"web-{digest}-" for pod in pods)
        await asyncio.sleep(1)
        assert (
            "ScalingReplicaSet",
            f"Scaled up replica set web-{digest} from 0 to 3",
        ) in await cluster.events("Deployment")
        assert len([one for one in await cluster.events("ReplicaSet") if one[0] == "SuccessfulCreate"]) == 3


async def test_a_rolling_update_keeps_within_its_limits() -> None:
    async with scene() as cluster:
        limits = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
        await cluster.create("deployments", workload("Deployment", replicas=5, strategy=limits))
        await cluster.settled("deployments/web")
        await cluster.patch("deployments/web", image("app:2"), "strategic-merge")
        seen: set[int] = set()

        async def done() -> bool:
            pods = await cluster.pods()
            seen.add(len(pods))
            ready = [
                pod
                for pod in pods
                if any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)
            ]
            assert len(ready) >= 4
            return len(pods) == 5 and all(pod.spec.containers[0].image == "app:2" for pod in pods)

        await cluster.until(done)
        assert max(seen) <= 6
        found = await cluster.settled("deployments/web")
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
        sets = {
            one["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: one
            for one in await cluster.list("replicasets")
        }
        assert sets["1"]["spec"]["replicas"] == 0
        assert sets["2"]["spec"]["replicas"] == 5
