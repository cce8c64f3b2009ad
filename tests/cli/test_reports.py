"""`describe`, `explain`, `queue`, `status`: what people read about jobs that wait, run and fail."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from springtide.api import labels
from springtide.api.core import Node, NodeCondition, NodeStatus
from springtide.api.kueue import ClusterQueue, LocalQueue, LocalQueueSpec, Workload, WorkloadStatus
from springtide.api.meta import Condition, ObjectMeta
from springtide.api.springtide import Diagnosis, DiagnosisSpec, Evidence
from springtide.api.struct import replace
from springtide.api.trainer import Metric, TrainerStatus, TrainJob, TrainJobStatus
from springtide.cli.phase import Phase, duration, metrics, phase_of
from springtide.cli.queue import arrange, render
from springtide.client import Client
from springtide.runtime.clock import EPOCH
from tests.cli.scene import (
    Scene,
    condition,
    create_with_status,
    plain_scene,
    pod,
    pod_status,
    trainjob,
    workload,
)

REASON = "needs 2 × 4 cpu; the nodes have 3 free"


def job_with(
    *conditions: Condition, suspend: bool | None = None, trainer: TrainerStatus | None = None
) -> TrainJob:
    job = trainjob("digits")
    status = TrainJobStatus(conditions=list(conditions), trainer_status=trainer)
    return replace(job, spec=replace(job.spec, suspend=suspend), status=status)


def workload_with(*conditions: Condition) -> Workload:
    return replace(workload(trainjob("digits")), status=WorkloadStatus(conditions=list(conditions)))


ADMITTED = (condition("QuotaReserved"), condition("Admitted"))


@pytest.mark.parametrize(
    ("job", "load", "pods", "phase", "detail"),
    [
        (job_with(), None, 0, Phase.CREATED, ""),
        (
            job_with(condition("Ready", "False", message="no runtime x")),
            None,
            0,
            Phase.CREATED,
            "no runtime x",
        ),
        (job_with(suspend=True), None, 0, Phase.SUSPENDED, "set spec.suspend to false to let it run"),
        (job_with(), workload_with(), 0, Phase.WAITING, "not looked at by the scheduler yet"),
        (
            job_with(),
            workload_with(condition("QuotaReserved", "False", message=REASON)),
            0,
            Phase.WAITING,
            REASON,
        ),
        (job_with(), workload_with(*ADMITTED), 0, Phase.STARTING, "0 of 2 pods started"),
        (job_with(), workload_with(*ADMITTED), 1, Phase.STARTING, "1 of 2 pods started"),
        (job_with(), workload_with(*ADMITTED), 2, Phase.RUNNING, ""),
        (job_with(), workload_with(*ADMITTED, condition("PodsReady")), 0, Phase.RUNNING, ""),
        (
            job_with(),
            workload_with(*ADMITTED, condition("Evicted", message="node died")),
            2,
            Phase.RESTARTING,
            "node died",
        ),
        (job_with(condition("Complete")), workload_with(*ADMITTED), 2, Phase.COMPLETE, ""),
        (
            job_with(condition("Failed", message="rank 1: oh")),
            workload_with(*ADMITTED),
            2,
            Phase.FAILED,
            "rank 1: oh",
        ),
    ],
)
def test_the_phase_of_a_job(
    job: TrainJob, load: Workload | None, pods: int, phase: Phase, detail: str
) -> None:
    running = [replace(pod("digits", rank), status=pod_status("Running")) for rank in range(pods)]
    found = phase_of(job, load, running)
    assert (found.phase, found.detail) == (phase, detail)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0.97122", "0.971"),
        ("0.9700", "0.97"),
        ("12", "12"),
        ("1e-05", "1e-05"),
        ("0.00002", "0.00002"),
        ("nan", "nan"),
        ("high", "high"),
    ],
)
def test_metrics_are_shortened_where_nothing_is_lost(value: str, shown: str) -> None:
    status = TrainerStatus(metrics=[Metric(name="m", value=value)], last_updated_time=EPOCH)
    assert metrics(job_with(trainer=status)) == [f"m {shown}"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (21.44, "21.4 s"), (59.0, "59 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def queues() -> tuple[ClusterQueue, LocalQueue]:
    local = LocalQueue(
        metadata=ObjectMeta(name="default", namespace="default"), spec=LocalQueueSpec(cluster_queue="default")
    )
    return ClusterQueue(metadata=ObjectMeta(name="default")), local


def waiting(name: str, *, age: int, priority: int = 0, admitted: bool = False) -> Workload:
    made = workload(trainjob(name), priority=priority)
    at = EPOCH + timedelta(seconds=100 - age)
    status = "True" if admitted else "False"
    reserved = replace(condition("QuotaReserved", status, message=REASON), last_transition_time=at)
    return replace(
        made,
        metadata=replace(made.metadata, creation_timestamp=at),
        status=WorkloadStatus(conditions=[reserved]),
    )


def test_a_queue_lists_who_runs_then_who_waits_by_priority_and_age() -> None:
    cluster_queue, local = queues()
    workloads = [
        waiting("young", age=10),
        waiting("old", age=50),
        waiting("urgent", age=5, priority=10),
        waiting("runs", age=90, admitted=True),
    ]
    (view,) = arrange([cluster_queue], [local], workloads, EPOCH + timedelta(seconds=100))
    assert (view.running, view.waiting) == (1, 3)
    assert [(e.position, e.job) for e in view.entries] == [
        (0, "runs"),
        (1, "urgent"),
        (2, "old"),
        (3, "young"),
    ]
    assert [e.reason for e in view.entries] == ["", REASON, REASON, REASON]
    assert view.entries[2].since == "50s"


def test_finished_workloads_are_in_no_queue_and_unknown_queues_count_as_default() -> None:
    done = waiting("done", age=1)
    done = replace(done, status=WorkloadStatus(conditions=[condition("Finished")]))
    lost = replace(waiting("lost", age=1), spec=replace(done.spec, queue_name="gone"))
    cluster_queue, local = queues()
    (view,) = arrange([cluster_queue], [local], [done, lost], EPOCH)
    assert [e.job for e in view.entries] == ["lost"]


def test_workloads_of_volcano_stand_in_their_own_queue() -> None:
    cluster_queue, local = queues()
    named = {"research": "vision", "lab": "default"}
    workloads = []
    for name, queue in named.items():
        plain = waiting(name, age=1)
        notes = {labels.VOLCANO_QUEUE: queue}
        workloads.append(replace(plain, metadata=replace(plain.metadata, annotations=notes)))
    views = arrange([cluster_queue], [local], workloads, EPOCH)
    shown = [(view.name, [(e.job, e.queue) for e in view.entries]) for view in views]
    assert shown == [("default", [("lab", "default")]), ("volcano.vision", [("research", "vision")])]


def test_an_empty_queue_is_one_line() -> None:
    cluster_queue, local = queues()
    (view,) = arrange([cluster_queue], [local], [], EPOCH)
    assert render(view) == "default: 0 running, 0 waiting"


def with_waiting_job(reason: str = REASON) -> Scene:
    async def wait(client: Client) -> None:
        job = await client.get(TrainJob, "digits", "default")
        status = WorkloadStatus(conditions=[condition("QuotaReserved", "False", "Pending", reason)])
        await create_with_status(client, replace(workload(job), status=status))

    return Scene().given(*queues(), trainjob("digits")).do(wait)


def test_queue_shows_position_since_and_reason() -> None:
    result = with_waiting_job().run("queue")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "default: 0 running, 1 waiting"
    assert result.stdout.splitlines()[2].split()[:5] == ["1", "digits", "default", "default", "Waiting"]
    assert REASON in result.stdout


def test_queue_as_data_and_by_name() -> None:
    scene = with_waiting_job()
    data = json.loads(scene.run("queue", "default", "-o", "json").stdout)
    assert data[0]["entries"][0]["reason"] == REASON
    missing = scene.run("queue", "nowhere")
    assert missing.exit_code == 1
    assert "there are: default" in missing.stderr


def test_explain_says_why_a_job_waits_and_what_to_do() -> None:
    result = with_waiting_job().run("explain", "digits")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"digits: Waiting: {REASON} (for ")
    assert result.stdout.rstrip().splitlines()[-1].startswith("next: `springtide queue`")


@pytest.mark.parametrize(
    "reason",
    [
        "no node can ever hold it: asks 400 cpu, largest node has 8",
        "the cluster can never hold it: needs 9 × {cpu: 1}, all eligible nodes when empty hold 8",
    ],
)
def test_explain_does_not_advise_patience_where_it_cannot_help(reason: str) -> None:
    result = with_waiting_job(reason).run("explain", "digits")
    assert result.stdout.rstrip().splitlines()[-1].startswith("next: waiting will not help: ask for less")


def with_failed_job() -> Scene:
    async def fail(client: Client) -> None:
        job = await client.get(TrainJob, "digits", "default")
        await client.create(workload(job))
        await create_with_status(
            client, replace(pod("digits", 0), status=pod_status("Succeeded", exit_code=0))
        )
        await create_with_status(client, replace(pod("digits", 1), status=pod_status("Failed", exit_code=1)))

    failed = replace(
        trainjob("digits"),
        status=TrainJobStatus(conditions=[condition("Failed", message="rank 1: ValueError: bad")]),
    )
    verdict = Diagnosis(
        metadata=ObjectMeta(name="d0", namespace="default"),
        spec=DiagnosisSpec(
            workload="trainjob-digits",
            rank=1,
            node="laptop",
            fault_class="ProgramError",
            blame="program",
            action="fail_fast",
            message="rank 1: ValueError: bad",
            next_step="correct train.py:6",
            evidence=[Evidence(source="exit", line="exit code 1")],
        ),
    )
    return Scene().given(failed, verdict).do(fail)


def test_explain_gives_cause_blame_evidence_and_next_step() -> None:
    result = with_failed_job().run("explain", "digits")
    for text in (
        "rank 1: ValueError: bad",
        "ProgramError on node laptop, attempt 1, blamed on the program (100% sure)",
        "exit code 1",
        "Error (exit code 1)",
    ):
        assert text in result.stdout
    assert result.stdout.splitlines()[0].startswith("digits: Failed in ")
    assert result.stdout.rstrip().endswith("next: correct train.py:6")


def test_explain_of_an_unknown_job_names_those_there_are() -> None:
    result = with_waiting_job().run("explain", "digit")
    assert result.exit_code == 1
    assert "no TrainJob is named 'digit' in namespace default" in result.stderr
    assert "there are: digits" in result.stderr


def test_describe_of_a_job_has_its_workload_pods_and_diagnosis() -> None:
    result = with_failed_job().run("describe", "trainjob", "digits")
    assert result.exit_code == 0, result.output
    for text in (
        "Kind:         TrainJob",
        "Spec:",
        "Conditions:",
        "Workload:",
        "Pods:",
        "Diagnosis:",
        "Events:",
    ):
        assert text in result.stdout
    assert "managedFields" not in result.stdout


def test_describe_of_any_kind_shows_its_fields_and_no_events() -> None:
    result = plain_scene().run("describe", "namespace", "default")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Kind:         Namespace (v1)\nName:         default\n")
    assert result.stdout.endswith("Events:\n  none\n")


def test_status_lists_nodes_queues_and_unfinished_jobs() -> None:
    node = Node(
        metadata=ObjectMeta(name="laptop"),
        status=NodeStatus(
            conditions=[NodeCondition(type="Ready", status="True")],
            allocatable={"cpu": "8", "memory": "16Gi"},
        ),
    )
    scene = with_waiting_job().given(node)
    text = scene.run("status", "--data-dir", "/nonexistent").stdout
    assert text.startswith("server    https://scene:443 (chosen by the kubeconfig)\n")
    for line in (
        "laptop   Ready   8     16Gi     0",
        "default   0         1",
        "digits   default     Waiting",
    ):
        assert line in text
    data = json.loads(scene.run("status", "--data-dir", "/nonexistent", "-o", "json").stdout)
    assert data["nodes"][0]["ready"] is True
    assert data["jobs"][0]["phase"] == "Waiting"
    assert data["finishedJobs"] == 0
