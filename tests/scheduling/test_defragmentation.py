"""Consolidation: who waits although enough is free in pieces starts; nobody who ran loses its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.api import labels
from springtide.api.core import Node
from springtide.api.kueue import Workload
from springtide.api.meta import LabelSelector, ObjectMeta, find_condition
from springtide.api.policy import PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus
from springtide.api.struct import replace
from springtide.scheduling import plan
from springtide.scheduling.defragmentation import Consolidation
from springtide.scheduling.plan import Options
from tests.builders import at, gpu_node, node, pod_set, pod_spec, workload
from tests.scheduling.preemption import end_pods, job, key, pods_of, queue, running, settle
from tests.scheduling.preemption import preempted as _preempted
from tests.scheduling.world import World

EAGER = Consolidation(minimum_run_seconds=60)


def saved(world: World, *names: str) -> None:
    """These have just saved their work."""
    for name in names:
        one = pods_of(world, name)[0]
        now = at(world.clock).isoformat()
        said = json.dumps({"time": now, "checkpointTime": now})
        notes = {**one.metadata.annotations, labels.PROGRESS: said}
        world.add(replace(one, metadata=replace(one.metadata, annotations=notes)))


def finish(world: World, *names: str) -> None:
    for name in names:
        world.remove(*pods_of(world, name), world.workload(key(name)))


def halves(consolidation: Consolidation | None = EAGER, **high: Any) -> World:
    """Two nodes of 8 GPUs, each half in use by a job that just saved its work; `high` asks for all of one."""
    world = World(node("a", cpu=64, gpu=8), node("b", cpu=64, gpu=8), *queue("q"))
    running(world, *(job(name, gpu=4) for name in ("one", "two", "three", "four")))
    at_a = [name for name in ("one", "two", "three", "four") if place(world, name) == "a"]
    at_b = [name for name in ("one", "two", "three", "four") if place(world, name) == "b"]
    finish(world, at_a[0], at_b[0])
    world.clock = 1000
    saved(world, at_a[1], at_b[1])
    world.clock = 1100
    world.options = {"consolidation": consolidation}
    world.add(job("high", gpu=8, created=1100, **high))
    return world


def place(world: World, name: str) -> str:
    return next(iter(world.placement(key(name))["node"]))


def left(world: World) -> list[str]:
    return sorted(one.metadata.name for one in of(world) if one.metadata.name != "high")


def of(world: World) -> list[Workload]:
    return [one for one in world.objects.values() if isinstance(one, Workload)]


def moved(world: World) -> list[str]:
    return told(world, "Consolidated")


def told(world: World, type_: str) -> list[str]:
    """Those that have a condition, true or not any more."""
    found = (one for one in of(world) if find_condition(one.status.conditions, type_) is not None)
    return sorted(one.metadata.name for one in found)


def test_one_moves_and_all_run() -> None:
    world = halves()
    assert settle(world) > 0
    assert world.is_admitted(key("high"))
    assert len(moved(world)) == 1
    assert all(world.is_admitted(one.key) for one in of(world))
    assert len({place(world, name) for name in left(world)}) == 1
    assert place(world, "high") != place(world, left(world)[0])


def test_what_it_gains_is_said_before_anything_moves() -> None:
    world = halves()
    world.cycle()
    (one,) = moved(world)
    evicted = world.condition(key(one), "Evicted")
    assert (evicted.status, evicted.reason) == ("True", "Consolidated")
    assert evicted.message == (
        "Moved to make room for default/high (UID: uid-default-high, priority 0): "
        "8 devices in one piece gain 14400 device-seconds, 1 workload moved loses 644"
    )
    waits = world.condition(key("high"))
    assert (waits.reason, waits.message) == (
        "WaitingForPreemptedWorkloads",
        f"waits until default/{one} has moved; its place is held",
    )


def test_moving_comes_before_preempting_for_then_nobody_waits() -> None:
    world = halves(priority=10)
    world.add(*queue("q", within="LowerPriority"))
    settle(world)
    assert len(moved(world)) == 1
    assert told(world, "Preempted") == []
    without = halves(None, priority=10)
    without.add(*queue("q", within="LowerPriority"))
    settle(without)
    assert len(told(without, "Preempted")) == 1


def test_what_cannot_be_moved_is_preempted_as_ever() -> None:
    world = halves(priority=10)
    world.add(*queue("q", within="LowerPriority"))
    annotated(world, "false")
    settle(world)
    assert moved(world) == []
    assert len(told(world, "Preempted")) == 1
    assert world.is_admitted(key("high"))


def test_without_the_setting_nobody_moves() -> None:
    world = halves(None)
    assert settle(world) == 1
    assert moved(world) == []


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("the work of the moved is worth more", {"idle_seconds": 60.0}),
        ("they have just started", {"minimum_run_seconds": 5000.0}),
        ("no moves are left in this hour", {"moves_per_hour": 0}),
        ("none may move for one that waits", {"moves_at_once": 0}),
    ],
)
def test_nobody_moves_if(why: str, change: Mapping[str, Any]) -> None:
    world = halves(Consolidation(**{"minimum_run_seconds": 60.0, **change}))
    settle(world)
    assert moved(world) == [], why
    assert not world.is_admitted(key("high"))


def test_a_job_that_ends_soon_anyway_is_worth_less() -> None:
    world = halves()
    high = world.workload(key("high"))
    world.add(replace(high, spec=replace(high.spec, maximum_execution_time_seconds=60)))
    settle(world)
    assert moved(world) == []


def test_nobody_moves_for_somebody_less_important() -> None:
    world = halves(priority=-1)
    settle(world)
    assert moved(world) == []


def annotated(world: World, value: str) -> None:
    for name in left(world):
        one = world.workload(key(name))
        world.add(replace(one, metadata=replace(one.metadata, annotations={labels.MOVABLE: value})))


def test_who_may_not_be_moved_says_so() -> None:
    world = halves()
    annotated(world, "false")
    settle(world)
    assert moved(world) == []


def test_who_never_saved_its_work_is_not_moved_unless_it_says_so() -> None:
    world = halves()
    for name in left(world):
        first = pods_of(world, name)[0]
        notes = {name: text for name, text in first.metadata.annotations.items() if name != labels.PROGRESS}
        world.add(replace(first, metadata=replace(first.metadata, annotations=notes)))
    world.cycle()
    assert moved(world) == []
    annotated(world, "true")
    world.options = {"consolidation": Consolidation(idle_seconds=7200)}
    settle(world)
    assert len(moved(world)) == 1
    assert world.is_admitted(key("high"))


def test_the_places_are_kept_from_those_who_come_later() -> None:
    """While the old pods end, jobs come that would fit where the moved one goes, and into its old place."""
    world = halves()
    world.cycle()
    world.add(job("late", gpu=4, created=1101, priority=100), job("later", gpu=4, created=1102))
    world.cycle()
    assert not world.is_admitted(key("late"))
    end_pods(world)
    for _ in range(3):
        world.cycle()
        end_pods(world)
    assert world.is_admitted(key("high"))
    assert world.is_admitted(key(moved(world)[0]))
    assert not world.is_admitted(key("late"))
    assert not world.is_admitted(key("later"))


def test_a_scheduler_that_crashes_in_between_goes_on_with_it() -> None:
    for writes in range(4):
        world = halves()
        world.clock += 1
        decided = plan(world.snapshot(), at(world.clock), Options(**world.options))
        for command in decided.commands[:writes]:
            world.execute(command)
        fresh = World(queues=False)
        fresh.add(*reversed(list(world.objects.values())))
        fresh.options, fresh.clock = world.options, world.clock
        settle(fresh)
        assert fresh.is_admitted(key("high")), writes
        assert all(fresh.is_admitted(one.key) for one in of(fresh)), writes


def guarded(world: World, allowed: int) -> None:
    """All that run share one budget, of which so many may be away."""
    for name in left(world):
        one = world.workload(key(name))
        template = one.spec.pod_sets[0].template
        labelled = replace(template, metadata=replace(template.metadata, labels={"app": "train"}))
        world.add(
            replace(one, spec=replace(one.spec, pod_sets=[replace(one.spec.pod_sets[0], template=labelled)]))
        )
    budget = PodDisruptionBudget(
        metadata=ObjectMeta(name="keep", namespace="default"),
        spec=PodDisruptionBudgetSpec(selector=LabelSelector(match_labels={"app": "train"})),
        status=PodDisruptionBudgetStatus(disruptions_allowed=allowed),
    )
    world.add(budget)


@pytest.mark.parametrize(("allowed", "moves"), [(0, 0), (1, 1)])
def test_a_disruption_budget_is_kept(allowed: int, moves: int) -> None:
    world = halves()
    guarded(world, allowed)
    settle(world)
    assert len(moved(world)) == moves


def quarters() -> World:
    """Four nodes of 8 GPUs, each half in use by a job that just saved its work."""
    world = World(*(node(name, cpu=64, gpu=8) for name in "abcd"), *queue("q"))
    names = [f"j{number}" for number in range(8)]
    running(world, *(job(name, gpu=4) for name in names))
    for at_node in "abcd":
        finish(world, next(name for name in names if place(world, name) == at_node))
        names = [name for name in names if (Workload, key(name)) in world.objects]
    world.clock = 1000
    saved(world, *names)
    world.clock = 1100
    world.options = {"consolidation": EAGER}
    return world


@pytest.mark.parametrize(("allowed", "moves"), [(1, 0), (2, 2)])
def test_two_that_share_a_budget_move_at_once_only_if_it_bears_both(allowed: int, moves: int) -> None:
    world = quarters()
    world.add(job("high", gpu=8, pods=2, created=1100))
    guarded(world, allowed)
    world.cycle()
    assert len(moved(world)) == moves


@pytest.mark.parametrize(("allowed", "moves"), [(1, 1), (2, 2)])
def test_nor_do_they_for_two_who_wait_in_one_cycle(allowed: int, moves: int) -> None:
    world = quarters()
    world.add(job("high", gpu=8, created=1100), job("higher", gpu=8, created=1100))
    guarded(world, allowed)
    world.cycle()
    assert len(moved(world)) == moves


def test_only_so_many_move_within_an_hour() -> None:
    world = halves(Consolidation(minimum_run_seconds=60, moves_per_hour=1))
    settle(world)
    assert len(moved(world)) == 1
    finish(world, "high")
    keeps = left(world)
    running(world, job("fill", gpu=8, created=1200))
    saved(world, *keeps)
    finish(world, keeps[0])
    world.clock += 200
    saved(world, keeps[1], "fill")
    world.add(node("c", cpu=64, gpu=4), job("next", gpu=8, created=1300))
    settle(world)
    before = len(moved(world))
    assert not world.is_admitted(key("next"))
    world.clock += 3600
    saved(world, keeps[1], "fill")
    settle(world)
    assert world.is_admitted(key("next")), "an hour later it may"
    assert before <= 1


def test_several_move_for_a_gang_and_land_on_the_devices_that_are_free() -> None:
    """Named devices: 3 nodes of 4 GPUs, one in use on each; a gang of 2 × 4 needs two nodes empty."""
    world = World(*(gpu_node(name, 4, sharers=1) for name in "abc"), *queue("q"))
    for name in "abc":
        spec = pod_spec(gpu=1, selector={labels.HOSTNAME: name})
        running(world, workload(f"on-{name}", pod_set(1, spec), queue="q", job=f"on-{name}"))
    for name in "abc":
        free = world.workload(key(f"on-{name}"))
        sets = [pod_set(1, pod_spec(gpu=1))]
        world.add(replace(free, spec=replace(free.spec, pod_sets=sets)))
    world.clock = 1000
    saved(world, "on-a", "on-b", "on-c")
    world.clock = 1100
    world.options = {"consolidation": EAGER}
    world.add(job("gang", gpu=4, pods=2, created=1100))
    settle(world)
    assert world.is_admitted(key("gang"))
    assert len(moved(world)) == 2
    given_away = [one for name in ("gang", "on-a", "on-b", "on-c") for one in taken(world, name)]
    assert len(given_away) == len(set(given_away)) == 11


def taken(world: World, name: str) -> list[tuple[str, str]]:
    return [(host, one) for host, devices in world.devices(key(name)) for one in devices.split(".")]


clusters = st.lists(st.sampled_from([4, 8, 8, 8]), min_size=2, max_size=4)
jobs = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 2), st.sampled_from([True, True, False])),
    min_size=3,
    max_size=10,
)


@settings(max_examples=40, deadline=None)
@given(clusters, jobs, st.integers(0, 1023), st.integers(4, 8))
def test_nobody_who_ran_ends_up_waiting(sizes, wanted, ended, asked) -> None:  # type: ignore[no-untyped-def]
    world = World(*(node(f"n{i}", cpu=64, gpu=size) for i, size in enumerate(sizes)), *queue("q"))
    world.add(*(job(f"j{i}", gpu=size, priority=p, created=i) for i, (size, p, _) in enumerate(wanted)))
    settle(world)
    gone = [f"j{i}" for i in range(len(wanted)) if ended >> i & 1 or not world.is_admitted(key(f"j{i}"))]
    finish(world, *gone)
    ran = left(world)
    world.clock = 1000
    saved(world, *(name for name in ran if wanted[int(name[1:])][2]))
    world.clock = 1100
    world.options = {"consolidation": EAGER}
    world.add(job("high", gpu=asked, priority=1, created=1100))
    for _ in range(8):
        decided = world.cycle()
        for name, held in world.used().items():
            there = world.objects[(Node, name)]
            assert isinstance(there, Node)
            assert held["nvidia.com/gpu"] <= int(str(there.status.allocatable["nvidia.com/gpu"]))
        end_pods(world)
        if not decided.commands:
            break
    else:
        raise AssertionError("it never comes to rest")
    assert all(world.is_admitted(key(name)) for name in ran)
    assert _preempted(world) == set()
    for name in moved(world):
        assert wanted[int(name[1:])][2], "it had saved its work"
        assert wanted[int(name[1:])][1] <= 1, "it was no more important"
    assert not moved(world) or world.is_admitted(key("high"))
