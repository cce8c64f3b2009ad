"""Preemption over random clusters: never upwards, never in vain, never for ever; quota and nodes hold."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.api.core import Node
from springtide.api.kueue import ClusterQueue, Workload
from springtide.api.meta import Object, find_condition
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


@st.composite
def nodes(draw: st.DrawFn) -> list[Node]:
    return [
        node(f"n{index}", cpu=draw(st.sampled_from([2, 4, 8])), labelled={"rack": f"r{index % 2}"})
        for index in range(draw(st.integers(1, 4)))
    ]


@st.composite
def queues(draw: st.DrawFn) -> list[Object]:
    found: list[Object] = []
    for name in NAMES:
        reclaim = draw(st.sampled_from([NEVER, LOWER, ANY]))
        borrow = draw(st.sampled_from([NEVER, LOWER])) if reclaim != NEVER else NEVER
        found += queue(
            name,
            draw(st.sampled_from([None, 2, 4, 8])),
            within=draw(st.sampled_from([NEVER, LOWER, LOWER_OR_NEWER])),
            reclaim=reclaim,
            borrow=borrow,
            threshold=draw(st.sampled_from([None, 0, 1])) if borrow != NEVER else None,
            cohort=draw(st.sampled_from(["", "all", "all"])),
            weight=draw(st.sampled_from(["", "2", "0.5"])),
        )
    return found


@st.composite
def jobs(draw: st.DrawFn, prefix: str, after: int) -> list[Workload]:
    return [
        job(
            f"{prefix}{index}",
            draw(st.integers(1, 4)),
            queue=draw(st.sampled_from(NAMES)),
            priority=draw(st.integers(0, 2)),
            created=after + index,
            pods=draw(st.sampled_from([1, 1, 2, 3])),
            within=draw(st.sampled_from(["", "", "rack"])),
        )
        for index in range(draw(st.integers(1, 7)))
    ]


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
    other = tree.queue(victim.spec.queue_name)
    assert book.exceeds(other, other.cells), "it borrowed"


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


@settings(max_examples=150, deadline=None)
@given(nodes(), queues(), jobs("a", 0), jobs("z", 100), st.booleans())
def test_preemption_keeps_its_promises(hosts, lines, first, later, fair) -> None:  # type: ignore[no-untyped-def]
    world = World(*hosts, *lines)
    if fair:
        world.options = {"fair_strategies": FAIR_STRATEGIES}
    world.add(*first)
    for _ in range(3):
        world.cycle()
        end_pods(world)
    world.add(*later)
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
            waits = world.is_admitted(preemptor) or world.condition(preemptor).reason in (
                "WaitingForPreemptedWorkloads"
            )
            assert waits or preemptor in gone, f"{preemptor} made others go in vain"
        asked = {one for one in asked if not world.is_admitted(one) and one not in gone}
        end_pods(world)
        if not decided.commands:
            break
    else:
        raise AssertionError("it never comes to rest")
    is_over(world, Counter(), 4)
    assert settle(world) == 0
