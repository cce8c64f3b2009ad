"""Preemption over random clusters: never upwards, never in vain, never for ever; quota and nodes hold."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from springtide.api.core import Node
from springtide.api.kueue import ClusterQueue, Workload
from springtide.api.meta import find_condition
from springtide.scheduling import Snapshot
from springtide.scheduling.cohorts import Book
from springtide.scheduling.requests import amounts
from springtide.scheduling.victims import FAIR_STRATEGIES
from tests.builders import node
from tests.scheduling.preemption import (
    ANY,
    LOWER,
    LOWER_OR_NEWER,
    NEVER,
    end_pods,
    job,
    queue,
    settle,
)
from tests.scheduling.world import World

NAMES = ("q", "b", "c")


class Line(NamedTuple):
    """A ClusterQueue."""

    cpu: int | None
    within: str
    reclaim: str
    borrow: str
    threshold: int | None
    cohort: str
    weight: str


class Ask(NamedTuple):
    """A workload."""

    size: int
    queue: str
    priority: int
    pods: int
    within: str


sizes = st.lists(st.sampled_from([2, 4, 8]), min_size=1, max_size=4)
lines = st.builds(
    Line,
    cpu=st.sampled_from([None, 2, 4, 8]),
    within=st.sampled_from([NEVER, LOWER, LOWER_OR_NEWER]),
    reclaim=st.sampled_from([NEVER, LOWER, ANY]),
    borrow=st.sampled_from([NEVER, LOWER]),
    threshold=st.sampled_from([None, 0, 1]),
    cohort=st.sampled_from(["", "all", "all"]),
    weight=st.sampled_from(["", "2", "0.5"]),
)
asks = st.lists(
    st.builds(
        Ask,
        size=st.integers(1, 4),
        queue=st.sampled_from(NAMES),
        priority=st.integers(0, 2),
        pods=st.sampled_from([1, 1, 2, 3]),
        within=st.sampled_from(["", "", "rack"]),
    ),
    min_size=1,
    max_size=7,
)


def world_of(hosts: list[int], three: tuple[Line, ...], *, fair: bool) -> World:
    world = World()
    for index, cpu in enumerate(hosts):
        world.add(node(f"n{index}", cpu=cpu, labelled={"rack": f"r{index % 2}"}))
    for name, line in zip(NAMES, three, strict=True):
        borrow = line.borrow if line.reclaim != NEVER else NEVER
        world.add(*queue(name, **{**line._asdict(), "borrow": borrow}))
    if fair:
        world.options = {"fair_strategies": FAIR_STRATEGIES}
    return world


def jobs_of(wanted: list[Ask], prefix: str, after: int) -> list[Workload]:
    return [job(f"{prefix}{i}", created=after + i, **one._asdict()) for i, one in enumerate(wanted)]


def preemptor_of(world: World, message: str) -> Workload:
    name = message.split("make room for ")[1].split(" ")[0]
    return world.workload(name)


def check_policy(world: World, victim: Workload, before: Snapshot) -> None:
    """The victim's condition names a preemptor whose queue's policy lets it do that."""
    condition = find_condition(victim.status.conditions, "Preempted")
    assert condition is not None
    preemptor = preemptor_of(world, condition.message)
    own = world.objects[(ClusterQueue, preemptor.spec.queue_name)]
    assert isinstance(own, ClusterQueue)
    assert own.spec.preemption is not None
    lower = (victim.spec.priority or 0) < (preemptor.spec.priority or 0)
    if condition.reason == "InClusterQueue":
        assert victim.spec.queue_name == preemptor.spec.queue_name
        rule = own.spec.preemption.within_cluster_queue
        newer = victim.metadata.creation_timestamp > preemptor.metadata.creation_timestamp  # type: ignore[operator]
        same = victim.spec.priority == preemptor.spec.priority
        assert rule != NEVER
        assert lower or (rule == LOWER_OR_NEWER and same and newer)
        return
    rule = own.spec.preemption.reclaim_within_cohort
    assert victim.spec.queue_name != preemptor.spec.queue_name
    assert rule == ANY or (rule == LOWER and lower)
    tree = before.queues.quota
    book = Book(tree, before.usage)
    ran = {facts.key for facts in before.admitted}
    for facts in world.snapshot().admitted:
        if facts.key not in ran and facts.admission is not None:
            for cell, amount in facts.usage.items():
                book.use(facts.admission.cluster_queue, cell, amount)
    other = tree.queue(victim.spec.queue_name)
    assert book.exceeds(other, other.cells), "it borrowed"


def is_waiting(world: World, key: str) -> bool:
    return world.condition(key).reason == "WaitingForPreemptedWorkloads"


def check_room(world: World) -> None:
    for name, held in world.used().items():
        found = world.objects[(Node, name)]
        assert isinstance(found, Node)
        offered = amounts(found.status.allocatable)
        for resource, amount in held.items():
            assert amount <= offered.get(resource, 0), f"{name}: {resource} {amount}"


def check_quota(snapshot: Snapshot) -> None:
    """Nobody uses more than there is, or than it may borrow."""
    tree = snapshot.queues.quota
    book = Book(tree, snapshot.usage)
    for name in NAMES:
        for cell in tree.queue(name).cells:
            assert book.available(name, cell) >= 0, f"{name}: {cell}"


def is_over(world: World, known: Counter[str], most: int) -> None:
    """No workload is preempted again and again while nothing else happens."""
    for found in world.objects.values():
        if isinstance(found, Workload) and found.status.requeue_state is not None:
            known[found.metadata.name] = found.status.requeue_state.count or 0
    assert max(known.values(), default=0) <= most, known


TAKEN_BACK = (
    [2, 8, 8],
    (
        Line(cpu=4, within=NEVER, reclaim=ANY, borrow=LOWER, threshold=None, cohort="all", weight=""),
        Line(cpu=4, within=LOWER, reclaim=NEVER, borrow=NEVER, threshold=None, cohort="all", weight=""),
        Line(cpu=8, within=NEVER, reclaim=ANY, borrow=NEVER, threshold=None, cohort="all", weight=""),
    ),
    [
        Ask(1, "q", 2, 1, "rack"),
        Ask(1, "q", 0, 1, ""),
        Ask(3, "q", 0, 1, ""),
        Ask(3, "c", 0, 3, ""),
        Ask(2, "q", 0, 1, ""),
        Ask(2, "q", 0, 1, ""),
    ],
    [
        Ask(4, "q", 0, 1, ""),
        Ask(3, "q", 0, 1, ""),
        Ask(4, "q", 2, 1, ""),
        Ask(2, "q", 2, 3, ""),
        Ask(4, "b", 0, 3, "rack"),
        Ask(1, "q", 2, 1, "rack"),
        Ask(1, "b", 2, 3, ""),
    ],
    True,
)
"""By its share a queue took back what another had taken by priority, who could have taken it again."""


@settings(max_examples=60, deadline=None)
@given(sizes, st.tuples(lines, lines, lines), asks, asks, st.booleans())
@example(*TAKEN_BACK)
def test_preemption_keeps_its_promises(hosts, three, first, later, fair) -> None:  # type: ignore[no-untyped-def]
    world = world_of(hosts, three, fair=fair)
    world.add(*jobs_of(first, "a", 0))
    for _ in range(3):
        world.cycle()
        end_pods(world)
    world.add(*jobs_of(later, "z", 100))
    asked: set[str] = set()
    for _ in range(12):
        before = world.snapshot()
        ran = {facts.key for facts in before.admitted}
        decided = world.cycle()
        after = world.snapshot()
        gone = ran - {facts.key for facts in after.admitted}
        for victim in sorted(gone):
            check_policy(world, world.workload(victim), before)
            condition = world.condition(victim, "Preempted")
            asked.add(preemptor_of(world, condition.message).key)
        check_room(world)
        check_quota(after)
        for preemptor in asked:
            waits = world.is_admitted(preemptor) or is_waiting(world, preemptor)
            assert waits or preemptor in gone, f"{preemptor} made others go in vain"
        asked = {one for one in asked if not world.is_admitted(one) and one not in gone}
        end_pods(world)
        if not decided.commands:
            break
    else:
        raise AssertionError("it never comes to rest")
    is_over(world, Counter(), 4)
    assert settle(world) == 0
