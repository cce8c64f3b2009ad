"""TrainJob.status from Workload, pods and diagnoses: conditions, jobsStatus, trainerStatus.

Called by `plan`. Condition types: upstream's `Suspended`, `Complete`, `Failed`; and, because Kubeflow's
status cannot say why a job is not running, one phase condition while it is not finished: `Pending`,
`Running` or `Restarting` (always True, replaced by the next phase), with the reason and message of
whoever holds the job up. The last condition in the list is the one to look at: upstream's printer
column STATE shows its type. `UnsupportedFields` and `ChangeIgnored` say what of the spec has no effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from springtide.api import labels
from springtide.api.core import Pod
from springtide.api.gangpods import admitted_count
from springtide.api.kueue import QUEUE_EVICTIONS, Workload
from springtide.api.meta import Condition, find_condition, is_true, set_condition, whole_second
from springtide.api.springtide import Diagnosis, of_failures
from springtide.api.trainer import JobStatus, Metric, TrainerStatus, TrainJob, TrainJobReason

SUSPENDED, COMPLETE, FAILED = "Suspended", "Complete", "Failed"
PENDING, RUNNING, RESTARTING = "Pending", "Running", "Restarting"
UNSUPPORTED, IGNORED = "UnsupportedFields", "ChangeIgnored"
METRICS_MAX, METRIC_CHARACTERS = 256, 64
"""The API's limits (TrainerStatus upstream); more is cut."""
_STARTING_REASONS = ("", "ContainerCreating", "PodInitializing")
"""What a container waits for in the ordinary course of a start."""
PHASES = (PENDING, RUNNING, RESTARTING, COMPLETE, FAILED)


def is_finished(job: TrainJob) -> bool:
    """Whether the job is Complete or Failed, which is for good."""
    return is_true(job.status.conditions, COMPLETE) or is_true(job.status.conditions, FAILED)


def attempt_of(workload: Workload) -> int:
    """The number of the current attempt, from 0."""
    state = workload.status.requeue_state
    return (state.count or 0) if state is not None else 0


def arrange(
    job: TrainJob,
    phase: Condition | None,
    remarks: Sequence[Condition],
    now: datetime,
) -> list[Condition]:
    """The job's conditions in reading order, transition times kept where the status stays."""
    suspended = _suspended(job)
    order = [*remarks]
    if suspended is not None and suspended.status == "False":
        order.insert(0, suspended)
    if suspended is not None and suspended.status == "True":
        order.append(suspended)
    if phase is not None:
        order.append(phase)
    return [_stamped(job, condition, now) for condition in order]


def phase_of(workload: Workload, pods: Sequence[Pod], diagnoses: Sequence[Diagnosis]) -> Condition | None:
    """Where the workload stands; None while it is deactivated (the job is suspended).

    An attempt also ends when the job is suspended or its queue is drained: only one that failed is restarted.
    """
    conditions = workload.status.conditions
    finished = find_condition(conditions, "Finished")
    if finished is not None and finished.status == "True":
        return _verdict(workload, finished, diagnoses)
    if not workload.spec.active:
        return None
    attempt = attempt_of(workload)
    reserved = find_condition(conditions, "QuotaReserved")
    waits = reserved is None or reserved.status != "True"
    failed_before = any(diagnosis.spec.attempt == attempt - 1 for diagnosis in of_failures(diagnoses))
    evicted = find_condition(conditions, "Evicted")
    ended = evicted is not None and evicted.status == "True" and evicted.reason not in QUEUE_EVICTIONS
    if ended or (waits and failed_before):
        return _restarting(workload, attempt, reserved, diagnoses)
    if reserved is None or waits:
        return _condition(
            PENDING,
            reserved.reason if reserved is not None and reserved.reason else "Queued",
            reserved.message if reserved is not None and reserved.message else "Waiting to be admitted.",
        )
    return _starting_or_running(workload, pods)


