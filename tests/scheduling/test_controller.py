"""Scheduling and workloads on the real server: cycles, writes, what they cost, and their way back."""

from __future__ import annotations

import pytest

from springtide import scheduling, workloads
from springtide.api.core import Pod, Service
from springtide.api.kueue import Workload
from springtide.api.meta import find_condition, is_true
from springtide.scheduling import Settings
from tests.builders import cluster_queue, local_queue, node, pod, pod_set, pod_spec, workload
from tests.embedded import Platform, embedded

ROOMS = (scheduling.register, workloads.register)
NAME = "trainjob-job"


async def test_a_register_that_cannot_be_read_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    bad = node("a", gpu=8, annotated={"hami.io/node-nvidia-register": "GPU-1"})
    async with embedded(*ROOMS) as platform:
        await platform.create(bad, pod("waits", pod_spec(cpu=1)))
        await platform.settle(30)
        assert (await platform.pods())[0].spec.node_name == "a"
    assert [one.getMessage() for one in caplog.records if one.name == "springtide.scheduling"] == [
        "node offers no GPUs"
    ]


async def quiet(platform: Platform) -> bool:
    """Whether the platform has come to rest: no revision is written any more."""
    before = platform.store.revision
    await platform.settle(120)
    return platform.store.revision == before


async def test_a_gang_goes_from_waiting_to_finished() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(cluster_queue(), local_queue(), node("a", cpu=2), node("b", cpu=2))
        await platform.create(workload(NAME, pod_set(3)))
        await platform.settle()
        pods = await platform.pods()
        assert [found.spec.node_name for found in pods] == ["a", "a", "b"]
        assert (await platform.get(Service, "job")).spec.cluster_ip == "None"
        await platform.play("Running")
        await platform.settle()
        assert is_true((await platform.get(Workload, NAME)).status.conditions, "PodsReady")
        await platform.play("Succeeded")
        await platform.settle()
        finished = find_condition((await platform.get(Workload, NAME)).status.conditions, "Finished")
        assert finished is not None
        assert finished.reason == "Succeeded"
        assert await quiet(platform)


async def test_who_waits_starts_when_room_is_made() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(cluster_queue(), local_queue(), node("a", cpu=2))
        await platform.create(workload("first", pod_set(2), job="first"))
        await platform.settle()
        await platform.create(workload("second", pod_set(2), job="second"))
        await platform.settle()
        waiting = find_condition((await platform.get(Workload, "second")).status.conditions, "QuotaReserved")
        assert waiting is not None
        assert waiting.reason == "TopologyPlacementFailed"
        assert await quiet(platform)
        await platform.play("Succeeded")
        await platform.settle()
        assert is_true((await platform.get(Workload, "second")).status.conditions, "Admitted")


async def test_an_eviction_leads_to_the_next_attempt_and_never_to_two_at_once() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(cluster_queue(), local_queue(), node("a", cpu=4), node("b", cpu=4))
        await platform.create(workload(NAME, pod_set(4)))
        await platform.settle()
        await platform.play("Running")
        await platform.settle()
        first = {found.metadata.name for found in await platform.pods()}
        await platform.condition(NAME, Evicted=("True", "NodeFailures"))
        await platform.settle()
        evicted = await platform.get(Workload, NAME)
        assert evicted.status.admission is None
        assert {found.metadata.name for found in await platform.pods()} == first, "the node still ends them"
        await platform.condition(NAME, Evicted=("False", "Requeued"))
        await platform.settle()
        assert (await platform.get(Workload, NAME)).status.admission is None
        await platform.end_deleted()
        await platform.settle()
        again = await platform.get(Workload, NAME)
        assert again.status.requeue_state is not None
        assert again.status.requeue_state.count == 1
        second = {found.metadata.name for found in await platform.pods()}
        assert len(second) == 4
        assert not first & second
        assert await quiet(platform)


async def test_a_suspended_workload_gives_everything_back_and_can_start_again() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(cluster_queue(), local_queue(), node("a", cpu=4))
        await platform.create(workload(NAME, pod_set(4)))
        await platform.settle()
        await platform.client.patch(Workload, NAME, "default", {"spec": {"active": False}})
        await platform.settle()
        await platform.end_deleted()
        await platform.settle()
        assert await platform.pods() == []
        assert await quiet(platform)
        await platform.client.patch(Workload, NAME, "default", {"spec": {"active": True}})
        await platform.settle()
        assert len(await platform.pods()) == 4


async def test_plain_pods_are_bound_and_those_too_large_are_told() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(node("a", cpu=2), pod("fits"), pod("large", pod_spec(cpu=3)))
        await platform.settle()
        assert (await platform.get(Pod, "fits")).spec.node_name == "a"
        large = find_condition((await platform.get(Pod, "large")).status.conditions, "PodScheduled")
        assert large is not None
        assert large.reason == "Unschedulable"
        assert await quiet(platform)


async def test_a_burst_of_small_jobs_is_admitted_without_giving_anything_twice() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(cluster_queue(), local_queue())
        await platform.create(*(node(f"n{index}", cpu=2, pods=2) for index in range(10)))
        await platform.create(*(workload(f"w{index:02}", job=f"w{index:02}") for index in range(30)))
        await platform.settle(30)
        pods = await platform.pods()
        assert len(pods) == 20
        assert all(sum(p.spec.node_name == f"n{i}" for p in pods) == 2 for i in range(10))
        assert await quiet(platform)


async def test_heartbeats_and_progress_cost_no_cycle() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(cluster_queue(), local_queue(), node("a"), workload(NAME))
        await platform.settle()
        await platform.play("Running")
        await platform.settle()
        before = cycles(platform)
        stamp = {"metadata": {"annotations": {"springtide.dev/progress": "{}"}}}
        await platform.client.patch(Pod, (await platform.pods())[0].metadata.name, "default", stamp)
        await platform.settle()
        assert cycles(platform) == before


def cycles(platform: Platform) -> float:
    return platform.runtime.metrics().get_sample_value("springtide_scheduling_cycle_seconds_count") or 0


def test_settings_name_a_policy_that_exists() -> None:
    import pytest

    from springtide.scheduling.policies import find_policy

    assert find_policy(Settings().policy).name == "fragments"
    with pytest.raises(ValueError, match="known: best-fit, fgd, fragments, least-waste"):
        find_policy("most-waste")
