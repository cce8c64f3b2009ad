"""What a Job's policies say: of a failed pod, of the indexes that succeeded, of how long to wait. Pure.

Called by `job_plan`. Source of the rules: kube-controller-manager's job controller.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from springtide.api.batch import (
    Job,
    PodFailurePolicy,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyRule,
    SuccessPolicy,
)
from springtide.api.core import Pod
from springtide.api.indexes import Indexes, read_indexes
from springtide.api.podstatus import ContainerStatus
from springtide.builtin.job_pods import (
    all_index_failures,
    finished_at,
    index_failures,
    is_failed,
)

FIRST_WAIT_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the pod failure policy says of one failed pod."""

    counts: bool = True
    """Whether the failure counts towards the limits."""
    fails_index: bool = False
    fails_job: str = ""
    """Why the whole job fails; "" if it does not."""


COUNTED = Verdict()


def judge(policy: PodFailurePolicy | None, pod: Pod) -> Verdict:
    """The first rule that matches decides; a failure that none matches counts."""
    for number, rule in enumerate(policy.rules if policy is not None else ()):
        why = _matches(rule, pod, number)
        if not why:
            continue
        match rule.action:
            case "Ignore":
                return Verdict(counts=False)
            case "FailIndex":
                return Verdict(fails_index=True)
            case "FailJob":
                return Verdict(fails_job=why)
            case "Count":
                return COUNTED
    return COUNTED


def _matches(rule: PodFailurePolicyRule, pod: Pod, number: int) -> str:
    """Why the rule matches; "" if it does not."""
    if rule.on_exit_codes is not None:
        found = _exited_with(rule.on_exit_codes, pod)
        if found is None or found.state.terminated is None:
            return ""
        return (
            f"Container {found.name} for pod {pod.key} failed with exit code "
            f"{found.state.terminated.exit_code} matching {rule.action} rule at index {number}"
        )
    for condition in pod.status.conditions:
        for pattern in rule.on_pod_conditions:
            if (condition.type, condition.status) == (pattern.type, pattern.status or "True"):
                return (
                    f"Pod {pod.key} has condition {condition.type} matching {rule.action} rule "
                    f"at index {number}"
                )
    return ""


def _exited_with(wanted: PodFailurePolicyOnExitCodesRequirement, pod: Pod) -> ContainerStatus | None:
    for status in (*pod.status.container_statuses, *pod.status.init_container_statuses):
        ended = status.state.terminated
        if ended is None or ended.exit_code == 0 or wanted.container_name not in (None, status.name):
            continue
        if (ended.exit_code in wanted.values) == (wanted.operator == "In"):
            return status
    return None


def fails_index(pod: Pod, job: Job) -> bool:
    """Whether this pod's failure uses up its index."""
    if job.spec.backoff_limit_per_index is None or not is_failed(pod, job):
        return False
    verdict = judge(job.spec.pod_failure_policy, pod)
    used_up = index_failures(pod) >= job.spec.backoff_limit_per_index
    return verdict.fails_index or (verdict.counts and used_up)


def matched_success_rule(policy: SuccessPolicy | None, completions: int, succeeded: Indexes) -> int | None:
    """The number of the first rule that these indexes fulfil."""
    for number, rule in enumerate(policy.rules if policy is not None and succeeded else ()):
        if rule.succeeded_indexes is None:
            if rule.succeeded_count is not None and len(succeeded) >= rule.succeeded_count:
                return number
            continue
        wanted = read_indexes(rule.succeeded_indexes, completions)
        met = len(wanted.overlap(succeeded))
        enough = rule.succeeded_count is not None and met >= rule.succeeded_count
        if wanted and (met == len(wanted) or enough):
            return number
    return None


# Waiting after failures


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often pods of a job failed since one succeeded. Kept in memory; a restart derives it anew."""

    failures: int = 0
    last_failure: datetime | None = None
    seen: frozenset[str] = frozenset()
    """UIDs of the ended pods that are in it."""

    def with_ended(self, job: Job, pods: Iterable[Pod]) -> Backoff:
        """With these pods, those that succeeded or failed, taken into account once each."""
        ended = {pod.metadata.uid: pod for pod in pods}
        new = [pod for uid, pod in ended.items() if uid not in self.seen]
        succeeded = [finished_at(pod) for pod in new if pod.status.phase == "Succeeded"]
        failed = sorted(finished_at(pod) for pod in new if is_failed(pod, job))
        failures, last = self.failures, self.last_failure
        if succeeded:
            failures, last = 0, None
            failed = [moment for moment in failed if moment > max(succeeded)]
        if failed:
            failures, last = failures + len(failed), failed[-1]
        return Backoff(failures, last, frozenset(ended))

    def wait_seconds(self, now: datetime) -> float:
        """How long to wait before the next pod is made."""
        return _wait(self.failures, self.last_failure, now)


def index_wait_seconds(replaced: Pod | None, now: datetime) -> float:
    """How long to wait before the pod of this index is replaced."""
    if replaced is None:
        return 0.0
    return _wait(all_index_failures(replaced) + 1, finished_at(replaced), now)


def next_failures(job: Job, replaced: Pod | None) -> tuple[int, int]:
    """Failures of an index, counted and ignored, that its next pod carries."""
    if replaced is None:
        return 0, 0
    counted = index_failures(replaced)
    ignored = all_index_failures(replaced) - counted
    if judge(job.spec.pod_failure_policy, replaced).counts:
        return counted + 1, ignored
    return counted, ignored + 1


def latest_failure(pods: Sequence[Pod]) -> Pod:
    """Of the failed pods of one index, the one whose counts are right for the next."""
    return max(pods, key=lambda pod: (all_index_failures(pod), finished_at(pod)))


def _wait(failures: int, last: datetime | None, now: datetime) -> float:
    if not failures or last is None:
        return 0.0
    wait = min(FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 16), LONGEST_WAIT_SECONDS)
    return max(0.0, (last + timedelta(seconds=wait) - now).total_seconds())
