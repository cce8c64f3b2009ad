"""Katalyst's classes of pods: what of them counts here, and what is said of the rest."""

from __future__ import annotations

import json

import pytest

from springtide.api import labels
from springtide.api.kueue import Workload
from springtide.api.meta import find_condition
from springtide.scheduling.colocation import (
    DEDICATED,
    MEMORY_ENHANCEMENT,
    QOS_LEVEL,
    RECLAIMED,
    RECLAIMED_CPU,
    RECLAIMED_MEMORY,
)
from tests.builders import node, pod, pod_set, pod_spec, workload
from tests.scheduling.preemption import LOWER, preempted, queue, running, settle
from tests.scheduling.world import World

BOUND = {QOS_LEVEL: DEDICATED, MEMORY_ENHANCEMENT: '{"numa_binding": "true"}'}


def offline(name: str, millicpu: int, *, gpu: int | None = None, priority: int = 0) -> Workload:
    """A workload on what others leave."""
    spec = pod_spec(gpu=gpu, more={RECLAIMED_CPU: millicpu, RECLAIMED_MEMORY: "1Gi"})
    asked = pod_set(1, spec, annotated={QOS_LEVEL: RECLAIMED})
    return workload(name, asked, queue="q", priority=priority, job=name)


def online(name: str, gpu: int, *, priority: int = 0, created: float = 0) -> Workload:
    return workload(
        name, pod_set(1, pod_spec(gpu=gpu)), queue="q", priority=priority, created=created, job=name
    )


def test_what_others_leave_is_counted_apart_from_cpus() -> None:
    host = node("a", cpu=4, more={RECLAIMED_CPU: 3000, RECLAIMED_MEMORY: "8Gi"})
    world = World(host, *queue("q"))
    world.add(pod("busy", pod_spec(cpu=4)), *(offline(f"w{i}", 2000) for i in (1, 2)))
    world.cycle()
    assert world.pod("default/busy").spec.node_name == "a"
    assert world.is_admitted("default/w1")
    assert f"{RECLAIMED_CPU}" in world.condition("default/w2").message


def test_who_lives_on_what_others_leave_goes_before_others_of_its_priority() -> None:
    host = node("a", cpu=64, gpu=8, more={RECLAIMED_CPU: 9000, RECLAIMED_MEMORY: "8Gi"})
    world = World(host, *queue("q", within=LOWER))
    running(world, offline("cheap", 1000, gpu=4, priority=1), online("dear", 4, priority=1))
    world.add(online("high", 4, priority=10, created=9))
    settle(world)
    assert preempted(world) == {"cheap"}
    assert world.is_admitted("default/high")


def test_numa_binding_keeps_gpus_on_one_numa_node() -> None:
    devices = [{"id": f"gpu{i}", "numa": i // 2} for i in range(4)]
    said = {labels.DEVICE_TOPOLOGY: json.dumps({"devices": devices})}
    world = World(node("a", cpu=64, gpu=4, annotated=said), *queue("q"))
    world.add(pod("held", pod_spec(gpu=1), node="a", annotated={labels.DEVICES: "0"}))
    for name, gpus in (("two", 2), ("three", 1), ("never", 3)):
        asked = pod_set(1, pod_spec(gpu=gpus), annotated=BOUND)
        world.add(workload(name, asked, queue="q", created=len(name), job=name))
    world.cycle()
    assert world.devices("default/two") == [("a", "2.3")]
    assert world.devices("default/three") == [("a", "1")]
    assert "under single-numa-node" in world.condition("default/never").message


@pytest.mark.parametrize(
    ("notes", "asks", "said"),
    [
        ({QOS_LEVEL: RECLAIMED}, {"cpu": 1}, f"ask for {RECLAIMED_CPU} instead"),
        ({QOS_LEVEL: RECLAIMED}, {"memory": "1Gi"}, f"ask for {RECLAIMED_MEMORY} instead"),
        (BOUND, {"cpu": 4}, "numa_binding: it counts for GPUs"),
        (
            {QOS_LEVEL: DEDICATED, MEMORY_ENHANCEMENT: '{"numa_exclusive": "true"}'},
            {"cpu": 4},
            "numa_exclusive: other pods may be put on the same NUMA node",
        ),
    ],
)
def test_what_has_no_effect_is_said(notes: dict[str, str], asks: dict[str, int | str], said: str) -> None:
    world = World(node("a"), *queue("q"))
    world.add(workload("w", pod_set(1, pod_spec(more=asks), annotated=notes), queue="q", job="w"))
    world.cycle()
    assert world.is_admitted("default/w")
    assert said in world.condition("default/w", "UnsupportedFields").message


def test_a_class_as_it_should_be_has_nothing_to_say() -> None:
    world = World(node("a", more={RECLAIMED_CPU: 3000, RECLAIMED_MEMORY: "8Gi"}), *queue("q"))
    world.add(offline("w", 1000))
    world.cycle()
    assert world.is_admitted("default/w")
    assert find_condition(world.workload("default/w").status.conditions, "UnsupportedFields") is None


@pytest.mark.parametrize(
    ("notes", "why"),
    [
        ({QOS_LEVEL: "best_effort"}, "'best_effort' is none of shared_cores, dedicated_cores"),
        ({QOS_LEVEL: DEDICATED, MEMORY_ENHANCEMENT: "yes"}, f"annotation {MEMORY_ENHANCEMENT}: "),
    ],
)
def test_what_cannot_be_understood_is_refused_by_name(notes: dict[str, str], why: str) -> None:
    world = World(node("a", gpu=1), *queue("q"))
    world.add(workload("w", pod_set(1, pod_spec(gpu=1), annotated=notes), queue="q", job="w"))
    world.cycle()
    assert world.condition("default/w").reason == "Misconfigured"
    assert why in world.condition("default/w").message
