"""The follower: any order of news leads to each line once, one phase at a time and one end."""

from __future__ import annotations

from dataclasses import dataclass, field

from springtide.api.core import Pod
from springtide.api.kueue import WorkloadStatus
from springtide.api.meta import ObjectMeta
from springtide.api.struct import replace
from springtide.api.trainer import TrainJob, TrainJobStatus
from springtide.cli import follow
from springtide.cli.phase import Phase
from tests.cli.scene import condition, pod, pod_status, trainjob, workload


@dataclass
class Seen:
    """Feeds a follower and keeps what it asks for."""

    follower: follow.Follower = field(default_factory=follow.Follower)
    effects: list[follow.Effect] = field(default_factory=list)

    def then(self, *news: follow.Seen, at: float = 0.0) -> Seen:
        for each in news:
            self.effects += self.follower.see(each, at)
        return self

    def of(self, kind: type[follow.Effect]) -> list[follow.Effect]:
        return [effect for effect in self.effects if isinstance(effect, kind)]


def started(rank: int, *, restarts: int = 0) -> Pod:
    return replace(pod("j", rank), status=pod_status("Running", restarts=restarts))


def ended(rank: int, code: int = 0) -> Pod:
    return replace(pod("j", rank), status=pod_status("Failed" if code else "Succeeded", exit_code=code))


def job(*conditions: str) -> TrainJob:
    status = TrainJobStatus(conditions=[condition(type_) for type_ in conditions])
    return replace(trainjob("j"), status=status)


NAME = pod("j", 0).metadata.name
LINE = b"2026-01-01T00:00:0%dZ step\n"


def test_a_log_is_opened_once_the_container_runs() -> None:
    seen = Seen().then(follow.PodSeen(pod("j", 0)))
    assert seen.of(follow.OpenLog) == []
    seen.then(follow.PodSeen(started(0)), follow.PodSeen(started(0)))
    assert seen.of(follow.OpenLog) == [follow.OpenLog(NAME, "node")]


def test_a_pod_seen_only_at_its_end_has_its_log_read() -> None:
    assert Seen().then(follow.PodSeen(ended(0))).of(follow.OpenLog) == [follow.OpenLog(NAME, "node")]


def test_a_restarted_container_is_read_again_without_its_old_lines() -> None:
    seen = Seen().then(follow.PodSeen(started(0)), follow.LogChunk(NAME, LINE % 1), follow.LogEnded(NAME))
    seen.then(
        follow.PodSeen(started(0, restarts=1)),
        follow.LogChunk(NAME, LINE % 1),
        follow.LogChunk(NAME, LINE % 2),
    )
    assert len(seen.of(follow.OpenLog)) == 2
    assert len(seen.of(follow.Line)) == 2


def test_a_broken_stream_is_opened_again_after_a_pause() -> None:
    seen = Seen().then(follow.PodSeen(started(0)), follow.LogEnded(NAME, broken=True), at=1.0)
    seen.then(follow.Tick(), at=1.5)
    assert len(seen.of(follow.OpenLog)) == 1
    seen.then(follow.Tick(), at=2.1)
    assert len(seen.of(follow.OpenLog)) == 2


def test_a_stream_that_brings_nothing_is_opened_ever_less_often() -> None:
    seen = Seen().then(follow.PodSeen(started(0)))
    for second in range(60):
        seen.then(follow.Tick(), follow.LogEnded(NAME), at=float(second))
    assert len(seen.of(follow.OpenLog)) < 10


def test_a_log_that_ended_with_its_container_is_not_opened_again() -> None:
    seen = Seen().then(follow.PodSeen(ended(0)), follow.LogEnded(NAME))
    seen.then(follow.Tick(), at=60.0)
    assert len(seen.of(follow.OpenLog)) == 1


def test_the_log_of_a_pod_that_is_gone_is_not_opened_again() -> None:
    seen = Seen().then(follow.PodSeen(started(0)), follow.PodGone(NAME), follow.LogEnded(NAME, broken=True))
    assert len(seen.then(follow.Tick(), at=60.0).of(follow.OpenLog)) == 1


