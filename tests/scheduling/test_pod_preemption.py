"""Who of the plain pods goes for a plain pod of higher priority: kube-scheduler's rules as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from springtide.api.commands import Delete, Emit
from springtide.api.core import Pod, PodSpec
from springtide.api.meta import LabelSelector, ObjectMeta
from springtide.api.policy import (
    PodDisruptionBudget,
    PodDisruptionBudgetSpec,
    PodDisruptionBudgetStatus,
)
from springtide.api.struct import replace
from tests.builders import at, gpu_node, node, pod, pod_spec, workload
from tests.scheduling.preemption import queue
from tests.scheduling.world import World


def runs(
    name: str,
    on: str,
    priority: int = 0,
    cpu: int = 2,
    *,
    since: float = 0,
    app: str = "",
    gpu: int | None = None,
) -> Pod:
    """A pod that runs."""
    labelled = {"app": app} if app else {}
    made = pod(
        name, pod_spec(cpu=cpu, gpu=gpu), node=on, phase="Running", priority=priority, labelled=labelled
    )
    return replace(made, status=replace(made.status, start_time=at(since)))


def waits(
    name: str = "p", priority: int = 10, cpu: int = 4, policy: str | None = None, gpu: int | None = None
) -> Pod:
    """A pod that waits."""
    made = pod(name, pod_spec(cpu=cpu, gpu=gpu), priority=priority)
    spec: PodSpec = replace(made.spec, preemption_policy=policy)
    return replace(made, spec=spec)


def budget(app: str, allowed: int) -> PodDisruptionBudget:
    """So many pods of an application may be away."""
    return PodDisruptionBudget(
        metadata=ObjectMeta(name=app, namespace="default", uid=f"uid-{app}"),
        spec=PodDisruptionBudgetSpec(selector=LabelSelector(match_labels={"app": app})),
        status=PodDisruptionBudgetStatus(disruptions_allowed=allowed),
    )


@dataclass(frozen=True)
class Case:
    """Who runs on nodes of 4 CPUs, who waits, and who has to go; empty: nobody, and it waits."""

    why: str
    running: Sequence[Pod]
    gone: set[str]
    waiting: Pod = field(default_factory=waits)
    budgets: Mapping[str, int] = field(default_factory=dict)
    nodes: str = "ab"


CASES = [
    Case("the lowest priority", [runs("low", "a", 1, 4), runs("mid", "b", 2, 4)], {"low"}),
    Case("nobody of the same priority", [runs("x", "a", 10, 4), runs("y", "b", 10, 4)], set()),
    Case("nobody of a higher one", [runs("x", "a", 11, 4), runs("y", "b", 20, 4)], set()),
    Case(
        "no more than have to",
        [runs("one", "a", 1, 1), runs("two", "a", 2, 2), runs("y", "b", 10, 4)],
        {"two"},
        waits(cpu=3),
    ),
    Case(
        "the more important stay if they can",
        [runs("one", "a", 1), runs("two", "a", 2), runs("y", "b", 10, 4)],
        {"one"},
        waits(cpu=2),
    ),
    Case(
        "rather one of priority 3 than two that sum to more",
        [runs("one", "a", 3), runs("two", "a", 3), runs("three", "b", 3, 4)],
        {"three"},
    ),
    Case(
        "the highest victim counts before the sum",
        [runs("one", "a", 2), runs("two", "a", 2), runs("three", "b", 3, 4)],
        {"one", "two"},
    ),
    Case("who started last", [runs("old", "a", 1, 4, since=1), runs("new", "b", 1, 4, since=2)], {"new"}),
    Case(
        "who may go by its budget, though it is more important",
        [runs("low", "a", 1, 4, app="web"), runs("mid", "b", 2, 4)],
        {"mid"},
        budgets={"web": 0},
    ),
    Case(
        "who may not go by its budget, if nothing else helps",
        [runs("low", "a", 1, 4, app="web"), runs("y", "b", 10, 4)],
        {"low"},
        budgets={"web": 0},
    ),
    Case(
        "on one node, those whose budget allows it",
        [runs("one", "a", 1, app="web"), runs("two", "a", 2), runs("y", "b", 10, 4)],
        {"two"},
        waits(cpu=2),
        budgets={"web": 0},
    ),
    Case(
        "as many of one budget as it allows",
        [runs("one", "a", 1, app="web"), runs("two", "a", 1, app="web"), runs("low", "b", 2, 4)],
        {"low"},
        budgets={"web": 1},
    ),
    Case(
        "nobody for a pod that must not",
        [runs("low", "a", 1, 4), runs("y", "b", 1, 4)],
        set(),
        waits(policy="Never"),
    ),
    Case("nobody in vain", [runs("low", "a", 1, 4), runs("y", "b", 1, 4)], set(), waits(cpu=5)),
]


@pytest.mark.parametrize("case", CASES, ids=[case.why for case in CASES])
def test_who_has_to_go(case: Case) -> None:
    world = World(*(node(name, cpu=4) for name in case.nodes), *case.running, queues=False)
    world.add(*(budget(app, allowed) for app, allowed in case.budgets.items()), case.waiting)
    world.cycle()
    assert told(world) == case.gone
    world.cycle()
    assert ending(world) == case.gone, "they are deleted in the next cycle"
    assert not world.cycle().commands, "and then there is nothing more to do"
    if not case.gone:
        assert not world.pod("default/p").status.nominated_node_name
        return
    place = {one.spec.node_name for one in case.running if one.metadata.name in case.gone}
    assert {world.pod("default/p").status.nominated_node_name} == place
    assert not world.pod("default/p").spec.node_name, "it waits until they are gone"
    world.remove(*(world.pod(f"default/{name}") for name in case.gone))
    world.cycle()
    assert {world.pod("default/p").spec.node_name} == place


def told(world: World) -> set[str]:
    """Pods that were told that they go."""
    return {
        one.metadata.name
        for one in world.objects.values()
        if isinstance(one, Pod)
        for condition in one.status.conditions
        if (condition.type, condition.status, condition.reason)
        == ("DisruptionTarget", "True", "PreemptionByScheduler")
    }


def ending(world: World) -> set[str]:
    """Pods that are being deleted."""
    pods = (one for one in world.objects.values() if isinstance(one, Pod))
    return {one.metadata.name for one in pods if one.metadata.deletion_timestamp is not None}


def test_the_place_is_kept_against_those_of_lower_priority() -> None:
    world = World(node("a", cpu=4), runs("low", "a", 1, 4), waits(), queues=False)
    world.cycle()
    world.add(waits("later", priority=5, cpu=4))
    world.cycle()
    world.cycle()
    world.remove(world.pod("default/low"))
    world.cycle()
    assert world.pod("default/p").spec.node_name == "a"
    assert not world.pod("default/later").spec.node_name


def test_two_that_wait_do_not_send_the_same_pods_away() -> None:
    world = World(*(node(name, cpu=4) for name in "abc"), queues=False)
    world.add(*(runs(f"low-{name}", name, 1, 4) for name in "abc"), waits("p"), waits("q"))
    world.cycle()
    assert len(told(world)) == 2
    assert not set(told(world)) & {"p", "q"}


def test_pods_of_a_workload_are_never_taken_one_by_one() -> None:
    world = World(node("a", cpu=4), *queue("q"))
    world.add(workload("w", queue="q"))
    world.cycle()
    world.start_pods("default/w")
    world.add(waits(cpu=4, priority=1000))
    world.cycle()
    assert not told(world)
    assert not world.is_admitted("default/w"), "it goes whole, by its eviction"


def test_devices_are_freed_as_well() -> None:
    world = World(gpu_node("a", 1, sharers=1), gpu_node("b", 1, sharers=1), queues=False)
    world.add(runs("low", "a", 1, 1, gpu=1), runs("mid", "b", 2, 1, gpu=1))
    world.add(waits(cpu=1, gpu=1))
    world.cycle()
    assert told(world) == {"low"}


def test_a_crash_between_the_two_writes_loses_nothing() -> None:
    world = World(node("a", cpu=4), runs("low", "a", 1, 4), waits(), queues=False)
    world.cycle()
    again = World(*(one for one in world.objects.values()), queues=False)
    commands = again.cycle().commands
    assert [one.name for one in commands if isinstance(one, Delete)] == ["low"]
    assert ending(again) == {"low"}


def test_who_goes_and_why_is_an_event() -> None:
    world = World(node("a", cpu=4), runs("low", "a", 1, 4), waits(), queues=False)
    emitted = [one for one in world.cycle().commands if isinstance(one, Emit)]
    assert ("Preempted", "Preempted by pod default/p (UID: uid-default-p) on node a") in [
        (one.reason, one.note) for one in emitted
    ]
