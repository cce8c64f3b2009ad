"""Deletes finished Jobs once they have been kept for as long as they say.

A controller whose keys are jobs. Registered by `batch`. Source of the rules: kube-controller-manager's
TTL-after-finished controller.
"""

from __future__ import annotations

from datetime import timedelta

from springtide.api.batch import Job
from springtide.api.commands import Delete
from springtide.api.meta import find_condition
from springtide.builtin.jobs import Jobs
from springtide.client import NotFound
from springtide.runtime import Runtime, logger

_SHORTEST_SECONDS = 0.01
"""So that a timer that fires a moment early does not turn in circles."""

log = logger("builtin.ttl")


class FinishedJobs:
    """Reconciles one job at a time."""

    def __init__(self, runtime: Runtime, manager: str, jobs: Jobs) -> None:
        self._runtime = runtime
        self._manager = manager
        self._jobs = jobs.jobs

    async def reconcile(self, key: str) -> float | None:
        """Delete the job if its time is over; returns when to look again."""
        job = self._jobs.cache.get(key)
        left = self._left_seconds(job)
        if job is None or left is None or left > 0:
            return left
        try:
            current = await self._runtime.client.get(Job, job.metadata.name, job.metadata.namespace)
        except NotFound:
            return None
        left = self._left_seconds(current)
        if left is None or left > 0:
            return left  # somebody gave it more time
        log.info("job deleted", job=key, kept_seconds=current.spec.ttl_seconds_after_finished)
        metadata = current.metadata
        gone = Delete(Job, metadata.namespace, metadata.name, metadata.uid, propagation="Foreground")
        await self._runtime.apply(self._manager, (gone,))
        return None

    def _left_seconds(self, job: Job | None) -> float | None:
        """Seconds it is still to be kept; None for a job that is not waiting for its end by time."""
        if job is None or job.metadata.deletion_timestamp is not None:
            return None
        ttl = job.spec.ttl_seconds_after_finished
        for type_ in ("Complete", "Failed") if ttl is not None else ():
            found = find_condition(job.status.conditions, type_)
            if found is not None and found.status == "True" and found.last_transition_time is not None:
                ends = found.last_transition_time + timedelta(seconds=ttl or 0)
                left = (ends - self._runtime.clock.now()).total_seconds()
                return max(left, _SHORTEST_SECONDS) if left > 0 else left
        return None
