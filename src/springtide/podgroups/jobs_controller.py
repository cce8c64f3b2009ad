"""Keeps Jobs and their Workloads as each other say: caches -> JobView -> plan -> writes; nothing clever.

Registered beside the controller of groups.
"""

from __future__ import annotations

from collections.abc import Iterable

from springtide.api.batch import Job
from springtide.api.kueue import Workload, WorkloadPriorityClass
from springtide.api.membership import Dialect, Group
from springtide.podgroups.jobs import JobView, group_of_job, is_queued, plan
from springtide.runtime import Runtime


def register_jobs(runtime: Runtime, room: str) -> None:
    """Add the controller to a runtime."""
    jobs, workloads = runtime.informer(Job), runtime.informer(Workload)
    classes = runtime.informer(WorkloadPriorityClass)

    async def reconcile(key: str) -> float | None:
        group = Group.of_key(key)
        job = jobs.cache.get(f"{group.namespace}/{group.name}") if group is not None else None
        if job is None:
            return None
        values = {one.metadata.name: one.value for one in classes.cache.list()}
        view = JobView(job, workloads.cache.get(key), values)
        decided = plan(view, runtime.clock.now())
        await runtime.apply(room, decided.commands)
        return decided.requeue_after_seconds

    runtime.controller(
        f"{room}.jobs",
        reconcile,
        [
            (jobs, lambda job: (group_of_job(job).key,) if is_queued(job) else ()),
            (workloads, _of_job),
        ],
        workers=4,
    )


def _of_job(workload: Workload) -> Iterable[str]:
    group = Group.of_key(workload.key)
    return (workload.key,) if group is not None and group.dialect is Dialect.JOB else ()
