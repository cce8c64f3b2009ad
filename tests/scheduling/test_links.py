"""Inside a node: GPUs near each other and the NICs beside them, rules about NUMA nodes, nothing twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.api import labels
from springtide.api.core import Node, Pod
from springtide.api.devicetopology import SCORES, Layout, Nic, equipment_of, nic_names
from springtide.api.gpus import REGISTER, indices_in, spelled
from springtide.api.kueue import Workload
from springtide.api.struct import replace
from springtide.scheduling.links import (
    BEST_EFFORT,
    RESTRICTED,
    SINGLE,
    bits,
    choose,
    least_width,
    nics_beside,
    of_bits,
    room,
)
from tests.builders import evicted, gpu_node, node, pod, pod_set, pod_spec, workload
from tests.scheduling.world import World

NIC = "rdma/hca"
POLICY = "volcano.sh/numa-topology-policy"


def topology(name: str, gpus: int = 8, *, switch: int = 2, numa: int = 4, nvlink: int = 0) -> str:
    """The annotation of a node: so many GPUs a switch and a NUMA node, one NIC at each switch."""
    devices = [
        {"id": f"{name}-gpu{i}", "numa": i // numa, "switch": f"s{i // switch}"}
        | ({"nvlink": str(i // nvlink)} if nvlink else {})
        for i in range(gpus)
    ]
    beside = [
        {"name": f"mlx5_{j}", "resource": NIC, "numa": j * switch // numa, "switch": f"s{j}"}
        for j in range(gpus // switch)
    ]
    return json.dumps({"devices": devices, "nics": beside})


def host(name: str = "a", gpus: int = 8, **said: int) -> Node:
    """A node that names its GPUs and NICs by itself, without HAMi."""
    nics = gpus // said.get("switch", 2)
    notes = {labels.DEVICE_TOPOLOGY: topology(name, gpus, **said)}
    return node(name, cpu=128, gpu=gpus, more={NIC: nics}, annotated=notes)


def job(
    name: str, gpus: int, nics: int = 0, *, pods: int = 1, policy: str = "", created: float = 0
) -> Workload:
    spec = pod_spec(gpu=gpus, more={NIC: nics} if nics else None)
    notes = {POLICY: policy} if policy else {}
    return workload(name, pod_set(pods, spec, annotated=notes), created=created, job=name)


def given_to(world: World, name: str) -> list[tuple[str, str]]:
    return world.devices(f"default/{name}")


def test_two_gpus_share_a_switch_and_the_nic_is_theirs() -> None:
    world = World(host(), job("one", 1), job("two", 2, 1, created=1))
    world.cycle()
    assert given_to(world, "one") == [("a", "0")]
    assert given_to(world, "two") == [("a", "2.3_1")]
    (made,) = world.start_pods("default/two")
    assert made.metadata.annotations[labels.DEVICES] == "2.3_1"
    assert made.metadata.annotations[labels.NICS] == "mlx5_1"
    assert not any(key.startswith("hami.io") for key in made.metadata.annotations), "HAMi is not there"


def test_one_gpu_is_taken_where_least_is_broken() -> None:
    world = World(host(), job("one", 1), job("next", 1, created=1), job("four", 4, created=2))
    world.cycle()
    assert given_to(world, "one") + given_to(world, "next") == [("a", "0"), ("a", "1")]
    assert given_to(world, "four") == [("a", "4.5.6.7")], "one NUMA node whole"


def test_a_group_of_nvlink_comes_before_a_switch() -> None:
    world = World(host(nvlink=4, switch=2, numa=2), job("four", 4))
    world.cycle()
    assert given_to(world, "four") == [("a", "0.1.2.3")]


def test_nics_follow_the_gpus_and_are_not_given_twice() -> None:
    world = World(host(), job("half", 4, 2), job("other", 4, 2, created=1))
    world.cycle()
    assert given_to(world, "half") == [("a", "0.1.2.3_0.1")]
    assert given_to(world, "other") == [("a", "4.5.6.7_2.3")]


def test_the_node_where_they_are_nearer_is_chosen() -> None:
    """On a, the free GPUs are of two NVLink groups; on b, of one."""
    world = World(host("a", nvlink=4), host("b", nvlink=4))
    held = pod("held", pod_spec(gpu=4), node="a", annotated={labels.DEVICES: "0.1.4.5"})
    held_b = pod("held-b", pod_spec(gpu=4), node="b", annotated={labels.DEVICES: "0.1.2.3"})
    world.add(held, held_b, job("four", 4))
    world.cycle()
    assert given_to(world, "four") == [("b", "4.5.6.7")]


@pytest.mark.parametrize(
    ("policy", "taken", "starts"),
    [
        ("", "0.1.2.4.5.6", True),
        (BEST_EFFORT, "0.1.2.4.5.6", True),
        (SINGLE, "0.1.2.4.5.6", False),
        (RESTRICTED, "0.1.2.4.5.6", False),
        (SINGLE, "0.1.4.5.6", True),
        (RESTRICTED, "0.1.4.5.6", True),
    ],
)
def test_rules_about_numa_nodes(policy: str, taken: str, starts: bool) -> None:
    """Two GPUs are asked for; of each NUMA node's four so many are taken."""
    held = pod("held", pod_spec(gpu=len(taken.split("."))), node="a", annotated={labels.DEVICES: taken})
    world = World(host(), held, job("two", 2, policy=policy))
    world.cycle()
    assert world.is_admitted("default/two") is starts


