"""StatefulSets and their revisions, with the real server, scheduler and simulated nodes."""

from __future__ import annotations

from typing import Any

from springtide.api.core import PersistentVolumeClaim
from tests.builtin.apps_scene import Scene, image, is_settled, scene, workload

Json = dict[str, Any]


def stateful(replicas: int = 3, **spec: Any) -> Json:
    return workload("StatefulSet", replicas=replicas, serviceName="web", **spec)


async def names(cluster: Scene) -> list[str]:
    return [pod.metadata.name for pod in await cluster.pods()]


async def test_pods_come_one_after_the_other_and_go_in_reverse() -> None:
    async with scene() as cluster:
        await cluster.create("statefulsets", stateful())
        seen: list[list[str]] = []

        async def done() -> bool:
            present = await names(cluster)
            if not seen or seen[-1] != present:
                seen.append(present)
            found = await cluster.get("statefulsets/web")
            return found is not None and is_settled(found)

        await cluster.until(done)
        assert [one for one in seen if one] == [["web-0"], ["web-0", "web-1"], ["web-0", "web-1", "web-2"]]
        pods = await cluster.pods()
        assert pods[2].metadata.labels["apps.kubernetes.io/pod-index"] == "2"
        assert pods[2].metadata.labels["statefulset.kubernetes.io/pod-name"] == "web-2"
        assert (pods[2].spec.hostname, pods[2].spec.subdomain) == ("web-2", "web")
        await cluster.patch("statefulsets/web", {"spec": {"replicas": 1}})
        seen.clear()
        await cluster.until(done)
        assert seen[-1] == ["web-0"]
        assert ["web-0", "web-2"] not in seen


async def test_an_update_goes_from_the_highest_number_down_to_the_partition() -> None:
    async with scene() as cluster:
        await cluster.create("statefulsets", stateful())
        before = await cluster.settled("statefulsets/web")
        limits = {"updateStrategy": {"rollingUpdate": {"partition": 1}}}
        await cluster.patch("statefulsets/web", {"spec": limits})
        await cluster.patch("statefulsets/web", image("app:2"), "strategic-merge")

        async def reached() -> bool:
            images = [pod.spec.containers[0].image for pod in await cluster.pods()]
            return images == ["app:1", "app:2", "app:2"]

        await cluster.until(reached)
        found = await cluster.get("statefulsets/web")
        assert found is not None
        assert found["status"]["currentRevision"] == before["status"]["updateRevision"]
        await cluster.patch(
            "statefulsets/web", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}}
        )
        after = await cluster.settled("statefulsets/web")
        assert after["status"]["currentRevision"] == after["status"]["updateRevision"]
        revisions = await cluster.listed("controllerrevisions")
        assert sorted(one["revision"] for one in revisions) == [1, 2]


async def test_going_back_counts_the_old_revision_again() -> None:
    async with scene() as cluster:
        await cluster.create("statefulsets", stateful(replicas=1))
        first = (await cluster.settled("statefulsets/web"))["status"]["updateRevision"]
        await cluster.patch("statefulsets/web", image("app:2"), "strategic-merge")
        await cluster.settled("statefulsets/web")
        old = next(one for one in await cluster.listed("controllerrevisions") if one["revision"] == 1)
        await cluster.patch("statefulsets/web", old["data"], "strategic-merge")
        after = await cluster.settled("statefulsets/web")
        assert after["status"]["updateRevision"] == first
        assert {
            one["metadata"]["name"]: one["revision"] for one in await cluster.listed("controllerrevisions")
        }[first] == 3
        assert [pod.spec.containers[0].image for pod in await cluster.pods()] == ["app:1"]


async def test_a_stuck_rollout_goes_on_once_the_template_is_right_and_the_pod_deleted() -> None:
    async with scene() as cluster:
        await cluster.create("statefulsets", stateful(replicas=2))
        await cluster.settled("statefulsets/web")
        nowhere = {"spec": {"template": {"spec": {"nodeSelector": {"gpu": "none"}}}}}
        await cluster.patch("statefulsets/web", nowhere, "strategic-merge")

        async def stuck() -> bool:
            return [pod.status.phase for pod in await cluster.pods()] == ["Running", "Pending"]

        await cluster.until(stuck)
        right = {"spec": {"template": {"spec": {"nodeSelector": None}}}}
        await cluster.patch("statefulsets/web", right)
        [_, waiting] = await cluster.pods()
        await cluster.client.delete(type(waiting), "web-1", "default")
        await cluster.settled("statefulsets/web")
        [_, second] = await cluster.pods()
        assert (second.metadata.name, second.spec.node_selector) == ("web-1", {})
        assert second.metadata.uid != waiting.metadata.uid


async def test_claims_are_made_for_each_pod_and_go_as_the_policy_says() -> None:
    async with scene() as cluster:
        template = {
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
        policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
        spec = {"volumeClaimTemplates": [template], "persistentVolumeClaimRetentionPolicy": policy}
        await cluster.create("statefulsets", stateful(replicas=2, podManagementPolicy="Parallel", **spec))

        async def claims() -> list[str]:
            found = (await cluster.client.list(PersistentVolumeClaim, "default")).items
            return sorted(one.metadata.name for one in found)

        async def made() -> bool:
            return len(await cluster.pods()) == 2 and await claims() == ["data-web-0", "data-web-1"]

        await cluster.until(made)
        [first, _] = await cluster.pods()
        assert first.spec.volumes[0].persistent_volume_claim is not None
        assert first.spec.volumes[0].persistent_volume_claim.claim_name == "data-web-0"
        await cluster.patch("statefulsets/web", {"spec": {"replicas": 1}})

        async def gone() -> bool:
            return await claims() == ["data-web-0"]

        await cluster.until(gone)


async def test_parallel_sets_start_at_their_first_ordinal_all_at_once() -> None:
    async with scene() as cluster:
        await cluster.create(
            "statefulsets", stateful(replicas=3, podManagementPolicy="Parallel", ordinals={"start": 5})
        )
        seen: set[int] = set()

        async def done() -> bool:
            seen.add(len(await names(cluster)))
            found = await cluster.get("statefulsets/web")
            return found is not None and is_settled(found)

        await cluster.until(done)
        assert await names(cluster) == ["web-5", "web-6", "web-7"]
        assert seen <= {0, 3}
