"""GPUs cut by hardware: instances only where they may begin, none over another, large ones kept possible."""

from __future__ import annotations

import json
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.api import labels
from springtide.api.core import Node, Pod, PodSpec
from springtide.api.gpus import MIG_ALLOCATIONS, REGISTER, TO_ALLOCATE, held_by, registered
from springtide.api.kueue import Workload
from springtide.api.mig import Geometry, geometry_of
from springtide.scheduling.slices import best, bits_of, kept, places
from tests.builders import evicted, gpu_node, node, pod, pod_set, pod_spec, workload
from tests.scheduling.world import World

A100 = geometry_of("NVIDIA-A100-SXM4-80GB", 81920)
assert A100 is not None
MIG = {"nvidia.com/vgpu-mode": "mig"}


def cut_node(name: str = "a", gpus: int = 1, *, model: str = "NVIDIA-A100-80GB", memory: int = 81920) -> Node:
    """A node whose GPUs are in mode `mig`, as HAMi's device plugin registers them."""
    entries = [
        {"id": f"{name}-gpu{i}", "count": 7, "devmem": memory, "devcore": 100, "type": model, "health": True}
        | {"mode": "mig"}
        for i in range(gpus)
    ]
    return node(name, cpu=64, gpu=7 * gpus, annotated={REGISTER: json.dumps(entries)})


def part(memory: int = 0, *, cores: int = 0, gpus: int = 1) -> PodSpec:
    more = {"nvidia.com/gpumem": memory} if memory else {}
    return pod_spec(gpu=gpus, more=more | ({"nvidia.com/gpucores": cores} if cores else {}))


def job(name: str, memory: int = 0, *, cores: int = 0, gpus: int = 1, pods: int = 1) -> Workload:
    return workload(
        name,
        pod_set(pods, part(memory, cores=cores, gpus=gpus), annotated=MIG),
        created=int(name[1:]),
        job=name,
    )


def given_to(world: World, name: str) -> list[tuple[str, str]]:
    return world.devices(f"default/{name}")


@pytest.mark.parametrize(
    ("model", "memory", "names", "slices"),
    [
        ("NVIDIA-A100-SXM4-40GB", 40960, "1g.5gb 1g.10gb 2g.10gb 3g.20gb 4g.20gb 7g.40gb", 8),
        ("NVIDIA-A100-SXM4-80GB", 81920, "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb", 8),
        ("NVIDIA A30", 24576, "1g.6gb 2g.12gb 4g.24gb", 4),
        ("NVIDIA H200", 143771, "1g.18gb 1g.35gb 2g.35gb 3g.71gb 4g.71gb 7g.141gb", 8),
    ],
)
def test_the_instances_of_a_model(model: str, memory: int, names: str, slices: int) -> None:
    found = geometry_of(model, memory)
    assert found is not None
    assert " ".join(one.name for one in found.profiles) == names
    assert found.slices == slices


def test_a_model_nobody_knows_is_not_given() -> None:
    assert geometry_of("Tesla T4", 16384) is None
    assert [one.healthy for one in registered("GPU-1,7,16384,100,T4,0,true,0,mig:")] == [False]


@pytest.mark.parametrize(
    ("memory", "cores", "name"),
    [
        (5000, 0, "1g.10gb"),
        (10240, 0, "1g.10gb"),
        (10241, 0, "1g.20gb"),
        (10241, 20, "2g.20gb"),
        (5000, 30, "3g.40gb"),
        (5000, 50, "4g.40gb"),
        (41000, 0, "7g.80gb"),
    ],
)
def test_the_smallest_instance_that_does_is_given(memory: int, cores: int, name: str) -> None:
    world = World(cut_node(), job("j1", memory, cores=cores))
    world.cycle()
    (made,) = world.start_pods("default/j1")
    (instance,) = json.loads(made.metadata.annotations[MIG_ALLOCATIONS])
    assert instance["profile"] == name


