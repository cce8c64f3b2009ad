"""Workloads on the real server: what the API refuses, what users delete, what crashes leave behind."""

from __future__ import annotations

from springtide import scheduling, workloads
from springtide.api.core import Pod, Service
from springtide.api.kueue import Workload
from springtide.api.meta import find_condition
from springtide.api.struct import replace
from tests.builders import cluster_queue, local_queue, node, pod_set, pod_spec, workload
from tests.embedded import Platform, embedded

ROOMS = (scheduling.register, workloads.register)
NAME = "trainjob-job"


async def ready(platform: Platform) -> None:
    await platform.create(cluster_queue(), local_queue(), node("a", cpu=8))


async def test_a_pod_the_server_refuses_ends_the_workload_with_the_reason() -> None:
    async with embedded(*ROOMS) as platform:
        await ready(platform)
        spec = pod_spec(cpu=1)
        nameless = replace(spec, containers=[replace(spec.containers[0], image="")])
        await platform.create(workload(NAME, pod_set(2, nameless)))
        await platform.settle(60)
        finished = find_condition((await platform.get(Workload, NAME)).status.conditions, "Finished")
        assert finished is not None
        assert finished.reason == "Failed"
        assert "spec.containers[0].image" in finished.message
        assert await platform.pods() == []


async def test_a_pod_a_user_deletes_is_not_replaced_behind_the_back_of_health() -> None:
    async with embedded(*ROOMS) as platform:
        await ready(platform)
        await platform.create(workload(NAME, pod_set(3)))
        await platform.settle()
        await platform.play("Running")
        await platform.settle()
        lost = (await platform.pods())[1]
        await platform.client.delete(Pod, lost.metadata.name, "default", grace_period_seconds=0)
        await platform.settle(60)
        assert len(await platform.pods()) == 2
        ready_now = find_condition((await platform.get(Workload, NAME)).status.conditions, "PodsReady")
        assert ready_now is not None
        assert (ready_now.status, ready_now.reason) == ("False", "WaitForRecovery")
        assert ready_now.message == f"Pod {lost.metadata.name} is gone"


async def test_the_service_of_the_job_comes_back() -> None:
    async with embedded(*ROOMS) as platform:
        await ready(platform)
        await platform.create(workload(NAME))
        await platform.settle()
        await platform.client.delete(Service, "job", "default")
        await platform.settle()
        assert (await platform.get(Service, "job")).spec.publish_not_ready_addresses


async def test_a_large_gang_is_created_whole() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(cluster_queue(), local_queue(), node("a", cpu=100, pods=100))
        await platform.create(workload(NAME, pod_set(60)))
        await platform.settle()
        indices = {
            int(found.metadata.labels["batch.kubernetes.io/job-completion-index"])
            for found in await platform.pods()
        }
        assert indices == set(range(60))
