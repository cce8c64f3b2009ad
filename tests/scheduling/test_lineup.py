"""Orders of the live queue: the chosen policy decides who is considered first."""

from __future__ import annotations

import pytest

from springtide.api import labels
from springtide.api.kueue import Workload
from springtide.api.struct import replace
from springtide.scheduling.ordering import Candidate, Ordering, find_ordering
from springtide.scheduling.timing import Timing
from tests.builders import at, node, pod, pod_set, pod_spec, with_condition, workload
from tests.scheduling.world import World

LAST = Ordering("last", lambda one: (0.0, -one.since, one.key))


def job(
    name: str, *, created: float = 0, priority: int = 0, limit: int | None = None, by: str = ""
) -> Workload:
    made = workload(name, pod_set(1, pod_spec(cpu=8)), created=created, priority=priority, job=name)
    notes = {labels.DEADLINE: by} if by else {}
    metadata = replace(made.metadata, annotations=notes)
    return replace(made, metadata=metadata, spec=replace(made.spec, maximum_execution_time_seconds=limit))


def first(ordering: Ordering, *jobs: Workload) -> str:
    """Who gets the only node."""
    world = World(node("n", cpu=8), *jobs)
    world.options["timing"] = Timing(ordering=ordering)
    world.cycle()
    (found,) = [one.metadata.name for one in jobs if world.is_admitted(one.key)]
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [("priority", "important"), ("fifo", "oldest"), ("shortest", "important"), ("deadline", "important")],
)
def test_each_order_has_its_own_first(name: str, expected: str) -> None:
    jobs = job("oldest", created=1, limit=9000), job("important", created=2, priority=5, limit=8000)
    assert first(find_ordering(name), *jobs) == expected


def test_the_shorter_goes_first_if_it_comes_soon_enough() -> None:
    shortest = find_ordering("shortest")
    long, short = job("long", created=0, limit=40000), job("short", created=600, limit=60)
    assert first(shortest, long, short) == "short"
    assert first(shortest, long, job("short", created=10 * 86400, limit=60)) == "long"


def test_the_deadline_that_leaves_least_time_goes_first() -> None:
    deadline = find_ordering("deadline")
    relaxed = job("relaxed", created=0, by="2026-01-01T12:00:00Z", limit=600)
    tight = job("tight", created=1, by="2026-01-01T13:00:00Z", limit=9 * 3600)
    assert first(deadline, relaxed, tight) == "tight"
    assert first(deadline, job("none", created=0), tight) == "tight"
    assert first(deadline, job("unreadable", created=0, by="tomorrow"), tight) == "tight"


def test_nobody_is_passed_by_deadlines_for_ever() -> None:
    deadline = find_ordering("deadline")
    old = job("old", created=0)
    new = job("new", created=40 * 86400, by="2026-02-10T12:00:00Z", limit=600)
    assert first(deadline, old, new) == "old"


def test_a_sites_own_order_is_followed_by_workloads_and_pods_alike() -> None:
    assert first(LAST, job("early", created=1), job("late", created=2)) == "late"
    world = World(node("n", cpu=8), job("early", created=1), pod("later", pod_spec(cpu=8), created=2))
    world.options["timing"] = Timing(ordering=LAST)
    world.cycle()
    assert world.pod("default/later").spec.node_name == "n"
    assert not world.is_admitted("default/early")


def test_an_order_sees_what_was_learned() -> None:
    seen: dict[str, Candidate] = {}

    def look(one: Candidate) -> tuple[float, float, str]:
        seen[one.key] = one
        return 0.0, one.since, one.key

    world = World(node("n", cpu=8))
    for number in range(4):
        made = job(f"short-{number}", created=0)
        world.add(made)
        world.cycle()
        done = with_condition(world.workload(made.key), "Finished", since=world.clock + 20)
        world.add(done)
        world.remove(done)
    world.options["timing"] = Timing(ordering=Ordering("looks", look))
    world.add(job("short-7", created=30), job("other", created=30, by="2026-01-01T12:00:00Z"))
    world.cycle()
    assert seen["default/short-7"].lasts < seen["default/other"].lasts
    assert seen["default/other"].deadline == at(12 * 3600).timestamp()