def test_pods_say_it_as_hamis_device_plugin_reads_it() -> None:
    world = World(cut_node(), job("j1", 20000, cores=20, gpus=2))
    world.cycle()
    assert given_to(world, "j1") == [("a", "4.5.2.3")]
    (made,) = world.start_pods("default/j1")
    notes = made.metadata.annotations
    assert notes[TO_ALLOCATE] == "a-gpu0,NVIDIA,20480,28:a-gpu0,NVIDIA,20480,28:;"
    assert json.loads(notes[MIG_ALLOCATIONS]) == [
        {
            "gpuUUID": "a-gpu0",
            "profile": "2g.20gb",
            "placement": {"start": start, "size": 2},
            "containerIndex": 0,
            "deviceIndex": number,
        }
        for number, start in enumerate((4, 2))
    ]
    assert {one.id for one in held_by(made.spec, notes)} >= {f"a-gpu0#{n}" for n in (2, 3, 4, 5)}


def test_small_ones_leave_room_for_large_ones() -> None:
    """Three of the smallest and one of three sevenths: none of the small ones stands in its way."""
    world = World(cut_node(), *(job(f"j{i}", 5000) for i in (1, 2, 3)), job("j4", 40000))
    world.cycle()
    small = {given_to(world, f"j{i}")[0][1] for i in (1, 2, 3)}
    assert small == {"6", "5", "4"}
    assert given_to(world, "j4") == [("a", "0.1.2.3")]


def test_a_gpu_in_use_is_filled_before_another_is_opened() -> None:
    world = World(cut_node("a", 2), *(job(f"j{i}", 5000) for i in range(1, 8)), job("j8"))
    world.cycle()
    first = {int(given_to(world, f"j{i}")[0][1]) // 8 for i in range(1, 8)}
    assert len(first) == 1
    assert given_to(world, "j8")[0][1].count(".") == 7, "a whole one is left"


def test_who_does_not_ask_for_instances_gets_none_and_the_other_way_round() -> None:
    world = World(cut_node("a"), gpu_node("b", 1), job("j1", 5000))
    shared = workload("p", pod_set(1, part(5000)), job="p")
    world.add(shared, workload("w", pod_set(1, pod_spec(gpu=8)), job="w"))
    world.cycle()
    assert given_to(world, "j1")[0][0] == "a"
    assert world.placement("default/p") == {"node": {"b": 1}}
    assert not world.is_admitted("default/w"), "slices are no GPUs"


def test_what_is_short_is_said() -> None:
    world = World(cut_node(), job("j1", 40000), job("j2", 5000), job("j3", 40000), job("j4", 90000))
    world.cycle()
    assert "has 3 of 8 memory slices free, but not side by side" in world.condition("default/j3").message
    assert "its largest device has 81920 MiB" in world.condition("default/j4").message
    plain = World(gpu_node("b", 1), job("j1", 5000))
    plain.cycle()
    assert "(nvidia.com/vgpu-mode: mig), no node" in plain.condition("default/j1").message


def test_a_static_cut_is_a_resource_of_its_own() -> None:
    world = World(node("a", more={"nvidia.com/mig-1g.10gb": 2}))
    spec = pod_spec(more={"nvidia.com/mig-1g.10gb": 1})
    world.add(*(workload(f"w{i}", pod_set(1, spec), created=i, job=f"w{i}") for i in range(3)))
    world.cycle()
    assert [world.is_admitted(f"default/w{i}") for i in range(3)] == [True, True, False]


def test_a_rule_about_numa_nodes_does_not_go_with_it() -> None:
    notes = {**MIG, "volcano.sh/numa-topology-policy": "restricted"}
    world = World(cut_node(), workload("w", pod_set(1, part(5000), annotated=notes), job="w"))
    world.cycle()
    assert "cannot be kept with nvidia.com/vgpu-mode: mig" in world.condition("default/w").message


# -- against the obvious ---------------------------------------------------------------------------


@given(st.sampled_from([A100, geometry_of("A30", 24000)]), st.integers(0, 255), st.integers(0, 5))
def test_the_place_is_legal_and_none_spoils_less(geometry: Geometry, free: int, number: int) -> None:
    free &= (1 << geometry.slices) - 1
    profile = geometry.profiles[number % len(geometry.profiles)]
    legal = [
        start for start in profile.starts if all(free >> at & 1 for at in range(start, start + profile.size))
    ]
    assert list(places(free, profile)) == legal
    for one, other in combinations(legal, 2):
        assert not bits_of(profile, one) & bits_of(profile, other), "so that as many fit as there are"
    found = best(geometry, free, profile)
    assert (found is None) is (not legal)
    if found is not None:
        left = [kept(geometry, free & ~bits_of(profile, start)) for start in legal]
        assert kept(geometry, free & ~bits_of(profile, found[1])) == max(left)


few = st.integers(1, 2)
wishes = st.lists(
    st.tuples(
        st.sampled_from([0, 5000, 15000, 30000]),
        st.sampled_from([0, 20]),
        st.integers(1, 2),
        st.integers(1, 2),
    ),
    min_size=1,
    max_size=6,
)
steps = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=10)


