"""batch/v1 Jobs in a queue, on the real server, with the control plane's own controller and the engine."""

from __future__ import annotations

from typing import Any

from springtide import builtin, podgroups, scheduling, workloads
from springtide.api.batch import Job, JobSpec
from springtide.api.core import Pod, PodTemplateSpec
from springtide.api.kueue import Workload
from springtide.api.meta import ObjectMeta, find_condition, is_true
from springtide.api.struct import replace
from tests.builders import node, pod_set, pod_spec, resource_flavor
from tests.embedded import Platform, embedded
from tests.scheduling.preemption import LOWER, job, queue

ROOMS = (scheduling.register, podgroups.register, workloads.register, builtin.register)


def batch_job(
    name: str, parallelism: int, *, notes: dict[str, str] | None = None, queued: bool = True, **spec: Any
) -> Job:
    template = replace(pod_spec(cpu=1), scheduler_name="springtide", restart_policy="Never")
    labels = {"kueue.x-k8s.io/queue-name": "q"} if queued else {}
    return Job(
        metadata=ObjectMeta(name=name, namespace="default", labels=labels, annotations=notes or {}),
        spec=JobSpec(parallelism=parallelism, template=PodTemplateSpec(spec=template), **spec),
    )


async def running(platform: Platform) -> list[Pod]:
    """Pods that are on a node and not over, made to run."""
    found = [one for one in await platform.pods() if one.status.phase == "Pending" and one.spec.node_name]
    for one in found:
        await platform.play("Running", one.metadata.name)
    return [one for one in await platform.pods() if one.status.phase == "Running"]


async def suspended(platform: Platform, name: str) -> bool | None:
    return (await platform.get(Job, name)).spec.suspend


async def test_a_job_waits_suspended_for_quota_and_room_and_then_runs_whole() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(
            *queue("q", cpu=4, within=LOWER), resource_flavor(), node("a", cpu=2), node("b", cpu=2)
        )
        await platform.create(batch_job("first", 3, completions=3), batch_job("second", 2, completions=2))
        await platform.settle()
        assert not await suspended(platform, "first")
        assert await suspended(platform, "second")
        found = await running(platform)
        assert sorted(one.spec.node_name for one in found) == ["a", "a", "b"]
        waits = find_condition(
            (await platform.get(Workload, "job-second")).status.conditions, "QuotaReserved"
        )
        assert waits is not None
        assert waits.reason == "WaitingForQuota"
        await platform.settle()
        ready = find_condition((await platform.get(Workload, "job-first")).status.conditions, "PodsReady")
        assert ready is not None
        assert ready.reason == "Started"
        await platform.play("Succeeded", "first")
        await platform.settle(20)
        assert is_true((await platform.get(Workload, "job-first")).status.conditions, "Finished")
        assert not await suspended(platform, "second")
        assert len([one for one in await platform.pods() if one.metadata.name.startswith("second")]) == 2


async def test_a_job_starts_smaller_where_it_may() -> None:
    notes = {"kueue.x-k8s.io/job-min-parallelism": "2"}
    async with embedded(*ROOMS) as platform:
        await platform.create(*queue("q", cpu=3, within=LOWER), resource_flavor(), node("a", cpu=8))
        await platform.create(batch_job("j", 5, completions=5, notes=notes))
        await platform.settle()
        assert (await platform.get(Job, "j")).spec.parallelism == 3
        assert len(await running(platform)) == 3


async def test_more_completions_than_pods_at_once_use_the_same_places_again() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(*queue("q", cpu=2, within=LOWER), resource_flavor(), node("a", cpu=2))
        await platform.create(batch_job("j", 2, completions=4))
        await platform.settle()
        for _ in range(4):
            for one in await running(platform):
                await platform.play("Succeeded", one.metadata.name)
            await platform.settle(20)
        assert is_true((await platform.get(Job, "j")).status.conditions, "Complete")
        assert is_true((await platform.get(Workload, "job-j")).status.conditions, "Finished")


async def test_a_preempted_job_is_suspended_and_comes_back() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(*queue("q", cpu=4, within=LOWER), resource_flavor(), node("a", cpu=4))
        await platform.create(batch_job("j", 4, completions=4))
        await platform.settle()
        assert len(await running(platform)) == 4
        high = job("high", sets=(pod_set(3),), priority=10)
        await platform.create(replace(high, metadata=replace(high.metadata, owner_references=[])))
        await platform.settle()
        assert await suspended(platform, "j")
        await platform.end_deleted()
        await platform.settle(20)
        assert is_true((await platform.get(Workload, "high")).status.conditions, "Admitted")
        await platform.play("Succeeded", "high")
        await platform.settle(20)
        assert not await suspended(platform, "j")
        assert len(await running(platform)) == 4


async def test_a_job_without_the_label_is_none_of_this_rooms_business() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(*queue("q", cpu=4, within=LOWER), resource_flavor(), node("a", cpu=4))
        await platform.create(batch_job("j", 2, completions=2, queued=False))
        await platform.settle()
        assert len(await running(platform)) == 2
        assert (await platform.client.list(Workload)).items == []


async def test_a_changed_job_is_queued_anew() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(*queue("q", cpu=1, within=LOWER), resource_flavor(), node("a", cpu=4))
        await platform.create(batch_job("j", 2, completions=2))
        await platform.settle()
        assert await suspended(platform, "j")
        await platform.client.patch(Job, "j", "default", {"spec": {"parallelism": 1}})
        await platform.settle()
        assert (await platform.get(Workload, "job-j")).spec.pod_sets[0].count == 1
        assert not await suspended(platform, "j")
