"""The life of a TrainJob, plan by plan; `World.step` also checks that a second plan asks for nothing."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api import labels
from springtide.api.commands import Create, Delete
from springtide.api.core import ContainerState, ContainerStateWaiting, ContainerStatus
from springtide.api.kueue import Workload
from springtide.api.meta import ObjectMeta
from springtide.api.springtide import Diagnosis, DiagnosisSpec
from springtide.api.struct import decode, replace
from springtide.api.trainer import TrainJob
from springtide.training.plan import Snapshot, plan
from springtide.training.runtimes import builtin_runtimes
from tests.builders import at, train_job
from tests.training.world import TORCH, World


def made(nodes: int = 2, **spec: object) -> World:
    """A world whose job has its Workload already."""
    world = World(train_job(nodes=nodes))
    world.spec(**spec)
    world.step()
    return world


def running(nodes: int = 2, **spec: object) -> World:
    """A world whose job has been running since second 10."""
    world = made(nodes, **spec)
    world.admit(since=10)
    world.pods(*["Running"] * nodes)
    world.step(10)
    return world


def diagnosis(message: str, *, attempt: int = 0, fault: str = "ProgramError") -> Diagnosis:
    spec = DiagnosisSpec(
        workload="trainjob-job", attempt=attempt, message=message, fault_class=fault, pod_set="node"
    )
    return Diagnosis(metadata=ObjectMeta(name=f"trainjob-job-{attempt}", namespace="default"), spec=spec)


# -- the beginning ----------------------------------------------------------------------------------


def test_a_new_job_gets_a_workload_of_its_own_and_is_pending() -> None:
    world = World(train_job(nodes=2))
    first = world.step()
    (created,) = [command.obj for command in first.commands if isinstance(command, Create)]
    assert isinstance(created, Workload)
    assert created.metadata.name == "trainjob-job"
    assert created.metadata.owner_references[0].uid == world.job.metadata.uid
    assert created.metadata.owner_references[0].controller is True
    assert created.metadata.annotations[labels.RENDEZVOUS_PORT] == "23456"
    assert created.spec.active is True
    assert created.spec.pod_sets[0].count == 2
    assert world.states() == ["Pending"]
    assert [event.reason for event in world.events] == ["Pending"]


def test_queue_and_priority_labels_of_the_job_reach_the_workload() -> None:
    job = train_job()
    labelled = {labels.QUEUE_NAME: "team-a", labels.PRIORITY_CLASS: "high", "other": "x"}
    world = World(replace(job, metadata=replace(job.metadata, labels=labelled)))
    world.step()
    assert world.workload.spec.queue_name == "team-a"
    assert world.workload.spec.priority_class_ref is not None
    assert world.workload.spec.priority_class_ref.name == "high"
    assert world.workload.metadata.labels == {labels.QUEUE_NAME: "team-a", labels.PRIORITY_CLASS: "high"}


def test_what_the_queue_says_is_what_the_user_reads() -> None:
    world = made()
    world.tell("QuotaReserved", "False", reason="Pending", message="needs 16 CPU, the largest node has 2")
    world.step(5)
    pending = world.condition("Pending")
    assert pending is not None
    assert (pending.reason, pending.message) == ("Pending", "needs 16 CPU, the largest node has 2")


def test_a_job_managed_by_another_controller_is_left_alone() -> None:
    world = World(train_job())
    world.spec(managedBy="kueue.x-k8s.io/multikueue")
    assert plan(world.snapshot, at(0)).commands == ()


def test_a_job_that_is_being_deleted_is_left_alone() -> None:
    job = train_job()
    gone = replace(job, metadata=replace(job.metadata, deletion_timestamp=at(0)))
    assert plan(Snapshot(job=gone, runtime=TORCH), at(0)).commands == ()


@pytest.mark.parametrize(
    ("what", "reference", "words"),
    [
        ("unknown name", {"name": "nope"}, ["ClusterTrainingRuntime 'nope'", "plain, torch-distributed"]),
        ("namespaced kind", {"name": "t", "kind": "TrainingRuntime"}, ["'t'", "in namespace default"]),
        ("unknown kind", {"name": "t", "kind": "Runtime"}, ["spec.runtimeRef.kind is 'Runtime'"]),
    ],
)
def test_a_missing_runtime_is_named_with_what_there_is(
    what: str, reference: dict[str, str], words: list[str]
) -> None:
    world = World(train_job(), runtime=None, runtime_names=("torch-distributed", "plain"))
    world.spec(runtimeRef=reference)
    world.step()
    pending = world.condition("Pending")
    assert pending is not None, what
    assert pending.reason == "TrainingRuntimeNotSupported"
    for word in words:
        assert word in pending.message
    assert world.snapshot.workload is None
    assert world.events[-1].type == "Warning"


def test_a_job_goes_on_when_its_runtime_appears() -> None:
    world = World(train_job(), runtime=None)
    world.step()
    world.snapshot = Snapshot(job=world.job, runtime=TORCH, port=23456)
    world.step(60)
    assert world.workload.spec.pod_sets[0].count == 1
    assert [one.reason for one in world.job.status.conditions] == ["Queued"]


def test_fields_without_effect_are_said_in_a_condition_and_one_warning() -> None:
    world = World(train_job())
    world.spec(initializer={"dataset": {"storageUri": "hf://x"}})
    world.step()
    remark = world.condition("UnsupportedFields")
    assert remark is not None
    assert "spec.initializer" in remark.message
    assert world.states() == ["UnsupportedFields", "Pending"]
    world.admit(since=10)
    world.pods("Running")
    world.step(10)
    assert world.states() == ["UnsupportedFields", "Running"], "the remark stays while the job runs"
    assert [event.reason for event in world.events].count("UnsupportedFields") == 1


# -- the snapshot of the runtime ----------------------------------------------------------------------


def runtime_of_three_nodes() -> Snapshot:
    return Snapshot(
        job=train_job(),
        runtime=replace(TORCH, spec=replace(TORCH.spec, template=builtin_runtimes()[0].spec.template)),
    )


def test_a_runtime_edited_before_the_start_takes_effect() -> None:
    world = made()
    world.snapshot = Snapshot(
        job=world.job, runtime=runtime_of_three_nodes().runtime, workload=world.workload, port=23456
    )
    world.step(1)
    assert [command.kind for command in world.deleted] == [Workload]
    assert world.workload.metadata.uid == "workload-2"
    assert world.workload.spec.pod_sets[0].template.spec.containers[0].image == "python:3.13-slim"


def test_a_runtime_edited_or_deleted_after_the_start_has_no_effect() -> None:
    world = running()
    for edited in (runtime_of_three_nodes().runtime, None):
        world.snapshot = Snapshot(
            job=world.job, runtime=edited, workload=world.workload, pods=world.snapshot.pods, port=23456
        )
        assert world.step(20).commands == ()


def test_between_two_attempts_the_runtime_has_no_effect_either() -> None:
    world = running()
    world.admit(since=10, attempt=1)
    world.tell("QuotaReserved", "False", reason="Pending")
    world.tell("Admitted", "False", reason="NoReservation")
    world.snapshot = Snapshot(job=world.job, runtime=None, workload=world.workload, port=23456)
    world.step(20)
    assert world.workload.metadata.uid == "workload-1"


def test_a_change_of_a_started_job_is_said_to_have_no_effect() -> None:
    world = running()
    world.spec(trainer={"numNodes": 3})
    world.step(20)
    remark = world.condition("ChangeIgnored")
    assert remark is not None
    assert "spec.suspend" in remark.message
    assert world.workload.spec.pod_sets[0].count == 2


def test_a_job_changed_while_suspended_starts_anew_with_the_change() -> None:
    world = running()
    world.spec(suspend=True, trainer={"numNodes": 3})
    world.step(20)
    world.tell("QuotaReserved", "False", reason="Suspended")
    world.pods()
    world.step(21)
    assert world.workload.spec.pod_sets[0].count == 3
    assert not world.is_active()
    world.spec(suspend=False)
    world.step(30)
    assert world.is_active()


# -- suspension ---------------------------------------------------------------------------------------


def test_a_job_made_suspended_waits_inactive() -> None:
    world = World(train_job())
    world.spec(suspend=True)
    world.step()
    assert not world.is_active()
    assert world.states() == ["Suspended"]


def test_suspend_and_resume() -> None:
    world = running()
    world.spec(suspend=True)
    world.step(20)
    assert not world.is_active()
    assert world.states() == ["Suspended"]
    world.spec(suspend=False)
    world.tell("QuotaReserved", "False", reason="Suspended", message="")
    world.step(30)
    assert world.is_active()
    assert world.states() == ["(Suspended)", "Pending"]
    suspended = world.condition("Suspended")
    assert suspended is not None
    assert (suspended.reason, suspended.last_transition_time) == ("Resumed", at(30))


# -- progress -----------------------------------------------------------------------------------------


def test_pods_that_start_are_counted_and_then_the_job_runs() -> None:
    world = made()
    world.admit(since=10)
    world.pods("Running", "Pending")
    world.step(10)
    pending = world.condition("Pending")
    assert pending is not None
    assert (pending.reason, pending.message) == ("Starting", "Admitted; 1 of 2 pods run.")
    assert world.job.status.jobs_status[0].active == 1
    assert world.job.status.jobs_status[0].ready == 0
    world.pods("Running", "Running")
    world.step(11)
    assert world.states() == ["Running"]
    assert world.job.status.jobs_status[0].ready == 1


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("CreateContainerConfigError", 'secret "token" not found'),
        ("ErrImagePull", "no such image"),
        ("CreateContainerError", "volume data: csi is not supported"),
    ],
)
def test_a_pod_that_cannot_start_says_why_in_the_jobs_phase(reason: str, message: str) -> None:
    world = made(nodes=2)
    world.admit()
    world.pods("Running", "Pending")
    first, second = world.snapshot.pods
    waiting = ContainerStatus(
        name="node", state=ContainerState(waiting=ContainerStateWaiting(reason=reason, message=message))
    )
    stuck = replace(second, status=replace(second.status, container_statuses=[waiting]))
    world.snapshot = dataclasses.replace(world.snapshot, pods=[first, stuck])
    world.step(1)
    phase = world.condition("Pending")
    assert phase is not None
    assert phase.reason == reason
    assert phase.message == f"Admitted; 1 of 2 pods run; pod p1 waits: {reason}: {message}"


def test_metadata_of_the_runtimes_job_set_reaches_the_workload() -> None:
    labelled = replace(TORCH.spec.template, metadata=ObjectMeta(labels={"team": "vision"}))
    world = World(train_job(), runtime=replace(TORCH, spec=replace(TORCH.spec, template=labelled)))
    world.step()
    assert world.workload.metadata.labels["team"] == "vision"


def test_a_name_too_long_for_host_names_is_refused_before_there_are_pods() -> None:
    world = World(train_job("j" * 53, nodes=2))
    world.step()
    assert world.snapshot.workload is None
    phase = world.condition("Pending")
    assert phase is not None
    assert phase.reason == "InvalidSpec"
    assert "at most 57 fit: make the job anew under a shorter name" in phase.message


def test_a_failed_pod_is_said_until_the_verdict_is_there() -> None:
    world = running()
    world.pods("Running", "Failed")
    world.step(20)
    assert world.states() == ["Running"]
    condition = world.condition("Running")
    assert condition is not None
    assert (condition.reason, condition.message) == (
        "PodsFailed",
        "1 of 2 pods failed; looking for the cause.",
    )


def report(percent: int, accuracy: str, second: int = 0) -> str:
    return json.dumps(
        {
            "progressPercentage": percent,
            "estimatedRemainingSeconds": 7,
            "metrics": [{"name": "accuracy", "value": accuracy}],
            "time": f"2026-01-01T00:00:{second:02}Z",
        }
    )


def test_the_lowest_rank_that_reports_is_the_trainers_status() -> None:
    world = running()
    world.pods("Running", "Running", progress={0: report(40, "0.8"), 1: report(50, "0.1")})
    world.step(20)
    status = world.job.status.trainer_status
    assert status is not None
    assert (status.progress_percentage, status.metrics[0].value) == (40, "0.8")


@pytest.mark.parametrize("raw", ["", "{", "[]", '{"progressPercentage": 3}', '{"time": "noon"}'])
def test_a_report_that_is_none_is_not_believed(raw: str) -> None:
    world = running()
    world.pods("Running", "Running", progress={0: raw})
    world.step(20)
    assert world.job.status.trainer_status is None


def test_a_report_beyond_the_limits_of_the_api_is_cut() -> None:
    world = running()
    wild = {
        "progressPercentage": 400,
        "estimatedRemainingSeconds": -3,
        "metrics": [{"name": "n" * 99, "value": "v" * 99}, {"name": "", "value": "x"}],
        "time": "2026-01-01T00:00:00.5Z",
    }
    world.pods("Running", "Running", progress={0: json.dumps(wild)})
    world.step(20)
    status = world.job.status.trainer_status
    assert status is not None
    assert (status.progress_percentage, status.estimated_remaining_seconds) == (100, 0)
    assert [(len(one.name), len(one.value)) for one in status.metrics] == [(64, 64)]
    assert status.last_updated_time == at(0)


def test_the_last_report_still_counts_after_the_end() -> None:
    world = running()
    world.tell("Finished", reason="Succeeded")
    world.pods("Succeeded", "Succeeded", progress={0: report(90, "0.90")})
    world.step(20)
    world.pods("Succeeded", "Succeeded", progress={0: report(100, "0.97", 9)})
    world.step(21)
    status = world.job.status.trainer_status
    assert status is not None
    assert status.progress_percentage == 100
    world.pods()
    world.step(22)
    assert world.job.status.trainer_status == status, "it stays when the pods are gone"


# -- the end ------------------------------------------------------------------------------------------


def test_a_finished_workload_completes_the_job() -> None:
    world = running()
    world.tell("Finished", reason="Succeeded", message="All 2 pods succeeded")
    world.pods("Succeeded", "Succeeded")
    world.step(30)
    assert world.states() == ["Complete"]
    complete = world.condition("Complete")
    assert complete is not None
    assert complete.reason == "AllJobsCompleted"
    assert world.job.status.jobs_status[0].succeeded == 1


def test_a_failed_workload_fails_the_job_with_the_cause_of_the_first_rank() -> None:
    message = "rank 1 (job-node-0-1 on a) exited with code 1: ValueError: bad shape at train.py:12"
    world = running()
    world.tell("Finished", reason="Failed", message=message)
    world.pods("Running", "Failed")
    world.snapshot = replace_diagnoses(world.snapshot, [diagnosis(message)])
    world.step(30)
    failed = world.condition("Failed")
    assert failed is not None
    assert (failed.reason, failed.message) == ("JobsFailed", message)
    assert world.job.status.jobs_status[0].failed == 1


def replace_diagnoses(snapshot: Snapshot, diagnoses: list[Diagnosis]) -> Snapshot:
    return Snapshot(**{**snapshot.__dict__, "diagnoses": diagnoses})


def test_a_resumed_job_waits_and_is_not_restarting() -> None:
    """Its attempt ended with the suspension, but nothing failed."""
    world = running()
    world.spec(suspend=True)
    world.step(20)
    world.spec(suspend=False)
    world.admit(since=10, attempt=1)
    world.tell("Admitted", "False", reason="NoReservation")
    world.tell("QuotaReserved", "False", reason="WaitingForQuota", message="no node has 2 free CPU")
    world.step(30)
    assert world.states()[-1] == "Pending"
    assert "Restarting" not in world.states()


def test_a_restart_says_why_and_what_it_waits_for() -> None:
    world = running()
    lost = "rank 0 (job-node-0-0 on a) is lost: its node is not ready since 00:00:15 UTC"
    world.snapshot = replace_diagnoses(world.snapshot, [diagnosis(lost, fault="NodeLost")])
    world.tell("Evicted", reason="NodeFailures", message=lost)
    world.step(20)
    assert world.states() == ["Restarting"]
    world.admit(since=10, attempt=1)
    world.tell("Evicted", "False", reason="Requeued")
    world.tell("Admitted", "False", reason="NoReservation")
    world.tell("QuotaReserved", "False", reason="Pending", message="no node has 2 free CPU")
    world.step(21)
    restarting = world.condition("Restarting")
    assert restarting is not None
    assert restarting.reason == "NodeLost"
    assert restarting.message == f"{lost}; next attempt: no node has 2 free CPU"
    world.admit(since=25, attempt=1)
    world.pods("Running", "Running", attempt=1)
    world.step(25)
    assert world.states() == ["Running"]
    running_now = world.condition("Running")
    assert running_now is not None
    assert running_now.message == "All 2 pods run, attempt 2."


@pytest.mark.parametrize(("reason", "type_"), [("Succeeded", "Complete"), ("Failed", "Failed")])
def test_a_finished_job_stays_finished_whatever_becomes_of_its_workload(reason: str, type_: str) -> None:
    world = running()
    world.tell("Finished", reason=reason, message="it ended")
    world.step(30)
    world.set_workload(None)
    world.pods()
    assert world.step(40).commands == ()
    assert world.states() == [type_]


# -- deadlines ----------------------------------------------------------------------------------------


def test_a_deadline_counts_from_the_first_admission_not_from_creation() -> None:
    world = made(activeDeadlineSeconds=60)
    assert world.step(500).requeue_after_seconds is None, "waiting in the queue costs nothing"
    world.admit(since=500)
    world.pods("Running", "Running")
    world.step(500)
    assert plan(world.snapshot, at(510)).requeue_after_seconds == 50


def test_a_restart_does_not_move_the_deadline() -> None:
    world = running(activeDeadlineSeconds=60)
    world.admit(since=50, attempt=1)
    world.step(50)
    world.step(70)
    failed = world.condition("Failed")
    assert failed is not None
    assert failed.reason == "DeadlineExceeded"
    assert "spec.activeDeadlineSeconds is 60" in failed.message
    assert not world.is_active()


def test_suspension_stops_the_deadline_and_resuming_starts_it_anew() -> None:
    world = running(activeDeadlineSeconds=60)
    world.spec(suspend=True)
    world.step(40)
    world.tell("QuotaReserved", "False", reason="Suspended")
    world.tell("Admitted", "False", reason="NoReservation")
    assert world.step(400).requeue_after_seconds is None
    world.spec(suspend=False)
    world.step(400)
    world.admit(since=410)
    world.step(410)
    assert plan(world.snapshot, at(420)).requeue_after_seconds == 50
    assert world.condition("Failed") is None


def test_a_job_that_ends_in_time_is_not_failed_by_its_deadline() -> None:
    world = running(activeDeadlineSeconds=60)
    world.tell("Finished", reason="Succeeded")
    world.step(100)
    assert world.states() == ["Complete"]


def test_a_crash_between_the_two_writes_of_a_deadline_is_made_good() -> None:
    world = running(activeDeadlineSeconds=60)
    before = world.workload
    world.step(70)
    world.set_workload(before)
    world.step(71)
    assert not world.is_active()


# -- time to live -------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["the job's field", "the runtime's template"])
def test_a_finished_job_is_deleted_after_its_time_to_live(source: str) -> None:
    spec: dict[str, object] = {"ttlSecondsAfterFinished": 30} if source == "the job's field" else {}
    world = World(train_job())
    world.spec(**spec)
    if not spec:
        jobset = replace(TORCH.spec.template.spec, ttl_seconds_after_finished=30)
        template = replace(TORCH.spec.template, spec=jobset)
        world.snapshot = Snapshot(
            job=world.job, runtime=replace(TORCH, spec=replace(TORCH.spec, template=template))
        )
    world.step()
    world.admit(since=10)
    world.tell("Finished", reason="Succeeded")
    world.step(100)
    assert plan(world.snapshot, at(110)).requeue_after_seconds == 20
    (deleted,) = plan(world.snapshot, at(130)).commands
    assert isinstance(deleted, Delete)
    assert (deleted.kind, deleted.name, deleted.uid) == (TrainJob, "job", world.job.metadata.uid)


def test_without_a_time_to_live_a_finished_job_stays() -> None:
    world = running()
    world.tell("Finished", reason="Succeeded")
    world.step(100)
    assert plan(world.snapshot, at(10**9)).commands == ()


# -- properties ---------------------------------------------------------------------------------------

moves = st.lists(
    st.sampled_from(
        ["admit", "run", "report", "evict", "requeue", "succeed", "fail", "suspend", "resume", "lose", "tick"]
    ),
    max_size=12,
)


@given(moves)
def test_every_plan_applied_leaves_nothing_to_do_and_the_end_is_final(steps: list[str]) -> None:
    world = World(train_job(nodes=2))
    world.spec(activeDeadlineSeconds=50)
    world.step()
    ended: list[str] = []
    for number, step in enumerate(steps, start=1):
        _play(world, step, number)
        world.step(number * 7)
        conditions = {one.type for one in world.job.status.conditions if one.status == "True"}
        now_ended = sorted(conditions & {"Complete", "Failed"})
        assert len(now_ended) <= 1
        assert not ended or ended == now_ended, "a finished job stays finished"
        ended = now_ended
        phases = conditions & {"Pending", "Running", "Restarting", "Complete", "Failed", "Suspended"}
        assert phases, "a job always says where it stands"


def _play(world: World, step: str, number: int) -> None:
    if world.snapshot.workload is None:
        return
    match step:
        case "admit":
            world.admit(since=number, attempt=number)
        case "run":
            world.pods("Running", "Running", attempt=number)
        case "report":
            world.pods("Running", "Running", progress={0: report(number, "0.5")})
        case "evict":
            world.tell("Evicted", reason="NodeFailures", message="lost")
        case "requeue":
            world.tell("Evicted", "False", reason="Requeued")
            world.tell("QuotaReserved", "False", reason="Pending")
        case "succeed":
            world.tell("Finished", reason="Succeeded")
        case "fail":
            world.tell("Finished", reason="Failed", message="no")
        case "suspend" | "resume":
            world.spec(suspend=step == "suspend")
        case "lose":
            world.set_workload(None)
        case _:
            pass


def test_decoding_the_examples_manifest_gives_a_job_this_room_takes_whole() -> None:
    import pathlib

    import yaml

    text = pathlib.Path(__file__).parents[2].joinpath("examples/digits/trainjob.yaml").read_text()
    job = decode(TrainJob, yaml.safe_load(text))
    world = World(replace(job, metadata=replace(job.metadata, namespace="default", uid="u")))
    world.step()
    assert world.states() == ["Pending"]
