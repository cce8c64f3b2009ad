"""What always holds of devices, whatever happens in whatever order: none is given twice, and none forgotten.

What devices hold is counted here from the annotations of pods and the admissions of workloads alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.api import labels
from springtide.api.commands import Bind
from springtide.api.core import Node, Pod, PodSpec
from springtide.api.gpus import asked_of, held_by, indices_in, registered_by
from springtide.api.kueue import Workload
from springtide.api.meta import Object
from springtide.api.struct import replace
from springtide.scheduling.devices import WHOLE, DeviceRequest, Devices
from springtide.scheduling.inventory import devices_of
from springtide.scheduling.nodes import facts_of
from springtide.scheduling.placement import Placement
from springtide.scheduling.plan import plan
from springtide.scheduling.policies import FRAGMENTS, PACKING, SPREAD
from springtide.scheduling.releasing import held_by as held_by_workload
from springtide.scheduling.sharing import GPU
from tests.builders import at, evicted, gpu_node, node, pod, pod_set, pod_spec, with_condition, workload
from tests.scheduling.world import World

parts = st.one_of(
    st.integers(1, 2).map(lambda gpus: pod_spec(gpu=gpus)),
    st.builds(
        lambda gpus, share, memory: pod_spec(
            gpu=gpus, more={"nvidia.com/gpucores": share, **({"nvidia.com/gpumem": memory} if memory else {})}
        ),
        st.integers(1, 2),
        st.sampled_from([0, 10, 30, 33, 50, 70, 99]),
        st.sampled_from([0, 1, 3333, 5000, 10000]),
    ),
)
policies = st.sampled_from([FRAGMENTS, PACKING, SPREAD])


@st.composite
def clusters(draw: st.DrawFn) -> list[Node]:
    found = [
        gpu_node(
            f"n{index}",
            draw(st.integers(1, 3)),
            gpu_memory=draw(st.sampled_from([0, 8000, 10000])),
            sharers=draw(st.sampled_from([2, 10])),
            unhealthy=draw(st.sampled_from([(), (), (0,)])),
        )
        for index in range(draw(st.integers(1, 3)))
    ]
    return [*found, node("plain", gpu=draw(st.integers(0, 2)))]


@st.composite
def waiting(draw: st.DrawFn) -> list[Object]:
    jobs = [
        workload(f"w{i}", pod_set(draw(st.integers(1, 4)), draw(parts)), created=i)
        for i in range(draw(st.integers(0, 5)))
    ]
    pods = [pod(f"p{i}", draw(parts), created=i) for i in range(draw(st.integers(0, 6)))]
    return [*jobs, *pods]


def held(world: World) -> dict[tuple[str, str], Counter[str]]:
    """Power, memory and pods of every device by the objects alone."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for one in of(world, Pod):
        if one.spec.node_name and one.status.phase not in ("Succeeded", "Failed"):
            for mine in held_by(one.spec, one.metadata.annotations):
                amounts = {"power": mine.share, "memory": mine.memory, "pods": mine.sharers}
                amounts["whole"] = mine.share == WHOLE
                found[(one.spec.node_name, mine.id)].update(amounts)
    for job in of(world, Workload):
        if job.status.admission is None:
            continue
        exist = Counter(
            (one.spec.node_name, one.metadata.annotations.get(labels.DEVICES, "-"))
            for one in of(world, Pod)
            if one.metadata.labels.get(labels.WORKLOAD) == job.metadata.name
            and one.metadata.labels.get(labels.ATTEMPT) == str(attempt(job))
        )
        for (name, devices), count in (Counter(world.devices(job.key)) - exist).items():
            reserve(world, job.spec.pod_sets[0].template.spec, name, devices, count, found)
    return found


def reserve(
    world: World,
    spec: PodSpec,
    name: str,
    devices: str,
    count: int,
    found: dict[tuple[str, str], Counter[str]],
) -> None:
    there = world.objects[(Node, name)]
    assert isinstance(there, Node)
    asked = asked_of(spec)
    assert asked is not None
    for index in indices_in(devices):
        device = registered_by(there)[index]
        power = WHOLE if asked[1].whole else asked[1].share
        amounts = {"power": power, "memory": asked[1].needed(device.memory), "pods": 1}
        amounts["whole"] = asked[1].whole
        for _ in range(count):
            found[(name, device.id)].update(amounts)


