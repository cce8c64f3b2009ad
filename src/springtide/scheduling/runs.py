"""What a workload says of how long work like it runs: which sort it is, how long it ran, its limit.

Read from the object alone, so that what was learned is the same after a restart, for as long as finished
workloads are kept. Called by the cluster state, which keeps the `History`, and by the cycle.
"""

from __future__ import annotations

from datetime import datetime

from springtide.api.kueue import Workload
from springtide.api.meta import controller_of, find_condition
from springtide.scheduling.durations import History, Lasting, Sort, lasting, remaining, stem_of
from springtide.scheduling.requests import pod_requests


def sort_of(obj: Workload) -> Sort:
    """Its queue (with the namespace, which stands for the user), the stem of its job's name, its devices."""
    owner = controller_of(obj)
    return Sort(
        queue=obj.spec.queue_name,
        user=obj.metadata.namespace,
        stem=stem_of(owner.name if owner is not None else obj.metadata.name),
        devices=_devices(obj),
    )


def ran(obj: Workload) -> float | None:
    """Seconds it ran until it finished, over all its attempts; None if it has not, or never ran."""
    finished = find_condition(obj.status.conditions, "Finished")
    if finished is None or finished.status != "True" or finished.last_transition_time is None:
        return None
    return elapsed(obj, finished.last_transition_time)


def elapsed(obj: Workload, now: datetime) -> float | None:
    """Seconds it has run until now, over all its attempts; None if it does not."""
    admitted = find_condition(obj.status.conditions, "Admitted")
    if admitted is None or admitted.status != "True" or admitted.last_transition_time is None:
        return None
    before = obj.status.accumulated_past_execution_time_seconds or 0
    return before + max(0.0, (now - admitted.last_transition_time).total_seconds())


def expected(obj: Workload, history: History) -> Lasting:
    """How long it is expected to run once it starts."""
    limit = obj.spec.maximum_execution_time_seconds
    past = obj.status.accumulated_past_execution_time_seconds or 0
    return lasting(history.estimate(sort_of(obj)), None if limit is None else max(1.0, limit - past))


def expected_to_run_on(obj: Workload, history: History, now: datetime) -> float:
    """How many more seconds a running workload is expected to run; at least one."""
    limit = obj.spec.maximum_execution_time_seconds
    return remaining(history.estimate(sort_of(obj)), elapsed(obj, now) or 0.0, limit)


def _devices(obj: Workload) -> int:
    """How many devices it asks for: of all resources that are counted one by one by name of a vendor."""
    found = 0
    for pod_set in obj.spec.pod_sets:
        try:
            asked = pod_requests(pod_set.template.spec)
        except ValueError:
            continue
        found += pod_set.count * sum(amount for name, amount in asked.items() if "/" in name)
    return found
