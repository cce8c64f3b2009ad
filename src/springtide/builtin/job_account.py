"""A Job's status as it should read now, and which pods are counted and may go. Pure; called by `job_plan`.

A pod that ends is listed first, let go when the list is written, and moves into the counts when it is seen
to have been let go: whatever happens in between, it counts once. Source of the rules: the job controller of
kube-controller-manager.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from springtide.api.batch import JobCondition, JobStatus, UncountedTerminatedPods
from springtide.api.core import Pod
from springtide.api.indexes import indexes_of
from springtide.api.meta import find_condition, whole_second
from springtide.api.struct import replace
from springtide.builtin.job_pods import is_failed, is_indexed, is_suspended, valid_index
from springtide.builtin.job_policies import judge
from springtide.builtin.job_sight import FAILURE_TARGET, Sight
from springtide.builtin.pod_state import is_ready

MOST_UNCOUNTED = 500
"""Pods that are listed as about to be counted, at most."""
COMPLETE, FAILED, SUSPENDED = "Complete", "Failed", "Suspended"


@dataclass(frozen=True, slots=True)
class Event:
    """An event about the job."""

    reason: str
    note: str
    warning: bool = False


Account = tuple[JobStatus, tuple[Pod, ...], tuple[Event, ...]]


def account(sight: Sight, end: JobCondition | None, *, managed: bool) -> Account:
    """The status, the pods to let go once it is written, and what to tell then.

    `managed`: the right number of pods runs, so that the job is suspended, or is not, as it should be.
    """
    status, let_go = _count(sight)
    status = _with_numbers(sight, status)
    if status.start_time is None and (end is not None or not is_suspended(sight.job)):
        status = replace(status, start_time=whole_second(sight.now))
    if managed:
        status, events = _with_suspension(sight, status)
        return status, let_go, events
    if end is None:
        return status, let_go, ()
    if sight.announced is None:
        return replace(status, conditions=[*status.conditions, end]), let_go, ()
    if let_go or sight.active or sight.ending or _listed(status):
        return status, let_go, ()
    status, events = _finish(sight, status, end)
    return status, (), events


def _count(sight: Sight) -> tuple[JobStatus, tuple[Pod, ...]]:
    """Move those let go into the counts; list those that ended since."""
    job = sight.job
    status, listed = job.status, sight.uncounted
    held = {pod.metadata.uid for pod in sight.tracked}
    succeeded = [uid for uid in listed.succeeded if uid in held]
    failed = [uid for uid in listed.failed if uid in held]
    counted = status.succeeded + len(listed.succeeded) - len(succeeded)
    failures = status.failed + len(listed.failed) - len(failed)
    let_go: list[Pod] = []
    indexes: list[int] = []
    kept = {pod.metadata.uid for pod in sight.kept_for_index().values()}
    for pod in _in_order(sight):
        if not _may_go(sight, pod, kept):
            continue
        uid, index = pod.metadata.uid, valid_index(pod, job)
        new = uid not in failed and uid not in succeeded
        if new and len(indexes) + len(succeeded) + len(failed) >= MOST_UNCOUNTED:
            continue
        let_go.append(pod)
        if is_indexed(job) and index is None:
            continue
        if new and pod.status.phase == "Succeeded":
            if index is None:
                succeeded.append(uid)
            elif index not in sight.completed_before:
                indexes.append(index)
        elif new and _counts_as_failed(sight, pod):
            failed.append(uid)
    status = replace(
        status,
        succeeded=counted,
        failed=failures,
        uncounted_terminated_pods=UncountedTerminatedPods(succeeded=succeeded, failed=failed),
    )
    if is_indexed(job):
        done = sight.completed_before | indexes_of(indexes)
        lost = sight.failed_indexes
        status = replace(
            status,
            succeeded=len(done),
            completed_indexes=str(done),
            failed_indexes=None if lost is None else str(lost),
        )
    return status, tuple(let_go)


def _in_order(sight: Sight) -> Sequence[Pod]:
    """By index, so that the completed ones make few intervals."""
    if not is_indexed(sight.job):
        return sight.tracked
    last = sight.completions or 0

    def place(pod: Pod) -> int:
        index = valid_index(pod, sight.job)
        return last if index is None else index

    return sorted(sight.tracked, key=place)


def _may_go(sight: Sight, pod: Pod, kept: set[str]) -> bool:
    """Whether nothing is to be learned from the pod any more."""
    ends = sight.announced is not None or sight.job.metadata.deletion_timestamp is not None
    if ends or pod.status.phase == "Succeeded":
        return True
    return is_failed(pod, sight.job) and pod.metadata.uid not in kept


def _counts_as_failed(sight: Sight, pod: Pod) -> bool:
    """Once the job has failed, every pod that did not succeed has; once it succeeded, those that say so."""
    announced = sight.announced
    if announced is None:
        failed = is_failed(pod, sight.job)
    else:
        failed = announced.type == FAILURE_TARGET or pod.status.phase == "Failed"
    return failed and judge(sight.job.spec.pod_failure_policy, pod).counts


def _listed(status: JobStatus) -> bool:
    listed = status.uncounted_terminated_pods
    return listed is not None and bool(listed.succeeded or listed.failed)


def _with_numbers(sight: Sight, status: JobStatus) -> JobStatus:
    return replace(
        status,
        active=len(sight.active),
        ready=sum(map(is_ready, sight.active)),
        terminating=len(sight.ending),
    )


def _with_suspension(sight: Sight, status: JobStatus) -> tuple[JobStatus, tuple[Event, ...]]:
    """The condition follows spec.suspend; a job that is resumed starts anew."""
    found, now = find_condition(status.conditions, SUSPENDED), whole_second(sight.now)
    if is_suspended(sight.job):
        if found is not None and found.status == "True":
            return status, ()
        conditions = _with(status, sight.condition(SUSPENDED, "JobSuspended", "Job suspended"))
        told = (Event("Suspended", "Job suspended"),)
        return replace(status, conditions=conditions, start_time=None), told
    if found is None or found.status != "True":
        return status, ()
    conditions = _with(status, sight.condition(SUSPENDED, "JobResumed", "Job resumed", "False"))
    return replace(status, conditions=conditions, start_time=now), (Event("Resumed", "Job resumed"),)


def _finish(sight: Sight, status: JobStatus, end: JobCondition) -> tuple[JobStatus, tuple[Event, ...]]:
    if end.type == FAILURE_TARGET:
        condition = sight.condition(FAILED, end.reason, end.message)
        told = (Event(end.reason, end.message, warning=True),)
        return replace(status, conditions=_with(status, condition)), told
    condition = sight.condition(COMPLETE, end.reason, end.message)
    events = [Event("Completed", "Job completed")]
    if sight.completions is not None and status.succeeded > sight.completions:
        too_many = "Too many succeeded pods running after completion count reached"
        events.insert(0, Event("TooManySucceededPods", too_many, warning=True))
    ended = condition.last_transition_time
    return replace(status, conditions=_with(status, condition), completion_time=ended), tuple(events)


def _with(status: JobStatus, new: JobCondition) -> list[JobCondition]:
    """The conditions with this one in the place of its type."""
    if find_condition(status.conditions, new.type) is None:
        return [*status.conditions, new]
    return [new if one.type == new.type else one for one in status.conditions]
