"""The plan of a TrainJob until its pods may run: its Workload, its runtime and what is said meanwhile."""

from __future__ import annotations

from dataclasses import replace as replace_snapshot

import pytest

from springtide.api import labels
from springtide.api.commands import Create
from springtide.api.kueue import Workload
from springtide.api.struct import replace
from springtide.training.plan import Snapshot, plan
from springtide.training.runtimes import builtin_runtimes
from tests.builders import at, train_job
from tests.training.world import TORCH, World, made, running


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
    world = World(replace(job, metadata=replace(job.metadata, labels=labelled)), priorities={"high": 1000})
    world.step()
    assert world.workload.spec.queue_name == "team-a"
    assert world.workload.spec.priority == 1000
    assert world.workload.spec.priority_class_ref is not None
    assert world.workload.spec.priority_class_ref.name == "high"
    assert world.workload.metadata.labels == {labels.QUEUE_NAME: "team-a", labels.PRIORITY_CLASS: "high"}


def test_limit_and_deadline_of_the_job_reach_the_workload() -> None:
    job = train_job()
    metadata = replace(
        job.metadata,
        labels={labels.MAX_EXEC_TIME_SECONDS: "3600"},
        annotations={labels.DEADLINE: "2026-01-31T18:00:00Z"},
    )
    world = World(replace(job, metadata=metadata))
    world.step()
    assert world.workload.spec.maximum_execution_time_seconds == 3600
    assert world.workload.metadata.annotations[labels.DEADLINE] == "2026-01-31T18:00:00Z"


def test_a_limit_that_is_no_number_is_said() -> None:
    job = train_job()
    wrong = replace(job.metadata, labels={labels.MAX_EXEC_TIME_SECONDS: "1h"})
    world = World(replace(job, metadata=wrong))
    world.step()
    said = [one.message for one in world.job.status.conditions]
    assert any("max-exec-time-seconds is '1h'; it must be a number of seconds" in one for one in said)


def test_a_job_of_a_priority_class_that_does_not_exist_waits_for_it() -> None:
    job = train_job()
    world = World(replace(job, metadata=replace(job.metadata, labels={labels.PRIORITY_CLASS: "hihg"})))
    world.snapshot = replace_snapshot(world.snapshot, priorities={"high": 1000, "low": 1})
    world.step()
    pending = world.condition("Pending")
    assert pending is not None
    assert pending.reason == "PriorityClassNotFound"
    assert "'hihg', which does not exist; there are high, low" in pending.message
    world.snapshot = replace_snapshot(world.snapshot, priorities={"hihg": 5})
    world.step()
    assert world.workload.spec.priority == 5


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
