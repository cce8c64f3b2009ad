"""What is learned of how long work runs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.scheduling.durations import (
    UNKNOWN_SECONDS,
    History,
    Sort,
    certain,
    lasting,
    remaining,
    stem_of,
)

SECONDS = st.floats(1.0, 5e7)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("bert-large-7f3k9", "bert-large"),
        ("bert-large-20", "bert-large"),
        ("bert-large-20-3", "bert-large"),
        ("sweep.0017", "sweep"),
        ("resnet50", "resnet"),
        ("train", "train"),
        ("2024", "2024"),
        ("tune-adamw", "tune-adamw"),
    ],
)
def test_a_name_without_what_tells_runs_apart(name: str, stem: str) -> None:
    assert stem_of(name) == stem


def test_nothing_is_known_at_first() -> None:
    assert History().estimate(Sort("research")).quantile(0.5) == pytest.approx(UNKNOWN_SECONDS, rel=0.2)


def test_what_ran_often_is_known_well() -> None:
    history = History()
    for _ in range(200):
        history.record(Sort("research", devices=8), 600.0)
    estimate = history.estimate(Sort("research", devices=8))
    assert estimate.quantile(0.5) == pytest.approx(600.0, rel=0.2)
    assert estimate.mean_seconds == pytest.approx(600.0, rel=0.5)


def test_a_new_sort_is_taken_to_last_as_long_as_what_is_nearest_to_it() -> None:
    history = History()
    for _ in range(200):
        history.record(Sort("research", "ada", "tune", 1), 60.0)
        history.record(Sort("research", "ada", "pretrain", 64), 86400.0)
    small = history.estimate(Sort("research", "bob", "new", 1)).quantile(0.5)
    large = history.estimate(Sort("other", "bob", "new", 64)).quantile(0.5)
    assert small < 120.0
    assert large > 40000.0


def test_a_few_runs_of_its_own_outweigh_many_of_others() -> None:
    history = History()
    for _ in range(1000):
        history.record(Sort("research", "ada", "tune", 1), 60.0)
    for _ in range(20):
        history.record(Sort("research", "bob", "evaluate", 1), 7200.0)
    assert history.estimate(Sort("research", "bob", "evaluate", 1)).quantile(0.5) > 3600.0


def test_a_limit_bounds_whatever_is_expected() -> None:
    history = History()
    for _ in range(50):
        history.record(Sort("research"), 86400.0)
    found = lasting(history.estimate(Sort("research")), limit=3600.0)
    assert (found.mean, found.expected, found.cautious) == (3600.0, 3600.0, 3600.0)
    assert remaining(history.estimate(Sort("research")), 3000.0, limit=3600.0) == pytest.approx(600.0)


def test_who_knows_is_certain() -> None:
    assert certain(5.0).mean == certain(5.0).expected == certain(5.0).cautious == 5.0


@given(runs=st.lists(SECONDS, max_size=30), elapsed=SECONDS, part=st.floats(0.01, 0.99))
def test_the_longer_work_has_run_the_later_it_ends(runs: list[float], elapsed: float, part: float) -> None:
    history = History()
    for seconds in runs:
        history.record(Sort(), seconds)
    estimate = history.estimate(Sort())
    assert estimate.quantile(part, elapsed) >= elapsed
    assert estimate.quantile(part, elapsed) >= estimate.quantile(part, elapsed / 2) * (1 - 1e-9)
    assert estimate.quantile(part) <= estimate.quantile(min(0.999, part + 0.1)) * (1 + 1e-9)
    assert remaining(estimate, elapsed) >= 1.0


@given(runs=st.lists(SECONDS, min_size=1, max_size=30))
def test_how_likely_each_duration_is_sums_up_to_certainty(runs: list[float]) -> None:
    history = History()
    for seconds in runs:
        history.record(Sort("a", "b", "c", 2), seconds)
    assert math.isclose(float(history.estimate(Sort("a", "b", "c", 2)).likely.sum()), 1.0, rel_tol=1e-9)
