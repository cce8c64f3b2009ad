"""What always holds, whatever happens: capacity, gangs, quota, order, idempotence, order of changes."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.api.core import Node, Pod
from springtide.api.kueue import Workload
from springtide.api.meta import Object
from springtide.api.struct import replace
from springtide.scheduling import Snapshot
from springtide.scheduling.policies import LEAST_WASTE, SPREAD
from springtide.scheduling.requests import amounts
from tests.builders import (
    cluster_queue,
    evicted,
    local_queue,
    node,
    pod,
    pod_set,
    pod_spec,
    with_condition,
    workload,
)
from tests.scheduling.world import World

QUOTA_CPU = 20

specs = st.builds(
    pod_spec,
    cpu=st.sampled_from(["250m", "1", "1500m", "3"]),
    memory=st.sampled_from([None, "1Gi", "3Gi"]),
    gpu=st.sampled_from([None, None, 1, 2]),
)


@st.composite
def clusters(draw: st.DrawFn) -> list[Node]:
    return [
        node(
            f"n{index}",
            cpu=draw(st.integers(1, 8)),
            memory=draw(st.sampled_from(["4Gi", "16Gi"])),
            gpu=draw(st.sampled_from([None, 2, 4])),
            pods=draw(st.integers(1, 6)),
            ready=draw(st.integers(0, 9)) > 0,
            labelled={"rack": str(index % 2)},
        )
        for index in range(draw(st.integers(0, 5)))
    ]


@st.composite
def workloads(draw: st.DrawFn) -> list[Workload]:
    found = []
    for index in range(draw(st.integers(0, 8))):
        sets = [
            pod_set(
                draw(st.integers(1, 6)),
                draw(specs),
                name=name,
                within=draw(st.sampled_from(["", "", "rack"])),
            )
            for name in draw(st.sampled_from([["node"], ["node", "initializer"]]))
        ]
        queue = draw(st.sampled_from(["", "limited"]))
        found.append(
            workload(
                f"w{index}", *sets, queue=queue, created=index, priority=draw(st.sampled_from([None, 1]))
            )
        )
    return found


@st.composite
def plain_pods(draw: st.DrawFn) -> list[Pod]:
    return [pod(f"p{index}", draw(specs), created=index) for index in range(draw(st.integers(0, 4)))]


def world_of(nodes: list[Node], jobs: list[Workload], pods: list[Pod]) -> World:
    limited = cluster_queue("limited", {"cpu": QUOTA_CPU, "memory": "1Ti", "nvidia.com/gpu": 1000})
    return World(*nodes, limited, local_queue("limited", "limited"), *jobs, *pods)


def check(world: World) -> None:
    """Capacity, gangs and quota of a world."""
    for name, held in world.used().items():
        found = world.objects.get((Node, name))
        assert isinstance(found, Node)
        offered = amounts(found.status.allocatable)
        for resource, amount in held.items():
            assert amount <= offered.get(resource, 0), f"{name}: {resource} {amount}"
    reserved = 0
    for obj in world.objects.values():
        if isinstance(obj, Workload) and obj.status.admission is not None:
            placed = {name: sum(nodes.values()) for name, nodes in world.placement(obj.key).items()}
            assert placed == {found.name: found.count for found in obj.spec.pod_sets}
            if obj.status.admission.cluster_queue == "limited":
                usage = [amounts(found.resource_usage) for found in obj.status.admission.pod_set_assignments]
                reserved += sum(found.get("cpu", 0) for found in usage)
    assert reserved <= QUOTA_CPU * 1000


@given(clusters(), workloads(), plain_pods(), st.sampled_from([LEAST_WASTE, SPREAD]))
def test_nothing_is_given_twice_and_a_second_plan_is_empty(nodes, jobs, pods, policy) -> None:  # type: ignore[no-untyped-def]
    world = world_of(nodes, jobs, pods)
    world.cycle(policy=policy)
    check(world)
    assert world.cycle(policy=policy).commands == ()


@given(clusters(), workloads(), plain_pods())
def test_pods_stay_within_one_domain_where_it_is_required(nodes, jobs, pods) -> None:  # type: ignore[no-untyped-def]
    world = world_of(nodes, jobs, pods)
    world.cycle()
    rack_of = {found.metadata.name: found.metadata.labels["rack"] for found in nodes}
    for job in jobs:
        if not world.is_admitted(job.key):
            continue
        for found in job.spec.pod_sets:
            if found.topology_request is not None:
                assert len({rack_of[name] for name in world.placement(job.key)[found.name]}) == 1


@given(clusters(), st.integers(1, 5), st.integers(1, 12), specs)
def test_equal_gangs_start_in_order(nodes, size, number, spec) -> None:  # type: ignore[no-untyped-def]
    jobs = [workload(f"w{index:02}", pod_set(size, spec), created=index) for index in range(number)]
    world = World(*nodes, *jobs)
    world.cycle()
    started = [world.is_admitted(job.key) for job in jobs]
    assert started == sorted(started, reverse=True)


class Life:
    """Everything that can happen to a workload, in any order, with a cycle in between."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.created: dict[str, list[Pod]] = {}

    def step(self, choice: int, key: str) -> None:
        world = self.world
        if (Workload, key) not in world.objects:
            return
        found = world.workload(key)
        if found.status.admission is not None and key not in self.created:
            self.created[key] = world.start_pods(key)
            world.add(with_condition(found, "PodsReady", "False", reason="WaitForStart"))
        elif key in self.created and choice == 0:
            self._finish_some(key)
        elif key in self.created and found.status.admission is not None and choice == 1:
            world.add(evicted(found))
        elif key in self.created and found.status.admission is None:
            self._end_attempt(key)
        elif choice == 2:
            world.remove(found)
            world.remove(*self._existing(key))
            self.created.pop(key, None)

    def _existing(self, key: str) -> list[Pod]:
        return [found for found in self.created.get(key, []) if (Pod, found.key) in self.world.objects]

    def _finish_some(self, key: str) -> None:
        for found in self._existing(key)[:1]:
            done = replace(found, status=replace(found.status, phase="Succeeded"))
            self.world.add(done)

    def _end_attempt(self, key: str) -> None:
        self.world.remove(*self._existing(key))
        del self.created[key]
        found = with_condition(self.world.workload(key), "PodsReady", "False", reason="NotAdmitted")
        self.world.add(with_condition(found, "Evicted", "False", reason="Requeued"))


