"""Devices of other makers through HAMi's contract: what pods may ask, get, and say in their annotations."""

from __future__ import annotations

import json

import pytest

from springtide.api import labels
from springtide.api.core import Pod
from springtide.api.gpus import CORES, GPU
from springtide.api.makerdevices import wishes_of
from springtide.api.makers import HANDSHAKES, MAKERS, OF_RESOURCE, Maker
from tests.builders import gpu_node, node, pod, pod_set, pod_spec, workload
from tests.makers import maker_node, wishes
from tests.scheduling.test_maker_invariants import both
from tests.scheduling.world import World

B4, C, P = "huawei.com/Ascend910B4", "huawei.com/Ascend910C", "huawei.com/Ascend310P"
MLU, DCU, MT = "cambricon.com/vmlu", "hygon.com/dcunum", "mthreads.com/vgpu"
SGPU, VXPU, AMD, BI = "metax-tech.com/sgpu", "kunlunxin.com/vxpu", "amd.com/gpu", "iluvatar.ai/BI-V100-vgpu"


def bound(world: World, name: str) -> Pod:
    found = world.objects[(Pod, f"default/{name}")]
    assert isinstance(found, Pod)
    return found


def message(world: World) -> str:
    return " ".join(one.message for one in bound(world, "p").status.conditions)


def notes(
    resource: str, more: dict[str, int | str], annotated: dict[str, str] | None = None
) -> dict[str, str]:
    """The annotations of a pod that asks for this, on a node that has it."""
    there = maker_node(OF_RESOURCE[resource], "n")
    world = World(there, pod("p", pod_spec(more={resource: 1, **more}), annotated=annotated or {}))
    world.cycle()
    assert bound(world, "p").spec.node_name == "n", message(world)
    return bound(world, "p").metadata.annotations


@pytest.mark.parametrize(
    ("resource", "more", "key", "said"),
    [
        (B4, {f"{B4}-memory": 5000},
         "hami.io/Ascend910B4-devices-allocated", "n-Ascend910B4-0,Ascend910B4,8192,0:;"),
        (B4, {}, "hami.io/Ascend910B4-devices-to-allocate", "n-Ascend910B4-0,Ascend910B4,32768,0:;"),
        (P, {f"{P}-memory": 12289},
         "hami.io/Ascend310P-devices-allocated", "n-Ascend310P-0,Ascend310P,24576,0:;"),
        (MLU, {"cambricon.com/mlu.smlu.vmemory": 20, "cambricon.com/mlu.smlu.vcore": 16},
         "CAMBRICON_DSMLU_PROFILE", "0_16_20"),
        (MLU, {"cambricon.com/mlu.smlu.vmemory": 20, "cambricon.com/mlu.smlu.vcore": 16},
         "hami.io/cambricon-mlu-devices-allocated", "n-cambricon-mlu-0,MLU,5120,16:;"),
        (MLU, {}, "CAMBRICON_DSMLU_ASSIGNED", "false"),
        (DCU, {"hygon.com/dcumem": 2000, "hygon.com/dcucores": 60}, "hami.io/dcu-devices-allocated",
         "n-DCU-0,DCU,2000,60:;"),
        (DCU, {"hygon.com/dcumem": 2000}, "hami.io/dcu-devices-allocated", "n-DCU-0,DCU,32768,100:;"),
        (BI, {"iluvatar.ai/BI-V100.vMem": 64, "iluvatar.ai/BI-V100.vCore": 50},
         "hami.io/BI-V100-devices-allocated",
         "n-BI-V100-0,BI-V100,16384,50:;"),
        (MT, {"mthreads.com/sgpu-memory": 32, "mthreads.com/sgpu-core": 8},
         "hami.io/mthreads-vgpu-devices-allocated", "n-mthreads-0,Mthreads,16384,8:;"),
        (MT, {"mthreads.com/sgpu-memory": 32}, "mthreads.com/gpu-index", "0"),
        (MT, {"mthreads.com/sgpu-memory": 32}, "mthreads.com/predicate-node", "n"),
        (SGPU, {"metax-tech.com/vmemory": 4, "metax-tech.com/vcore": 60},
         "metax-tech.com/gpu-devices-allocated",
         '[[{"uuid":"n-Metax-SGPU-0","compute":60,"vRam":4096}]]'),
        (SGPU, {"metax-tech.com/vmemory": "2048Mi", "metax-tech.com/vcore": 60},
         "hami.io/metax-sgpu-devices-allocated", "n-Metax-SGPU-0,Metax-SGPU,2048,60:;"),
        ("metax-tech.com/gpu", {}, "hami.io/metax-gpu-devices-allocated", "n-metax-0,Metax-GPU,65536,100:;"),
        ("enflame.com/gcu", {}, "hami.io/enflame-gcu-devices-allocated", "n-GCU-0,GCU,100,100:;"),
        ("kunlunxin.com/xpu", {}, "BAIDU_COM_DEVICE_IDX", "0"),
        (VXPU, {"kunlunxin.com/vxpu-memory": 20000},
         "hami.io/xpu-devices-allocated", "n-XPU-0,XPU,24576,25:;"),
        (AMD, {"amd.com/gpumem": 8000, "amd.com/gpucores": 30}, "hami.io/amd-devices-allocated",
         "n-AMD-0,AMD,8000,91:;"),
        ("vastaitech.com/va", {}, "hami.io/Vastai-devices-allocated", "n-Vastai-0,Vastai,32768,0:;"),
        ("birentech.com/gpu", {}, "hami.io/Biren-devices-to-allocate", "n-Biren-0,Biren,32768,0:;"),
    ],
)  # fmt: skip
def test_annotations_say_to_each_device_plugin_what_hami_would(
    resource: str, more: dict[str, int | str], key: str, said: str
) -> None:
    found = notes(resource, more)
    assert found[key] == said
    assert found["hami.io/vgpu-node"] == "n"
    assert found["hami.io/bind-phase"] == "allocating"


