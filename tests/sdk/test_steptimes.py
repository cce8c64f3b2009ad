"""What is kept of a rank's newest steps: it moves for a slow rank, and not for a disturbed one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.sdk.steptimes import RECENT, STEPS, UNKNOWN, RunQueue, StepTimes


def told(*works: float) -> StepTimes:
    times = StepTimes()
    for work in works:
        times.add(work + 0.1)
        times.add_work(work, 0.05)
    return times


def test_nothing_is_known_of_too_few_steps() -> None:
    times = told(*[0.3] * (STEPS - 1))
    assert (times.busy, times.recent, times.queued) == (0.3, 0.3, 0.05)
    assert (times.low, times.best, times.best_wall) == (UNKNOWN, UNKNOWN, UNKNOWN)
    times.add_work(0.3, 0.05)
    assert (times.low, times.best) == (0.3, 0.3)


@pytest.mark.parametrize(
    ("what", "after", "low", "recent"),
    [
        ("one long step moves nothing", [9.0], 0.3, 0.3),
        ("two of three are worth another look", [0.9, 0.9], 0.3, 0.9),
        ("nine of twelve may be a disturbance", [0.9] * 9, 0.3, 0.9),
        ("ten of twelve are none", [0.9] * 10, 0.9, 0.9),
        ("two short ones between do not hide it", [0.9] * 9 + [0.3, 0.3] + [0.9], 0.9, 0.3),
        ("it is over at once", [0.9] * 20 + [0.3] * 3, 0.3, 0.3),
    ],
)
def test_what_slow_steps_move(what: str, after: list[float], low: float, recent: float) -> None:
    times = told(*[0.3] * 30, *after)
    assert (times.low, times.recent, times.best) == (low, recent, 0.3)


@given(st.lists(st.floats(0.01, 100.0), min_size=STEPS, max_size=40))
def test_what_is_told_lies_among_the_steps(works: list[float]) -> None:
    times, newest = told(*works), works[-STEPS:]
    assert min(newest) <= times.low <= times.busy <= max(newest)
    assert min(works[-RECENT:]) <= times.recent <= max(works[-RECENT:])
    assert min(works) <= times.best <= times.busy
    assert sum(work >= times.low for work in newest) >= STEPS - 2


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this kernel counts no queueing")
def test_the_queue_only_grows_and_is_the_kernels_own_count() -> None:
    queue = RunQueue()
    before = queue()
    counted = int(Path("/proc", str(os.getpid()), "schedstat").read_text().split()[1]) * 1e-9
    assert before <= counted <= queue()


def test_where_nobody_counts_nothing_is_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refused)
    queue = RunQueue()
    assert (queue(), queue()) == (0.0, 0.0)
