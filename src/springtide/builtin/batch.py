"""Wires the controllers of the batch kinds into a runtime. Called by `controller`."""

from __future__ import annotations

from springtide.builtin.cronjobs import CronJobs
from springtide.builtin.jobs import Jobs, UntrackedPods
from springtide.builtin.ttl import FinishedJobs
from springtide.runtime import Runtime

ROOM = "builtin"
_WORKERS = 5
"""Objects of one kind reconciled at once, as kube-controller-manager has it."""


def register_batch(runtime: Runtime) -> None:
    """Add the controllers to a runtime."""
    jobs = Jobs(runtime, ROOM)
    runtime.controller(
        "builtin.jobs",
        jobs.reconcile,
        [(jobs.jobs, lambda job: (job.key,)), (jobs.pods, jobs.keys_of_pod)],
        workers=_WORKERS,
    )
    untracked = UntrackedPods(runtime, ROOM, jobs)
    runtime.controller(
        "builtin.untracked",
        untracked.reconcile,
        [(jobs.pods, untracked.keys_of_pod), (jobs.jobs, untracked.keys_of_job)],
    )
    finished = FinishedJobs(runtime, ROOM, jobs)
    runtime.controller("builtin.ttl", finished.reconcile, [(jobs.jobs, lambda job: (job.key,))])
    cron = CronJobs(runtime, ROOM, jobs)
    runtime.controller(
        "builtin.cronjobs",
        cron.reconcile,
        [(cron.cron_jobs, lambda one: (one.key,)), (jobs.jobs, cron.keys_of_job)],
        workers=_WORKERS,
    )
