"""What a workload says of how long work like it runs."""

from __future__ import annotations

from msgspec.structs import replace

from springtide.api.kueue import Workload
from springtide.scheduling.durations import History, Sort
from springtide.scheduling.runs import elapsed, expected, expected_to_run_on, ran, sort_of
from tests.builders import admitted, at, pod_set, pod_spec, with_condition, workload


def running() -> Workload:
    return admitted(workload(), {"n": 1})


def finished(after: float) -> Workload:
    return with_condition(running(), "Finished", since=after)


def limited(obj: Workload, seconds: int, past: int | None = None) -> Workload:
    return replace(
        obj,
        spec=replace(obj.spec, maximum_execution_time_seconds=seconds),
        status=replace(obj.status, accumulated_past_execution_time_seconds=past),
    )


def test_the_sort_is_its_queue_its_user_its_stem_and_its_devices() -> None:
    wide = pod_set(4, pod_spec(cpu=1, gpu=8))
    obj = workload("trainjob-bert-7", wide, namespace="ada", queue="research", job="bert-7f3k9")
    assert sort_of(obj) == Sort("research", "ada", "bert", 32)


def test_how_long_it_ran() -> None:
    assert ran(finished(60)) == 60.0
    assert ran(running()) is None
    assert ran(workload()) is None
    assert elapsed(running(), at(30)) == 30.0
    assert elapsed(workload(), at(30)) is None


def test_earlier_attempts_count() -> None:
    obj = finished(60)
    obj = replace(obj, status=replace(obj.status, accumulated_past_execution_time_seconds=40))
    assert ran(obj) == 100.0


def test_a_limit_bounds_what_is_expected_less_what_was_used() -> None:
    history = History()
    for _ in range(50):
        history.record(sort_of(workload()), 86400.0)
    assert expected(limited(workload(), 600), history).cautious == 600.0
    assert expected(limited(workload(), 600, past=200), history).cautious == 400.0
    assert expected(workload(), history).expected > 40000.0
    assert expected_to_run_on(limited(running(), 600), history, at(100)) == 500.0
    assert expected_to_run_on(limited(running(), 600), history, at(9999)) == 1.0
