"""Reads the caches, plans, applies: the `training` controller. Registered by `up` and by the simulator."""

from __future__ import annotations

from collections.abc import Iterable

from springtide.api import labels
from springtide.api.core import Pod
from springtide.api.kueue import Workload, WorkloadPriorityClass
from springtide.api.meta import controller_of, is_true
from springtide.api.springtide import Diagnosis
from springtide.api.trainer import ClusterTrainingRuntime, TrainingRuntime, TrainJob
from springtide.runtime import Runtime
from springtide.training import plan as planning
from springtide.training import ports, status
from springtide.training.merge import TrainingTemplate
from springtide.training.plan import Snapshot

NAME = "training"

_BY_WORKLOAD = "training.workload"
_BY_RUNTIME = "training.runtime"
_BY_PORT = "training.rendezvous-port"
_BY_CLASS = "training.priority-class"


def register(runtime: Runtime, *, workers: int = 2) -> None:
    """Add the controller to `runtime`; `workers` reconcile that many jobs at a time."""
    _Training(runtime, workers)


class _Training:
    def __init__(self, runtime: Runtime, workers: int) -> None:
        self._runtime = runtime
        self._promised: dict[int, str] = {}
        self._jobs = runtime.informer(TrainJob, indexes={_BY_RUNTIME: _runtime_of, _BY_CLASS: _class_of})
        self._workloads = runtime.informer(Workload, indexes={_BY_PORT: _live_port})
        self._pods = runtime.informer(Pod, indexes={_BY_WORKLOAD: _workload_of_pod})
        self._diagnoses = runtime.informer(Diagnosis, indexes={_BY_WORKLOAD: _workload_of_diagnosis})
        self._shared = runtime.informer(ClusterTrainingRuntime)
        self._own = runtime.informer(TrainingRuntime)
        self._priorities = runtime.informer(WorkloadPriorityClass)
        runtime.controller(
            NAME,
            self._reconcile,
            [
                (self._jobs, lambda job: [job.key]),
                (self._workloads, _job_of_workload),
                (self._pods, self._jobs_of_pod),
                (self._diagnoses, self._jobs_of_diagnosis),
                (self._shared, self._jobs_on),
                (self._own, self._jobs_on),
                (self._priorities, self._jobs_of_class),
            ],
            workers=workers,
        )

    async def _reconcile(self, key: str) -> float | None:
        job = self._jobs.cache.get(key)
        if job is None:
            return None
        snapshot = self._snapshot(job)
        try:
            decided = planning.plan(snapshot, self._runtime.clock.now())
            await self._runtime.apply(NAME, decided.commands)
        finally:
            self._promised.pop(snapshot.port, None)
        return decided.requeue_after_seconds

    def _snapshot(self, job: TrainJob) -> Snapshot:
        namespace = job.metadata.namespace
        workload = self._workloads.cache.get(f"{namespace}/{planning.workload_name(job.metadata.name)}")
        if workload is not None and not _owns(job, workload):
            workload = None  # of a former job of this name; the garbage collector takes it
        return Snapshot(
            job=job,
            runtime=self._template(job),
            workload=workload,
            pods=self._owned_pods(workload) if workload is not None else (),
            diagnoses=self._owned_diagnoses(workload) if workload is not None else (),
            port=self._port(job, workload),
            runtime_names=tuple(one.metadata.name for one in self._shared.cache.list()),
            priorities={one.metadata.name: one.value for one in self._priorities.cache.list()},
        )

    def _template(self, job: TrainJob) -> TrainingTemplate | None:
        reference = job.spec.runtime_ref
        if reference.kind == "ClusterTrainingRuntime":
            return self._shared.cache.get(reference.name)
        if reference.kind == "TrainingRuntime":
            return self._own.cache.get(f"{job.metadata.namespace}/{reference.name}")
        return None

    def _owned_pods(self, workload: Workload) -> list[Pod]:
        pods = self._pods.cache.by_index(_BY_WORKLOAD, workload.key)
        return [pod for pod in pods if _owns(workload, pod)]

    def _owned_diagnoses(self, workload: Workload) -> list[Diagnosis]:
        diagnoses = self._diagnoses.cache.by_index(_BY_WORKLOAD, workload.key)
        return [diagnosis for diagnosis in diagnoses if _owns(workload, diagnosis)]

    def _port(self, job: TrainJob, workload: Workload | None) -> int:
        """The port the job holds, else a free one, kept for it until its Workload is in the cache."""
        held = workload.metadata.annotations.get(labels.RENDEZVOUS_PORT, "") if workload is not None else ""
        if held.isdecimal():
            return int(held)
        uid = job.metadata.uid
        port = ports.choose(uid, lambda candidate: self._is_taken(candidate, uid))
        self._promised[port] = uid
        return port

    def _is_taken(self, port: int, uid: str) -> bool:
        promised = self._promised.get(port, uid) != uid
        return promised or bool(self._workloads.cache.by_index(_BY_PORT, str(port)))

    def _jobs_on(self, template: TrainingTemplate) -> Iterable[str]:
        """Jobs that wait to be resolved against this runtime."""
        return [job.key for job in self._jobs.cache.by_index(_BY_RUNTIME, _runtime_key(template))]

    def _jobs_of_class(self, found: WorkloadPriorityClass) -> Iterable[str]:
        """Jobs that name this class."""
        return [job.key for job in self._jobs.cache.by_index(_BY_CLASS, found.metadata.name)]

    def _jobs_of_pod(self, pod: Pod) -> Iterable[str]:
        return [key for name in _workload_of_pod(pod) for key in self._job_of(name)]

    def _jobs_of_diagnosis(self, diagnosis: Diagnosis) -> Iterable[str]:
        return [key for name in _workload_of_diagnosis(diagnosis) for key in self._job_of(name)]

    def _job_of(self, workload_key: str) -> Iterable[str]:
        workload = self._workloads.cache.get(workload_key)
        return _job_of_workload(workload) if workload is not None else []


def _owns(owner: TrainJob | Workload, dependent: Workload | Pod | Diagnosis) -> bool:
    reference = controller_of(dependent)
    return reference is not None and reference.uid == owner.metadata.uid


def _class_of(job: TrainJob) -> Iterable[str]:
    name = job.metadata.labels.get(labels.PRIORITY_CLASS)
    return [name] if name else []


def _job_of_workload(workload: Workload) -> Iterable[str]:
    owner = controller_of(workload)
    if owner is None or owner.kind != "TrainJob":
        return []
    return [f"{workload.metadata.namespace}/{owner.name}"]


def _workload_of_pod(pod: Pod) -> Iterable[str]:
    name = pod.metadata.labels.get(labels.WORKLOAD)
    return [f"{pod.metadata.namespace}/{name}"] if name else []


def _workload_of_diagnosis(diagnosis: Diagnosis) -> Iterable[str]:
    return [f"{diagnosis.metadata.namespace}/{diagnosis.spec.workload}"]


def _live_port(workload: Workload) -> Iterable[str]:
    """The rendezvous port of a workload that is not finished."""
    held = workload.metadata.annotations.get(labels.RENDEZVOUS_PORT)
    return [held] if held and not is_true(workload.status.conditions, "Finished") else []


def _runtime_of(job: TrainJob) -> Iterable[str]:
    if status.is_finished(job):
        return []
    reference = job.spec.runtime_ref
    namespace = job.metadata.namespace if reference.kind == "TrainingRuntime" else ""
    return [f"{reference.kind}/{namespace}/{reference.name}"]


def _runtime_key(template: TrainingTemplate) -> str:
    return f"{template.kind}/{template.metadata.namespace}/{template.metadata.name}"
