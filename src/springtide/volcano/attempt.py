"""The present attempt of a Job: its pods, which are gone, and what befell them. Pure; for the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from springtide.api import labels
from springtide.api.core import ConfigMap, Pod
from springtide.api.kueue import Workload
from springtide.api.meta import find_condition
from springtide.api.volcano import PodGroup
from springtide.api.volcano_batch import Job
from springtide.volcano.policies import Happened, happenings
from springtide.volcano.tasks import Task, tasks_of
from springtide.volcano.templates import may_grow


@dataclass(frozen=True)
class Snapshot:
    """A Job and everything that belongs to it."""

    job: Job
    workload: Workload | None = None
    """Its own."""
    pods: Sequence[Pod] = ()
    """Those of the workload."""
    group: PodGroup | None = None
    hosts: ConfigMap | None = None
    claims: Set[str] = frozenset()
    """Names of the claims there are in the namespace."""
    priorities: Mapping[str, int] = field(default_factory=dict)
    """What each PriorityClass is worth; under the empty name what pods without one get."""


def attempt_of(workload: Workload) -> int:
    """The number of the present attempt, from 0."""
    state = workload.status.requeue_state
    return (state.count or 0) if state is not None else 0


def happened(snapshot: Snapshot, workload: Workload) -> list[Happened]:
    """What befell the pods of this attempt."""
    if workload.status.admission is None or not workload.spec.active:
        return []
    attempt, answered = str(attempt_of(workload)), being_replaced(snapshot)
    pods = {
        pod.metadata.name: pod
        for pod in snapshot.pods
        if pod.metadata.labels.get(labels.ATTEMPT, attempt) == attempt and pod.metadata.uid not in answered
    }
    pods = {name: pod for name, pod in pods.items() if not _given_up(snapshot, workload, pod)}
    refilled = workload.metadata.annotations.get(labels.REFILL) == "true"
    missing = {} if refilled else missing_pods(snapshot, workload)
    return happenings(snapshot.job, tasks_of(snapshot.job), pods, missing)


def _given_up(snapshot: Snapshot, workload: Workload, pod: Pod) -> bool:
    """Whether a pod is deleted because the job has shrunk: as many as it has places for live without it."""
    if pod.metadata.deletion_timestamp is None or not may_grow(snapshot.job):
        return False
    task = pod.metadata.labels.get(labels.PODSET, "")
    given = workload.status.admission.pod_set_assignments if workload.status.admission is not None else []
    places = sum(one.count or 0 for one in given if one.name == task)
    live = sum(
        1
        for one in snapshot.pods
        if one.metadata.deletion_timestamp is None and one.metadata.labels.get(labels.PODSET) == task
    )
    return live >= places


def being_replaced(snapshot: Snapshot) -> set[str]:
    """Uids of pods that a rule has put aside and that are there still."""
    workload = snapshot.workload
    named = workload.metadata.annotations.get(labels.REPLACE, "") if workload is not None else ""
    return {pod.metadata.uid for pod in snapshot.pods} & set(named.split(","))


def missing_pods(snapshot: Snapshot, workload: Workload) -> dict[str, list[int]]:
    """Pods that were made in this attempt and do not exist any more, by task."""
    ready = find_condition(workload.status.conditions, "PodsReady")
    if workload.status.admission is None or ready is None or ready.reason == "NotAdmitted":
        return {}
    given = {one.name: one.count for one in workload.status.admission.pod_set_assignments}
    names = {pod.metadata.name for pod in snapshot.pods}
    found: dict[str, list[int]] = {}
    for task in tasks_of(snapshot.job):
        count = given.get(task.name)
        indices = range(task.replicas if count is None else count)
        gone = [index for index in indices if task.pod(snapshot.job, index) not in names]
        if may_grow(snapshot.job):  # which has its pods under any numbers
            there = [
                name for index in range(task.replicas) if (name := task.pod(snapshot.job, index)) in names
            ]
            gone = gone[: max(0, len(indices) - len(there))]
        if len(gone) < len(indices) or not _waits_for_others(task):
            found[task.name] = gone
    return found


def _waits_for_others(task: Task) -> bool:
    return task.spec.depends_on is not None and bool(task.spec.depends_on.name)
