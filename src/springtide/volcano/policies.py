"""Rules of a Job for what befalls its pods: from pods to events, from an event to the action. Pure.

A task's rules come before the job's; the first that matches counts. An exit code matches the container that
ended with it. `*` means everything that goes wrong: a pod that failed or was evicted, not one that starts or
a task that is done. An event that a rule answers after a time is due that long after it happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from springtide.api.core import Pod
from springtide.api.cron import duration_seconds
from springtide.api.volcano_batch import Action, Event, Job, LifecyclePolicy
from springtide.volcano.tasks import Task

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_TROUBLES = (Event.POD_FAILED, Event.POD_EVICTED)
OF_PODS = (Action.RESTART_POD, Action.RESTART_TASK, Action.RESTART_PARTITION)
"""Actions that leave the other pods of the job alone."""
OF_JOBS = (
    Action.RESTART_JOB,
    Action.ABORT_JOB,
    Action.TERMINATE_JOB,
    Action.COMPLETE_JOB,
)


@dataclass(frozen=True)
class Happened:
    """Something that befell a pod or a task."""

    event: Event
    task: Task
    index: int | None = None
    """Of the pod; None where it is about the task as a whole."""
    exit_code: int | None = None
    at: datetime = _LONG_AGO
    what: str = ""
    """In words."""


@dataclass(frozen=True)
class Response:
    """What a rule says to do about it, and from when on."""

    action: Action
    about: Happened
    due: datetime


def response(job: Job, happened: Iterable[Happened]) -> Response | None:
    """What is to be done first; None if no rule says anything."""
    found = [one for event in happened if (one := _response(job, event)) is not None]
    return min(found, key=lambda one: (one.due, one.action not in OF_JOBS, one.about.at), default=None)


def evicts_whole_job(job: Job) -> bool:
    """Whether some rule answers the loss of a pod with something that concerns the whole job."""
    rules = [*job.spec.policies, *(rule for task in job.spec.tasks for rule in task.policies)]
    return any(_matches(rule, Event.POD_EVICTED, None) and rule.action in OF_JOBS for rule in rules)


def happenings(
    job: Job, tasks: Sequence[Task], pods: Mapping[str, Pod], missing: Mapping[str, Sequence[int]]
) -> list[Happened]:
    """What befell the pods of a running job: `pods` by name; `missing`, by task, indices of pods that were
    there and are gone."""
    return [event for task in tasks for event in _of_task(job, task, pods, missing.get(task.name, ()))]


def _of_task(job: Job, task: Task, pods: Mapping[str, Pod], missing: Sequence[int]) -> Iterator[Happened]:
    own = [(index, pod) for index in range(task.replicas) if (pod := pods.get(task.pod(job, index)))]
    for index in missing:
        yield Happened(Event.POD_EVICTED, task, index, what="is gone")
    for index, pod in own:
        yield from _of_pod(task, index, pod)
    if len(own) == task.replicas and all(pod.status.phase == "Succeeded" for _, pod in own):
        last = max((_ended_at(pod) for _, pod in own), default=_LONG_AGO)
        yield Happened(Event.TASK_COMPLETED, task, at=last, what="has completed")


def _of_pod(task: Task, index: int, pod: Pod) -> Iterator[Happened]:
    phase, deleted = pod.status.phase, pod.metadata.deletion_timestamp
    if phase == "Failed":
        code = _exit_code(pod)
        told = f"failed with exit code {code}" if code is not None else f"failed: {pod.status.reason}"
        yield Happened(Event.POD_FAILED, task, index, code, _ended_at(pod), told)
    elif deleted is not None and phase != "Succeeded":
        yield Happened(Event.POD_EVICTED, task, index, at=deleted, what="is being deleted")
    elif phase in ("", "Pending"):
        made = pod.metadata.creation_timestamp or _LONG_AGO
        yield Happened(Event.POD_PENDING, task, index, at=made, what="does not run")
    elif phase == "Running":
        since = pod.status.start_time or pod.metadata.creation_timestamp or _LONG_AGO
        yield Happened(Event.POD_RUNNING, task, index, at=since, what="runs")


def _response(job: Job, happened: Happened) -> Response | None:
    for rule in (*happened.task.spec.policies, *job.spec.policies):
        if rule.action and _matches(rule, happened.event, happened.exit_code):
            wait = timedelta(seconds=float(duration_seconds(rule.timeout))) if rule.timeout else timedelta()
            return Response(Action(rule.action), happened, happened.at + wait)
    return None


def _matches(rule: LifecyclePolicy, event: Event, exit_code: int | None) -> bool:
    if rule.exit_code is not None:
        return exit_code == rule.exit_code
    named = {rule.event, *rule.events}
    return event in named or (Event.ANY in named and event in _TROUBLES)


def _exit_code(pod: Pod) -> int | None:
    """Of the first container that ended badly."""
    ended = (one.state.terminated for one in pod.status.container_statuses)
    return next((one.exit_code for one in ended if one is not None and one.exit_code), None)


def _ended_at(pod: Pod) -> datetime:
    ended = (one.state.terminated for one in pod.status.container_statuses)
    times = [one.finished_at for one in ended if one is not None and one.finished_at is not None]
    return max(times, default=pod.metadata.creation_timestamp or _LONG_AGO)
