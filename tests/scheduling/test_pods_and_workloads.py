"""Plain pods that make workloads go and the other way round: by the priority of pods, never in turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from springtide.api.core import Pod
from springtide.api.kueue import PreemptionGate, PriorityClassRef, Workload
from springtide.api.meta import ObjectMeta
from springtide.api.scheduling import PriorityClass
from springtide.api.struct import replace
from springtide.scheduling.explanation import explained
from springtide.scheduling.ordering import FIFO, PRIORITY, Ordering
from springtide.scheduling.plan import plan
from springtide.scheduling.timing import Timing
from springtide.scheduling.whatif import forecast
from tests.builders import at, gpu_node, node, pod, pod_set, pod_spec
from tests.scheduling.preemption import end_pods, job, key, pods_of, preempted, queue, running
from tests.scheduling.test_pod_preemption import budget, ending, runs, told, waits
from tests.scheduling.world import World

CALM = 6
"""So many rounds in which nothing but events is written prove that nobody sends anybody away any more."""


def rest(world: World, most: int = 20) -> list[list[str]]:
    """Cycles until nothing is written; doomed pods end and are made anew, as by a controller.

    Returns who went in each. Fails if that never ends.
    """
    history: list[list[str]] = []
    for _ in range(most):
        decided = world.cycle()
        gone = sorted(preempted(world) | ending(world))
        if not decided.commands:
            return history
        history.append(gone)
        end_pods(world)
        for one in [one for one in _of(world, Pod) if one.metadata.deletion_timestamp is not None]:
            world.remove(one)
            again = replace(one.spec, node_name="")
            number = int(one.metadata.labels.get("life", "0")) + 1
            name = f"{one.metadata.name.partition('.')[0]}.{number}"
            world.add(_reborn(one, name, number, again))
    raise AssertionError(f"no rest after {most} cycles: {history}")


def _reborn(one: Pod, name: str, number: int, spec: Any) -> Pod:
    made = pod(name, spec, priority=spec.priority, labelled={**one.metadata.labels, "life": str(number)})
    return replace(made, spec=replace(made.spec, preemption_policy=spec.preemption_policy))


def _of(world: World, kind: type) -> list[Any]:
    return [one for one in world.objects.values() if isinstance(one, kind)]


def places(world: World) -> dict[str, str]:
    """Where plain pods are, by the name they had first."""
    return {
        one.metadata.name.partition(".")[0]: one.spec.node_name
        for one in _of(world, Pod)
        if not one.metadata.owner_references
    }


def described(value: int, name: str = "high", default: bool = False) -> PriorityClass:
    """A PriorityClass."""
    return PriorityClass(
        metadata=ObjectMeta(name=name, uid=f"uid-{name}"),
        value=value,
        global_default=default,
    )


def of_class(one: Workload, name: str = "", policy: str | None = None) -> Workload:
    """A workload whose own priority is a WorkloadPriorityClass's; its pods have that of a PriorityClass."""
    sets = []
    for each in one.spec.pod_sets:
        spec = replace(each.template.spec, priority_class_name=name, preemption_policy=policy)
        sets.append(replace(each, template=replace(each.template, spec=spec)))
    reference = PriorityClassRef(group="kueue.x-k8s.io", kind="WorkloadPriorityClass", name="any")
    return replace(one, spec=replace(one.spec, pod_sets=sets, priority_class_ref=reference))


def covered(one: Workload) -> Workload:
    """A workload whose pods are of the application `web`."""
    (each,) = one.spec.pod_sets
    labelled = replace(each.template.metadata, labels={"app": "web"})
    sets = [replace(each, template=replace(each.template, metadata=labelled))]
    return replace(one, spec=replace(one.spec, pod_sets=sets))


# -- plain pods that make workloads go -----------------------------------------------------------------


def gang(name: str = "gang", **more: Any) -> World:
    """Two nodes of 4 CPUs, full of a gang of two pods."""
    world = World(node("a", cpu=4), node("b", cpu=4), *queue("q"))
    running(world, job(name, 4, pods=2, **more))
    return world