def of(world: World, kind: type) -> list:  # type: ignore[type-arg]
    return [found for (known, _), found in world.objects.items() if known is kind]


def attempt(job: Workload) -> int:
    state = job.status.requeue_state
    return (state.count or 0) if state is not None else 0


def check(world: World) -> None:
    """No device is given twice, and the engine knows what it holds."""
    given_ = held(world)
    snapshot = world.snapshot()
    for row, facts in enumerate(snapshot.nodes.facts):
        for column, device in enumerate(facts.devices):
            mine = given_[(facts.name, device.id)]
            assert mine["power"] <= WHOLE, (facts.name, device, mine)
            assert not device.memory or mine["memory"] <= device.memory
            assert mine["pods"] <= device.sharers
            assert not mine["whole"] or mine["pods"] == 1
            if device.healthy:
                assert snapshot.devices.power[row, column] == WHOLE - mine["power"]
                assert snapshot.devices.slots[row, column] == device.sharers - mine["pods"]
    expect_equal(snapshot.devices, rebuilt(world).devices)


def rebuilt(world: World):  # type: ignore[no-untyped-def]
    """What a scheduler finds that was started just now, in another order."""
    fresh = World(queues=False)
    fresh.add(*reversed(list(world.objects.values())))
    return fresh.snapshot()


def expect_equal(left: Devices, right: Devices) -> None:
    assert left.models == right.models
    for name in ("model", "total", "sharers", "power", "memory", "slots", "share"):
        assert np.array_equal(getattr(left, name), getattr(right, name)), name


@settings(max_examples=50)
@given(clusters(), waiting(), policies)
def test_no_device_is_given_twice(nodes, objects, policy) -> None:  # type: ignore[no-untyped-def]
    world = World(*nodes, *objects)
    world.cycle(policy=policy)
    check(world)
    assert world.cycle(policy=policy).commands == ()


@settings(max_examples=40)
@given(clusters(), waiting(), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=20))
def test_it_holds_through_starts_ends_evictions_and_crashes(nodes, objects, steps) -> None:  # type: ignore[no-untyped-def]
    world = World(*nodes, *objects)
    created: dict[str, list[Pod]] = {}
    for choice, index in steps:
        if choice == 4:
            interrupted(world, index)
        else:
            world.cycle()
            step(world, choice, f"default/w{index}", f"default/p{index}", created)
        check(world)


def step(world: World, choice: int, key: str, plain: str, created: dict[str, list[Pod]]) -> None:
    """Something happens to a workload or to a plain pod."""
    bound = world.objects.get((Pod, plain))
    if choice == 0 and isinstance(bound, Pod) and bound.spec.node_name:
        world.remove(bound)
    job = world.objects.get((Workload, key))
    if not isinstance(job, Workload):
        return
    if job.status.admission is not None and key not in created:
        created[key] = world.start_pods(key)[: choice or None]
        gone = [
            one for one in of(world, Pod) if one.metadata.labels.get(labels.WORKLOAD) == job.metadata.name
        ]
        world.remove(*[one for one in gone if one not in created[key]])
        world.add(with_condition(job, "PodsReady", "False", reason="WaitForStart"))
    elif choice == 1 and created.get(key):
        done = created[key].pop()
        world.add(replace(done, status=replace(done.status, phase="Succeeded")))
    elif choice == 2 and job.status.admission is not None:
        world.add(evicted(job))
    elif job.status.admission is None and key in created:
        left = [
            one for one in of(world, Pod) if one.metadata.labels.get(labels.WORKLOAD) == job.metadata.name
        ]
        world.remove(*left)
        del created[key]
        over = with_condition(job, "PodsReady", "False", reason="NotAdmitted")
        world.add(with_condition(over, "Evicted", "False", reason="Requeued"))


def interrupted(world: World, writes: int) -> None:
    """A scheduler that crashes after so many writes of its plan, and starts again knowing nothing."""
    world.clock += 1
    for command in plan(world.snapshot(), at(world.clock)).commands[:writes]:
        world.execute(command)
    fresh = World(queues=False)
    fresh.add(*world.objects.values())
    world.state = fresh.state


