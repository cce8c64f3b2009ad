"""Reads the caches, plans, applies: the `volcano` controller. Registered by `up`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from springtide.api import labels
from springtide.api.commands import Emit
from springtide.api.core import ConfigMap, PersistentVolumeClaim, Pod
from springtide.api.kueue import Workload
from springtide.api.meta import Object, controller_of
from springtide.api.scheduling import PriorityClass
from springtide.api.volcano import PodGroup
from springtide.api.volcano_batch import Job
from springtide.client import Invalid
from springtide.runtime import Runtime
from springtide.volcano.attempt import Snapshot
from springtide.volcano.plan import plan
from springtide.volcano.templates import group_name, workload_name

NAME = "volcano"
_BY_WORKLOAD = "volcano.workload"
_BY_NAMESPACE = "volcano.namespace"


@dataclass(frozen=True, slots=True)
class Settings:
    """How this room works."""

    scheduler_names: frozenset[str] = frozenset((labels.SCHEDULER_NAME,))
    """Jobs with one of these in `spec.schedulerName` are worked on: where Volcano itself runs, not its own.
    One without any means `volcano`."""
    workers: int = 2
    """Jobs reconciled at once."""


def register(runtime: Runtime, settings: Settings | None = None) -> None:
    """Add the controller to `runtime`."""
    _Volcano(runtime, settings or Settings())


class _Volcano:
    def __init__(self, runtime: Runtime, settings: Settings) -> None:
        self._runtime = runtime
        self._settings = settings
        self._jobs = runtime.informer(Job)
        self._workloads = runtime.informer(Workload)
        self._pods = runtime.informer(Pod, indexes={_BY_WORKLOAD: _workload_of_pod})
        self._groups = runtime.informer(PodGroup)
        self._hosts = runtime.informer(ConfigMap)
        self._claims = runtime.informer(PersistentVolumeClaim, indexes={_BY_NAMESPACE: _namespace_of})
        self._priorities = runtime.informer(PriorityClass)
        runtime.controller(
            NAME,
            self._reconcile,
            [
                (self._jobs, lambda job: [job.key]),
                (self._workloads, _owner),
                (self._pods, self._jobs_of_pod),
                (self._groups, _owner),
                (self._hosts, _owner),
                (self._priorities, self._jobs_of_class),
            ],
            workers=settings.workers,
        )

    async def _reconcile(self, key: str) -> float | None:
        job = self._jobs.cache.get(key)
        if job is None or not self._is_ours(job):
            return None
        decided = plan(self._snapshot(job), self._runtime.clock.now())
        try:
            await self._runtime.apply(NAME, decided.commands)
        except Invalid as error:  # it would be refused every time: until the job changes
            told = Emit(job, "Misconfigured", error.message, type="Warning", action="Reconcile")
            await self._runtime.apply(NAME, (told,))
            return None
        return decided.requeue_after_seconds

    def _is_ours(self, job: Job) -> bool:
        return (job.spec.scheduler_name or labels.VOLCANO_SCHEDULER) in self._settings.scheduler_names

    def _snapshot(self, job: Job) -> Snapshot:
        namespace = job.metadata.namespace
        workload = self._workloads.cache.get(f"{namespace}/{workload_name(job.metadata.name)}")
        if workload is not None and not _owns(job, workload):
            workload = None  # of a former job of this name; the garbage collector takes it
        found = self._hosts.cache.get(f"{namespace}/{job.metadata.name}-svc")
        claims = self._claims.cache.by_index(_BY_NAMESPACE, namespace) if job.spec.volumes else ()
        return Snapshot(
            job=job,
            workload=workload,
            pods=self._owned_pods(workload) if workload is not None else (),
            group=self._groups.cache.get(f"{namespace}/{group_name(job)}"),
            hosts=found if found is not None and _owns(job, found) else None,
            claims={claim.metadata.name for claim in claims},
            priorities=self._values(),
        )

    def _owned_pods(self, workload: Workload) -> list[Pod]:
        pods = self._pods.cache.by_index(_BY_WORKLOAD, workload.key)
        return [pod for pod in pods if _owns(workload, pod)]

    def _values(self) -> dict[str, int]:
        classes = self._priorities.cache.list()
        values = {one.metadata.name: one.value for one in classes}
        default = next((one for one in classes if one.global_default), None)
        return values if default is None else values | {"": default.value}

    def _jobs_of_pod(self, pod: Pod) -> Iterable[str]:
        workloads = (self._workloads.cache.get(key) for key in _workload_of_pod(pod))
        return [key for workload in workloads if workload is not None for key in _owner(workload)]

    def _jobs_of_class(self, found: PriorityClass) -> Iterable[str]:
        """Jobs that name this class."""
        name = found.metadata.name
        return [job.key for job in self._jobs.cache.list() if job.spec.priority_class_name == name]


def _owns(owner: Object, dependent: Object) -> bool:
    reference = controller_of(dependent)
    return reference is not None and reference.uid == owner.metadata.uid


def _owner(obj: Object) -> Iterable[str]:
    """The Job of Volcano that owns an object."""
    owner = controller_of(obj)
    if owner is None or owner.kind != "Job" or not owner.api_version.startswith("batch.volcano.sh/"):
        return []
    return [f"{obj.metadata.namespace}/{owner.name}"]


def _workload_of_pod(pod: Pod) -> Iterable[str]:
    name = pod.metadata.labels.get(labels.WORKLOAD)
    return [f"{pod.metadata.namespace}/{name}"] if name else []


def _namespace_of(obj: Object) -> Iterable[str]:
    return [obj.metadata.namespace]
