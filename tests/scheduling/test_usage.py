"""LocalQueues that share a ClusterQueue by what they have used: who goes first, and what is remembered."""

from __future__ import annotations

from typing import Any

import pytest

from springtide.api.kueue import AdmissionScope, FairSharing, LocalQueue, Workload
from springtide.api.quantity import parse
from springtide.api.struct import replace
from springtide.scheduling import ClusterState
from springtide.scheduling.timing import Timing
from springtide.scheduling.usage import UsageSettings
from tests.builders import (
    cluster_queue,
    evicted,
    local_queue,
    node,
    pod_set,
    pod_spec,
    with_condition,
    workload,
)
from tests.scheduling.world import World

HOUR = 3600.0


def shared(mode: str = "UsageBasedAdmissionFairSharing") -> Any:
    queue = cluster_queue()
    return replace(queue, spec=replace(queue.spec, admission_scope=AdmissionScope(admission_mode=mode)))


def local(name: str, weight: str = "1") -> LocalQueue:
    queue = local_queue(name)
    return replace(queue, spec=replace(queue.spec, fair_sharing=FairSharing(weight=weight)))


def job(name: str, queue: str, gpus: int = 2, *, created: float = 0, priority: int = 0) -> Workload:
    return workload(
        name, pod_set(gpus, pod_spec(gpu=1)), queue=queue, created=created, priority=priority, job=name
    )


class Scene(World):
    """Eight GPUs for the queues `a` and `b`; half-life an hour, sampled every five minutes."""

    def __init__(self, *queues: LocalQueue, half_life: float = HOUR, **weights: float) -> None:
        super().__init__(
            node("n", cpu=64, gpu=8), shared(), *(queues or (local("a"), local("b"))), queues=False
        )
        usage = UsageSettings(half_life_seconds=half_life, resource_weights=weights)
        self.options["timing"] = Timing(usage=usage)

    def at(self, seconds: float, *new: Workload) -> list[str]:
        """One cycle at this moment: who was admitted in it."""
        before = self.admitted()
        self.add(*new)
        self.clock = seconds - 1
        self.cycle()
        return sorted(self.admitted() - before)

    def admitted(self) -> set[str]:
        found = (obj for obj in self.objects.values() if isinstance(obj, Workload))
        return {obj.metadata.name for obj in found if obj.status.admission is not None}

    def finish(self, name: str, seconds: float) -> None:
        done = with_condition(self.workload(f"default/{name}"), "Finished", since=seconds)
        self.add(done)
        self.remove(done)

    def consumed(self, queue: str) -> float:
        """GPUs consumed, as the status says."""
        found = self.objects[(LocalQueue, f"default/{queue}")]
        assert isinstance(found, LocalQueue)
        sharing = found.status.fair_sharing
        assert sharing is not None
        assert sharing.admission_fair_sharing_status is not None
        consumed = sharing.admission_fair_sharing_status.consumed_resources
        return float(parse(consumed.get("nvidia.com/gpu", "0")))


def test_who_has_used_less_goes_first_whatever_the_priority() -> None:
    scene = Scene()
    scene.at(0, job("a0", "a", 8))
    scene.at(300)
    scene.finish("a0", HOUR)
    admitted = scene.at(HOUR, job("a1", "a", 8, created=1, priority=9), job("b1", "b", 8, created=2))
    assert admitted == ["b1"]


def test_use_fades_by_half_in_a_half_life() -> None:
    scene = Scene()
    scene.at(0, job("a0", "a", 8))
    for moment in range(300, 3601, 300):
        scene.at(moment)
    assert scene.consumed("a") == pytest.approx(4.0, rel=1e-4), "half of the way to what it holds"
    scene.finish("a0", 3600)
    for moment in range(3900, 7201, 300):
        scene.at(moment)
    assert scene.consumed("a") == pytest.approx(2.0, rel=1e-4)
    assert scene.consumed("b") == 0


def test_what_ran_between_two_samples_counts_too() -> None:
    scene = Scene()
    scene.at(0, job("a0", "a", 8))
    scene.finish("a0", 100)
    scene.at(300)
    assert scene.consumed("a") == pytest.approx(8 * (0.5 ** (200 / HOUR) - 0.5 ** (300 / HOUR)), rel=1e-3)


def test_who_was_evicted_has_used_what_it_held() -> None:
    scene = Scene()
    scene.at(0, job("a0", "a", 8))
    scene.add(evicted(scene.workload("default/a0")))
    scene.at(150)
    scene.at(300)
    assert scene.consumed("a") > 0.1


def test_queues_take_turns_when_many_wait_at_once() -> None:
    scene = Scene()
    many = [job(f"a{n}", "a", created=n) for n in range(8)] + [
        job(f"b{n}", "b", created=99) for n in range(8)
    ]
    assert scene.at(100, *many) == ["a0", "a1", "b0", "b1"]


def test_a_queue_of_twice_the_weight_gets_twice_as_much() -> None:
    scene = Scene(local("a", "3"), local("b"))
    many = [job(f"{queue}{n}", queue, 1, created=n) for queue in "ab" for n in range(8)]
    admitted = scene.at(100, *many)
    assert len([name for name in admitted if name[0] == "a"]) == 6


def test_weight_zero_means_what_is_left() -> None:
    scene = Scene(local("a", "0"), local("b"))
    scene.at(0, job("a0", "a", 1), job("b0", "b", 7))
    assert scene.at(300, job("a1", "a", created=1), job("b1", "b", created=2)) == []
    scene.finish("b0", 300)
    many = [job(f"b{n}", "b", created=2 + n) for n in range(2, 6)]
    assert scene.at(301, *many) == ["b1", "b2", "b3"]


def test_without_the_mode_the_order_is_priority_and_age() -> None:
    scene = Scene()
    scene.add(shared("NoAdmissionFairSharing"))
    scene.at(0, job("a0", "a", 8))
    scene.finish("a0", HOUR)
    assert scene.at(HOUR, job("a1", "a", 8, created=1), job("b1", "b", 8, created=2)) == ["a1"]


def test_a_restart_forgets_nothing_that_was_sampled() -> None:
    scene = Scene()
    scene.at(0, job("a0", "a", 8))
    scene.at(300)
    scene.at(600)
    used = scene.consumed("a")
    assert used > 0
    again = Scene()
    again.state = ClusterState()
    again.objects = {}
    again.add(*scene.objects.values())
    again.at(601)
    assert again.consumed("a") == used
    assert again.cycle().commands == ()


@pytest.mark.parametrize(("of_a", "of_b"), [(1, 1), (1, 4), (3, 5), (8, 1)])
def test_two_queues_that_always_ask_get_the_same_in_the_long_run(of_a: int, of_b: int) -> None:
    scene = Scene(half_life=1000 * HOUR)
    sizes, held, running = {"a": of_a, "b": of_b}, {"a": 0, "b": 0}, [""]
    for number in range(24):
        for name in filter(None, running):
            scene.finish(name, number * 300)
        jobs = [
            job(f"{q}{number}x{n}", q, sizes[q], created=number) for q in "ab" for n in range(8 // sizes[q])
        ]
        running = scene.at(number * 300, *jobs)
        for name in running:
            held[name[0]] += sizes[name[0]]
    assert abs(held["a"] - held["b"]) <= 16, "two rounds of the whole cluster at most"
