"""GPUs that have names: shared in parts, chosen as asked, their shortage explained, their register read."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from springtide.api import labels
from springtide.api.core import Container, PodSpec, ResourceRequirements
from springtide.api.gpus import ALLOCATED, TO_ALLOCATE, Held, Part, asked_of, held_by, notes, registered
from springtide.api.meta import find_condition
from springtide.api.struct import replace
from springtide.scheduling.policies import PACKING
from springtide.scheduling.state import ClusterState
from tests.builders import at, gpu_node, node, pod, pod_set, pod_spec, workload
from tests.scheduling.world import World

CORES, MEMORY, PERCENT = "nvidia.com/gpucores", "nvidia.com/gpumem", "nvidia.com/gpumem-percentage"
GPU = "nvidia.com/gpu"


def part(
    cores: int | None = None, memory: int | None = None, percent: int | None = None, gpus: int = 1
) -> PodSpec:
    """A pod that asks for a part of each of its GPUs."""
    asked = {CORES: cores, MEMORY: memory, PERCENT: percent}
    return pod_spec(gpu=gpus, more={name: amount for name, amount in asked.items() if amount is not None})


def containers(*asked: Mapping[str, int]) -> PodSpec:
    """A pod of several containers."""
    return PodSpec(
        containers=[
            Container(name=f"c{index}", resources=ResourceRequirements(limits=dict(one)))
            for index, one in enumerate(asked)
        ]
    )


def why(world: World, name: str) -> str:
    """What a waiting pod is told."""
    found = find_condition(world.pod(f"default/{name}").status.conditions, "PodScheduled")
    assert found is not None, f"{name} was told nothing"
    return found.message


def given(world: World, name: str) -> str:
    """Node and devices of a pod: `node-1:0.1`; empty while it waits."""
    found = world.pod(f"default/{name}")
    if not found.spec.node_name:
        return ""
    return f"{found.spec.node_name}:{found.metadata.annotations.get(labels.DEVICES, '')}"


# -- sharing ----------------------------------------------------------------------------------------


def test_two_pods_share_a_gpu_and_a_third_is_told_what_is_left() -> None:
    world = World(gpu_node(gpus=1), pod("a", part(40)), pod("b", part(60), created=1))
    world.add(pod("c", part(30), created=2))
    world.cycle()
    assert (given(world, "a"), given(world, "b"), given(world, "c")) == ("node-1:0", "node-1:0", "")
    assert why(world, "c") == (
        "needs 1 × {nvidia.com/gpu: 1 (30% of its power, 30% of its memory)}; the device with most left, "
        "0 of node node-1, has 0% of its power, 0 of 40000 MiB and room for 8 of 10 sharers; "
        "0 of 1 pods fit now"
    )


def test_a_pod_says_its_devices_as_hami_does() -> None:
    world = World(gpu_node(), pod("a", part(cores=20, memory=8000)))
    world.cycle()
    annotations = world.pod("default/a").metadata.annotations
    assert annotations[ALLOCATED] == "node-1-gpu0,NVIDIA,8000,20:;"
    assert annotations == {
        labels.DEVICES: "0",
        TO_ALLOCATE: annotations[ALLOCATED],
        ALLOCATED: annotations[ALLOCATED],
        "hami.io/vgpu-node": "node-1",
        "hami.io/vgpu-time": str(int(at(1).timestamp())),
        "hami.io/bind-phase": "allocating",
        "hami.io/bind-time": str(int(at(1).timestamp())),
    }


def test_a_whole_gpu_is_given_by_name_and_to_nobody_else() -> None:
    world = World(gpu_node(), pod("whole", pod_spec(gpu=1)), pod("part", part(1), created=1))
    world.add(pod("both", pod_spec(gpu=2), created=2))
    world.cycle()
    assert {given(world, "whole"), given(world, "part")} == {"node-1:0", "node-1:1"}
    assert world.pod("default/whole").metadata.annotations[ALLOCATED].endswith(",NVIDIA,40000,100:;")
    assert why(world, "both") == (
        "needs 1 × {nvidia.com/gpu: 2}; the node with most nvidia.com/gpu free of anybody, node-1, has 0 of 2"
        "; 0 of 1 pods fit now"
    )


def test_a_gang_has_its_devices_in_its_admission_and_on_its_pods() -> None:
    world = World(gpu_node("n1"), gpu_node("n2"), workload("w", pod_set(3, part(60))))
    world.cycle()
    places = world.devices("default/w")
    assert sorted(places) == sorted(set(places))
    assert {devices for _, devices in places} == {"0", "1"}
    made = world.start_pods("default/w")
    for one in made:
        held = one.metadata.annotations[ALLOCATED]
        assert held == f"{one.spec.node_name}-gpu{one.metadata.annotations[labels.DEVICES]},NVIDIA,24000,60:;"


def test_nodes_that_name_no_devices_give_whole_ones_and_say_nothing() -> None:
    world = World(node(gpu=1), pod("a", part(40)), pod("b", part(40), created=1))
    world.cycle()
    assert given(world, "a") == "node-1:"
    assert given(world, "b") == ""


def test_devices_without_names_are_not_told_by_number() -> None:
    """Nobody knows which of them are free, so a second look must not say something else."""
    world = World(gpu_node("n0", 1, sharers=2), node("plain", gpu=2), pod("p", pod_spec(gpu=1)))
    world.add(
        workload("w0", pod_set(3, part(memory=1))), workload("w1", pod_set(1, pod_spec(gpu=1)), created=1)
    )
    world.cycle(policy=PACKING)
    assert "the node with most left, plain, gives only whole devices and has 1 of 2" in (
        world.condition("default/w0").message
    )
    assert world.cycle(policy=PACKING).commands == ()


def test_a_gang_over_nodes_with_and_without_names() -> None:
    world = World(gpu_node("n1", gpus=1), node("n2", gpu=1), workload("w", pod_set(2, pod_spec(gpu=1))))
    world.cycle()
    assert sorted(world.devices("default/w")) == [("n1", "0"), ("n2", "-")]
    made = {one.spec.node_name: one.metadata.annotations for one in world.start_pods("default/w")}
    assert labels.DEVICES in made["n1"]
    assert labels.DEVICES not in made["n2"]
    world.add(pod("late", pod_spec(gpu=1)))
    world.cycle()
    assert given(world, "late") == ""


MEMORIES = [
    ("a share brings as much of the memory", part(30), Held("node-1-gpu0", 12000, 30)),
    ("memory alone leaves the power to others", part(memory=10000), Held("node-1-gpu0", 10000, 0)),
    ("a percentage of the memory", part(percent=25), Held("node-1-gpu0", 10000, 0)),
    ("MiB count before a percentage", part(cores=10, memory=500, percent=25), Held("node-1-gpu0", 500, 10)),
    ("all of the memory is the whole device", part(percent=100), Held("node-1-gpu0", 40000, 100)),
    ("all of the power is the whole device", part(cores=100, memory=5), Held("node-1-gpu0", 40000, 100)),
]


@pytest.mark.parametrize(("spec", "held"), [row[1:] for row in MEMORIES], ids=[row[0] for row in MEMORIES])
def test_what_is_held(spec: PodSpec, held: Held) -> None:
    world = World(gpu_node(), pod("a", spec))
    world.cycle()
    found = world.pod("default/a")
    assert held_by(found.spec, found.metadata.annotations) == (held,)


def test_memory_and_power_are_counted_apart() -> None:
    """Much memory beside much power: neither is short."""
    world = World(
        gpu_node(gpus=1), pod("a", part(cores=80, memory=4000)), pod("b", part(10, 32000), created=1)
    )
    world.add(pod("c", part(1, 5000), created=2), pod("d", part(1, 4000), created=3))
    world.cycle()
    assert [bool(given(world, name)) for name in "abcd"] == [True, True, False, True]


def test_no_more_pods_than_may_share() -> None:
    world = World(gpu_node(gpus=1, sharers=2), *(pod(f"p{i}", part(10), created=i) for i in range(3)))
    world.add(replace(gpu_node(gpus=1, sharers=2), status=gpu_node(gpus=9).status))
    world.cycle()
    assert [bool(given(world, f"p{i}")) for i in range(3)] == [True, True, False]
    assert "room for 0 of 2 sharers" in why(world, "p2")


# -- choice -----------------------------------------------------------------------------------------

CHOICES: list[tuple[str, dict[str, str], set[str]]] = [
    ("parts go together by default", {}, {"n1:0"}),
    ("spread over the devices of a node", {"hami.io/gpu-scheduler-policy": "spread"}, {"n1:0", "n1:1"}),
    ("spread over nodes", {"hami.io/node-scheduler-policy": "spread"}, {"n1:0", "n2:0"}),
    ("packed", {"hami.io/node-scheduler-policy": "binpack"}, {"n1:0"}),
    ("a policy nobody knows is none", {"hami.io/gpu-scheduler-policy": "mutex"}, {"n1:0"}),
    ("these devices", {"nvidia.com/use-gpuuuid": "n2-gpu1, n2-gpu0"}, {"n2:0"}),
    ("not these devices", {"nvidia.com/nouse-gpuuuid": "n1-gpu0,n2-gpu0,n2-gpu1"}, {"n1:1"}),
    ("a model by part of its name", {"nvidia.com/use-gputype": "h100,a100"}, {"n1:0"}),
    ("not a model", {"nvidia.com/nouse-gputype": "A100"}, set()),
]


@pytest.mark.parametrize(("said", "places"), [row[1:] for row in CHOICES], ids=[row[0] for row in CHOICES])
def test_pods_say_which_devices_they_want(said: dict[str, str], places: set[str]) -> None:
    world = World(gpu_node("n1"), gpu_node("n2"))
    world.add(*(pod(f"p{i}", part(30), created=i, annotated=said) for i in range(2)))
    world.cycle()
    assert {given(world, f"p{i}") for i in range(2)} - {""} == places


def test_an_unhealthy_device_is_given_to_nobody() -> None:
    world = World(gpu_node(unhealthy=[0]), pod("a", part(30)), pod("b", pod_spec(gpu=2), created=1))
    world.cycle()
    assert given(world, "a") == "node-1:1"
    assert why(world, "b") == (
        "no node can ever hold it: asks 2 of nvidia.com/gpu on one node, the most that will do on one is 1"
    )


def test_a_device_that_turned_bad_keeps_its_pods_and_gets_no_more() -> None:
    world = World(gpu_node(gpus=1), pod("a", part(30)))
    world.cycle()
    world.add(gpu_node(gpus=1, unhealthy=[0]), pod("b", part(30), created=1))
    world.cycle()
    assert given(world, "b") == ""
    world.add(gpu_node(gpus=1))
    world.cycle()
    assert given(world, "b") == "node-1:0"


# -- shortage ---------------------------------------------------------------------------------------

NEVER = [
    (
        "too much memory",
        part(memory=50000),
        {},
        "asks 50000 MiB of each nvidia.com/gpu, the largest has 40000 MiB",
    ),
    (
        "another model",
        part(10),
        {"nvidia.com/use-gputype": "H100"},
        "asks for H100, the devices there are NVIDIA-A100",
    ),
    (
        "a device that is not there",
        part(10),
        {"nvidia.com/use-gpuuuid": "gone"},
        "asks for the very devices gone, which no node it may run on has in working order",
    ),
]


@pytest.mark.parametrize(
    ("spec", "said", "message"), [row[1:] for row in NEVER], ids=[row[0] for row in NEVER]
)
def test_what_can_never_be_had(spec: PodSpec, said: dict[str, str], message: str) -> None:
    world = World(gpu_node(), pod("a", spec, annotated=said))
    world.cycle()
    assert why(world, "a") == f"no node can ever hold it: {message}"


def test_a_register_that_cannot_be_read_offers_nothing_and_is_told() -> None:
    bad = replace(
        gpu_node(), metadata=replace(gpu_node().metadata, annotations={"hami.io/node-nvidia-register": "x:"})
    )
    state = ClusterState()
    state.change_node(None, bad)
    assert state.snapshot().devices.share.sum() == 0
    world = World(bad, pod("a", pod_spec(gpu=1)))
    world.cycle()
    assert why(world, "a") == (
        "no node can ever hold it: no node it may run on has a healthy device for nvidia.com/gpu; of node "
        "node-1 the hami.io/node-nvidia-register: cannot read 'x'; expected "
        "id,sharers,MiB,cores,model,numa,healthy"
    )


@pytest.mark.parametrize("key", ["hami.io/node-handshake", "hami.io/node-nvidia-register"])
def test_a_node_that_has_not_registered_yet_offers_nothing(key: str) -> None:
    """It counts as many GPUs as pods may share them."""
    world = World(node(gpu=20, annotated={key: ""}), pod("a", pod_spec(gpu=1)))
    world.cycle()
    assert why(world, "a").endswith("no node it may run on has a healthy device for nvidia.com/gpu")


def test_a_part_out_of_range_is_said() -> None:
    world = World(gpu_node(), pod("a", part(150)))
    world.cycle()
    assert why(world, "a") == "spec: nvidia.com/gpucores: 150 is not from 0 to 100"


# -- the contract -----------------------------------------------------------------------------------


def test_registers_of_either_spelling() -> None:
    old = registered("GPU-1,10,40960,100,A100,0,true:GPU-2,4,0,100,T4,1,false:")
    new = registered(
        '[{"id":"GPU-1","index":0,"count":10,"devmem":40960,"devcore":100,"type":"A100","health":true},'
        '{"id":"GPU-2","index":1,"count":4,"devcore":100,"type":"T4","numa":1,"mode":"mig"}]'
    )
    assert old == new
    assert [(one.id, one.sharers, one.memory, one.healthy) for one in old] == [
        ("GPU-1", 10, 40960, True),
        ("GPU-2", 4, 0, False),
    ]


@pytest.mark.parametrize(
    "text", ["x", "a,b,c,d,e,f,g:", "a,1,-5,100,m,0,true:", "[{]", '[{"id":1}]', "a,1,1,1,m,0,true:" * 2]
)
def test_registers_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match="node-nvidia-register"):
        registered(text)


def test_devices_cut_by_hardware_are_one_for_each_slice() -> None:
    found = registered("a,7,40960,100,A100,0,true,0,mig:b,7,40960,100,A100,0,true,1,hami-core:")
    assert [one.id for one in found] == [*(f"a#{slice_}" for slice_ in range(8)), "b"]
    assert {(one.memory, one.sharers, one.healthy) for one in found[:8]} == {(5120, 1, True)}


def test_each_container_has_devices_of_its_own() -> None:
    """Those of an init container that ends are used again."""
    spec = containers({GPU: 1, CORES: 30}, {}, {GPU: 2, CORES: 30})
    early = [
        replace(spec.containers[0], name="init"),
        replace(spec.containers[0], name="sidecar", restart_policy="Always"),
    ]
    spec = replace(spec, init_containers=early)
    assert asked_of(spec) == (4, Part(30, percent=30))
    there = registered("".join(f"g{i},10,1000,100,A100,0,true:" for i in range(4)))
    said = notes(spec, "n1", there, at(0))
    assert said[ALLOCATED] == (
        "g0,NVIDIA,300,30:;g0,NVIDIA,300,30:;g1,NVIDIA,300,30:;;g2,NVIDIA,300,30:g3,NVIDIA,300,30:;"
    )
    assert held_by(spec, said) == tuple(Held(f"g{i}", 300, 30) for i in range(4))


HOLDINGS = [
    ("two containers on one device", "g,NVIDIA,100,10:;g,NVIDIA,200,20:;", (Held("g", 300, 30, 2),)),
    ("one container has none", ";g,NVIDIA,100,10:;", (Held("g", 100, 10),)),
    ("not to be read", "g,NVIDIA,many,10:;", ()),
    ("cut off", "g,NVIDIA", ()),
    ("negative", "g,NVIDIA,-1,10:;", ()),
    ("nothing", "", ()),
]


@pytest.mark.parametrize(("text", "held"), [row[1:] for row in HOLDINGS], ids=[row[0] for row in HOLDINGS])
def test_annotations_of_others_are_read(text: str, held: tuple[Held, ...]) -> None:
    assert held_by(containers({GPU: 1}, {GPU: 1}), {ALLOCATED: text}) == held
    assert held_by(containers({GPU: 1}, {GPU: 1}), {TO_ALLOCATE: text}) == held


def test_what_another_scheduler_gave_is_not_given_again() -> None:
    """HAMi's pods may ask for different parts in each container, which pods placed here may not."""
    foreign = pod(
        "foreign",
        containers({GPU: 1, CORES: 30}, {GPU: 1, CORES: 50}),
        node="node-1",
        annotated={ALLOCATED: "node-1-gpu0,NVIDIA,12000,30:;node-1-gpu1,NVIDIA,20000,50:;"},
    )
    world = World(gpu_node(), foreign, pod("a", part(60)), pod("b", part(60), created=1))
    world.cycle()
    assert (given(world, "a"), given(world, "b")) == ("node-1:0", "")


def test_a_pod_that_names_no_device_keeps_one_from_others() -> None:
    world = World(gpu_node(), pod("nameless", pod_spec(gpu=1), node="node-1"), pod("a", pod_spec(gpu=2)))
    world.add(pod("b", pod_spec(gpu=1), created=1))
    world.cycle()
    assert (given(world, "a"), given(world, "b")) == ("", "node-1:0")