def test_a_gang_goes_whole_for_a_pod_of_higher_priority() -> None:
    world = gang()
    world.add(waits("p", priority=10))
    world.cycle()
    assert preempted(world) == {"gang"}
    evicted, why = world.condition(key("gang"), "Evicted"), world.condition(key("gang"), "Preempted")
    assert (evicted.reason, why.reason) == ("Preempted", "HigherPriorityPod")
    assert (
        evicted.message
        == why.message
        == (
            "Preempted to make room for pod default/p (UID: uid-default-p, priority 10): "
            "its priority is above that of all pods of this workload"
        )
    )
    assert world.pod("default/p").status.nominated_node_name in "ab"
    assert not world.pod("default/p").spec.node_name, "it waits until they are gone"
    end_pods(world)
    world.cycle()
    assert world.pod("default/p").spec.node_name
    rest(world)
    assert not world.is_admitted(key("gang")), "one node is not enough for it"
    world.remove(world.pod("default/p"))
    rest(world)
    assert world.is_admitted(key("gang"))


@dataclass(frozen=True)
class Case:
    """Who runs on nodes `a` and `b` of 4 CPUs, and who of them goes for a pod of 4 CPUs and priority 10."""

    why: str
    gone: set[str]
    jobs: Sequence[Workload] = ()
    pods: Sequence[Pod] = ()
    waiting: Pod = field(default_factory=waits)
    options: dict[str, Any] = field(default_factory=dict)
    classes: Sequence[PriorityClass] = ()
    budgets: Sequence[Any] = ()


CASES = [
    Case("nobody whose pods are as important", set(), [job("x", 4, priority=10), job("y", 4, priority=11)]),
    Case("the less important of two", {"x"}, [job("x", 4, priority=1), job("y", 4, priority=2)]),
    Case("nobody for a pod that must not", set(), [job("x", 4), job("y", 4)], waiting=waits(policy="Never")),
    Case("nobody in vain", set(), [job("x", 4), job("y", 4)], waiting=waits(cpu=5)),
    Case("nobody before it has run for long enough", set(), [job("x", 4), job("y", 4)],
         options={"minimum_run_seconds": 600}),
    Case("the one alone rather than the gang beside it, for less work is lost", {"one"},
         [job("gang", 2, pods=2, sets=[pod_set(2, pod_spec(cpu=2))]), job("one", 4)]),
    Case("a plain pod rather than a workload of the same priority", {"plain"},
         [job("x", 4, priority=1)], [runs("plain", "b", 1, 4)]),
    Case("a workload rather than a plain pod of higher priority", {"x"},
         [job("x", 4)], [runs("plain", "b", 1, 4)]),
    Case("nobody whose pods are of a high PriorityClass, whatever its own priority", {"y"},
         [of_class(job("x", 4, priority=1), "high"), of_class(job("y", 4, priority=99))],
         classes=[described(100)]),
    Case("nobody whose pods get a high priority by default", set(),
         [of_class(job("x", 4)), of_class(job("y", 4))], classes=[described(100, default=True)]),
    Case("who may go by its budget, though more important", {"y"},
         [covered(job("x", 4)), job("y", 4, priority=2)],
         budgets=[budget("web", 0)]),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.why for case in CASES])
def test_who_goes_for_a_pod(case: Case) -> None:
    world = World(node("a", cpu=4), node("b", cpu=4), *queue("q"), *case.classes, *case.pods)
    running(world, *case.jobs)
    world.options = dict(case.options)
    world.add(*case.budgets, case.waiting)
    world.cycle()
    assert preempted(world) | told(world) == case.gone
    world.cycle()
    assert not world.cycle().commands, "and then there is nothing more to do"
    nominated = world.pod(case.waiting.key).status.nominated_node_name
    assert bool(nominated) is bool(case.gone)


def test_devices_that_a_gang_holds_are_freed() -> None:
    world = World(gpu_node("a", 2), *queue("q"))
    running(world, job("x", gpu=2))
    world.add(waits(cpu=1, gpu=1))
    world.cycle()
    assert preempted(world) == {"x"}
    rest(world)
    assert places(world)["p"] == "a"
    assert not world.is_admitted(key("x"))


