"""Groups of pods that somebody else made, on the real server with the engine beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from springtide import podgroups, scheduling, workloads
from springtide.api import volcano
from springtide.api.commands import Bind
from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.meta import Condition, ObjectMeta, find_condition, is_true
from springtide.api.podgroups import PodGroup, PodGroupSpec
from springtide.api.pods import PodSchedulingGroup
from springtide.api.struct import decode, replace
from springtide.scheduling import ClusterState, plan
from springtide.scheduling.feeds import feeds
from tests.builders import node, pod, pod_set, pod_spec
from tests.embedded import Platform, embedded
from tests.scheduling.preemption import LOWER, job, queue

ROOMS = (scheduling.register, podgroups.register, workloads.register)


def gang(name: str, minimum: int, **spec: Any) -> PodGroup:
    fields = {"schedulingPolicy": {"gang": {"minCount": minimum}}, **spec}
    return PodGroup(
        metadata=ObjectMeta(name=name, namespace="default", labels={"kueue.x-k8s.io/queue-name": "q"}),
        spec=decode(PodGroupSpec, fields),
    )


def of_kubernetes(name: str, group: str = "g", cpu: int = 1) -> Pod:
    made = plain(name, cpu=cpu)
    return replace(made, spec=replace(made.spec, scheduling_group=PodSchedulingGroup(pod_group_name=group)))


def of_volcano(name: str, group: str = "g", cpu: int = 1) -> Pod:
    return plain(name, cpu=cpu, notes={"scheduling.k8s.io/group-name": group})


def of_kueue(name: str, group: str = "g", cpu: int = 1, total: int = 4) -> Pod:
    return plain(
        name,
        cpu=cpu,
        labels={"kueue.x-k8s.io/pod-group-name": group, "kueue.x-k8s.io/queue-name": "q"},
        notes={"kueue.x-k8s.io/pod-group-total-count": str(total)},
    )


def plain(
    name: str,
    *,
    cpu: int = 1,
    labels: Mapping[str, str] | None = None,
    notes: Mapping[str, str] | None = None,
) -> Pod:
    made = pod(name, spec=replace(pod_spec(cpu=cpu), scheduler_name="springtide"))
    metadata = ObjectMeta(
        name=name, namespace="default", labels=dict(labels or {}), annotations=dict(notes or {})
    )
    return Pod(metadata=metadata, spec=made.spec)


async def nodes_of(platform: Platform) -> dict[str, str]:
    return {found.metadata.name: found.spec.node_name for found in await platform.pods()}


async def said(platform: Platform, workload: str, type_: str = "QuotaReserved") -> Condition:
    found = find_condition((await platform.get(Workload, workload)).status.conditions, type_)
    assert found is not None
    return found


MAKERS = {
    "podgroup-g": (gang("g", 4), of_kubernetes),
    "volcano-podgroup-g": (
        volcano.PodGroup(
            metadata=ObjectMeta(name="g", namespace="default"), spec=volcano.PodGroupSpec(min_member=4)
        ),
        of_volcano,
    ),
    "pods-g": (None, of_kueue),
}


@pytest.mark.parametrize("workload", MAKERS)
async def test_a_gang_of_any_dialect_starts_whole_and_holds_nothing_before(workload: str) -> None:
    obj, make = MAKERS[workload]
    maker: Callable[[str], Pod] = make
    async with embedded(*ROOMS) as platform:
        await platform.create(*queue("q", within=LOWER), node("a", cpu=3), node("b", cpu=3))
        if obj is not None:
            await platform.create(volcano.Queue(metadata=ObjectMeta(name="default")), obj)
        await platform.create(*(maker(f"p{i}") for i in range(3)))
        await platform.settle()
        assert set((await nodes_of(platform)).values()) == {""}
        waits = await said(platform, workload)
        assert waits.reason == "WaitingForPods"
        assert waits.message.startswith("3 of 4 pods exist")
        await platform.create(maker("p3"))
        await platform.settle()
        found = await nodes_of(platform)
        assert sorted(found.values()) == ["a", "a", "a", "b"]
        assert is_true((await platform.get(Workload, workload)).status.conditions, "Admitted")
        await platform.play("Running")
        await platform.settle()
        assert (await said(platform, workload, "PodsReady")).reason == "Started"
        await platform.play("Succeeded")
        await platform.settle()
        assert (await said(platform, workload, "Finished")).reason == "Succeeded"


async def test_a_gang_that_does_not_fit_binds_no_pod_and_says_why_in_its_own_status() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(*queue("q", within=LOWER), node("a", cpu=3), gang("g", 4))
        await platform.create(*(of_kubernetes(f"p{i}") for i in range(4)))
        await platform.settle()
        assert set((await nodes_of(platform)).values()) == {""}
        group = await platform.get(PodGroup, "g")
        scheduled = find_condition(group.status.conditions, "PodGroupScheduled")
        assert scheduled is not None
        assert (scheduled.status, scheduled.reason) == ("False", "Unschedulable")
        assert "needs 4" in scheduled.message
        waits = find_condition((await platform.pods())[0].status.conditions, "PodScheduled")
        assert waits is not None
        assert "Workload default/podgroup-g" in waits.message
        await platform.create(node("b", cpu=3))
        await platform.settle()
        assert "" not in (await nodes_of(platform)).values()
        group = await platform.get(PodGroup, "g")
        assert is_true(group.status.conditions, "PodGroupScheduled")


async def test_a_preempted_group_loses_all_its_pods_and_says_so() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(*queue("q", within=LOWER), node("a", cpu=4), gang("g", 2))
        await platform.create(*(of_kubernetes(f"p{i}", cpu=2) for i in range(2)))
        await platform.settle()
        await platform.play("Running")
        await platform.create(job("high", priority=10))
        await platform.settle()
        left = await platform.pods()
        assert all(one.metadata.deletion_timestamp is not None for one in left if one.metadata.name != "high")
        target = find_condition(left[0].status.conditions, "DisruptionTarget")
        assert target is not None
        assert target.reason == "PreemptionByScheduler"
        group = await platform.get(PodGroup, "g")
        assert is_true(group.status.conditions, "DisruptionTarget")
        await platform.end_deleted()
        await platform.settle()
        assert is_true((await platform.get(Workload, "high")).status.conditions, "Admitted")


async def test_pods_of_another_scheduler_are_left_alone() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(*queue("q", within=LOWER), node("a", cpu=4), gang("g", 1))
        other = of_kubernetes("p0")
        await platform.create(replace(other, spec=replace(other.spec, scheduler_name="default-scheduler")))
        await platform.settle()
        assert await nodes_of(platform) == {"p0": ""}
        assert (await platform.client.list(Workload)).items == []


async def test_members_that_come_later_are_placed_as_room_allows() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(*queue("q", within=LOWER), node("a", cpu=3), gang("g", 2))
        await platform.create(*(of_kubernetes(f"p{i}") for i in range(2)))
        await platform.settle()
        await platform.play("Running")
        await platform.create(*(of_kubernetes(f"late{i}") for i in range(2)))
        await platform.settle()
        found = await nodes_of(platform)
        assert sorted(found.values()) == ["", "a", "a", "a"]
        await platform.create(node("b", cpu=1))
        await platform.settle()
        assert "" not in (await nodes_of(platform)).values()


async def test_a_group_with_more_than_it_needs_shrinks_for_the_more_important() -> None:
    async with embedded(*ROOMS) as platform:
        await platform.create(*queue("q", within=LOWER), node("a", cpu=4), gang("g", 2))
        await platform.create(*(of_kubernetes(f"p{i}") for i in range(4)))
        await platform.settle()
        await platform.play("Running")
        await platform.create(job("high", sets=(pod_set(2),), priority=10))
        await platform.settle()
        ending = [one for one in await platform.pods() if one.metadata.deletion_timestamp is not None]
        assert [one.metadata.name for one in ending] == ["p2", "p3"]
        assert all(is_true(one.status.conditions, "DisruptionTarget") for one in ending)
        await platform.end_deleted()
        await platform.settle()
        assert is_true((await platform.get(Workload, "high")).status.conditions, "Admitted")
        group = await platform.get(Workload, "podgroup-g")
        assert is_true(group.status.conditions, "Admitted")
        assert find_condition(group.status.conditions, "Evicted") is None


async def test_the_scheduler_may_die_between_any_two_bindings() -> None:
    """Whoever starts anew finds the places that are left by the objects alone."""
    for survivors in range(1, 4):
        async with embedded(podgroups.register) as platform:
            await platform.create(*queue("q", within=LOWER), node("a", cpu=3), node("b", cpu=3), gang("g", 4))
            await platform.create(*(of_kubernetes(f"p{i}") for i in range(4)))
            await platform.settle()
            await _one_cycle(platform, bindings=survivors)
            found = await nodes_of(platform)
            assert sum(1 for name in found.values() if name) == survivors
            await _one_cycle(platform)
            assert sorted((await nodes_of(platform)).values()) == ["a", "a", "a", "b"]


async def _one_cycle(platform: Platform, bindings: int | None = None) -> None:
    """A scheduler that knows nothing but the objects: it admits and binds, and dies after some bindings."""
    for _ in range(2):
        state = ClusterState()
        for kind, take in feeds(state).items():
            for one in (await platform.client.list(kind)).items:
                take(None, one)
        decided = plan(state.snapshot(), platform.runtime.clock.now())
        for command in decided.commands:
            if isinstance(command, Bind):
                if bindings == 0:
                    return
                bindings = bindings - 1 if bindings is not None else None
            await platform.runtime.apply("scheduling", (command,))
        await platform.settle()