def test_a_template_is_named_to_ascends_runtime() -> None:
    found = notes(B4, {f"{B4}-memory": 9000})
    assert json.loads(found[B4]) == [{"UUID": "n-Ascend910B4-0", "temp": "vir10_3c_16g", "memory": 16384}]


def test_npus_cut_by_software_are_cut_anyhow_and_only_on_nodes_that_can() -> None:
    mode = {"huawei.com/vnpu-mode": "hami-core"}
    spec = pod_spec(more={B4: 1, f"{B4}-memory": 5000, f"{B4}-core": 30})
    maker = OF_RESOURCE[B4]
    soft = maker_node(maker, "soft")
    soft.metadata.annotations["hami-vnpu-core"] = "true"
    world = World(maker_node(maker, "hard"), soft, *(pod(f"p{n}", spec, annotated=mode) for n in range(8)))
    world.cycle()
    placed = [bound(world, f"p{n}") for n in range(8)]
    assert [one.spec.node_name for one in placed].count("soft") == 6  # three of 30 % on each of two
    assert [one.spec.node_name for one in placed].count("") == 2
    said = json.loads(placed[0].metadata.annotations[B4])[0]
    assert (said["memory"], said["core"], "temp" in said) == (5000, 30, False)


@pytest.mark.parametrize(
    ("more", "annotated", "words"),
    [
        ({B4: 1, f"{B4}-memory": 40000}, {}, [f"{B4}-memory", "40000", "32768", "8192, 16384"]),
        ({B4: 2, f"{B4}-memory": 8192}, {}, [f"{B4}-memory", "8192", "parts are of one device"]),
        ({B4: 1, f"{B4}-memory": 8192, f"{B4}-core": 20}, {}, [f"{B4}-core", "templates", "hami-core"]),
        ({C: 3}, {}, [C, "3", "multiple of 2", "ask for 4"]),
        ({MT: 1, "mthreads.com/sgpu-memory": 5}, {}, ["sgpu-memory", "5", "2, 4, 8, 16, 32, 64, 96"]),
        ({MLU: 1, "cambricon.com/mlu.smlu.vcore": 130}, {}, ["vcore", "130", "0 to 100"]),
        ({MLU: 2, "cambricon.com/mlu.smlu.vcore": 30}, {}, ["vcore", "30", "parts are of one device"]),
        ({SGPU: 1}, {"metax-tech.com/sgpu-qos-policy": "fixed-share"}, ["sgpu-qos-policy", "fixed-share"]),
        ({SGPU: 1}, {"metax-tech.com/sgpu-app-class": "online"}, ["sgpu-app-class", "leave it out"]),
        ({C: 2}, {"volcano.sh/numa-topology-policy": "restricted"}, ["restricted", C, "leave it out"]),
        ({DCU: 1, "hygon.com/dcumem": -1}, {}, ["dcumem", "-1", "less than 0"]),
    ],
)
def test_what_a_maker_cannot_express_is_said_with_what_to_do(
    more: dict[str, int], annotated: dict[str, str], words: list[str]
) -> None:
    world = World(node("n"), pod("p", pod_spec(more=more), annotated=annotated))
    world.cycle()
    assert all(word in message(world) for word in words), message(world)


