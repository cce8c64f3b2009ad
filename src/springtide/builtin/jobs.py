"""Runs Jobs to completion: caches -> plan -> writes, step by step until nothing is left to do.

A controller whose keys are jobs; a change of a job, or of a pod it controls or may take in, brings its key.
Beside it, `UntrackedPods` lets go of pods whose job is gone or done. Registered by `batch`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from springtide.api import labels
from springtide.api.batch import Job
from springtide.api.core import Pod
from springtide.api.meta import OwnerReference, controller_of, is_true
from springtide.api.selectors import from_label_selector
from springtide.api.struct import encode
from springtide.builtin.job_account import COMPLETE, FAILED
from springtide.builtin.job_plan import NewPod, Step, plan
from springtide.builtin.job_pods import JobPodNames, is_tracked, make_pod
from springtide.builtin.job_policies import Backoff
from springtide.builtin.own_writes import UNKNOWN_OUTCOME, OwnWrites, in_growing_batches, together
from springtide.builtin.ownership import ORPHANS, claim, owners_of, settle_claim
from springtide.client import ApiError, Conflict, NotFound
from springtide.runtime import Runtime

COMPONENT = "job-controller"
BY_OWNER = "builtin.owner"
_MANUAL = "builtin.manual"
_STEPS_AT_ONCE = 20
_SOON_SECONDS = 0.2
_PACE_SECONDS_PER_POD = 0.0005
_LONGEST_PACE_SECONDS = 1.0
"""A job of many pods is looked at less often, so that its pods' changes are taken in together."""


class Jobs:
    """Reconciles one job at a time."""

    def __init__(self, runtime: Runtime, manager: str) -> None:
        self._runtime = runtime
        self._manager = manager
        self._writes = OwnWrites(runtime, manager, COMPONENT, JobPodNames)
        self._backoffs: dict[str, tuple[str, Backoff]] = {}
        self._looked: dict[str, float] = {}
        self.jobs = runtime.informer(Job, indexes={BY_OWNER: owners_of, _MANUAL: _manual_in})
        self.pods = runtime.informer(Pod, indexes={BY_OWNER: owners_of})

    def keys_of_pod(self, pod: Pod) -> Iterable[str]:
        """The job the pod belongs to; for an orphan, those that may take it in."""
        owner, namespace = controller_of(pod), pod.metadata.namespace
        if owner is not None:
            return (f"{namespace}/{owner.name}",) if _is_job(owner) else ()
        marked = pod.metadata.labels
        keys = [f"{namespace}/{marked[labels.JOB_NAME]}"] if labels.JOB_NAME in marked else []
        return keys + [
            job.key
            for job in self.jobs.cache.by_index(_MANUAL, namespace)
            if (selector := from_label_selector(job.spec.selector)) and selector.matches(marked)
        ]

    async def reconcile(self, key: str) -> float | None:
        """Bring the job on as far as it can come now; returns when to look again."""
        job = self.jobs.cache.get(key)
        if job is None or is_finished(job):
            self._forget(key)
            return None
        if not is_ours(job):
            return None
        wait = self._pace(job)
        if wait > 0:
            return wait
        await self._writes.settle(job)
        failed: ApiError | None = None
        for _ in range(_STEPS_AT_ONCE):
            pods = await self._claimed(job)
            if pods is None:
                return _SOON_SECONDS
            now = self._runtime.clock.now()
            step = plan(job, pods, self._backoff(job), now, stuck=failed is not None)
            self._backoffs[key] = (job.metadata.uid, step.backoff)
            if not step.acts:
                if failed is not None:
                    raise failed
                return step.again_seconds
            failed = await self._carry_out(job, step) or failed
            current = self.jobs.cache.get(key)
            if current is None or current.metadata.uid != job.metadata.uid or is_finished(current):
                return 0.0
            job = current
        return 0.0

    def _pace(self, job: Job) -> float:
        """Seconds until the job may be looked at again, by the number of its pods."""
        count = len(self.pods.cache.by_index(BY_OWNER, job.metadata.uid))
        now, pause = (
            self._runtime.clock.monotonic(),
            min(count * _PACE_SECONDS_PER_POD, _LONGEST_PACE_SECONDS),
        )
        wait = self._looked.get(job.key, now - pause) + pause - now
        if wait <= 0:
            self._looked[job.key] = now
        return wait

    def _forget(self, key: str) -> None:
        self._writes.forget(key)
        self._backoffs.pop(key, None)
        self._looked.pop(key, None)

    def _backoff(self, job: Job) -> Backoff:
        uid, backoff = self._backoffs.get(job.key, ("", Backoff()))
        return backoff if uid == job.metadata.uid else Backoff()

    async def _claimed(self, job: Job) -> list[Pod] | None:
        selector = from_label_selector(job.spec.selector)
        if selector is None:
            return []
        mine = self.pods.cache.by_index(BY_OWNER, job.metadata.uid)
        orphans = self.pods.cache.by_index(BY_OWNER, ORPHANS + job.metadata.namespace)
        found = claim(job, selector, [*mine, *orphans])
        pods = await settle_claim(self._runtime, self._manager, job, found, labels.JOB_TRACKING)
        return self._writes.seen(job, pods) if pods is not None else None

    async def _carry_out(self, job: Job, step: Step) -> ApiError | None:
        """Write one step. An error about pods is returned, so that the status can still be written."""
        try:
            if step.create:
                await self._create_all(job, step.create)
            await together(self._delete(job, pod, uncounted=step.uncounted) for pod in step.delete)
        except ApiError as error:
            return error
        await together(self._writes.finish(job, pod, labels.JOB_TRACKING) for pod in step.let_go)
        if step.status is not None:
            try:
                await self._writes.status(job, encode(job.status), encode(step.status))
            except NotFound:
                return None
            for event in step.events:
                await self._writes.tell(job, event.reason, event.note, warning=event.warning)
        return None

    async def _create_all(self, job: Job, pods: tuple[NewPod, ...]) -> None:
        names = self._writes.names(job, ["" if one.index is None else str(one.index) for one in pods])
        work = [partial(self._create, job, one, name) for one, name in zip(pods, names, strict=True)]
        await in_growing_batches(work)

    async def _create(self, job: Job, new: NewPod, name: str) -> None:
        pod = make_pod(job, name, new.index, new.failures)
        use = "" if new.index is None else str(new.index)
        await self._writes.create_and_tell(job, pod, use)

    async def _delete(self, job: Job, pod: Pod, *, uncounted: bool) -> None:
        try:
            if uncounted and is_tracked(pod):
                await self._writes.finish(job, pod, labels.JOB_TRACKING)
            await self._writes.delete(job, pod)
        except UNKNOWN_OUTCOME:
            raise
        except ApiError as error:
            await self._writes.tell(job, "FailedDelete", f"Error deleting: {error.message}", warning=True)
            raise
        await self._writes.tell(job, "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")