def test_what_fits_no_numa_node_may_span_as_few_as_it_takes() -> None:
    world = World(host(), job("six", 6, policy=RESTRICTED), job("never", 6, policy=SINGLE, created=1))
    world.cycle()
    assert world.is_admitted("default/six")
    message = world.condition("default/never").message
    assert "single-numa-node" in message, message
    assert "no node can ever hold it" in message


def test_a_node_that_does_not_say_where_its_gpus_sit_takes_none_that_ask() -> None:
    world = World(node("plain", cpu=64, gpu=8), job("two", 2, policy=SINGLE))
    world.cycle()
    assert "says on which NUMA node" in world.condition("default/two").message


def test_hami_says_the_numa_nodes_and_asks_in_its_own_way() -> None:
    world = World(gpu_node("a", 2))
    entries = "".join(f"gpu{i},10,40000,100,NVIDIA-A100,{i // 2},true:" for i in range(4))
    world = World(node("a", cpu=64, gpu=40, annotated={REGISTER: entries}))
    bound = {"nvidia.com/numa-bind": "true"}
    for name in ("one", "two", "three"):
        world.add(workload(name, pod_set(1, pod_spec(gpu=2), annotated=bound), job=name))
    world.cycle()
    assert sorted(given_to(world, "one") + given_to(world, "three")) == [("a", "0.1"), ("a", "2.3")]
    assert not world.is_admitted("default/two")


def test_parts_of_gpus_follow_the_rule_too() -> None:
    entries = "".join(f"gpu{i},10,40000,100,NVIDIA-A100,{i // 2},true:" for i in range(4))
    world = World(node("a", cpu=64, gpu=40, annotated={REGISTER: entries}))
    half = pod_spec(gpu=2, more={"nvidia.com/gpucores": 60})
    for name in ("one", "two", "late"):
        world.add(workload(name, pod_set(1, half, annotated={POLICY: SINGLE}), job=name))
    world.cycle()
    placed = [
        one
        for name in ("one", "two", "late")
        if world.is_admitted(f"default/{name}")
        for one in given_to(world, name)
    ]
    assert sorted(placed) == [("a", "0.1"), ("a", "2.3")]


def test_scores_of_pairs_are_what_hami_measured() -> None:
    entries = "".join(f"gpu{i},1,40000,100,NVIDIA-V100,0,true:" for i in range(4))
    scores = [
        {"uuid": f"gpu{i}", "score": {f"gpu{j}": 200 if (i + j) == 3 else 10 for j in range(4) if j != i}}
        for i in range(4)
    ]
    notes = {REGISTER: entries, SCORES: json.dumps(scores)}
    world = World(node("a", cpu=64, gpu=4, annotated=notes), job("two", 2), job("more", 2, created=1))
    world.cycle()
    assert given_to(world, "two") + given_to(world, "more") == [("a", "0.3"), ("a", "1.2")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "truncated"),
        ('{"gpus": []}', "unknown field `gpus`"),
        ('{"devices": [{"id": "x", "numa": "0"}]}', "numa"),
        ('{"devices": [{"id": "x"}, {"id": "x"}]}', "id 'x': each needs one of its own"),
        ('{"nics": [{"name": "", "resource": "rdma/hca"}]}', "name '': each needs one of its own"),
        ('{"devices": [{"id": "x", "numa": -2}]}', "numa -2 is no NUMA node"),
        (
            json.dumps({"nics": [{"name": f"n{i}", "resource": NIC} for i in range(63)]}),
            "63 are listed, at most 62",
        ),
    ],
)
def test_what_cannot_be_read_is_said(text: str, why: str) -> None:
    found = equipment_of(node("a", gpu=8, annotated={labels.DEVICE_TOPOLOGY: text}))
    assert found.layout is None
    assert labels.DEVICE_TOPOLOGY in found.trouble
    assert why in found.trouble


