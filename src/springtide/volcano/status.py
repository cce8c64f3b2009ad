"""Job.status from the Job's pods: counts, phase and history. Pure; called by the plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

from springtide.api.core import Pod
from springtide.api.meta import whole_second
from springtide.api.struct import replace
from springtide.api.volcano_batch import Job, JobCondition, JobPhase, JobState, JobStatus, TaskState
from springtide.volcano.tasks import Task, min_available, tasks_of, total

FINAL = (JobPhase.COMPLETED, JobPhase.FAILED, JobPhase.TERMINATED, JobPhase.ABORTED)
ENDING = {
    JobPhase.ABORTING: JobPhase.ABORTED,
    JobPhase.COMPLETING: JobPhase.COMPLETED,
    JobPhase.TERMINATING: JobPhase.TERMINATED,
}
"""Phases in which pods are still on their way out, and what comes after."""


def phase_of(job: Job) -> JobPhase:
    """The phase the job is in; one that was never looked at is Pending."""
    return JobPhase(job.status.state.phase or JobPhase.PENDING)


def counted(job: Job, pods: Iterable[Pod], tasks_by_pod: Mapping[str, Task]) -> JobStatus:
    """The status with its counts brought up to date; the phase stays."""
    by_task: dict[str, Counter[str]] = {task.name: Counter() for task in tasks_of(job)}
    phases: Counter[str] = Counter()
    for pod in pods:
        phase = "Terminating" if _terminates(pod) else pod.status.phase or "Pending"
        phases[phase] += 1
        task = tasks_by_pod.get(pod.metadata.name)
        if task is not None:
            by_task[task.name][phase] += 1
    return replace(
        job.status,
        min_available=min_available(job),
        task_status_count={
            name: TaskState(phase=dict(sorted(found.items()))) for name, found in by_task.items() if found
        },
        pending=phases["Pending"],
        running=phases["Running"],
        succeeded=phases["Succeeded"],
        failed=phases["Failed"],
        terminating=phases["Terminating"],
        unknown_pods=phases["Unknown"],
        controlled_resources={f"plugin-{name}": name for name in sorted(job.spec.plugins)},
    )


def _terminates(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is not None and pod.status.phase not in ("Succeeded", "Failed")


def moved(
    status: JobStatus, phase: JobPhase, now: datetime, reason: str = "", message: str = ""
) -> JobStatus:
    """The status in a phase; the time of the change is kept while the phase stays."""
    at = whole_second(now)
    before = status.state
    if before.phase == phase:
        same = replace(before, reason=reason or before.reason, message=message or before.message)
        return replace(status, state=same)
    state = JobState(phase=phase.value, reason=reason, message=message, last_transition_time=at)
    conditions = [*status.conditions, JobCondition(status=phase.value, last_transition_time=at)]
    duration = status.running_duration
    if phase in FINAL:
        duration = _duration(conditions, at) or duration
    return replace(status, state=state, conditions=conditions, running_duration=duration)


def counting(status: JobStatus, retries: int, version: int) -> JobStatus:
    """The status with another number of retries, and the attempt that it is now about."""
    return replace(status, retry_count=retries, version=version)


def outcome(job: Job, status: JobStatus) -> tuple[JobPhase, str, str] | None:
    """How the job ended, by the pods that have: phase, reason and message; None while it goes on."""
    least, pods = job.spec.min_success, total(job)
    if least is not None and status.succeeded >= least:
        return JobPhase.COMPLETED, "MinSuccess", f"{status.succeeded} pods succeeded, {least} were asked for"
    if not pods or status.succeeded + status.failed < pods:
        return None
    short = _short_task(job, status)
    if short is not None:
        return JobPhase.FAILED, "TaskFailed", short
    if least is not None:
        return JobPhase.FAILED, "MinSuccess", f"{status.succeeded} pods succeeded, {least} were asked for"
    if status.succeeded >= min_available(job):
        return JobPhase.COMPLETED, "PodsEnded", f"{status.succeeded} of {pods} pods succeeded"
    why = f"{status.succeeded} of {pods} pods succeeded, minAvailable is {min_available(job)}"
    return JobPhase.FAILED, "PodsEnded", why


def _short_task(job: Job, status: JobStatus) -> str | None:
    """A task of which too few pods succeeded, where the job's minimum leaves the tasks theirs."""
    tasks = tasks_of(job)
    wanted = {task.name: task.spec.min_available for task in tasks}
    if min_available(job) < sum(
        task.replicas if wanted[task.name] is None else wanted[task.name] or 0 for task in tasks
    ):
        return None
    for name, least in wanted.items():
        won = (
            status.task_status_count[name].phase.get("Succeeded", 0)
            if name in status.task_status_count
            else 0
        )
        if least is not None and won < least:
            return f"{won} pods of task {name} succeeded, its minAvailable is {least}"
    return None


def _duration(conditions: Iterable[JobCondition], end: datetime) -> str:
    """How long it ran, first to last, as Go writes it; empty if it never ran."""
    began = [
        one.last_transition_time
        for one in conditions
        if one.status == JobPhase.RUNNING and one.last_transition_time is not None
    ]
    return go_duration(int((end - min(began)).total_seconds())) if began else ""


def go_duration(seconds: int) -> str:
    """Whole seconds as Go writes a duration: `1h2m3s`."""
    hours, rest = divmod(max(0, seconds), 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"
