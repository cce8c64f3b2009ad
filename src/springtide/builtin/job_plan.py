"""What to do about a Job now: make pods, delete pods, write its status, let counted pods go. Pure.

`jobs` carries a `Step` out and asks again, until there is nothing left to do. So every step is decided from
what was written before, and a stop between any two of them loses nothing:

- a pod that has ended is listed in status.uncountedTerminatedPods (or its index in completedIndexes) first,
  loses its finalizer then, and moves from the list into the counts last;
- how a job will end is written before the pods that still run are deleted.

Source of the rules, reasons and messages: kube-controller-manager's job controller.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as changed
from datetime import datetime, timedelta
from itertools import islice

from springtide.api.batch import Job, JobCondition, JobStatus
from springtide.api.core import Pod
from springtide.api.indexes import indexes_of
from springtide.builtin.job_account import Event, account
from springtide.builtin.job_pods import (
    index_of,
    is_failed,
    is_indexed,
    is_suspended,
    replaces_only_failed,
    valid_index,
)
from springtide.builtin.job_policies import (
    Backoff,
    index_wait_seconds,
    judge,
    matched_success_rule,
    next_failures,
)
from springtide.builtin.job_sight import FAILURE_TARGET, SUCCESS_CRITERIA_MET, Sight
from springtide.builtin.pod_state import is_ready, ready_since, restarts

MOST_PODS_A_STEP = 500
"""Pods that are made or deleted in one go, at most."""
SHORTEST_WAIT_SECONDS = 0.01
"""So that a timer that fires a moment early does not turn in circles."""
_PHASES = {"": 0, "Pending": 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class NewPod:
    """A pod to be made."""

    index: int | None = None
    failures: tuple[int, int] | None = None
    """Failures its index carries: counted and ignored."""


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next. At most one of `create`, `delete`, `status` and `let_go` says something."""

    create: tuple[NewPod, ...] = ()
    delete: tuple[Pod, ...] = ()
    uncounted: bool = False
    """The pods to delete lose their finalizer first: they are no longer wanted, and no failures."""
    status: JobStatus | None = None
    let_go: tuple[Pod, ...] = ()
    """Pods to lose their finalizer: they are counted."""
    events: tuple[Event, ...] = ()
    """What to tell once the status is written."""
    backoff: Backoff = field(default_factory=Backoff)
    again_seconds: float | None = None
    """When to look again even if nothing changes."""

    @property
    def acts(self) -> bool:
        return bool(self.create or self.delete or self.status is not None or self.let_go)


def plan(job: Job, pods: Sequence[Pod], backoff: Backoff, now: datetime, *, stuck: bool = False) -> Step:
    """The next step for an unfinished job and all the pods it controls.

    `stuck`: pods could not be made or deleted just now; what else is to be done, is done.
    """
    sight = Sight(job, pods, backoff, now)
    step, end = Step(backoff=sight.backoff), _end(sight)
    managed = end is None and job.metadata.deletion_timestamp is None
    if managed and not stuck:
        step = _pods_step(sight, step)
        if step.create or step.delete:
            return step
        end = _completed(sight)
    if sight.announced and sight.active and not stuck:
        return changed(step, delete=tuple(sight.active))
    status, let_go, events = account(sight, end, managed=managed and not stuck and end is None)
    if status != job.status:
        return changed(step, status=status, events=events)
    deadline = _deadline_seconds(sight) if end is None else None
    again = [one for one in (step.again_seconds, deadline) if one is not None]
    soonest = max(min(again), SHORTEST_WAIT_SECONDS) if again else None
    return changed(step, let_go=let_go, again_seconds=soonest)


# How it ends


