"""The plan of a TrainJob that runs: what its pods and their reports say in its status."""

from __future__ import annotations

import dataclasses
import json

import pytest

from springtide.api.core import ContainerState, ContainerStateWaiting, ContainerStatus
from springtide.api.meta import ObjectMeta
from springtide.api.struct import replace
from tests.builders import at, train_job
from tests.training.world import TORCH, World, made, report, running


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
