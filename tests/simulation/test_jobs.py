"""Replays of traces of jobs: tables of small scenes, and what must hold on any trace."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.scheduling.ordering import AGEING_SECONDS
from springtide.simulation.jobs import Moment, replay_jobs
from springtide.simulation.jobtrace import JobTraceError, TraceJob, demand, in_order, load_jobs, nodes_for
from springtide.simulation.outcome import CURVE_POINTS, by_size, fairness, figures
from springtide.simulation.report import HEIGHT, WIDTH, report

POLICIES = ("fifo", "easy", "default")

TRACES = st.lists(
    st.builds(
        TraceJob,
        arrival=st.integers(0, 500).map(float),
        duration=st.integers(0, 300).map(float),
        gpus=st.sampled_from((1, 1, 1, 2, 4, 8, 12)),
        cluster=st.sampled_from(("red", "blue")),
    ),
    min_size=1,
    max_size=40,
).map(in_order)


def job(arrival: float, duration: float, gpus: int) -> TraceJob:
    return TraceJob(arrival, duration, gpus)


def test_one_after_another_where_there_is_room_for_one() -> None:
    found = replay_jobs([job(0, 10, 8), job(0, 10, 8), job(0, 10, 8)], 1, 8, "fifo")
    assert found.overall.wait_mean == pytest.approx(10.0)
    assert found.overall.wait_p99 == 20.0
    assert found.makespan == 30.0
    assert found.utilization_makespan == pytest.approx(1.0)


@pytest.mark.parametrize(("policy", "waits"), [("fifo", 99.0 + 199.0), ("easy", 99.0), ("default", 99.0)])
def test_a_short_job_need_not_wait_behind_a_large_one(policy: str, waits: float) -> None:
    trace = [job(0, 100, 6), job(1, 100, 8), job(1, 50, 2)]
    assert replay_jobs(trace, 1, 8, policy, oracle=True).overall.wait_mean * 3 == pytest.approx(waits)


def test_a_long_job_waits_behind_a_large_one() -> None:
    found = replay_jobs([job(0, 100, 6), job(1, 100, 8), job(1, 500, 2)], 1, 8, "easy", oracle=True)
    assert found.overall.wait_mean * 3 == pytest.approx(99.0 + 199.0)


def test_jobs_kept_on_one_node_wait_for_one() -> None:
    trace = [job(0, 100, 3), job(0, 100, 3), job(1, 10, 2)]
    assert replay_jobs(trace, 2, 4, "fifo").overall.wait_max == 0.0
    assert replay_jobs(trace, 2, 4, "fifo", one_node=True).overall.wait_max == 99.0


def test_a_site_replays_its_own_order(tmp_path: Path) -> None:
    path = tmp_path / "widest.py"
    path.write_text(
        "from springtide.scheduling.ordering import Ordering\n"
        "WIDEST = Ordering('widest', lambda one: (0.0, -one.devices, one.key))\n"
    )
    trace = [job(0, 10, 8), job(1, 10, 1), job(2, 10, 8)]
    found = replay_jobs(trace, 1, 8, f"{path}:WIDEST")
    assert found.by_size["1"].wait_max == 19.0
    with pytest.raises(ValueError, match="has no Ordering named 'NARROWEST'"):
        replay_jobs(trace, 1, 8, f"{path}:NARROWEST")


def test_what_never_fits_is_left_out_and_counted() -> None:
    found = replay_jobs([job(0, 10, 1), job(0, 10, 17)], 2, 8, "default")
    assert (found.skipped, found.overall.jobs) == (1, 1)


def test_a_cluster_in_which_nothing_fits_is_refused() -> None:
    with pytest.raises(JobTraceError, match="no job of the trace fits"):
        replay_jobs([job(0, 10, 17)], 2, 8)
    with pytest.raises(JobTraceError, match="runs nothing"):
        replay_jobs([job(0, 10, 1)], 0, 8)
    with pytest.raises(ValueError, match="'nonsense' is not registered"):
        replay_jobs([job(0, 10, 1)], 1, 8, "nonsense")


@settings(max_examples=40, deadline=None)
@given(trace=TRACES, policy=st.sampled_from(POLICIES), oracle=st.booleans(), one_node=st.booleans())
def test_gpus_are_neither_lost_nor_given_twice(
    trace: Sequence[TraceJob], policy: str, oracle: bool, one_node: bool
) -> None:
    moments: list[Moment] = []
    found = replay_jobs(trace, 2, 8, policy, oracle=oracle, one_node=one_node, watch=moments.append)
    assert moments
    for moment in moments:
        assert moment.free + moment.busy == 16
        assert moment.free >= 0
    assert (moments[-1].free, moments[-1].waiting) == (16, 0)
    assert found.overall.jobs == len(trace)


@settings(max_examples=60, deadline=None)
@given(trace=TRACES, one_node=st.booleans())
def test_nobody_delays_a_reservation_when_durations_are_known(
    trace: Sequence[TraceJob], one_node: bool
) -> None:
    promised: dict[str, float] = {}
    held = ""

    def watch(moment: Moment) -> None:
        nonlocal held
        if held and moment.reserved != held:
            assert moment.now <= promised[held]
        held = moment.reserved
        if held:
            assert moment.reserved_starts <= promised.setdefault(held, moment.reserved_starts)
            assert moment.now <= promised[held]

    replay_jobs(trace, 2, 8, "easy", oracle=True, one_node=one_node, watch=watch)
    assert all(starts >= 0 for starts in promised.values())


@settings(max_examples=20, deadline=None)
@given(trace=TRACES, policy=st.sampled_from(POLICIES), seed=st.integers(0, 3))
def test_equal_replays_are_equal(trace: Sequence[TraceJob], policy: str, seed: int) -> None:
    first, second = (replay_jobs(trace, 2, 8, policy, seed=seed) for _ in range(2))
    assert replace(first, cpu_seconds=0, decisions_per_second=0) == replace(
        second, cpu_seconds=0, decisions_per_second=0
    )


def test_a_long_job_does_not_starve_among_short_ones() -> None:
    """Short jobs keep all GPUs busy for as long as they come: the long one starts when it has aged."""
    every = 600.0
    short = [job(i * every, every, 8) for i in range(int(2 * AGEING_SECONDS / every))]
    long_one = TraceJob(every / 2, 100 * every, 8, "long")
    found = replay_jobs(in_order([*short, long_one]), 1, 8, "default", oracle=True)
    started = [wait for wait in found.curves.wait_quantiles if wait > AGEING_SECONDS / 4]
    assert 30 * 100 * every > AGEING_SECONDS, "the bound is what lets it start"
    assert found.overall.wait_max < AGEING_SECONDS + 200 * every
    assert started


def test_the_default_serves_many_short_jobs_before_a_few_long_ones() -> None:
    generator = np.random.default_rng(5)
    trace = in_order(
        TraceJob(
            arrival=float(generator.uniform(0, 40000)),
            duration=float(generator.exponential(300 if small else 6000)),
            gpus=1 if small else 4,
            cluster="a" if small else "b",
        )
        for small in (generator.random(800) < 0.9)
    )
    nodes = nodes_for(trace, 1.1, 4)
    fifo, easy, default = (replay_jobs(trace, nodes, 4, policy).overall for policy in POLICIES)
    assert easy.wait_mean <= fifo.wait_mean
    assert default.wait_mean * 2 < fifo.wait_mean


# -- traces ------------------------------------------------------------------------------------------


def test_a_trace_is_read_in_the_order_of_arrivals(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(
        "timestamp,duration,num_gpus,gpu_time,cluster\n"
        "2017-10-09 07:01:55,66.0,1,66.0,red\n"
        "2017-10-09 07:00:55,10,8,80,blue\n"
        "2017-10-09 07:00:56,10,0,0,blue\n"
    )
    jobs = load_jobs(path)
    assert jobs == [TraceJob(0.0, 10.0, 8, "blue"), TraceJob(60.0, 66.0, 1, "red")]
    assert demand(jobs) == pytest.approx(146 / 60)
    assert nodes_for(jobs, 0.9, 2) == 2


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("yesterday,1,1", "trace.csv:2: timestamp: 'yesterday' is neither seconds nor a date and time"),
        ("0,soon,1", "trace.csv:2: duration: 'soon' is not a number of at least 0"),
        ("0,-1,1", "trace.csv:2: duration: '-1' is not a number of at least 0"),
        ("0,1,0.5", "trace.csv:2: num_gpus: '0.5' is not a whole number"),
        ("0,1,0", "the trace has no job that asks for GPUs"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, line: str, error: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(f"timestamp,duration,num_gpus\n{line}\n")
    with pytest.raises(JobTraceError) as raised:
        load_jobs(path)
    assert error in str(raised.value)


def test_a_trace_without_its_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("when,duration\n")
    with pytest.raises(JobTraceError, match="no column timestamp, num_gpus"):
        load_jobs(path)


# -- figures -----------------------------------------------------------------------------------------


def test_figures_of_few_jobs_are_those_of_one_of_them() -> None:
    found = figures(np.array([0.0, 10.0, 20.0]), np.array([5.0, 5.0, 5.0]))
    assert (found.wait_mean, found.wait_p50, found.wait_p99) == (10.0, 10.0, 20.0)
    assert (found.completion_mean, found.completion_p50, found.completion_p99) == (15.0, 15.0, 25.0)


def test_classes_of_sizes() -> None:
    gpus = np.array([1.0, 2.0, 8.0, 9.0, 64.0, 500.0])
    counted = by_size(gpus, np.zeros(6), np.zeros(6))
    assert {name: one.jobs for name, one in counted.items()} == {"1": 1, "2-8": 2, "9-63": 1, ">=64": 2}


def test_fairness_is_between_one_for_all_and_one_for_one() -> None:
    jobs = [TraceJob(0, 10, 1, "red"), TraceJob(0, 10, 1, "blue")]
    assert fairness(jobs, np.array([7.0, 7.0])) == pytest.approx(1.0)
    assert fairness(jobs, np.array([0.0, 1e9])) == pytest.approx(0.5, abs=1e-6)


def test_the_report_is_one_file_with_every_policy() -> None:
    trace = [job(0, 100, 6), job(1, 100, 8), job(1, 50, 2)]
    outcomes = [replay_jobs(trace, 1, 8, policy) for policy in POLICIES]
    outcomes.append(replay_jobs(trace, 1, 8, "easy", oracle=True))
    assert len(outcomes[0].curves.waiting) == len(outcomes[0].curves.busy) == CURVE_POINTS
    page = report(outcomes, "a <trace>")
    assert page.count("<svg") == 3
    assert page.count("<polyline") == 12
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        for line in ElementTree.fromstring(drawing).iter("polyline"):
            points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
            assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert "a &lt;trace&gt;" in page
    assert "easy (durations known)" in page
    assert "http" not in page
    assert "<script" not in page