def test_of_a_node_with_a_register_the_gpus_are_kept_all_the_same() -> None:
    one = gpu_node("a", 2)
    notes = {**one.metadata.annotations, labels.DEVICE_TOPOLOGY: '{"devices": [{"id": "stranger"}]}'}
    found = equipment_of(replace(one, metadata=replace(one.metadata, annotations=notes)))
    assert [device.id for device in found.devices] == ["a-gpu0", "a-gpu1"]
    assert "'stranger' is not in hami.io/node-nvidia-register" in found.trouble


def test_an_unknown_policy_is_refused_by_name() -> None:
    world = World(host(), job("two", 2, policy="always"))
    world.cycle()
    message = world.condition("default/two").message
    assert "'always' is none of none, best-effort, restricted, single-numa-node" in message


@given(st.lists(st.integers(0, 40), unique=True), st.lists(st.integers(0, 61), unique=True))
def test_what_is_spelled_is_read_again(devices: list[int], nics: list[int]) -> None:
    indices = (*devices, *(~one for one in nics))
    assert indices_in(spelled(indices)) == (indices if devices else ())


def test_alike_nodes_share_one_layout() -> None:
    first, second = (equipment_of(host(name)).layout for name in "ab")
    assert first is second
    assert nic_names(host(), [0, 3]) == ["mlx5_0", "mlx5_3"]
    assert nic_names(host(), [4]) == []


# -- against the obvious ---------------------------------------------------------------------------

layouts = st.builds(
    lambda numa, switch, group, nics: layout(numa, switch, group, nics),
    st.lists(st.integers(0, 1), min_size=2, max_size=6),
    st.lists(st.integers(0, 3), min_size=6, max_size=6),
    st.lists(st.integers(0, 2), min_size=6, max_size=6),
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), max_size=4),
)


def layout(numa: list[int], switch: list[int], group: list[int], nics: list[tuple[int, int]]) -> Layout:
    size = len(numa)
    links = tuple(
        tuple(
            0
            if i == j
            else 3
            if group[i] == group[j]
            else 2
            if switch[i] == switch[j]
            else int(numa[i] == numa[j])
            for j in range(size)
        )
        for i in range(size)
    )
    beside = tuple(Nic(f"n{i}", NIC, at, f"s{sw}") for i, (at, sw) in enumerate(nics))
    return Layout(tuple(numa), tuple(f"s{one}" for one in switch[:size]), links, beside)


policies = st.sampled_from(["", BEST_EFFORT, RESTRICTED, SINGLE])


@given(layouts, st.integers(0, 63), st.integers(0, 15), st.integers(1, 6), policies, st.integers(0, 3))
def test_the_chosen_set_is_allowed_and_no_allowed_set_is_nearer(
    where: Layout, free: int, nics: int, count: int, policy: str, wanted: int
) -> None:
    free &= (1 << len(where.numa)) - 1
    nics &= where.all_nics
    asked = ((NIC, wanted),) if wanted else ()
    found = choose(where, free, nics, count, policy, asked)
    allowed = [
        one
        for one in combinations(bits(free), count)
        if is_allowed(where, one, count, policy)
        and (policy not in (RESTRICTED, SINGLE) or enough_nics(where, one, nics, wanted))
    ]
    if not allowed:
        assert found is None
        return
    assert found is not None
    devices, given_nics = found
    assert devices in allowed
    assert len(set(given_nics)) == len(given_nics) == min(wanted, nics.bit_count())
    assert not of_bits(given_nics) & ~nics
    widths = {one: len({where.numa[i] for i in one}) for one in allowed}
    if policy:
        assert widths[devices] == min(widths.values())
        allowed = [one for one in allowed if widths[one] == widths[devices]]
    assert farthest(where, devices) == max(farthest(where, one) for one in allowed)


def is_allowed(where: Layout, devices: Sequence[int], count: int, policy: str) -> bool:
    width = len({where.numa[one] for one in devices})
    if policy == SINGLE:
        return width == 1
    return policy != RESTRICTED or width == least_width(where, count)


def enough_nics(where: Layout, devices: Sequence[int], nics: int, wanted: int) -> bool:
    numa = {where.numa[one] for one in devices}
    return sum(where.nics[one].numa in numa for one in bits(nics)) >= wanted


def farthest(where: Layout, devices: Sequence[int]) -> int:
    return min((where.links[i][j] for i, j in combinations(devices, 2)), default=0)