def test_a_gang_that_goes_makes_room_for_all_pods_that_fit_there() -> None:
    world = gang()
    world.add(waits("p", priority=10), waits("q", priority=10))
    world.cycle()
    assert preempted(world) == {"gang"}
    rest(world)
    assert sorted(places(world).values()) == ["a", "b"]


def test_the_place_is_kept_from_the_workload_that_stands_ahead_in_the_line() -> None:
    """By a WorkloadPriorityClass it stands first; its pods are less important all the same."""
    world = World(node("a", cpu=4), *queue("q"), described(5))
    running(world, of_class(job("x", 4, priority=1000), "high"))
    world.add(waits("p", priority=10))
    assert len(rest(world)) < 6
    assert places(world)["p"] == "a"
    assert not world.is_admitted(key("x"))


# -- workloads that make plain pods go -----------------------------------------------------------------


@dataclass(frozen=True)
class Asks:
    """A workload of priority 10 that asks for a whole node of 4 CPUs, and who of the plain pods goes."""

    why: str
    gone: set[str]
    pods: Sequence[Pod]
    waiting: Workload = field(default_factory=lambda: job("w", 4, priority=10))
    budgets: Sequence[Any] = ()
    classes: Sequence[PriorityClass] = ()


ASKS = [
    Asks("the least important", {"low"}, [runs("low", "a", 1, 4), runs("mid", "b", 2, 4)]),
    Asks("nobody as important", set(), [runs("x", "a", 10, 4), runs("y", "b", 11, 4)]),
    Asks("no more than have to", {"two"}, [runs("one", "a", 1, 1), runs("two", "a", 2, 2),
         runs("y", "b", 10, 4)], job("w", 3, priority=10)),
    Asks("as many as the gang needs", {"one", "two"}, [runs("one", "a", 1, 4), runs("two", "b", 2, 4)],
         job("w", 4, priority=10, pods=2)),
    Asks("nobody in vain", set(), [runs("one", "a", 1, 4), runs("y", "b", 10, 4)],
         job("w", 4, priority=10, pods=2)),
    Asks("nobody for pods that must not", set(), [runs("one", "a", 1, 4), runs("two", "b", 1, 4)],
         of_class(job("w", 4, priority=10), "high", "Never"), classes=[described(100)]),
    Asks("nobody for pods without a priority, whatever the workload's own", set(),
         [runs("one", "a", 1, 4), runs("two", "b", 1, 4)], of_class(job("w", 4, priority=10))),
    Asks("by the PriorityClass of its pods", {"one"}, [runs("one", "a", 1, 4), runs("y", "b", 200, 4)],
         of_class(job("w", 4), "high"), classes=[described(100)]),
    Asks("who may go by its budget", {"two"}, [runs("one", "a", 1, 4, app="web"), runs("two", "b", 2, 4)],
         budgets=[budget("web", 0)]),
    Asks("who started last", {"new"}, [runs("old", "a", 1, 4, since=-99), runs("new", "b", 1, 4, since=-1)]),
]  # fmt: skip


@pytest.mark.parametrize("case", ASKS, ids=[case.why for case in ASKS])
def test_who_of_the_pods_goes_for_a_workload(case: Asks) -> None:
    world = World(node("a", cpu=4), node("b", cpu=4), *queue("q"), *case.pods, *case.budgets)
    world.add(*case.classes, case.waiting)
    world.cycle()
    assert told(world) == case.gone
    reason = world.condition(key("w")).reason
    assert (reason == "WaitingForPreemptedWorkloads") is bool(case.gone)
    world.cycle()
    assert ending(world) == case.gone
    assert not world.cycle().commands
    world.remove(*(world.pod(f"default/{name}") for name in case.gone))
    world.cycle()
    assert world.is_admitted(key("w")) is bool(case.gone)