def test_two_npus_of_a_module_go_together() -> None:
    maker = OF_RESOURCE[C]
    world = World(
        maker_node(maker, "n", 6, unhealthy=(1,)), *(pod(f"p{n}", pod_spec(more={C: 2})) for n in range(3))
    )
    world.cycle()
    given = [bound(world, f"p{n}").metadata.annotations.get(labels.DEVICES) for n in range(3)]
    assert sorted(filter(None, given)) == ["2.3", "4.5"]


def test_parts_of_one_xpu_are_of_one_size() -> None:
    maker = OF_RESOURCE[VXPU]
    sizes = (24576, 49152, 24576, 24576)
    waiting = [
        pod(f"p{n}", pod_spec(more={VXPU: 1, maker.memory: size}), created=n) for n, size in enumerate(sizes)
    ]
    world = World(maker_node(maker, "n", 1), *waiting)
    world.cycle()
    assert [bool(bound(world, f"p{n}").spec.node_name) for n in range(4)] == [True, False, True, True]


def test_one_pod_may_have_devices_of_several_kinds_and_gives_all_back() -> None:
    maker = OF_RESOURCE[B4]
    spec = pod_spec(more={GPU: 1, CORES: 60, B4: 1, f"{B4}-memory": 16384})
    world = World(
        both(maker),
        gpu_node("gpus"),
        maker_node(maker, "npus"),
        pod("p0", spec),
        pod("p1", spec),
        pod("p2", spec),
    )
    world.cycle()
    first = bound(world, "p0").metadata.annotations
    assert first[labels.DEVICES] == "0.2"
    assert first["hami.io/vgpu-devices-allocated"] == "both-gpu0,NVIDIA,0,60:;".replace(",0,60", ",24000,60")
    assert first["hami.io/Ascend910B4-devices-allocated"] == "both-Ascend910B4-0,Ascend910B4,16384,0:;"
    assert [bound(world, f"p{n}").spec.node_name for n in range(3)] == ["both", "both", ""]
    world.remove(bound(world, "p0"))
    world.cycle()
    assert bound(world, "p2").metadata.annotations[labels.DEVICES] == "0.2"


def test_a_gang_gets_its_npus_by_name_and_its_pods_say_so() -> None:
    world = World(
        maker_node(OF_RESOURCE[P], "n"),
        workload("w", pod_set(4, pod_spec(more={P: 1, f"{P}-memory": 6000}))),
    )
    world.cycle()
    made = world.start_pods("default/w")
    said = [one.metadata.annotations["hami.io/Ascend310P-devices-allocated"] for one in made]
    assert sorted(said) == [f"n-Ascend310P-{number},Ascend310P,6144,0:;" for number in (0, 0, 0, 1)]


@pytest.mark.parametrize("maker", HANDSHAKES.values(), ids=lambda maker: maker.word)
def test_a_node_that_has_not_registered_yet_gets_no_pods_that_want_its_devices(maker: Maker) -> None:
    """What such a node counts is who may share a device, not devices."""
    waits = node("n", more={maker.resource: 8}, annotated={maker.handshake: "Requesting_2026-01-01 00:00:00"})
    world = World(waits, pod("p", pod_spec(more={maker.resource: maker.module})))
    world.cycle()
    assert not bound(world, "p").spec.node_name


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.word)
def test_without_hami_devices_are_counted_as_any_resource(maker: Maker) -> None:
    asked = wishes(maker)[0]
    counts = node("n", more={maker.resource: asked[maker.resource]})
    world = World(counts, *(pod(f"p{n}", pod_spec(more=asked), created=n) for n in range(2)))
    world.cycle()
    assert [bool(bound(world, f"p{n}").spec.node_name) for n in range(2)] == [True, False]


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.word)
def test_a_register_that_cannot_be_read_offers_nothing_and_says_why(maker: Maker) -> None:
    if maker.register not in maker_node(maker).metadata.annotations:
        return
    broken = node("n", more={maker.resource: 8}, annotated={maker.register: "[{]"})
    world = World(broken, pod("p", pod_spec(more={maker.resource: maker.module})))
    world.cycle()
    assert maker.register in message(world)


def test_a_pod_may_name_its_device() -> None:
    maker = OF_RESOURCE[DCU]
    spec = pod_spec(more={DCU: 1, maker.memory: 1000, maker.cores: 10})
    wanted = pod("p", spec, annotated={"hygon.com/use-gpuuuid": "n-DCU-1"})
    world = World(maker_node(maker, "n"), wanted)
    world.cycle()
    assert bound(world, "p").metadata.annotations["hami.io/dcu-devices-allocated"] == "n-DCU-1,DCU,1000,10:;"


def test_nothing_is_asked_by_pods_without_devices() -> None:
    assert wishes_of(pod_spec(cpu=1), {}) == ()
