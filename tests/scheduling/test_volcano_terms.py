"""Volcano's annotations in the engine: who may be preempted, whose place is kept, how long work takes."""

from __future__ import annotations

import math

import pytest

from springtide.api import labels
from springtide.api.kueue import Workload
from springtide.api.struct import replace
from springtide.scheduling.volcano_terms import (
    estimated_seconds,
    left_alone_seconds,
    patience_seconds,
    seconds_of,
)
from tests.builders import node, workload
from tests.scheduling.preemption import LOWER, job, key, preempted, queue, settle
from tests.scheduling.world import World


def noted(obj: Workload, **notes: str) -> Workload:
    """A workload with annotations, by name of the constant."""
    annotations = {getattr(labels, name): text for name, text in notes.items()}
    return replace(obj, metadata=replace(obj.metadata, annotations=annotations))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600), ("1h30m", 5400), ("600s", 600), ("0", 0), ("-5s", 0), ("soon", None), ("", None)],
)
def test_a_duration_is_gos(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


def test_what_a_workload_says_is_read_off_its_annotations() -> None:
    assert left_alone_seconds(noted(workload(), PREEMPTABLE="false")) == math.inf
    assert left_alone_seconds(noted(workload(), PREEMPTABLE="true")) == 0
    assert left_alone_seconds(noted(workload(), COOLDOWN_TIME="5m")) == 300
    assert patience_seconds(noted(workload(), SLA_WAITING_TIME="1m"), 1800) == 60
    assert patience_seconds(noted(workload(), SLA_WAITING_TIME="2h"), 1800) == 1800
    assert estimated_seconds(noted(workload(), RUNNING_ESTIMATE="2h")) == 7200
    assert estimated_seconds(workload()) is None


def full(victim: Workload) -> World:
    """A cluster full of one workload, and one of higher priority that waits."""
    world = World(node("n", cpu=4), *queue("q", 4, within=LOWER), victim, queues=False)
    settle(world)
    assert world.is_admitted(victim.key)
    world.add(job("high", 4, priority=10, created=9))
    settle(world)
    return world


def test_who_is_not_preemptable_stays() -> None:
    assert not preempted(full(noted(job("low", 4), PREEMPTABLE="false")))
    assert preempted(full(noted(job("low", 4), PREEMPTABLE="true"))) == {"low"}


def test_who_cools_down_stays_until_it_has_run_so_long() -> None:
    world = full(noted(job("low", 4), COOLDOWN_TIME="10m"))
    assert not preempted(world)
    decided = world.cycle()
    assert decided.requeue_after_seconds is not None
    assert 0 < decided.requeue_after_seconds <= 600
    world.clock += decided.requeue_after_seconds
    settle(world)
    assert preempted(world) == {"low"}
    assert world.is_admitted(key("high"))


def test_backfill_goes_by_the_users_estimate_of_what_runs() -> None:
    """Half a cluster runs for two hours by its user's word; who waits for all of it has a time."""
    runs = noted(job("runs", 2), RUNNING_ESTIMATE="2h")
    world = World(node("n", cpu=4), *queue("q", within=LOWER), runs, queues=False)
    settle(world)
    world.add(job("large", 4, created=1))
    settle(world)
    world.add(job("unknown", 2, created=2), noted(job("quick", 2, created=3), RUNNING_ESTIMATE="1h"))
    settle(world)
    told = world.condition(key("large")).message
    assert "expected to start about" in told
    assert "when default/runs" in told
    assert not world.is_admitted(key("unknown"))
    assert world.is_admitted(key("quick"))


def test_a_place_is_kept_firmly_after_the_time_that_was_promised() -> None:
    world = World(node("n", cpu=4), *queue("q", within=LOWER), job("runs", 2), queues=False)
    settle(world)
    world.add(noted(job("large", 4, created=1), SLA_WAITING_TIME="1m"))
    world.add(job("before", 1, created=2))
    settle(world)
    assert world.is_admitted(key("before")), (
        "nothing is known of how long others run, so everybody who fits starts"
    )
    world.clock += 120
    world.add(job("after", 1, created=130))
    settle(world)
    assert not world.is_admitted(key("after"))
