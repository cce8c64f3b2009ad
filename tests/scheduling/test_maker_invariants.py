"""What always holds of other makers' devices: none is given twice, none is forgotten.

What devices hold is counted here from the annotations of pods and the admissions of workloads alone, in the
makers' own units: MiB, and the number of pods on a device.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.api import labels
from springtide.api.core import Node, Pod
from springtide.api.devicetopology import equipment_of
from springtide.api.gpus import CORES, GPU, Device, held_by, indices_in
from springtide.api.kueue import Workload
from springtide.api.makerdevices import held_of_makers, wishes_of
from springtide.api.makers import MAKERS, OF_RESOURCE, Maker
from springtide.scheduling.facts import attempt_of
from tests.builders import gpu_node, node, pod, pod_set, pod_spec, workload
from tests.makers import maker_node, wishes
from tests.scheduling.test_device_invariants import expect_equal, interrupted, of, rebuilt, step
from tests.scheduling.world import World


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Nodes of one maker or two, some with none of the devices, some that only count them; and who waits."""
    makers = draw(st.lists(st.sampled_from(MAKERS), min_size=1, max_size=2, unique=True))
    nodes = [node("plain", more={maker.resource: draw(st.integers(0, 2)) for maker in makers})]
    for number in range(draw(st.integers(1, 3))):
        maker = draw(st.sampled_from(makers))
        devices = draw(st.integers(1, 2)) * maker.module
        broken = draw(st.sampled_from([(), (), (0,)]))
        sharers = draw(st.sampled_from([2, 8]))
        nodes.append(maker_node(maker, f"n{number}", devices, sharers=sharers, unhealthy=broken))
    nodes.append(both(makers[0]))
    world = World(*nodes)
    for number in range(draw(st.integers(0, 4))):
        spec = pod_spec(more=draw(requests(makers)))
        world.add(workload(f"w{number}", pod_set(draw(st.integers(1, 3)), spec), created=number))
    for number in range(draw(st.integers(0, 6))):
        world.add(pod(f"p{number}", pod_spec(more=draw(requests(makers))), created=number))
    return world


def both(maker: Maker) -> Node:
    """A node with GPUs and devices of another maker, all of them named."""
    gpus, others = gpu_node("both", 2), maker_node(maker, "both", 2 * maker.module)
    offered = {**others.status.capacity, **gpus.status.capacity}
    notes = {**gpus.metadata.annotations, **others.metadata.annotations}
    return node("both", cpu=64, annotated=notes, more={k: v for k, v in offered.items() if "/" in k})


@st.composite
def requests(draw: st.DrawFn, makers: list[Maker]) -> dict[str, int]:
    """What a pod asks for: devices of one kind, or of two, or of one beside GPUs."""
    found = dict(draw(st.sampled_from(wishes(makers[0]))))
    if len(makers) > 1 and draw(st.booleans()):
        found |= draw(st.sampled_from(wishes(makers[1])))
    if draw(st.integers(0, 3)) == 0:
        found |= {GPU: 1, CORES: draw(st.sampled_from([30, 100]))}
    return found


def check(world: World) -> None:
    """No device is given twice, and the engine counts as a new one would that knows the objects alone."""
    given_: dict[tuple[str, str], list[tuple[int, bool]]] = defaultdict(list)
    for one in of(world, Pod):
        if one.spec.node_name and one.status.phase not in ("Succeeded", "Failed"):
            notes = one.metadata.annotations
            for mine in (*held_by(one.spec, notes), *held_of_makers(one.spec, notes)):
                given_[one.spec.node_name, mine.id].append((mine.memory, False))
    for job in of(world, Workload):
        reserved(world, job, given_)
    for there in of(world, Node):
        for device in equipment_of(there).devices:
            holders = given_[there.metadata.name, device.id]
            assert len(holders) <= (device.sharers if device.healthy else 0), (device, holders)
            assert sum(memory for memory, _ in holders) <= device.memory or not device.memory
            assert len(holders) == 1 or not any(whole for _, whole in holders), (device, holders)
            sizes = {memory for memory, _ in holders}
            assert len(sizes) <= 1 or not getattr(OF_RESOURCE.get(device.kind), "alike", False)
    expect_equal(world.snapshot().devices, rebuilt(world).devices)


def reserved(world: World, job: Workload, given_: dict[tuple[str, str], list[tuple[int, bool]]]) -> None:
    """Places of an admission whose pods do not exist yet, and whether they want whole devices."""
    if job.status.admission is None:
        return
    exist = Counter(
        (one.spec.node_name, one.metadata.annotations.get(labels.DEVICES, "-"))
        for one in of(world, Pod)
        if one.metadata.labels.get(labels.WORKLOAD) == job.metadata.name
        and one.metadata.labels.get(labels.ATTEMPT) == str(attempt_of(job))
    )
    spec = job.spec.pod_sets[0].template.spec
    wish = {one.maker.resource: one.part for one in wishes_of(spec, {})}
    for (name, devices), count in (Counter(world.devices(job.key)) - exist).items():
        there = world.objects[(Node, name)]
        assert isinstance(there, Node)
        for index in indices_in(devices):
            device: Device = equipment_of(there).devices[index]
            part = wish.get(device.kind)
            if part is not None:
                given_[name, device.id] += [(part.needed(device.memory), part.whole)] * count


@settings(max_examples=120)
@given(worlds())
def test_no_device_is_given_twice(world: World) -> None:
    world.cycle()
    check(world)
    assert world.cycle().commands == ()


@settings(max_examples=60)
@given(worlds(), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=14))
def test_it_holds_through_starts_ends_evictions_and_crashes(
    world: World, steps: list[tuple[int, int]]
) -> None:
    created: dict[str, list[Pod]] = {}
    for choice, index in steps:
        if choice == 4:
            interrupted(world, index)
        else:
            world.cycle()
            step(world, choice, f"default/w{index}", f"default/p{index}", created)
        check(world)
