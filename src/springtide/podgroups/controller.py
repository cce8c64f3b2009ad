"""Keeps one Workload for each group of pods: caches -> View -> plan -> writes; nothing clever.

`up` and the simulator call `register` once. A change of a pod, of its group's object or of its Workload
brings the group's key, which is that of the Workload.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from springtide.api import labels, podgroups, volcano
from springtide.api.core import Pod
from springtide.api.kueue import Workload, WorkloadPriorityClass
from springtide.api.membership import Dialect, Group, group_of
from springtide.api.meta import Object, controller_of
from springtide.api.scheduling import PriorityClass
from springtide.podgroups.assembly import GroupObject
from springtide.podgroups.jobs_controller import register_jobs
from springtide.podgroups.plan import View, plan
from springtide.runtime import Runtime

ROOM = "podgroups"
_INDEX = "podgroups.group"


@dataclass(frozen=True, slots=True)
class Settings:
    """How this room works."""

    scheduler_names: frozenset[str] = frozenset((labels.SCHEDULER_NAME,))
    """Pods with one of these in `spec.schedulerName` are looked at; others are left alone."""
    workers: int = 8
    """Groups reconciled at once."""


def register(runtime: Runtime, settings: Settings | None = None) -> None:
    """Add the controller to a runtime."""
    chosen = settings or Settings()

    register_jobs(runtime, ROOM)

    def keys_of_pod(pod: Pod) -> Iterable[str]:
        if pod.spec.scheduler_name not in chosen.scheduler_names or _is_made_here(pod):
            return ()
        group = group_of(pod)
        return (group.key,) if group is not None and group.dialect is not Dialect.JOB else ()

    pods = runtime.informer(Pod, indexes={_INDEX: keys_of_pod})
    workloads = runtime.informer(Workload)
    of_kubernetes = runtime.informer(podgroups.PodGroup)
    of_volcano = runtime.informer(volcano.PodGroup)
    classes, workload_classes = runtime.informer(PriorityClass), runtime.informer(WorkloadPriorityClass)

    def object_of(group: Group) -> GroupObject | None:
        key = f"{group.namespace}/{group.name}"
        if group.dialect is Dialect.KUBERNETES:
            return of_kubernetes.cache.get(key)
        return of_volcano.cache.get(key) if group.dialect is Dialect.VOLCANO else None

    def priority_of(name: str) -> int | None:
        found = classes.cache.get(name)
        return found.value if found is not None else None

    async def reconcile(key: str) -> float | None:
        group = Group.of_key(key)
        if group is None or group.dialect is Dialect.JOB:
            return None
        obj, workload = object_of(group), workloads.cache.get(key)
        if (obj is not None and _is_made_by_volcano(obj)) or not _is_ours(workload):
            return None
        view = View(
            group=group,
            obj=obj,
            pods=pods.cache.by_index(_INDEX, key),
            workload=workload,
            priority_of=priority_of,
            workload_priorities={one.metadata.name: one.value for one in workload_classes.cache.list()},
        )
        decided = plan(view, runtime.clock.now())
        await runtime.apply(ROOM, decided.commands)
        return decided.requeue_after_seconds

    runtime.controller(
        ROOM,
        reconcile,
        [
            (pods, keys_of_pod),
            (workloads, lambda workload: (workload.key,) if _is_ours(workload) else ()),
            (of_kubernetes, lambda obj: (_key(Dialect.KUBERNETES, obj),)),
            (of_volcano, lambda obj: (_key(Dialect.VOLCANO, obj),)),
        ],
        workers=chosen.workers,
    )


def _key(dialect: Dialect, obj: Object) -> str:
    return Group(dialect, obj.metadata.namespace, obj.metadata.name).key


def _is_made_here(pod: Pod) -> bool:
    """Whether the pod is one of an admitted Workload's own."""
    owner = controller_of(pod)
    return owner is not None and owner.kind == "Workload"


def _is_ours(workload: Workload | None) -> bool:
    """Whether a Workload, if there is one, stands for pods that others make."""
    return workload is None or workload.metadata.annotations.get(labels.PODS_BY) == labels.OTHERS


def _is_made_by_volcano(obj: GroupObject) -> bool:
    """Whether the PodGroup is that of a Job of Volcano, whose Workload `volcano` makes."""
    owner = controller_of(obj)
    return owner is not None and owner.api_version.startswith("batch.volcano.sh/")