def jobs_status(workload: Workload, pods: Sequence[Pod]) -> list[JobStatus]:
    """Per pod set, counted in Jobs as JobSet counts them (a pod set is one Job): each number is 0 or 1."""
    current = _of_attempt(pods, attempt_of(workload))
    return [
        _job_status(workload, one.name, admitted_count(workload, one), current)
        for one in workload.spec.pod_sets
    ]


def trainer_status(pods: Iterable[Pod]) -> TrainerStatus | None:
    """The newest progress report of the lowest rank that has one; None where no pod reported."""
    for pod in sorted(pods, key=_rank):
        raw = pod.metadata.annotations.get(labels.PROGRESS)
        status = _parse_progress(raw) if raw else None
        if status is not None:
            return status
    return None


def _suspended(job: TrainJob) -> Condition | None:
    if job.spec.suspend:
        return _condition(SUSPENDED, "Suspended", "TrainJob is suspended")
    if find_condition(job.status.conditions, SUSPENDED) is not None:
        return _condition(SUSPENDED, "Resumed", "TrainJob is resumed", status="False")
    return None


def _stamped(job: TrainJob, condition: Condition, now: datetime) -> Condition:
    return next(
        one for one in set_condition(job.status.conditions, condition, now) if one.type == condition.type
    )


def _verdict(workload: Workload, finished: Condition, diagnoses: Iterable[Diagnosis]) -> Condition:
    attempt = attempt_of(workload)
    if finished.reason == "Succeeded":
        later = f" in attempt {attempt + 1}" if attempt else ""
        return _condition(COMPLETE, TrainJobReason.JOBS_COMPLETED, f"All pods succeeded{later}.")
    diagnosis = _newest(diagnoses)
    message = diagnosis.spec.message if diagnosis is not None else finished.message
    return _condition(
        FAILED, "ReachedMaxRestarts" if attempt else TrainJobReason.JOBS_FAILED, message or "The job failed."
    )


def _restarting(
    workload: Workload, attempt: int, reserved: Condition | None, diagnoses: Iterable[Diagnosis]
) -> Condition:
    evicted = find_condition(workload.status.conditions, "Evicted")
    preempted = evicted is not None and evicted.status == "True" and evicted.reason == "Preempted"
    diagnosis = _newest(diagnoses)
    if diagnosis is not None and not preempted:
        reason, cause = diagnosis.spec.fault_class, diagnosis.spec.message
    elif evicted is not None:
        reason, cause = evicted.reason, evicted.message
    else:
        reason, cause = "Evicted", "The last attempt was evicted"
    waiting = f"; next attempt: {reserved.message}" if reserved is not None and reserved.message else ""
    return _condition(RESTARTING, reason or "Evicted", f"{cause}{waiting if attempt else ''}")


def _starting_or_running(workload: Workload, pods: Sequence[Pod]) -> Condition:
    current = _of_attempt(pods, attempt_of(workload))
    total = sum(admitted_count(workload, one) for one in workload.spec.pod_sets)
    running = sum(1 for pod in current if pod.status.phase in ("Running", "Succeeded"))
    attempt = attempt_of(workload)
    later = f", attempt {attempt + 1}" if attempt else ""
    failed = sum(1 for pod in current if pod.status.phase == "Failed")
    if failed:
        return _condition(
            RUNNING, "PodsFailed", f"{failed} of {total} pods failed{later}; looking for the cause."
        )
    if running < total:
        so_far = f"Admitted; {running} of {total} pods run{later}"
        stuck = next((held for pod in sorted(current, key=_rank) if (held := _held_up(pod))), None)
        if stuck is not None:
            return _condition(PENDING, stuck[0], f"{so_far}; {stuck[1]}")
        return _condition(PENDING, "Starting", f"{so_far}.")
    return _condition(RUNNING, "PodsRunning", f"All {total} pods run{later}.")


