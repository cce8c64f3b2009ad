"""Makes the jobs of CronJobs when their time comes: caches -> plan -> writes.

A controller whose keys are CronJobs; a change of one of its jobs brings its key. Registered by `batch`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from springtide.api.batch import CronJob, CronJobStatus, Job
from springtide.api.commands import Delete, Emit
from springtide.api.meta import controller_of
from springtide.api.struct import encode
from springtide.builtin.cron_plan import CronStep, plan, started
from springtide.builtin.jobs import BY_OWNER, Jobs
from springtide.builtin.ownership import owners_of
from springtide.client import AlreadyExists, ApiError, NotFound
from springtide.runtime import Runtime, logger

COMPONENT = "cronjob-controller"

log = logger("builtin.cronjobs")


class CronJobs:
    """Reconciles one CronJob at a time."""

    def __init__(self, runtime: Runtime, manager: str, jobs: Jobs) -> None:
        self._runtime = runtime
        self._manager = manager
        self._client = runtime.client.with_manager(manager)
        self._jobs = jobs.jobs
        self._gone: set[str] = set()
        """UIDs of jobs deleted here that the cache may still show."""
        self.cron_jobs = runtime.informer(CronJob, indexes={BY_OWNER: owners_of})

    def keys_of_job(self, job: Job) -> Iterable[str]:
        """The CronJob that controls the job."""
        owner = controller_of(job)
        if owner is None or owner.kind != "CronJob" or owner.api_version != "batch/v1":
            return ()
        return (f"{job.metadata.namespace}/{owner.name}",)

    async def reconcile(self, key: str) -> float | None:
        """Make the job that is due, tidy up the old ones; returns when the next is due."""
        owner = self.cron_jobs.cache.get(key)
        if owner is None:
            return None
        jobs = await self._jobs_of(owner)
        step = plan(owner, jobs, self._runtime.clock.now())
        for event in step.events:
            await self._tell(owner, event.reason, event.note, warning=event.warning)
        for job in step.delete:
            await self._delete(owner, job)
        status = step.status
        if step.create is not None:
            status = await self._create(owner, step)
        await self._write(owner, status)
        return step.again_seconds

    async def _jobs_of(self, owner: CronJob) -> list[Job]:
        """Its jobs; those it believes to run are asked for where the cache does not show them."""
        cached = self._jobs.cache.by_index(BY_OWNER, owner.metadata.uid)
        self._gone &= {job.metadata.uid for job in self._jobs.cache.list()} if self._gone else set()
        found = {job.metadata.uid: job for job in cached if job.metadata.uid not in self._gone}
        for one in owner.status.active:
            if one.uid in found:
                continue
            try:
                job = await self._client.get(Job, one.name, one.namespace or owner.metadata.namespace)
            except NotFound:
                continue
            if job.metadata.uid == one.uid:
                found[one.uid] = job
        return list(found.values())

    async def _delete(self, owner: CronJob, job: Job) -> None:
        metadata = job.metadata
        gone = Delete(Job, metadata.namespace, metadata.name, metadata.uid)
        try:
            left = await self._runtime.apply(self._manager, (gone,))
        except ApiError as error:
            await self._tell(owner, "FailedDelete", f"Deleted job: {error.message}", warning=True)
            raise
        if not left:
            self._gone.add(metadata.uid)
        await self._tell(owner, "SuccessfulDelete", f"Deleted job {metadata.name}")

    async def _create(self, owner: CronJob, step: CronStep) -> CronJobStatus:
        """Make the job; one that is there already and is ours counts as made."""
        job = step.create
        if job is None:
            return step.status
        try:
            made = await self._client.create(job)
        except AlreadyExists:
            found = await self._client.get(Job, job.metadata.name, job.metadata.namespace)
            controller = controller_of(found)
            ours = controller is not None and controller.uid == owner.metadata.uid
            return started(step.status, found) if ours else step.status
        except ApiError as error:
            await self._tell(owner, "FailedCreate", f"Error creating job: {error.message}", warning=True)
            raise
        self._runtime.observe(made)
        log.info("job made", cronjob=owner.key, object=made.metadata.name)
        await self._tell(owner, "SuccessfulCreate", f"Created job {made.metadata.name}")
        return started(step.status, made)

    async def _write(self, owner: CronJob, status: CronJobStatus) -> None:
        """Write the status of this very version, if it differs."""
        if status == owner.status:
            return
        before, after = encode(owner.status), encode(status)
        changed: dict[str, Any] = {key: None for key in before if key not in after}
        metadata = owner.metadata
        body = {
            "metadata": {"uid": metadata.uid, "resourceVersion": metadata.resource_version},
            "status": {**changed, **after},
        }
        try:
            written = await self._client.patch(
                CronJob, metadata.name, metadata.namespace, body, subresource="status"
            )
        except NotFound:
            return
        self._runtime.observe(written)

    async def _tell(self, owner: CronJob, reason: str, note: str, *, warning: bool = False) -> None:
        event = Emit(owner, reason, note, type="Warning" if warning else "Normal")
        await self._runtime.apply(COMPONENT, (event,))
