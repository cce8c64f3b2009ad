"""Who waits for room first has its place kept: who may pass it, who may not, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from springtide.api.kueue import Workload
from springtide.api.struct import replace
from springtide.scheduling import Options, plan
from springtide.scheduling.timing import Timing
from tests.builders import (
    at,
    cluster_queue,
    evicted,
    local_queue,
    node,
    pod,
    pod_set,
    pod_spec,
    with_condition,
    workload,
)
from tests.scheduling.world import World

HOUR = 3600.0


def job(
    name: str, gpus: int, *, limit: int | None = None, created: float = 0, priority: int | None = None
) -> Workload:
    """A gang of one-GPU pods that is stopped after `limit` seconds."""
    made = workload(name, pod_set(gpus, pod_spec(gpu=1)), created=created, priority=priority, job=name)
    return replace(made, spec=replace(made.spec, maximum_execution_time_seconds=limit))


def without_condition(obj: Workload, type_: str) -> Workload:
    kept = [one for one in obj.status.conditions if one.type != type_]
    return replace(obj, status=replace(obj.status, conditions=kept))


class Scene(World):
    """Nodes of eight GPUs, and time that goes as the test says."""

    def __init__(self, nodes: int = 1, **timing: Any) -> None:
        super().__init__(*(node(f"n{number}", cpu=64, gpu=8) for number in range(nodes)))
        self.options["timing"] = Timing(**timing)

    def at(self, seconds: float, *new: Workload) -> list[str]:
        """One cycle at this moment with these added: who has been admitted by then."""
        self.add(*new)
        self.clock = seconds - 1
        self.cycle()
        return sorted(
            obj.metadata.name
            for obj in self.objects.values()
            if isinstance(obj, Workload) and obj.status.admission is not None
        )

    def finish(self, name: str, seconds: float) -> None:
        """It ends by itself."""
        done = with_condition(self.workload(f"default/{name}"), "Finished", reason="Succeeded", since=seconds)
        self.add(done)
        self.remove(done)

    def next_look(self) -> float | None:
        """Seconds from now after which the scheduler looks again by itself."""
        return plan(self.snapshot(), at(self.clock)).requeue_after_seconds

    def why(self, name: str) -> str:
        return self.condition(f"default/{name}").message


@pytest.mark.parametrize(
    ("story", "gpus", "limit", "starts"),
    [
        ("ends before the first starts", 4, 800, True),
        ("would still run when the first is to start", 4, 1000, False),
        ("has no limit, and nothing is known of it", 4, None, False),
        ("fits beside the first", 2, None, True),
    ],
)
def test_who_passes_the_first_that_waits(story: str, gpus: int, limit: int | None, starts: bool) -> None:
    scene = Scene()
    assert scene.at(0, job("running", 4, limit=1000)) == ["running"]
    later = job("later", gpus, limit=limit, created=101)
    admitted = scene.at(101, job("first", 6, created=50), later)
    assert ("later" in admitted) is starts, story
    assert "first" not in admitted
    assert "expected to start about 00:20 UTC: when default/running (4 devices) ends" in scene.why("first")


def test_who_is_held_up_learns_what_would_let_it_start() -> None:
    scene = Scene()
    scene.at(0, job("running", 4, limit=1000))
    scene.at(100, job("first", 8, created=50), job("later", 2, created=60))
    condition = scene.condition("default/later")
    assert condition.reason == "PendingEvaluation"
    assert condition.message == (
        "there is room, but it might put off default/first, which is expected to start about 00:20 UTC; "
        "with spec.maximumExecutionTimeSeconds of at most 900 it would start now"
    )
    scene.add(replace(job("later", 2, created=60, limit=900), status=scene.workload("default/later").status))
    assert "later" in scene.at(100)


def test_without_any_known_duration_everybody_who_fits_starts_as_in_kueue() -> None:
    scene = Scene()
    scene.at(0, job("running", 4))
    assert "later" in scene.at(100, job("first", 8, created=50), job("later", 2, created=60))


def test_the_place_is_kept_once_the_first_has_waited_for_long() -> None:
    scene = Scene(firm_after_seconds=600)
    scene.at(0, job("running", 4))
    assert "early" in scene.at(100, job("first", 8, created=50), job("early", 1, created=60))
    assert "late" not in scene.at(651, job("late", 1, created=640))
    assert "limited" in scene.at(652, job("limited", 1, created=645, limit=300))


def test_kept_places_can_be_turned_off() -> None:
    scene = Scene(backfill=False, firm_after_seconds=1)
    scene.at(0, job("running", 4, limit=9000))
    assert "later" in scene.at(5000, job("first", 8, created=50), job("later", 2, created=60))


def test_what_finished_before_says_how_long_its_like_will_run() -> None:
    scene = Scene()
    for number in range(4):
        scene.at(number * 1000, job(f"train-{number}", 4, created=number * 1000))
        scene.finish(f"train-{number}", number * 1000 + 900)
    assert scene.at(5000, job("train-9", 4, created=5000)) == ["train-9"]
    admitted = scene.at(5100, job("first", 8, created=5050), job("other", 2, created=5060))
    assert admitted == ["train-9"], "nothing is known of `other`"
    assert "when default/train-9 (4 devices) ends" in scene.why("first")
    assert "train-10" not in scene.at(5101, job("train-10", 4, created=5101)), "it lasts as long as train-9"


def test_a_plain_pod_passes_only_if_it_is_ended_in_time() -> None:
    scene = Scene()
    scene.at(0, job("running", 4, limit=1000))
    asking = pod("forever", pod_spec(gpu=1), created=60)
    short = pod("short", pod_spec(gpu=1), created=61)
    short = replace(short, spec=replace(short.spec, active_deadline_seconds=600))
    scene.add(asking, short)
    scene.at(100, job("first", 8, created=50))
    assert not scene.pod("default/forever").spec.node_name
    assert scene.pod("default/short").spec.node_name == "n0"


def test_other_nodes_are_nobodys_business() -> None:
    scene = Scene()
    scene.add(
        node("other", cpu=64, gpu=8, labelled={"pool": "b"}),
        node("n0", cpu=64, gpu=8, labelled={"pool": "a"}),
    )
    scene.at(0, job("running", 8, limit=1000))
    there = workload("there", pod_set(8, pod_spec(gpu=1, selector={"pool": "b"})), created=60, job="there")
    first = workload("first", pod_set(8, pod_spec(gpu=1, selector={"pool": "a"})), created=50, job="first")
    assert "there" in scene.at(100, first, there)


def test_a_second_plan_on_what_the_first_wrote_changes_nothing() -> None:
    scene = Scene(nodes=2)
    scene.at(0, job("running", 10, limit=1000))
    scene.at(
        100, job("first", 16, created=50), *(job(f"j{n}", 2, created=60 + n, limit=n * 500) for n in (1, 2))
    )
    scene.clock -= 1
    assert scene.cycle().commands == ()


def test_work_ends_when_its_time_is_over_whatever_becomes_of_it() -> None:
    scene = Scene()
    scene.at(0, job("running", 4, limit=1000))
    scene.add(job("waiting", 8, created=1))
    assert plan(scene.snapshot(), at(400)).requeue_after_seconds == 600
    scene.start_pods("default/running")
    scene.at(999)
    assert scene.is_admitted("default/running")
    scene.at(1000)
    evicted = scene.condition("default/running", "Evicted")
    assert evicted.reason == "DeactivatedDueToMaximumExecutionTimeExceeded"
    assert scene.condition("default/running", "DeactivationTarget").reason == "MaximumExecutionTimeExceeded"
    assert "exceeding the maximum execution time (1000 s)" in scene.why("running")
    assert scene.workload("default/running").status.accumulated_past_execution_time_seconds is None


def test_attempts_share_one_limit() -> None:
    scene = Scene()
    scene.at(0, job("running", 4, limit=1000))
    scene.add(evicted(scene.workload("default/running")))
    scene.at(600)
    status = scene.workload("default/running").status
    assert status.admission is None
    assert status.accumulated_past_execution_time_seconds == 600
    scene.add(without_condition(scene.workload("default/running"), "Evicted"))
    scene.at(700)
    assert scene.is_admitted("default/running")
    assert scene.workload("default/running").status.accumulated_past_execution_time_seconds == 600
    assert scene.next_look() == 400
    scene.at(1100)
    assert not scene.is_admitted("default/running")


STREAMS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(100, 400), st.booleans()), min_size=30, max_size=60
)
"""Small jobs that come one after the other: GPUs, how long each runs, whether it says so."""
PATIENCE, LONGEST, STEP = 300.0, 400, 20


def expect_start(scene: Scene, gang: int, stream: list[tuple[int, int, bool]], limited: bool) -> None:
    """A gang for which half of 16 GPUs is too little starts, whatever comes after it without end.

    Within its patience, the longest that ran then, and its patience once more.
    """
    ends: dict[str, float] = {}
    scene.at(1, job("filler", 8, limit=LONGEST if limited else None))
    ends["filler"] = float(LONGEST)
    scene.add(job("gang", gang, created=2))
    moment, number = 20.0, 0
    while True:
        for name in [name for name, end in ends.items() if end <= moment]:
            scene.finish(name, ends.pop(name))
        size, lasts, says = stream[number % len(stream)]
        number += 1
        admitted = scene.at(moment, job(f"s{number}x", size, limit=lasts if says else None, created=moment))
        if "gang" in admitted:
            return
        for name in admitted:
            if name not in ends:
                ends[name] = moment + stream[(int(name[1:-1]) - 1) % len(stream)][1]
        moment += STEP
        assert moment <= 2 + PATIENCE + LONGEST + PATIENCE + 2 * STEP, "the gang starves"


@settings(max_examples=25, deadline=None)
@given(st.integers(10, 16), STREAMS, st.booleans())
def test_no_stream_of_small_jobs_starves_a_gang(
    gang: int, stream: list[tuple[int, int, bool]], limited_first: bool
) -> None:
    expect_start(Scene(nodes=2, firm_after_seconds=PATIENCE), gang, stream, limited_first)


@settings(max_examples=15, deadline=None)
@given(st.integers(10, 16), STREAMS, st.booleans())
def test_nor_one_that_waits_for_quota_with_room_to_spare(
    gang: int, stream: list[tuple[int, int, bool]], limited_first: bool
) -> None:
    """The small ones always fit into what is left of the quota; nodes are half empty all the time."""
    scene = Scene(nodes=4, firm_after_seconds=PATIENCE)
    scene.add(limited_queue(16))
    expect_start(scene, gang, stream, limited_first)


def limited_queue(gpus: int) -> Any:
    return cluster_queue(quota={"nvidia.com/gpu": gpus})


def test_the_first_that_waits_for_quota_is_not_passed_for_ever() -> None:
    scene = Scene(nodes=4)
    scene.add(limited_queue(8))
    scene.at(0, job("running", 4, limit=1000))
    admitted = scene.at(
        100, job("first", 8, created=50), job("long", 2, created=60), job("short", 2, created=61, limit=800)
    )
    assert admitted == ["running", "short"]
    assert "8 nvidia.com/gpu of ClusterQueue default" in scene.why("first")
    assert "expected to start about 00:20 UTC: when default/running (4 devices) ends" in scene.why("first")
    assert scene.why("long").startswith("there is quota, but it might put off default/first")
    scene.finish("short", 700)
    scene.finish("running", 800)
    assert scene.at(801) == ["first"]


def test_quota_that_the_first_does_not_need_is_anybodys() -> None:
    scene = Scene(nodes=4)
    scene.add(limited_queue(8))
    scene.at(0, job("running", 4, limit=1000))
    assert "beside" in scene.at(100, job("first", 6, created=50), job("beside", 2, created=60))
    assert "more" not in scene.at(101, job("more", 1, created=70))


def test_another_queues_own_quota_is_its_own() -> None:
    scene = Scene(nodes=4)
    mine, theirs = limited_queue(8), cluster_queue("theirs", quota={"nvidia.com/gpu": 8})
    for queue in (mine, theirs):
        scene.add(replace(queue, spec=replace(queue.spec, cohort_name="all")))
    scene.add(local_queue("theirs", "theirs"))
    scene.at(0, job("running", 12, limit=1000))
    own = job("own", 4, created=60)
    own = replace(own, spec=replace(own.spec, queue_name="theirs"))
    admitted = scene.at(100, job("first", 10, created=50), own)
    assert admitted == ["own", "running"]


JOBS = st.lists(
    st.tuples(st.integers(1, 16), st.integers(0, 900), st.sampled_from([None, 60, 600, 2000])),
    min_size=3,
    max_size=9,
)


def admitted_in(scene: Scene) -> set[str]:
    return {
        obj.key
        for obj in scene.objects.values()
        if isinstance(obj, Workload) and obj.status.admission is not None
    }


@settings(max_examples=30, deadline=None)
@example([(1, 0, None), (1, 0, None), (1, 1, None), (14, 1, 60), (15, 0, None)])
@example([(1, 0, None), (1, 0, None), (1, 0, 60), (1, 1, 60), (14, 0, None)])
@example([(1, 1, None), (1, 1, None), (2, 0, None), (15, 0, None)])
@given(JOBS)
def test_at_one_moment_it_comes_to_rest_and_takes_nothing_back(
    jobs: list[tuple[int, int, int | None]],
) -> None:
    """A place is promised before others pass it in the same cycle; who of them ends last, the next knows.

    So the next may say anew after whom one who waits starts, and let one more pass; then there is rest.
    """
    scene = Scene(nodes=2, firm_after_seconds=600)
    scene.add(*(job(f"j{n}x", size, created=at_, limit=limit) for n, (size, at_, limit) in enumerate(jobs)))
    scene.clock = 999
    scene.cycle()
    for _ in jobs:
        before = admitted_in(scene)
        if not plan(scene.snapshot(), at(1000), Options(timing=scene.options["timing"])).commands:
            break
        scene.clock = 999
        scene.cycle()
        assert before <= admitted_in(scene)
    assert plan(scene.snapshot(), at(1000), Options(timing=scene.options["timing"])).commands == ()


@settings(max_examples=30, deadline=None)
@given(JOBS)
def test_the_same_snapshot_gives_the_same_plan(jobs: list[tuple[int, int, int | None]]) -> None:
    scene = Scene(nodes=2, firm_after_seconds=600)
    scene.add(*(job(f"j{n}x", size, created=at_, limit=limit) for n, (size, at_, limit) in enumerate(jobs)))
    scene.clock = 999
    scene.cycle()
    later = at(1100)
    first, second = (plan(scene.snapshot(), later, Options(timing=Timing())) for _ in range(2))
    assert first == second
