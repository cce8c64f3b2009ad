"""Who goes first of those who may: by the work that would be lost, or as a site's own policy says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from springtide.api import labels
from springtide.api.struct import replace
from springtide.scheduling.checkpoints import Checkpoints, saved_at
from springtide.scheduling.facts import pod_facts
from springtide.scheduling.victim_policies import (
    LEAST_LOST_WORK,
    LOWEST_PRIORITY,
    YOUNGEST,
    VictimPolicy,
    find_victims,
    known_victims,
    register_victims,
)
from tests.builders import at, node
from tests.scheduling.preemption import LOWER, job, key, pods_of, preempted, queue, running, settle
from tests.scheduling.world import World


def saves(world: World, name: str, seconds: float) -> None:
    """The first pod of a job reports that it saved a checkpoint then."""
    one = pods_of(world, name)[0]
    said = json.dumps(
        {"time": at(seconds).isoformat(), "metrics": [], "checkpointTime": at(seconds).isoformat()}
    )
    notes = {**one.metadata.annotations, labels.PROGRESS: said}
    world.add(replace(one, metadata=replace(one.metadata, annotations=notes)))


def two_that_run(**options: object) -> World:
    """`old` runs since second 1, `new` since second 1001; it is second 2000."""
    world = World(node("a", cpu=4), *queue("q", 4, within=LOWER))
    world.options = options
    running(world, job("old", 2))
    world.clock = 1000
    running(world, job("new", 2))
    world.clock = 1999
    return world


def asks(world: World, size: int = 2) -> set[str]:
    world.add(job("high", size, priority=10, created=2000))
    settle(world)
    assert world.is_admitted(key("high"))
    return preempted(world)


def test_who_has_run_longest_goes_first_if_it_has_just_saved_its_work() -> None:
    world = two_that_run()
    saves(world, "old", 1990)
    assert asks(world) == {"old"}


def test_who_never_saved_loses_all_it_ran() -> None:
    assert asks(two_that_run()) == {"new"}


def test_a_checkpoint_of_an_earlier_attempt_saves_nothing_of_this_one() -> None:
    world = two_that_run()
    saves(world, "old", 0)
    assert asks(world) == {"new"}


def test_a_scheduler_that_starts_again_knows_the_same() -> None:
    world = two_that_run()
    saves(world, "old", 1990)
    fresh = World(queues=False)
    fresh.add(*reversed(list(world.objects.values())))
    fresh.clock = world.clock
    assert asks(fresh) == {"old"}


def test_a_report_that_cannot_be_read_is_none() -> None:
    for text in ("", "{", '{"checkpointTime": 7}', '{"checkpointTime": "2026-01-01T00:00:00"}', "[]"):
        assert saved_at({labels.PROGRESS: text}) is None
    assert saved_at({}) is None


def test_what_is_known_of_a_pod_goes_with_it() -> None:
    world = two_that_run()
    saves(world, "old", 1990)
    assert world.snapshot().checkpoints == {key("old"): at(1990)}
    world.remove(*pods_of(world, "old"))
    assert world.snapshot().checkpoints == {}


def test_the_youngest_goes_first_whatever_it_saved() -> None:
    world = two_that_run(victims=YOUNGEST)
    saves(world, "old", 1990)
    assert asks(world) == {"new"}


@pytest.mark.parametrize("policy", [LEAST_LOST_WORK, YOUNGEST, LOWEST_PRIORITY])
def test_a_lower_priority_goes_first_under_every_policy(policy: VictimPolicy) -> None:
    world = World(node("a", cpu=4), *queue("q", 4, within=LOWER))
    world.options = {"victims": policy}
    running(world, job("low", 2, priority=1))
    world.clock = 1000
    running(world, job("middle", 2, priority=5))
    assert asks(world) == {"low"}


def test_by_priority_alone_the_smallest_of_the_lowest_goes() -> None:
    world = World(node("a", cpu=64), *queue("q", 64, within=LOWER))
    world.options = {"victims": LOWEST_PRIORITY}
    running(world, job("large", 40), job("small", 24))
    saves(world, "large", 2)
    assert asks(world, 20) == {"small"}


def test_more_devices_are_more_work() -> None:
    """Both lose as many seconds; one of them holds four times as much."""
    world = World(node("a", cpu=64, gpu=8), node("b", cpu=64, gpu=8), *queue("q", None, within=LOWER))
    running(world, job("wide", 1, gpu=8), job("half", 1, gpu=4), job("rest", 1, gpu=4))
    world.clock += 5000
    world.add(job("high", 1, gpu=4, priority=10, created=5000))
    settle(world)
    assert len(preempted(world)) == 1
    assert "wide" not in preempted(world)


def test_a_policy_is_found_by_its_name_or_in_a_file(tmp_path: Path) -> None:
    assert find_victims("least-lost-work") is LEAST_LOST_WORK
    assert known_victims() == ["least-lost-work", "lowest-priority", "youngest"]
    with pytest.raises(ValueError, match="'nobody' is not registered; known: least-lost-work"):
        find_victims("nobody")
    with pytest.raises(ValueError, match="registered already"):
        register_victims(VictimPolicy("youngest", lambda stake: stake.size))
    own = tmp_path / "site.py"
    own.write_text(
        "from springtide.scheduling.victim_policies import VictimPolicy\n"
        "OLDEST = VictimPolicy('oldest', lambda stake: -stake.ran_seconds)\n"
    )
    world = two_that_run(victims=find_victims(f"{own}:OLDEST"))
    assert asks(world) == {"old"}


def test_plain_pods_and_silent_ones_leave_no_mark() -> None:
    marks, world = Checkpoints(), two_that_run()
    for one in pods_of(world, "old"):
        facts = pod_facts(one, None, "", frozenset())
        marks.count_pod(facts, +1)
        marks.count_pod(facts, -1)
    assert marks.newest() == {}
