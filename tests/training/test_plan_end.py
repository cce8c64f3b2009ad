"""The plan of a TrainJob that restarts, ends and is cleared away."""

from __future__ import annotations

import pytest

from springtide.api.commands import Delete
from springtide.api.meta import ObjectMeta
from springtide.api.springtide import Diagnosis, DiagnosisSpec
from springtide.api.struct import replace
from springtide.api.trainer import TrainJob
from springtide.training.plan import Snapshot, plan
from tests.builders import at, train_job
from tests.training.world import TORCH, World, running


def diagnosis(message: str, *, attempt: int = 0, fault: str = "ProgramError") -> Diagnosis:
    spec = DiagnosisSpec(
        workload="trainjob-job", attempt=attempt, message=message, fault_class=fault, pod_set="node"
    )
    return Diagnosis(metadata=ObjectMeta(name=f"trainjob-job-{attempt}", namespace="default"), spec=spec)


def replace_diagnoses(snapshot: Snapshot, diagnoses: list[Diagnosis]) -> Snapshot:
    return Snapshot(**{**snapshot.__dict__, "diagnoses": diagnoses})


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