@settings(max_examples=60)
@given(
    clusters(),
    workloads(),
    plain_pods(),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 7)), max_size=25),
)
def test_it_holds_through_starts_ends_evictions_and_deletions(nodes, jobs, pods, steps) -> None:  # type: ignore[no-untyped-def]
    world = world_of(nodes, jobs, pods)
    life = Life(world)
    for choice, index in steps:
        world.cycle()
        check(world)
        life.step(choice, f"default/w{index}")
    expect_equal(world.snapshot(), rebuilt(world.objects.values()))


@given(clusters(), workloads(), plain_pods(), st.randoms())
def test_a_snapshot_does_not_depend_on_the_order_of_changes(nodes, jobs, pods, random) -> None:  # type: ignore[no-untyped-def]
    world = world_of(nodes, jobs, pods)
    world.cycle()
    for job in jobs[::2]:
        if world.is_admitted(job.key):
            world.start_pods(job.key)
    objects = list(world.objects.values())
    random.shuffle(objects)
    expect_equal(world.snapshot(), rebuilt(objects))


def rebuilt(objects) -> Snapshot:  # type: ignore[no-untyped-def]
    """A snapshot of the same objects by a state that never saw anything else."""
    fresh = World(queues=False)
    shuffled: list[Object] = list(objects)
    fresh.add(*shuffled)
    return fresh.snapshot()


def expect_equal(left: Snapshot, right: Snapshot) -> None:
    assert left.nodes.facts == right.nodes.facts
    assert left.resources == right.resources
    assert np.array_equal(left.capacity, right.capacity)
    assert np.array_equal(left.allocated, right.allocated)
    assert left.waiting == right.waiting
    assert left.admitted == right.admitted
    assert left.pods == right.pods
    assert left.pods_of == right.pods_of
    assert {key: Counter(held) for key, held in left.lingering.items()} == right.lingering
    assert left.queues == right.queues
    assert left.usage == right.usage
