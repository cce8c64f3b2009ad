"""A Job and its pods at one moment: what follows from them before anything is decided. Pure.

Made by `job_plan` once a step; read by it and by `job_account`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from springtide.api.batch import Job, JobCondition, UncountedTerminatedPods
from springtide.api.core import Pod
from springtide.api.indexes import Indexes, indexes_of, read_indexes
from springtide.api.meta import find_condition, whole_second
from springtide.builtin.job_pods import index_of, is_failed, is_indexed, is_tracked, valid_index
from springtide.builtin.job_policies import Backoff, fails_index, judge, latest_failure
from springtide.builtin.pod_state import FINISHED, is_active, is_ending

FAILURE_TARGET, SUCCESS_CRITERIA_MET = "FailureTarget", "SuccessCriteriaMet"


class Sight:
    """What is seen. `failed` and `succeeded` are the true totals, pods not listed yet included."""

    def __init__(self, job: Job, pods: Sequence[Pod], backoff: Backoff, now: datetime) -> None:
        self.job, self.pods, self.now = job, pods, now
        self.completions = job.spec.completions
        self.parallelism = 1 if job.spec.parallelism is None else job.spec.parallelism
        self.active = [pod for pod in pods if is_active(pod)]
        self.ending = [pod for pod in pods if is_ending(pod)]
        self.tracked = [pod for pod in pods if is_tracked(pod)]
        self.announced = _announced(job)
        self.uncounted = job.status.uncounted_terminated_pods or UncountedTerminatedPods()
        self.succeeded_indexes = self.completed_before = Indexes()
        self.failed_indexes: Indexes | None = None
        if is_indexed(job):
            self._see_indexes()
        self.failed = job.status.failed + len(self.uncounted.failed) + self._new_failures()
        self.succeeded = self._all_succeeded()
        ended = [pod for pod in pods if pod.status.phase in FINISHED]
        ended += [pod for pod in self.ending if is_tracked(pod) and is_failed(pod, job)]
        self.backoff = backoff.with_ended(job, ended)

    def condition(self, type_: str, reason: str, message: str, status: str = "True") -> JobCondition:
        """A condition that begins now."""
        now = whole_second(self.now)
        return JobCondition(
            type=type_,
            status=status,
            reason=reason,
            message=message,
            last_probe_time=now,
            last_transition_time=now,
        )

    def _see_indexes(self) -> None:
        job, limit = self.job, self.completions or 0
        self.completed_before = read_indexes(job.status.completed_indexes, limit)
        done = (valid_index(pod, job) for pod in self.tracked if pod.status.phase == "Succeeded")
        self.succeeded_indexes = self.completed_before | indexes_of(one for one in done if one is not None)
        if job.spec.backoff_limit_per_index is not None:
            # pods ended because the job ends say nothing about their index
            judged = [pod for pod in self.tracked if self.announced is None or pod.status.phase == "Failed"]
            used_up = (valid_index(pod, job) for pod in judged if fails_index(pod, job))
            before = read_indexes(job.status.failed_indexes or "", limit)
            self.failed_indexes = before | indexes_of(one for one in used_up if one is not None)

    def _new_failures(self) -> int:
        """Failures that count and are not listed yet."""
        listed = set(self.uncounted.failed)
        policy = self.job.spec.pod_failure_policy
        return sum(
            1
            for pod in self.tracked
            if pod.metadata.uid not in listed
            and is_failed(pod, self.job)
            and (not is_indexed(self.job) or valid_index(pod, self.job) is not None)
            and judge(policy, pod).counts
        )

    def _all_succeeded(self) -> int:
        if is_indexed(self.job):
            return len(self.succeeded_indexes)
        listed = set(self.uncounted.succeeded)
        new = sum(
            1 for pod in self.tracked if pod.status.phase == "Succeeded" and pod.metadata.uid not in listed
        )
        return self.job.status.succeeded + len(listed) + new

    def kept_for_index(self) -> dict[int, Pod]:
        """By index, the failed pod that is not counted before its successor carries its failures on."""
        if self.failed_indexes is None:
            return {}
        busy = {index_of(pod) for pod in self.active}
        failed: dict[int, list[Pod]] = {}
        for pod in self.tracked:
            index = valid_index(pod, self.job)
            if index is None or index in busy or not is_failed(pod, self.job):
                continue
            if index not in self.succeeded_indexes and index not in self.failed_indexes:
                failed.setdefault(index, []).append(pod)
        return {index: latest_failure(pods) for index, pods in failed.items()}


def _announced(job: Job) -> JobCondition | None:
    """How the job will end, if that was written already."""
    for type_ in (SUCCESS_CRITERIA_MET, FAILURE_TARGET):
        found = find_condition(job.status.conditions, type_)
        if found is not None and found.status == "True":
            return found
    return None
