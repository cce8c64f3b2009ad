"""What a workload says of how long work like it runs: which sort it is, how long it ran, its limit.

Read off the object alone, so that what was learned is the same after a restart, for as long as finished
workloads are kept. Called by the cluster state, which keeps the `History`, and by `reservations`, `outlook`
and `lineup`, which ask it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache

from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.meta import controller_of, find_condition
from springtide.scheduling.durations import History, Lasting, Sort, certain, lasting, remaining, stem_of
from springtide.scheduling.facts import PodSetFacts, WorkloadFacts
from springtide.scheduling.volcano_terms import estimated_seconds, left_alone_seconds

_stem = lru_cache(maxsize=4096)(stem_of)


def sort_of(obj: Workload, pod_sets: tuple[PodSetFacts, ...]) -> Sort:
    """Its queue (with the namespace, which stands for the user), the stem of its job's name, its devices."""
    owner = controller_of(obj)
    return Sort(
        queue=obj.spec.queue_name,
        user=obj.metadata.namespace,
        stem=_stem(owner.name if owner is not None else obj.metadata.name),
        devices=devices_of(pod_sets),
    )


def devices_of(pod_sets: tuple[PodSetFacts, ...]) -> int:
    """How many devices a workload asks for: of all resources that bear the name of a vendor."""
    return sum(pod_set.count * _devices_of_one(pod_set.pod_class.requests) for pod_set in pod_sets)


@lru_cache(maxsize=4096)
def _devices_of_one(requests: tuple[tuple[str, int], ...]) -> int:
    return sum(amount for name, amount in requests if "/" in name)


def ran(obj: Workload) -> float | None:
    """Seconds it ran until it finished, over all its attempts; None if it has not, or never ran."""
    finished = find_condition(obj.status.conditions, "Finished")
    if finished is None or finished.status != "True" or finished.last_transition_time is None:
        return None
    return elapsed(obj, finished.last_transition_time)


def started_at(obj: Workload) -> datetime | None:
    """When its present attempt was admitted; None if it does not run."""
    admitted = find_condition(obj.status.conditions, "Admitted")
    return admitted.last_transition_time if admitted is not None and admitted.status == "True" else None


def elapsed(obj: Workload, now: datetime) -> float | None:
    """Seconds it has run until now, over all its attempts; None if it does not."""
    started = started_at(obj)
    if started is None:
        return None
    return past_seconds(obj) + max(0.0, (now - started).total_seconds())


def past_seconds(obj: Workload) -> float:
    """Seconds it ran in earlier attempts."""
    return float(obj.status.accumulated_past_execution_time_seconds or 0)


def settled_at(
    admitted: Iterable[WorkloadFacts],
    minimum_run_seconds: float,
    now: datetime,
    cooling: Iterable[WorkloadFacts] = (),
) -> datetime | None:
    """When the next of them has run so long that it may be preempted; `cooling` say themselves how long."""
    found = [*admitted] if minimum_run_seconds else [*cooling]
    moments = [
        at + timedelta(seconds=after)
        for facts in found
        if facts.evicted is None
        and (at := started_at(facts.obj)) is not None
        and (after := max(minimum_run_seconds, left_alone_seconds(facts.obj))) < math.inf
    ]
    return min((at for at in moments if at > now), default=None)


def has_limit(obj: Workload) -> bool:
    """Whether it is ended after some time, however long it would take."""
    return obj.spec.maximum_execution_time_seconds is not None


def says_how_long(obj: Workload) -> bool:
    """Whether it says itself how long it runs: by its limit, or its user's estimate."""
    return has_limit(obj) or estimated_seconds(obj) is not None


def limit_at(obj: Workload) -> datetime | None:
    """When its present attempt reaches its limit; None if it does not run, or has none."""
    started = started_at(obj) if has_limit(obj) else None
    return started + timedelta(seconds=limit_left(obj)) if started is not None else None


def out_of_time(obj: Workload, now: datetime) -> bool:
    """Whether it has run for as long as it may (`maximumExecutionTimeSeconds`)."""
    at = limit_at(obj)
    return at is not None and at <= now


def past_with(obj: Workload, now: datetime) -> int:
    """Seconds it has run in all attempts when the present one ends now."""
    return int(elapsed(obj, now) or past_seconds(obj))


def limit_left(obj: Workload) -> float:
    """Seconds after which its next or present attempt is ended at the latest; infinite without a limit."""
    limit = obj.spec.maximum_execution_time_seconds
    return math.inf if limit is None else max(0.0, limit - past_seconds(obj))


def pod_limit(pod: Pod) -> float:
    """Seconds after which a plain pod is ended at the latest; infinite without a limit."""
    limit = pod.spec.active_deadline_seconds
    return math.inf if limit is None else float(limit)


def lasts(facts: WorkloadFacts, history: History) -> Lasting:
    """How long it is expected to run once it starts: as its user thinks, else as work like it did."""
    limit = limit_left(facts.obj)
    thought = estimated_seconds(facts.obj)
    if thought is not None:
        return certain(max(1.0, min(limit, thought - past_seconds(facts.obj))))
    return lasting(
        history.estimate(sort_of(facts.obj, facts.pod_sets)), None if math.isinf(limit) else max(1.0, limit)
    )


def runs_on(facts: WorkloadFacts, history: History, now: datetime) -> float:
    """How many more seconds a workload is expected to run that runs, or starts now; at least one."""
    so_far = elapsed(facts.obj, now)
    ran_so_far = past_seconds(facts.obj) if so_far is None else so_far
    limit = facts.obj.spec.maximum_execution_time_seconds
    thought = estimated_seconds(facts.obj)
    if thought is not None and thought > ran_so_far:
        return max(1.0, min(thought, thought if limit is None else limit) - ran_so_far)
    return remaining(history.estimate(sort_of(facts.obj, facts.pod_sets)), ran_so_far, limit)