def _end(sight: Sight) -> JobCondition | None:
    """What will end the job: what was announced already, a failure, or a success policy that is met."""
    job = sight.job
    if sight.announced is not None:
        return sight.announced
    policy = job.spec.pod_failure_policy
    for pod in sight.pods if policy is not None else ():
        why = judge(policy, pod).fails_job if is_failed(pod, job) else ""
        if why:
            return _failure(sight, "PodFailurePolicy", why)
    limit = job.spec.backoff_limit
    if limit is not None and (sight.failed > limit or _restarted_too_often(sight, limit)):
        return _failure(sight, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = _deadline_seconds(sight)
    if left is not None and left <= 0:
        return _failure(sight, "DeadlineExceeded", "Job was active longer than specified deadline")
    return _end_by_index(sight) if is_indexed(job) else None


def _end_by_index(sight: Sight) -> JobCondition | None:
    spec, failed = sight.job.spec, len(sight.failed_indexes or ())
    if spec.max_failed_indexes is not None and failed > spec.max_failed_indexes:
        why = "Job has exceeded the specified maximal number of failed indexes"
        return _failure(sight, "MaxFailedIndexesExceeded", why)
    if failed and failed + len(sight.succeeded_indexes) >= (sight.completions or 0):
        return _failure(sight, "FailedIndexes", "Job has failed indexes")
    rule = matched_success_rule(spec.success_policy, sight.completions or 0, sight.succeeded_indexes)
    if rule is None:
        return None
    return sight.condition(SUCCESS_CRITERIA_MET, "SuccessPolicy", f"Matched rules at index {rule}")


def _completed(sight: Sight) -> JobCondition | None:
    """All pods that must have succeeded have, and none runs any more."""
    wanted = 1 if sight.completions is None else sight.completions
    if sight.active or sight.succeeded < wanted:
        return None
    why = "Reached expected number of succeeded pods"
    return sight.condition(SUCCESS_CRITERIA_MET, "CompletionsReached", why)


def _failure(sight: Sight, reason: str, message: str) -> JobCondition:
    return sight.condition(FAILURE_TARGET, reason, message)


def _restarted_too_often(sight: Sight, limit: int) -> bool:
    """For containers that are restarted in their pods: their restarts count as failures."""
    if sight.job.spec.template.spec.restart_policy != "OnFailure":
        return False
    total = sum(
        status.restart_count
        for pod in sight.pods
        if pod.status.phase in ("Pending", "Running")
        for status in (*pod.status.init_container_statuses, *pod.status.container_statuses)
    )
    return total > 0 if limit == 0 else total >= limit


def _deadline_seconds(sight: Sight) -> float | None:
    """Seconds until the job has been active for too long; None while nothing limits it."""
    seconds, started = sight.job.spec.active_deadline_seconds, sight.job.status.start_time
    if seconds is None or started is None or is_suspended(sight.job):
        return None
    return (started + timedelta(seconds=seconds) - sight.now).total_seconds()


# How many pods run


def _pods_step(sight: Sight, step: Step) -> Step:
    """Pods to make or to delete, so that as many run as should; or when to look again."""
    job, active = sight.job, len(sight.active)
    if is_suspended(job):
        return changed(step, delete=tuple(sight.active[:MOST_PODS_A_STEP]), uncounted=True)
    wanted = _wanted(sight)
    surplus = _surplus(sight, max(0, active - wanted))
    if surplus:
        return changed(step, delete=tuple(surplus[:MOST_PODS_A_STEP]), uncounted=True)
    lacking = wanted - active - (len(sight.ending) if replaces_only_failed(job) else 0)
    if lacking <= 0:
        return step
    if job.spec.backoff_limit_per_index is not None:
        return _replace_by_index(sight, step, min(lacking, MOST_PODS_A_STEP))
    wait = sight.backoff.wait_seconds(sight.now)
    if wait > 0:
        return changed(step, again_seconds=wait)
    lacking = min(lacking, MOST_PODS_A_STEP)
    if is_indexed(job):
        return changed(step, create=tuple(NewPod(index) for index in _pending(sight, lacking)))
    return changed(step, create=(NewPod(),) * lacking)


def _wanted(sight: Sight) -> int:
    """How many pods should run now."""
    if sight.completions is None:
        return len(sight.active) if sight.succeeded else sight.parallelism
    return max(0, min(sight.completions - sight.succeeded, sight.parallelism))


def _replace_by_index(sight: Sight, step: Step, lacking: int) -> Step:
    """Every index waits for itself after a failure."""
    kept = sight.kept_for_index()
    waits = {index: index_wait_seconds(kept.get(index), sight.now) for index in _pending(sight, lacking)}
    made = tuple(
        NewPod(index, next_failures(sight.job, kept.get(index))) for index, wait in waits.items() if wait <= 0
    )
    again = min((wait for wait in waits.values() if wait > 0), default=None)
    return changed(step, create=made, again_seconds=again)


def _pending(sight: Sight, count: int) -> list[int]:
    """The lowest indexes that have neither ended nor a pod."""
    busy = list(sight.active)
    if replaces_only_failed(sight.job):
        busy += sight.ending
    taken = indexes_of(index for pod in busy if (index := index_of(pod)) is not None)
    taken |= sight.succeeded_indexes
    if sight.failed_indexes is not None:
        taken |= sight.failed_indexes
    return list(islice(taken.missing(sight.completions or 0), count))


def _surplus(sight: Sight, at_least: int) -> list[Pod]:
    """Pods that should not run: without a valid index, second of one index, or simply too many."""
    surplus: list[Pod] = []
    left = sight.active
    if is_indexed(sight.job):
        by_index: dict[int, list[Pod]] = {}
        for pod in sight.active:
            index = valid_index(pod, sight.job)
            if index is None:
                surplus.append(pod)
            else:
                by_index.setdefault(index, []).append(pod)
        ordered = [_first_to_go(pods) for pods in by_index.values()]
        surplus += [pod for pods in ordered for pod in pods[:-1]]
        left = [pods[-1] for pods in ordered]
    if len(surplus) < at_least:
        surplus += _first_to_go(left)[: at_least - len(surplus)]
    return surplus


def _first_to_go(pods: Iterable[Pod]) -> list[Pod]:
    """Those that have come least far first."""
    return sorted(pods, key=_progress)


def _progress(pod: Pod) -> tuple[bool, int, bool, float, int, float, str]:
    since, created = ready_since(pod), pod.metadata.creation_timestamp
    return (
        bool(pod.spec.node_name),
        _PHASES.get(pod.status.phase, 0),
        is_ready(pod),
        -since.timestamp() if since is not None else float("-inf"),
        -restarts(pod),
        -created.timestamp() if created is not None else 0.0,
        pod.metadata.name,
    )