class UntrackedPods:
    """Lets go of one pod at a time that still waits to be counted, and that no job will count."""

    def __init__(self, runtime: Runtime, manager: str, jobs: Jobs) -> None:
        self._client = runtime.client.with_manager(manager)
        self._runtime = runtime
        self._jobs = jobs.jobs
        self._pods = jobs.pods

    def keys_of_pod(self, pod: Pod) -> Iterable[str]:
        return (pod.key,) if is_tracked(pod) and self._is_left(pod) else ()

    def keys_of_job(self, job: Job) -> Iterable[str]:
        """Its pods, once it is gone or done."""
        current = self._jobs.cache.get(job.key)
        if current is not None and current.metadata.uid == job.metadata.uid and not is_finished(current):
            return ()
        pods = self._pods.cache.by_index(BY_OWNER, job.metadata.uid)
        return [pod.key for pod in pods if is_tracked(pod)]

    async def reconcile(self, key: str) -> float | None:
        """Take the finalizer off, if the server, too, says that nobody will."""
        pod = self._pods.cache.get(key)
        if pod is None or not is_tracked(pod) or not self._is_left(pod) or await self._has_job(pod):
            return None
        metadata = pod.metadata
        body = {
            "metadata": {
                "uid": metadata.uid,
                "$deleteFromPrimitiveList/finalizers": [labels.JOB_TRACKING],
            }
        }
        try:
            left = await self._client.patch(
                Pod, metadata.name, metadata.namespace, body, patch_type="strategic"
            )
        except (NotFound, Conflict):
            return None
        self._runtime.observe(left)
        return None

    def _is_left(self, pod: Pod) -> bool:
        owner = controller_of(pod)
        if owner is None:
            return True
        if not _is_job(owner):
            return False
        job = self._jobs.cache.get(f"{pod.metadata.namespace}/{owner.name}")
        return job is None or job.metadata.uid != owner.uid or (is_ours(job) and is_finished(job))

    async def _has_job(self, pod: Pod) -> bool:
        """Ask the server itself: a cache that lags must not cost a count."""
        owner = controller_of(pod)
        if owner is None:
            return False
        try:
            job = await self._client.get(Job, owner.name, pod.metadata.namespace)
        except NotFound:
            return False
        return job.metadata.uid == owner.uid and not (is_ours(job) and is_finished(job))


def is_finished(job: Job) -> bool:
    """Whether the job has reached its end; nothing about it changes any more."""
    return is_true(job.status.conditions, COMPLETE) or is_true(job.status.conditions, FAILED)


def is_ours(job: Job) -> bool:
    """Whether this controller works on it, and nobody else."""
    return job.spec.managed_by in (None, "", labels.JOB_CONTROLLER)


def _is_job(owner: OwnerReference) -> bool:
    return owner.kind == "Job" and owner.api_version == "batch/v1"


def _manual_in(job: Job) -> Iterable[str]:
    """Index of jobs whose selector the user wrote, by namespace."""
    return (job.metadata.namespace,) if job.spec.manual_selector else ()