def _held_up(pod: Pod) -> tuple[str, str] | None:
    """Why a pod does not get to run, as its node says: reason and sentence; None while it simply starts."""
    if pod.status.phase not in ("", "Pending"):
        return None
    for container in [*pod.status.init_container_statuses, *pod.status.container_statuses]:
        waiting = container.state.waiting
        if waiting is not None and waiting.reason not in _STARTING_REASONS:
            told = f": {waiting.message}" if waiting.message else ""
            return waiting.reason, f"pod {pod.metadata.name} waits: {waiting.reason}{told}"
    if pod.status.reason:
        return pod.status.reason, f"pod {pod.metadata.name}: {pod.status.message or pod.status.reason}"
    return None


def _job_status(workload: Workload, name: str, count: int, pods: Sequence[Pod]) -> JobStatus:
    own = [pod for pod in pods if pod.metadata.labels.get(labels.PODSET) == name]
    finished = find_condition(workload.status.conditions, "Finished")
    done = finished is not None and finished.status == "True"
    won = sum(1 for pod in own if pod.status.phase == "Succeeded")
    succeeded = (done and finished is not None and finished.reason == "Succeeded") or won >= count
    failed = not succeeded and any(pod.status.phase == "Failed" for pod in own)
    live = not done and not succeeded and not failed
    ready = sum(1 for pod in own if is_true(pod.status.conditions, "Ready"))
    return JobStatus(
        name=name,
        ready=int(live and ready + won >= count),
        succeeded=int(succeeded),
        failed=int(failed),
        active=int(live and any(pod.status.phase in ("Pending", "Running", "") for pod in own)),
        suspended=int(not workload.spec.active and not done),
    )


class _Progress(msgspec.Struct, rename="camel"):
    """The JSON of the annotation, as the node copies it from `springtide.sdk`."""

    time: datetime
    progress_percentage: int | None = None
    estimated_remaining_seconds: int | None = None
    metrics: list[dict[str, str]] = []


def _parse_progress(raw: str) -> TrainerStatus | None:
    """The report, cut to what the API takes; None for one that is no report at all."""
    try:
        progress = msgspec.json.decode(raw, type=_Progress)
    except msgspec.MsgspecError:
        return None
    percentage, remaining = progress.progress_percentage, progress.estimated_remaining_seconds
    return TrainerStatus(
        progress_percentage=None if percentage is None else min(max(percentage, 0), 100),
        estimated_remaining_seconds=None if remaining is None else max(remaining, 0),
        metrics=[
            Metric(name=metric["name"][:METRIC_CHARACTERS], value=metric["value"][:METRIC_CHARACTERS])
            for metric in progress.metrics[:METRICS_MAX]
            if metric.get("name") and metric.get("value")
        ],
        last_updated_time=whole_second(progress.time),
    )


def _newest(diagnoses: Iterable[Diagnosis]) -> Diagnosis | None:
    return max(of_failures(diagnoses), key=lambda diagnosis: diagnosis.spec.attempt, default=None)


def _of_attempt(pods: Iterable[Pod], attempt: int) -> list[Pod]:
    return [pod for pod in pods if pod.metadata.labels.get(labels.ATTEMPT, "0") == str(attempt)]


def _rank(pod: Pod) -> tuple[int, bool, int]:
    found = pod.metadata.labels
    index = found.get(labels.JOB_COMPLETION_INDEX, "0")
    attempt = found.get(labels.ATTEMPT, "0")
    trainer = found.get(labels.TRAINJOB_ANCESTOR_STEP) == labels.ANCESTOR_TRAINER
    return (
        -int(attempt) if attempt.isdecimal() else 0,
        not trainer,
        int(index) if index.isdecimal() else 0,
    )


def _condition(type_: str, reason: str, message: str, *, status: str = "True") -> Condition:
    return Condition(type=type_, status=status, reason=reason, message=message)
