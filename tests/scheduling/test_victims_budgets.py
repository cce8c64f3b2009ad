"""PodDisruptionBudgets when workloads go for workloads: kept as far as possible, and never at any price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.api.kueue import Workload
from springtide.api.labels import ELASTIC_JOB
from springtide.api.meta import Object
from springtide.api.struct import replace
from springtide.scheduling.budgets import Gangs, Going, budget_of
from springtide.scheduling.victims import FAIR_STRATEGIES
from tests.builders import node, pod_set, pod_spec, workload
from tests.scheduling.preemption import ANY, LOWER, job, key, preempted, queue, running, settle
from tests.scheduling.test_pod_preemption import budget
from tests.scheduling.world import World


def of_app(app: str, one: Workload) -> Workload:
    """The workload with pods of an application."""
    found = []
    for part in one.spec.pod_sets:
        metadata = replace(part.template.metadata, labels={"app": app})
        found.append(replace(part, template=replace(part.template, metadata=metadata)))
    return replace(one, spec=replace(one.spec, pod_sets=found))


@dataclass(frozen=True)
class Case:
    """What runs on nodes of these CPUs, what then asks, and who has to go."""

    why: str
    runs: tuple[Workload, ...]
    asks: Workload
    victims: set[str]
    budgets: Mapping[str, int] = field(default_factory=dict)
    queues: tuple[tuple[Object, Object], ...] = (queue("q", within=LOWER),)
    nodes: tuple[int, ...] = (4,)
    fair: bool = False


HIGH = job("high", 2, priority=10, created=9)
COHORT = (queue("q", 2, within=LOWER, reclaim=ANY, cohort="all"), queue("other", 2, cohort="all"))
CASES = (
    Case(
        "without a budget the least important goes",
        (of_app("web", job("less", 2, priority=1)), job("more", 2, priority=2)),
        HIGH,
        {"less"},
    ),
    Case(
        "one that breaks no budget goes before a less important one that does",
        (of_app("web", job("less", 2, priority=1)), job("more", 2, priority=2)),
        HIGH,
        {"more"},
        {"web": 0},
    ),
    Case(
        "a budget that allows all its pods to go keeps nobody",
        (of_app("web", job("less", 1, priority=1, pods=2)), job("more", 2, priority=2)),
        HIGH,
        {"less"},
        {"web": 2},
    ),
    Case(
        "a gang goes whole: a budget for some of its pods is not enough",
        (of_app("web", job("less", 1, priority=1, pods=2)), job("more", 2, priority=2)),
        HIGH,
        {"more"},
        {"web": 1},
    ),
    Case(
        "where nothing else helps the budget is broken",
        (of_app("web", job("less", 2, priority=1)), job("same", 2, priority=10)),
        HIGH,
        {"less"},
        {"web": 0},
    ),
    Case(
        "of two that share a budget for one, one goes, and then another",
        (
            of_app("web", job("first", 1, priority=1)),
            of_app("web", job("second", 1, priority=1)),
            job("third", 2, priority=3),
        ),
        job("high", 3, priority=10, created=9),
        {"second", "third"},
        {"web": 1},
    ),
    Case(
        "a budget of another application keeps nobody",
        (of_app("web", job("less", 2, priority=1)), job("more", 2, priority=2)),
        HIGH,
        {"less"},
        {"db": 0},
    ),
    Case(
        "where whole nodes are opened, those of which no budget is broken",
        (
            of_app("web", job("less", 4, priority=1)),
            job("a", 2, priority=2),
            job("b", 2, priority=2),
        ),
        job("high", 4, priority=10, created=9),
        {"a", "b"},
        {"web": 0},
        nodes=(4, 4),
    ),
    Case(
        "a queue does not keep what it borrows by a budget",
        (of_app("web", job("borrows", 2, queue="other")), job("lends", 2, priority=1)),
        HIGH,
        {"lends"},
        {"web": 0},
        COHORT,
    ),
    Case(
        "of those who borrow, who breaks no budget",
        (
            job("keeps", 2, queue="other", priority=2),
            of_app("web", job("less", 1, queue="other", priority=1)),
            job("more", 1, queue="other", priority=2),
        ),
        job("high", 1, priority=10, created=9),
        {"more"},
        {"web": 0},
        COHORT,
    ),
    Case(
        "so with fair sharing",
        (
            job("keeps", 2, queue="other", priority=2),
            of_app("web", job("less", 1, queue="other", priority=1)),
            job("more", 1, queue="other", priority=2),
        ),
        job("high", 1, priority=10, created=9),
        {"more"},
        {"web": 0},
        COHORT,
        fair=True,
    ),
)


def world_of(case: Case) -> World:
    world = World(*(node(f"n{number}", cpu=cpu) for number, cpu in enumerate(case.nodes)))
    for both in case.queues:
        world.add(*both)
    if case.fair:
        world.options = {"fair_strategies": FAIR_STRATEGIES}
    world.add(*(budget(app, allowed) for app, allowed in case.budgets.items()))
    running(world, *case.runs)
    return world


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_who_goes(case: Case) -> None:
    world = world_of(case)
    world.add(case.asks)
    world.cycle()
    assert preempted(world) == case.victims
    settle(world)
    assert world.is_admitted(case.asks.key)


def test_who_goes_though_it_breaks_a_budget_says_so() -> None:
    world = World(node("a", cpu=4), *queue("q", within=LOWER), budget("web", 0))
    running(world, of_app("web", job("less", 4)))
    world.add(job("high", 4, priority=10, created=9))
    settle(world)
    assert world.condition(key("less"), "Preempted").message.endswith("this breaks a PodDisruptionBudget")


def test_what_goes_in_one_cycle_counts_against_one_budget() -> None:
    """Two preemptors at once: the second does not take what the first has taken of the budget."""
    world = World(node("a", cpu=6), *queue("q", within=LOWER), budget("web", 1))
    web = [of_app("web", job(name, 2, priority=1)) for name in ("one", "two")]
    running(world, *web, job("other", 2, priority=2))
    world.add(*(job(f"high-{number}", 2, priority=10, created=9) for number in range(2)))
    world.cycle()
    assert preempted(world) == {"two", "other"}


def test_what_an_elastic_workload_can_do_without_is_counted_alone() -> None:
    world = World(node("a", cpu=4), *queue("q", within=LOWER), budget("web", 2))
    part = replace(pod_set(3, pod_spec(cpu=1)), min_count=1)
    elastic = of_app("web", workload("elastic", part, queue="q", priority=1))
    metadata = replace(elastic.metadata, annotations={ELASTIC_JOB: "true"})
    running(world, replace(elastic, metadata=metadata), job("other", 1, priority=2))
    world.add(job("high", 2, priority=10, created=9))
    world.cycle()
    assert sum(world.placement(key("elastic"))["node"].values()) == 1
    assert world.is_admitted(key("other"))


gangs = st.lists(st.tuples(st.sampled_from(["web", "db", "none"]), st.integers(1, 4)), max_size=8)


@settings(max_examples=200, deadline=None)
@given(gangs, gangs, st.integers(0, 6), st.integers(0, 6))
def test_those_that_break_none_go_together(some, gone, web, db) -> None:  # type: ignore[no-untyped-def]
    """With those that go already they break none; anybody else would, beside those before it."""
    allowed = {"web": web, "db": db}
    kept = [found for app, count in allowed.items() if (found := budget_of(budget(app, count)))]

    def going(prefix: str, wanted: list[tuple[str, int]]) -> list[Going]:
        made = [of_app(app, job(f"{prefix}{i}", pods=count)) for i, (app, count) in enumerate(wanted)]
        return [Going(one, {one.spec.pod_sets[0].name: one.spec.pod_sets[0].count or 0}) for one in made]

    breaks = Gangs(kept).breaking(going("s", some), going("g", gone))
    left = {app: count - sum(n for a, n in gone if a == app) for app, count in allowed.items()}
    for (app, count), broken in zip(some, breaks, strict=True):
        assert broken == (app in left and left[app] < count)
        if app in left and not broken:
            left[app] -= count


@dataclass(frozen=True)
class Scene:
    """Nodes, what runs there (of an application with a budget or not, CPUs, pods, priority), and who asks."""

    hosts: list[int]
    runs: list[tuple[bool, int, int, int]]
    size: int
    pods: int

    def outcome(self, *, kept: bool = False, spared: bool = False) -> tuple[bool, set[str]]:
        """Whether it gets a place, and who goes; `kept`: with the budget, `spared`: without its pods."""
        world = World(
            *(node(f"n{i}", cpu=cpu) for i, cpu in enumerate(self.hosts)), *queue("q", within=LOWER)
        )
        world.add(*([budget("web", 0)] if kept else []))
        for number, (web, cpu, pods, priority) in enumerate(self.runs):
            name = f"{'web' if web else 'db'}-{number}"
            world.add(of_app("web" if web else "db", job(name, cpu, pods=pods)))
            world.cycle()
            found = world.workload(key(name))
            if not world.is_admitted(key(name)):
                world.remove(found)
                continue
            level = 100 if spared and web else priority
            world.add(replace(found, spec=replace(found.spec, priority=level)))
            world.start_pods(key(name))
        world.add(job("asks", self.size, pods=self.pods, priority=10, created=99))
        world.cycle()
        waits = world.condition(key("asks")).reason == "WaitingForPreemptedWorkloads"
        return world.is_admitted(key("asks")) or waits, preempted(world)


scenes = st.builds(
    Scene,
    hosts=st.lists(st.sampled_from([2, 4, 6]), min_size=1, max_size=3),
    runs=st.lists(
        st.tuples(st.booleans(), st.integers(1, 4), st.integers(1, 2), st.integers(0, 3)), max_size=6
    ),
    size=st.integers(1, 4),
    pods=st.integers(1, 3),
)


@settings(max_examples=80, deadline=None)
@given(scenes)
def test_a_budget_never_refuses_and_is_broken_only_where_nobody_else_will_do(scene: Scene) -> None:
    fits, gone = scene.outcome(kept=True)
    assert fits == scene.outcome()[0]
    if any(name.startswith("web") for name in gone):
        assert not scene.outcome(kept=True, spared=True)[0]