@given(layouts, st.integers(0, 63), st.integers(0, 15), st.integers(1, 3), policies)
def test_as_many_fit_as_are_taken_one_after_the_other(
    where: Layout, free: int, nics: int, count: int, policy: str
) -> None:
    free &= (1 << len(where.numa)) - 1
    pods = room(where, free, nics & where.all_nics, count, policy, ())
    assert pods <= free.bit_count() // count
    assert (pods > 0) is (choose(where, free, nics & where.all_nics, count, policy, ()) is not None)


def test_nics_are_spread_over_the_switches_of_the_gpus() -> None:
    where = layout([0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0], [(0, 0), (0, 0), (0, 1), (1, 3)])
    assert nics_beside(where, (0, 2), 0b1111, ((NIC, 2),), hard=False) == (0, 2)
    assert nics_beside(where, (0, 2), 0b1010, ((NIC, 2),), hard=False) == (1, 3)
    assert nics_beside(where, (0, 2), 0b1010, ((NIC, 2),), hard=True) is None


# -- histories -------------------------------------------------------------------------------------

wishes = st.tuples(st.integers(1, 4), st.integers(0, 2), st.integers(1, 2), policies)
steps = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=14)


@settings(max_examples=30, deadline=None)
@given(st.lists(wishes, min_size=1, max_size=6), steps)
def test_no_gpu_and_no_nic_is_given_twice_whatever_happens(wanted, history) -> None:  # type: ignore[no-untyped-def]
    world = World(host("a"), host("b", nvlink=4), host("c", 4, switch=4))
    world.add(
        *(job(f"w{i}", g, n, pods=p, policy=rule, created=i) for i, (g, n, p, rule) in enumerate(wanted))
    )
    world.add(*(pod(f"p{i}", pod_spec(gpu=i, more={NIC: 1}), created=9) for i in (1, 2)))
    for choice, index in history:
        world.cycle()
        happen(world, choice, f"w{index}", f"default/p{index}")
        check(world)
    for _ in range(3):
        world.cycle()
        check(world)
    assert world.cycle().commands == ()


def happen(world: World, choice: int, name: str, plain: str) -> None:
    one, single = world.objects.get((Workload, f"default/{name}")), world.objects.get((Pod, plain))
    if choice == 0 and isinstance(single, Pod) and single.spec.node_name:
        world.remove(single)
    elif choice == 1 and isinstance(one, Workload) and one.status.admission is not None:
        if not [p for p in of(world, Pod) if p.metadata.labels.get(labels.WORKLOAD) == name]:
            world.start_pods(one.key)
    elif choice == 2 and isinstance(one, Workload) and one.status.admission is not None:
        world.add(evicted(one))
    elif choice == 3:
        fresh = World(queues=False)
        fresh.add(*reversed(list(world.objects.values())))
        world.state = fresh.state
    elif choice == 4 and isinstance(one, Workload):
        world.remove(*(p for p in of(world, Pod) if p.metadata.labels.get(labels.WORKLOAD) == name), one)


def of(world: World, kind: type) -> list:  # type: ignore[type-arg]
    return [found for found in world.objects.values() if isinstance(found, kind)]


def check(world: World) -> None:
    """Counted from the objects alone: who holds what, and that the scheduler thinks the same."""
    held: list[tuple[str, int]] = []
    for one in of(world, Pod):
        if one.spec.node_name and labels.DEVICES in one.metadata.annotations:
            held += [(one.spec.node_name, i) for i in indices_in(one.metadata.annotations[labels.DEVICES])]
    for one in of(world, Workload):
        started = any(p.metadata.labels.get(labels.WORKLOAD) == one.metadata.name for p in of(world, Pod))
        if one.status.admission is not None and not started:
            held += [(at, i) for at, text in world.devices(one.key) for i in indices_in(text)]
    assert len(held) == len(set(held)), held
    snapshot = world.snapshot()
    for row, facts in enumerate(snapshot.nodes.facts):
        assert facts.layout is not None
        taken = {i for at, i in held if at == facts.name}
        free = {int(i) for i in np.flatnonzero(snapshot.devices.share[row] == 100)}
        assert free == set(range(len(facts.devices))) - taken
        assert set(bits(int(snapshot.devices.nics[row]))) == set(range(len(facts.layout.nics))) - {
            ~i for i in taken
        }


def test_slices_of_a_gpu_are_not_counted_as_gpus_of_a_numa_node() -> None:
    cut = '[{"id":"g","count":7,"devmem":81920,"type":"A100","health":true,"mode":"mig"}]'
    world = World(host(), node("c", gpu=7, annotated={REGISTER: cut}), job("six", 6, policy=SINGLE))
    world.cycle()
    assert "the most devices of one NUMA node are 4" in world.condition("default/six").message