@settings(max_examples=30)
@given(clusters(), waiting())
def test_what_is_assumed_of_a_binding_is_what_the_watch_shows(nodes, objects) -> None:  # type: ignore[no-untyped-def]
    """Between a binding's write and its echo another cycle must not give the same devices."""
    world = World(*nodes, *objects)
    ahead = World(*nodes, *objects)
    for command in plan(world.snapshot(), at(1)).commands:
        if isinstance(command, Bind):
            ahead.state.assume_bound(command.namespace, command.pod, command.uid, command.node, command.notes)
            world.execute(command)
    expect_equal(ahead.snapshot().devices, world.snapshot().devices)
    for command in plan(world.snapshot(), at(1)).commands:
        if isinstance(command, Bind):
            ahead.state.forget_bound(command.namespace, command.pod, command.uid)


@settings(max_examples=50)
@given(clusters(), st.lists(st.tuples(st.booleans(), parts), max_size=12), policies)
def test_a_rollback_restores_exactly_and_so_does_giving_back(nodes, moves, policy) -> None:  # type: ignore[no-untyped-def]
    world = World(*nodes, *(workload(f"w{i}", pod_set(2, spec)) for i, (_, spec) in enumerate(moves)))
    snapshot = world.snapshot()
    engine = Placement(snapshot, policy)
    start = engine.mark()
    placed = []
    for (keep, _), facts in zip(moves, snapshot.waiting, strict=True):
        shares = engine.place(facts.pod_sets)
        if shares is not None and keep:
            placed.append((facts.pod_sets[0].pod_class, shares[0]))
        elif shares is not None:
            engine.give_back(facts.pod_sets[0].pod_class, shares[0])
    middle = engine.mark()
    before = engine.devices.copy()
    for pod_class, share in placed:
        engine.give_back(pod_class, share)
    expect_equal(engine.devices, snapshot.devices)
    engine.rollback(middle)
    expect_equal(engine.devices, before)
    engine.rollback(start)
    expect_equal(engine.devices, snapshot.devices)


@given(clusters(), st.lists(parts, min_size=1, max_size=6))
def test_as_many_fit_as_can_be_taken_one_by_one(nodes, specs) -> None:  # type: ignore[no-untyped-def]
    facts = [facts_of(one) for one in nodes]
    devices = devices_of(facts, np.array([one.gpus for one in facts], dtype=np.int64))
    for spec in specs:
        asked = request(spec)
        for row in range(len(facts)):
            fits, tried = int(devices.fits(slice(row, row + 1), asked)[0]), devices.copy()
            taken = 0
            while tried.fits(slice(row, row + 1), asked)[0]:
                tried.take(row, asked)
                taken += 1
            assert taken == fits if asked.count == 1 else taken <= fits
            if fits:
                devices.take(row, asked)


def request(spec: PodSpec) -> DeviceRequest:
    found = asked_of(spec)
    assert found is not None
    count, part = found
    return DeviceRequest(GPU, count, part.share, part.memory, part.percent)


@settings(max_examples=50)
@given(clusters(), st.lists(parts, min_size=1, max_size=6), st.integers(0, 63))
def test_who_leaves_frees_its_own_devices_and_may_come_back_to_them(nodes, specs, leaving) -> None:  # type: ignore[no-untyped-def]
    """Trials of preemption: others' devices are not touched, and a device given away is not had twice."""
    world = World(*nodes, *(workload(f"w{i}", pod_set(2, spec), created=i) for i, spec in enumerate(specs)))
    world.cycle()
    snapshot = world.snapshot()
    engine = Placement(snapshot)
    gone = [facts for i, facts in enumerate(snapshot.admitted) if leaving >> i & 1]
    start = engine.mark()
    engine.vacate(one for facts in gone for one in held_by_workload(facts, {}))
    world.remove(*[facts.obj for facts in gone])
    expect_equal(engine.devices, world.snapshot().devices)
    assert all(engine.occupy(tuple(held_by_workload(facts, {}))) for facts in gone)
    expect_equal(engine.devices, snapshot.devices)
    for facts in gone:
        asked = facts.pod_sets[0].pod_class.devices
        assert asked is not None
        assert not asked.whole or not engine.occupy(held_by_workload(facts, {}))
    engine.rollback(start)
    expect_equal(engine.devices, snapshot.devices)