@dataclass(frozen=True)
class Alike:
    """Two that ask for the same in one queue: the first, for whom nobody may go, speaks not for the other."""

    why: str
    first: Workload
    other: Workload


def gated(one: Workload) -> Workload:
    """A workload that may make nobody go for now."""
    return replace(one, spec=replace(one.spec, preemption_gates=[PreemptionGate(name="later")]))


ALIKE = [
    Alike("of one priority, which is not that of the first's pods", of_class(job("v", 4, priority=10)),
          job("w", 4, priority=10, created=1)),
    Alike("whose pods are of different classes", of_class(job("v", 4, priority=10), "low"),
          of_class(job("w", 4, priority=10, created=1), "high")),
    Alike("of which the first's pods let nobody go", of_class(job("v", 4, priority=10), "high", "Never"),
          of_class(job("w", 4, priority=10, created=1), "high")),
    Alike("of which the first is held back by a gate", gated(job("v", 4, priority=10)),
          job("w", 4, priority=10, created=1)),
    Alike("of which the first stands ahead by its queue's order alone", job("v", 4, priority=0),
          job("w", 4, priority=10, created=1)),
]  # fmt: skip


@pytest.mark.parametrize("case", ALIKE, ids=[case.why for case in ALIKE])
@pytest.mark.parametrize("ordering", [PRIORITY, FIFO], ids=lambda one: one.name)
def test_who_asks_for_the_same_may_make_others_go(case: Alike, ordering: Ordering) -> None:
    """A pod that is ending on a node too small for either does not change that."""
    world = World(node("a", cpu=4), node("b", cpu=1), *queue("q"), described(0, "low"), described(100))
    world.options["timing"] = Timing(ordering=ordering)
    leaving = runs("leaving", "b", 0, 1)
    leaving = replace(leaving, metadata=replace(leaving.metadata, deletion_timestamp=at(0)))
    world.add(runs("p", "a", 5, 4), leaving, case.first, case.other)
    world.cycle()
    assert told(world) == {"p"}
    assert world.condition(key("w")).reason == "WaitingForPreemptedWorkloads"


def test_pods_and_workloads_go_in_one_search() -> None:
    """One node is a job's, which stands behind it in the queue, the other a plain pod's: it needs both."""
    world = World(node("a", cpu=4), node("b", cpu=4), *queue("q", 8, within="LowerPriority"))
    running(world, job("x", 4, priority=1))
    there = next(iter(world.placement(key("x"))["node"]))
    world.add(runs("low", "ab".replace(there, ""), 1, 4), job("w", 4, priority=10, pods=2))
    world.cycle()
    assert (preempted(world), told(world)) == ({"x"}, {"low"})
    message = world.condition(key("w")).message
    assert "default/x" in message
    assert "pod default/low" in message
    rest(world)
    assert world.is_admitted(key("w"))


def test_without_quota_no_pod_goes() -> None:
    world = World(node("a", cpu=4), *queue("q", 2), runs("low", "a", 1, 4), job("w", 4, priority=10))
    rest(world)
    assert not told(world)
    assert places(world)["low"] == "a"


def test_a_crash_between_the_writes_loses_nothing() -> None:
    world = World(node("a", cpu=4), *queue("q"), runs("low", "a", 1, 4), job("w", 4, priority=10))
    world.cycle()
    again = World(*world.objects.values(), queues=False)
    again.clock = world.clock
    again.cycle()
    assert ending(again) == {"low"}
    again.remove(again.pod("default/low"))
    again.cycle()
    assert again.is_admitted(key("w"))


def test_plan_and_explain_name_the_pods_that_would_go() -> None:
    world = World(node("a", cpu=4), *queue("q"), runs("low", "a", 1, 4))
    wanted = job("w", 4, priority=10)
    (found,) = forecast(world.state, [wanted], at(5))
    assert [(one.workload, one.priority, one.reason) for one in found.victims] == [
        ("pod default/low", 1, "PreemptionByScheduler")
    ]
    assert found.reason == "waits until pod default/low has made way for it; its place is held"