@settings(max_examples=25, deadline=None)
@given(wishes, steps)
def test_no_slice_is_given_twice_whatever_happens(wanted, history) -> None:  # type: ignore[no-untyped-def]
    world = World(cut_node("a", 2), cut_node("b", 1, model="NVIDIA A30", memory=24576), gpu_node("c", 1))
    for i, (memory, cores, gpus, pods) in enumerate(wanted):
        world.add(job(f"w{i}", memory, cores=cores, gpus=gpus, pods=pods))
    world.add(pod("p", part(5000), annotated=MIG), pod("q", part(5000)))
    for choice, index in history:
        world.cycle()
        happen(world, choice, f"w{index}")
        check(world)
    for _ in range(3):
        world.cycle()
        check(world)
    assert world.cycle().commands == ()


def happen(world: World, choice: int, name: str) -> None:
    one = world.objects.get((Workload, f"default/{name}"))
    pods = [found for found in of(world, Pod) if found.metadata.labels.get(labels.WORKLOAD) == name]
    if choice == 3:
        fresh = World(queues=False)
        fresh.add(*reversed(list(world.objects.values())))
        world.state = fresh.state
    elif not isinstance(one, Workload):
        return
    elif choice == 0 and one.status.admission is not None and not pods:
        world.start_pods(one.key)
    elif choice == 1 and one.status.admission is not None:
        world.add(evicted(one))
    elif choice == 2:
        world.remove(*pods, one)


def of(world: World, kind: type) -> list:  # type: ignore[type-arg]
    return [found for found in world.objects.values() if isinstance(found, kind)]


def check(world: World) -> None:
    """By the pods' annotations and the admissions: legal places, none over another; the scheduler agrees."""
    held: list[tuple[str, int]] = []
    for one in of(world, Pod):
        for instance in json.loads(one.metadata.annotations.get(MIG_ALLOCATIONS, "[]")):
            gpu, span = instance["gpuUUID"], instance["placement"]
            model = ("NVIDIA A30", 24576) if gpu.startswith("b") else ("A100", 81920)
            geometry = geometry_of(*model)
            assert geometry is not None
            (profile,) = (p for p in geometry.profiles if p.name == instance["profile"])
            assert span["start"] in profile.starts
            assert span["size"] == profile.size
            first = int(gpu[-1]) * geometry.slices + span["start"]
            held += [(gpu[0], first + n) for n in range(span["size"])]
    for one in of(world, Workload):
        started = any(p.metadata.labels.get(labels.WORKLOAD) == one.metadata.name for p in of(world, Pod))
        if one.status.admission is not None and not started:
            held += [(at, int(i)) for at, text in world.devices(one.key) for i in text.split(".")]
    assert len(held) == len(set(held)), held
    devices = world.snapshot().devices
    for row, name in enumerate("ab"):
        free = {column for column, left in enumerate(devices.share[row].tolist()) if left}
        there = {column for column, _ in enumerate(devices.named[row])}
        assert free == there - {at for host, at in held if host == name}
