"""A Job's tasks as everybody in this room sees them: names, sizes, and with how few pods each will do.

Rules and defaults are those of Volcano's admission webhook and gang plugin.
"""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from springtide.api.volcano_batch import Job, TaskSpec

_MAX_RETRY = 3


@dataclass(frozen=True)
class Task:
    """A task with pods."""

    name: str
    replicas: int
    fewest: int
    """With so few of its pods the job starts."""
    spec: TaskSpec

    def pod(self, job: Job, index: int) -> str:
        """The name of one of its pods."""
        return f"{job.metadata.name}-{self.name}-{index}"


def tasks_of(job: Job) -> tuple[Task, ...]:
    """The tasks that have pods."""
    named = [
        (spec.name or f"default{index}", spec) for index, spec in enumerate(job.spec.tasks) if spec.replicas
    ]
    fewest = _fewest(job, [spec for _, spec in named])
    return tuple(
        Task(name, spec.replicas, few, spec) for (name, spec), few in zip(named, fewest, strict=True)
    )


def problem_of(job: Job) -> str:
    """What of the tasks cannot be, and what to change; empty if nothing. As Volcano's webhook has it."""
    tasks = tasks_of(job)
    if not tasks:
        return "spec.tasks has no task with replicas; give one of them some"
    names = [task.name for task in tasks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        return f"spec.tasks has {twice[0]!r} twice; names are unique within a job"
    before = {task.name: task.spec.depends_on.name if task.spec.depends_on else [] for task in tasks}
    unknown = [(name, other) for name, others in before.items() for other in others if other not in names]
    if unknown:
        name, other = unknown[0]
        return f"spec.tasks {name}: dependsOn names {other!r}, which is no task with replicas"
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        return f"spec.tasks: dependsOn goes round in a circle ({', '.join(error.args[1])}); break it"
    return ""


def total(job: Job) -> int:
    """How many pods the job has."""
    return sum(task.replicas for task in job.spec.tasks)


def min_available(job: Job) -> int:
    """How many pods must be able to start for any to start."""
    return job.spec.min_available or sum(_least(task) for task in job.spec.tasks)


def max_retry(job: Job) -> int:
    """The retry with which the job fails."""
    return job.spec.max_retry or _MAX_RETRY


def _least(task: TaskSpec) -> int:
    return task.replicas if task.min_available is None else task.min_available


def _fewest(job: Job, tasks: list[TaskSpec]) -> list[int]:
    """With how few pods of each task the job starts; each keeps one, since a gang has a place for each.

    A `minAvailable` of the job below what its tasks ask for overrides them, the last task giving way first;
    one above them is met by the first tasks. Pod sets have no minimum in common, so this is one of the ways
    to reach Volcano's total, not all of them.
    """
    found = [max(1, min(_least(task), task.replicas)) for task in tasks]
    missing = min(min_available(job), sum(task.replicas for task in tasks)) - sum(found)
    for index, task in enumerate(tasks):
        more = min(max(0, missing), task.replicas - found[index])
        found[index] += more
        missing -= more
    for index in reversed(range(len(tasks))):
        less = min(max(0, -missing), found[index] - 1)
        found[index] -= less
        missing += less
    return found