def test_the_end_waits_for_the_logs() -> None:
    seen = Seen().then(
        follow.PodSeen(started(0)), follow.JobSeen(job("Complete")), follow.PodsListed(), at=10.0
    )
    assert seen.of(follow.Finish) == []
    seen.then(follow.LogChunk(NAME, LINE % 1), follow.PodSeen(ended(0)), follow.LogEnded(NAME), at=10.5)
    assert seen.of(follow.Finish) == [follow.Finish()]
    assert seen.follower.finished_at == 10.0
    assert isinstance(seen.effects[-1], follow.Finish)


def test_the_end_does_not_wait_for_ever() -> None:
    seen = Seen().then(
        follow.PodSeen(started(0)), follow.JobSeen(job("Failed")), follow.PodsListed(), at=10.0
    )
    seen.then(follow.Tick(), at=12.9)
    assert seen.of(follow.Finish) == []
    assert seen.then(follow.Tick(), at=13.0).of(follow.Finish) == [follow.Finish()]


def test_the_end_waits_for_pods_the_watch_has_not_brought() -> None:
    seen = Seen().then(follow.JobSeen(job("Complete")))
    assert seen.effects == [follow.ListPods()]
    seen.then(follow.PodSeen(ended(0)), follow.PodsListed())
    assert seen.of(follow.Finish) == []
    assert seen.then(follow.LogEnded(NAME)).of(follow.Finish) == [follow.Finish()]


def test_nothing_follows_the_end() -> None:
    seen = Seen().then(follow.JobSeen(job("Complete")), follow.PodsListed())
    assert seen.then(follow.PodSeen(started(0)), follow.JobGone(), follow.Tick()).of(follow.OpenLog) == []
    assert len(seen.of(follow.Finish)) == 1


def test_a_job_deleted_before_its_end_is_gone() -> None:
    seen = Seen().then(follow.JobSeen(job()), follow.JobGone())
    assert seen.of(follow.Finish) == [follow.Finish(gone=True)]


def test_a_job_cleaned_up_after_its_end_is_not_gone() -> None:
    seen = Seen().then(
        follow.PodSeen(started(0)), follow.JobSeen(job("Complete")), follow.PodsListed(), follow.JobGone()
    )
    assert seen.of(follow.Finish) == [follow.Finish(gone=False)]


def test_a_job_that_passes_through_waiting_is_not_said_to_wait() -> None:
    seen = Seen().then(follow.JobSeen(job()), at=0.0).then(follow.PodSeen(started(0)), at=0.2)
    admitted = replace(workload(job()), status=WorkloadStatus(conditions=[condition("QuotaReserved")]))
    seen.then(follow.WorkloadSeen(admitted), at=0.25)
    assert [show.phase.phase for show in seen.of(follow.Show) if isinstance(show, follow.Show)] == [
        Phase.STARTING
    ]


def test_the_log_of_an_ended_container_that_ended_cleanly_holds_nothing_up() -> None:
    seen = Seen().then(
        follow.PodSeen(started(0)),
        follow.LogEnded(NAME),
        follow.JobSeen(job("Complete")),
        follow.PodsListed(),
    )
    assert seen.of(follow.Finish) == []
    assert seen.then(follow.PodSeen(ended(0))).of(follow.Finish) == [follow.Finish()]


def test_the_same_phase_is_shown_once() -> None:
    seen = Seen().then(*[follow.JobSeen(job())] * 3)
    assert seen.of(follow.Show) == []
    shown = seen.then(follow.Tick(), follow.JobSeen(job()), at=0.5).of(follow.Show)
    assert len(shown) == 1
    assert isinstance(shown[0], follow.Show)
    assert shown[0].phase.phase is Phase.CREATED


def test_a_later_attempt_is_announced_once() -> None:
    second = [replace(pod("j", rank, attempt=1), status=pod_status("Running")) for rank in (0, 1)]
    seen = Seen().then(follow.PodSeen(started(0)), *map(follow.PodSeen, second))
    assert len(seen.of(follow.Notice)) == 1


def test_pods_before_training_go_by_the_name_of_their_step() -> None:
    labels = {**pod("j", 0).metadata.labels, "jobset.sigs.k8s.io/replicatedjob-name": "dataset-initializer"}
    assert (
        follow.rank_of(Pod(metadata=ObjectMeta(labels=labels), spec=pod("j", 0).spec))
        == "dataset-initializer"
    )
    assert follow.rank_of(pod("j", 3)) == "3"
