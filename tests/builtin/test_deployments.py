"""Deployments and their replica sets, with the real server, scheduler and simulated nodes."""

from __future__ import annotations

import asyncio

import msgspec

from springtide.api.containers import Container
from springtide.api.core import Pod
from springtide.api.meta import ObjectMeta, controller_of
from springtide.api.pods import PodSpec
from tests.builtin.apps_scene import image, scene, workload

POD = PodSpec(containers=[Container(name="main", image="app:1")])


async def test_a_deployment_runs_its_pods_and_says_so() -> None:
    async with scene() as cluster:
        await cluster.create("deployments", workload("Deployment", replicas=3))
        found = await cluster.settled("deployments/web")
        conditions = {one["type"]: (one["status"], one["reason"]) for one in found["status"]["conditions"]}
        assert conditions == {
            "Available": ("True", "MinimumReplicasAvailable"),
            "Progressing": ("True", "NewReplicaSetAvailable"),
        }
        [one] = await cluster.listed("replicasets")
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
            for one in await cluster.listed("replicasets")
        }
        assert sets["1"]["spec"]["replicas"] == 0
        assert sets["2"]["spec"]["replicas"] == 5


async def test_pods_are_taken_in_and_let_go_by_their_labels() -> None:
    async with scene() as cluster:
        orphan = Pod(metadata=ObjectMeta(name="orphan", namespace="default", labels={"app": "web"}), spec=POD)
        await cluster.client.create(orphan)
        await cluster.create("replicasets", workload("ReplicaSet", replicas=2))
        await cluster.settled("replicasets/web")
        pods = await cluster.pods()
        assert len(pods) == 2
        assert "orphan" in [pod.metadata.name for pod in pods]
        await cluster.client.patch(Pod, "orphan", "default", {"metadata": {"labels": {"app": "other"}}})

        async def replaced() -> bool:
            found = {pod.metadata.name: controller_of(pod) for pod in await cluster.pods()}
            return len(found) == 3 and found["orphan"] is None

        await cluster.until(replaced)
        await cluster.settled("replicasets/web")


async def test_a_pod_that_is_deleted_is_replaced_by_one_of_another_name() -> None:
    async with scene() as cluster:
        await cluster.create("replicasets", workload("ReplicaSet", replicas=1))
        await cluster.settled("replicasets/web")
        [before] = await cluster.pods()
        await cluster.client.delete(Pod, before.metadata.name, "default")
        await asyncio.sleep(5)
        await cluster.settled("replicasets/web")
        [after] = await cluster.pods()
        assert after.metadata.name != before.metadata.name


async def test_pods_are_available_only_after_min_ready_seconds() -> None:
    async with scene() as cluster:
        await cluster.create("deployments", workload("Deployment", replicas=2, minReadySeconds=30))

        async def ready() -> bool:
            found = await cluster.get("deployments/web")
            return found is not None and found["status"].get("readyReplicas") == 2

        await cluster.until(ready)
        found = await cluster.get("deployments/web")
        assert found is not None
        assert found["status"].get("availableReplicas", 0) == 0
        await cluster.settled("deployments/web", seconds=40)


async def test_what_a_quota_refuses_is_said_and_made_later() -> None:
    async with scene() as cluster:
        quota = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
        path = "/api/v1/namespaces/default/resourcequotas"
        await cluster.client.request("POST", path, body=msgspec.json.encode(quota))
        await asyncio.sleep(5)
        await cluster.create("deployments", workload("Deployment", replicas=3))

        async def told() -> bool:
            found = await cluster.get("deployments/web")
            conditions = (found or {}).get("status", {}).get("conditions", [])
            return ("ReplicaFailure", "FailedCreate") in [(one["type"], one["reason"]) for one in conditions]

        await cluster.until(told)
        assert len(await cluster.pods()) == 1
        assert "FailedCreate" in [reason for reason, _ in await cluster.events("ReplicaSet")]
        await cluster.client.request("DELETE", f"{path}/few")
        found = await cluster.settled("deployments/web")
        assert "ReplicaFailure" not in [one["type"] for one in found["status"]["conditions"]]


async def test_another_set_of_the_same_name_is_a_collision() -> None:
    async with scene() as cluster:
        await cluster.create("deployments", workload("Deployment", replicas=1))
        await cluster.settled("deployments/web")
        [made] = await cluster.listed("replicasets")
        await cluster.delete("deployments/web")

        async def gone() -> bool:
            return not await cluster.listed("replicasets") and not await cluster.pods(ending=True)

        await cluster.until(gone)
        stranger = workload("ReplicaSet", made["metadata"]["name"], replicas=0)
        stranger["spec"]["selector"] = {"matchLabels": {"app": "stranger"}}
        stranger["spec"]["template"]["metadata"] = {"labels": {"app": "stranger"}}
        await cluster.create("replicasets", stranger)
        await cluster.create("deployments", workload("Deployment", replicas=1))
        found = await cluster.settled("deployments/web")
        assert found["status"]["collisionCount"] == 1
        assert len(await cluster.listed("replicasets")) == 2


async def test_a_stuck_rollout_is_said_to_be_late_and_undone() -> None:
    async with scene() as cluster:
        await cluster.create("deployments", workload("Deployment", replicas=2, progressDeadlineSeconds=20))
        await cluster.settled("deployments/web")
        nowhere = {"spec": {"template": {"spec": {"nodeSelector": {"no": "where"}}}}}
        await cluster.patch("deployments/web", nowhere)

        async def late() -> bool:
            found = await cluster.get("deployments/web")
            conditions = (found or {}).get("status", {}).get("conditions", [])
            return "ProgressDeadlineExceeded" in [one["reason"] for one in conditions]

        await cluster.until(late, seconds=60)
        await cluster.patch("deployments/web", {"spec": {"template": {"spec": {"nodeSelector": None}}}})
        await cluster.settled("deployments/web")
        assert len(await cluster.pods()) == 2
