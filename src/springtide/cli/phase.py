"""Which phase of its life a TrainJob is in, and why: one answer for all commands. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.meta import find_condition, is_true
from springtide.api.trainer import Metric, TrainJob


class Phase(StrEnum):
    """In the order of a job's life; `Restarting` leads back to `Waiting`."""

    CREATED = "Created"
    SUSPENDED = "Suspended"
    WAITING = "Waiting"
    STARTING = "Starting"
    RUNNING = "Running"
    RESTARTING = "Restarting"
    COMPLETE = "Complete"
    FAILED = "Failed"

    @property
    def passes(self) -> bool:
        """Whether most jobs are in it for a moment only."""
        return self in (Phase.CREATED, Phase.WAITING)

    @property
    def explains_itself(self) -> bool:
        """Whether a new detail is news (a new reason to wait) and not just progress."""
        return self in (Phase.CREATED, Phase.WAITING, Phase.RESTARTING)


@dataclass(frozen=True)
class JobPhase:
    """The phase and its detail: the reason of waiting, how many pods run, progress, the failure."""

    phase: Phase
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.phase}: {self.detail}" if self.detail else str(self.phase)


def phase_of(job: TrainJob, workload: Workload | None = None, pods: Sequence[Pod] = ()) -> JobPhase:
    """The phase as far as these objects show it. Without pods, an admitted job counts as running."""
    conditions = job.status.conditions
    for type_, phase in (("Failed", Phase.FAILED), ("Complete", Phase.COMPLETE)):
        condition = find_condition(conditions, type_)
        if condition is not None and condition.status == "True":
            return JobPhase(phase, condition.message if phase is Phase.FAILED else "")
    if job.spec.suspend or (is_true(conditions, "Suspended") and workload is None):
        return JobPhase(Phase.SUSPENDED, "set spec.suspend to false to let it run")
    if workload is None:
        return JobPhase(Phase.CREATED, _not_accepted(job))
    return _phase_of_workload(job, workload, pods)


def _not_accepted(job: TrainJob) -> str:
    """Why there is no workload: a condition of the job that names a problem, such as a missing runtime."""
    problem = next((c for c in job.status.conditions if c.type != "Suspended" and c.message), None)
    return problem.message if problem is not None else ""


def _phase_of_workload(job: TrainJob, workload: Workload, pods: Sequence[Pod]) -> JobPhase:
    conditions = workload.status.conditions
    evicted = find_condition(conditions, "Evicted")
    if evicted is not None and evicted.status == "True":
        return JobPhase(Phase.RESTARTING, evicted.message)
    if not is_true(conditions, "QuotaReserved"):
        quota = find_condition(conditions, "QuotaReserved")
        return JobPhase(
            Phase.WAITING, quota.message if quota is not None else "not looked at by the scheduler yet"
        )
    living = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
    wanted = sum(pod_set.count for pod_set in workload.spec.pod_sets)
    started = sum(pod.status.phase not in ("", "Pending") for pod in living)
    if started < wanted and (living or not is_true(conditions, "PodsReady")):
        return JobPhase(Phase.STARTING, f"{started} of {wanted} pods started")
    return JobPhase(Phase.RUNNING, progress(job))


def progress(job: TrainJob) -> str:
    """`40 %, about 12 s left, loss 0.31`: whatever the trainer reported, or nothing."""
    status = job.status.trainer_status
    if status is None:
        return ""
    parts: list[str] = []
    if status.progress_percentage is not None:
        parts.append(f"{status.progress_percentage} %")
    if status.estimated_remaining_seconds:
        parts.append(f"about {duration(status.estimated_remaining_seconds)} left")
    return ", ".join(parts + metrics(job))


def metrics(job: TrainJob) -> list[str]:
    """`accuracy 0.971`, one a metric, in the trainer's order."""
    status = job.status.trainer_status
    return [f"{metric.name} {_shortened(metric)}" for metric in status.metrics] if status is not None else []


def duration(seconds: float) -> str:
    """`21.4 s`, `3 min 05 s`, `2 h 10 min`: with the precision a person wants."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds != int(seconds) else f"{int(seconds)} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02d} min"


def _shortened(metric: Metric) -> str:
    """Three decimals for a fraction of usual size; anything else as reported."""
    try:
        number = float(metric.value)
    except ValueError:
        return metric.value
    if "." not in metric.value or not 0.001 <= abs(number) < 1e6:
        return metric.value
    return f"{number:.3f}".rstrip("0").rstrip(".")