def test_explain_names_the_gang_that_would_go_for_a_pod() -> None:
    world = gang()
    world.add(waits("p", priority=10))
    found = explained(world.state, "Pod", "default/p", at(5))
    assert found is not None
    assert [(one.workload, one.pods, one.reason) for one in found.victims] == [
        ("default/gang", 2, "HigherPriorityPod")
    ]


# -- never in turns ------------------------------------------------------------------------------------


def test_pod_and_workload_do_not_send_each_other_away_in_turns() -> None:
    for own, other in ((10, 1), (1, 10), (5, 5)):
        world = World(node("a", cpu=4), *queue("q", within="LowerPriority"))
        running(world, job("w", 4, priority=own))
        world.add(waits("p", priority=other))
        assert len(rest(world)) < 6
        assert world.is_admitted(key("w")) is (own >= other)
        world = World(node("a", cpu=4), *queue("q", within="LowerPriority"), runs("p", "a", other, 4))
        world.add(job("w", 4, priority=own))
        assert len(rest(world)) < 6
        assert world.is_admitted(key("w")) is (own > other)


def test_workload_priority_against_pod_priority_comes_to_rest() -> None:
    """A goes before B in the queue, B's pods before P, P before A's pods: whoever has the place, one goes."""
    for first in ("A", "B", "P"):
        world = World(node("a", cpu=4), *queue("q", within="LowerPriority"), described(100))
        one, two = of_class(job("A", 4, priority=10)), of_class(job("B", 4, priority=0), "high")
        plain = waits("P", priority=50)
        for each in sorted((one, two, plain), key=lambda each: each.metadata.name != first):
            world.add(each)
            world.cycle()
            if isinstance(each, Workload) and world.is_admitted(each.key):
                world.start_pods(each.key)
        assert len(rest(world)) < 8, first


def test_taking_back_what_was_lent_comes_to_rest_although_a_pod_stands_between() -> None:
    """A takes back what B borrows, B's pods stand above P, P above A's: for ever in turns, but for the rule
    that nobody goes for a place that would be lost at once."""
    for first in ("A", "B", "P"):
        world = World(
            node("a", cpu=4),
            *queue("qa", 4, cohort="c", reclaim="Any", within="LowerPriority"),
            *queue("qb", 0, cohort="c", reclaim="Any", within="LowerPriority"),
        )
        one, two = job("A", 4, queue="qa", priority=0), job("B", 4, queue="qb", priority=10)
        plain = waits("P", priority=5)
        for each in sorted((one, two, plain), key=lambda each: each.metadata.name != first):
            world.add(each)
            world.cycle()
            if isinstance(each, Workload) and world.is_admitted(each.key):
                world.start_pods(each.key)
        assert len(rest(world)) < 8, first


def test_a_pod_of_a_workload_is_none_of_the_plain_ones() -> None:
    world = gang()
    world.add(waits("p", priority=-1))
    world.cycle()
    assert not told(world)
    assert len(pods_of(world, "gang")) == 2


@pytest.mark.parametrize("preemptor", ["pod", "job"])
def test_who_is_waited_for_goes_only_once_it_is_written_for_whom(preemptor: str) -> None:
    """A crash after any of the writes: nobody goes for one of whom nothing is known."""
    world = World(node("a", cpu=4), *queue("q", 4))
    if preemptor == "pod":
        running(world, job("gang", 4))
        world.add(waits("P", cpu=4, priority=5))
    else:
        world.add(runs("p", "a", cpu=4, priority=0), job("J", 4, priority=5))
    before = dict(world.objects)
    commands = plan(world.snapshot(), at(world.clock + 1)).commands
    for number in range(len(commands) + 1):
        crashed = World(queues=False)
        crashed.add(*before.values())
        for command in commands[:number]:
            crashed.execute(command)
        if preempted(crashed) or told(crashed):
            if preemptor == "pod":
                assert crashed.pod("default/P").status.nominated_node_name == "a", number
            else:
                assert crashed.condition(key("J")).reason == "WaitingForPreemptedWorkloads", number
    assert preempted(crashed) or told(crashed)
