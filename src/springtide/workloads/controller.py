"""Keeps every workload's pods as its admission says: caches -> View -> plan -> writes; nothing clever.

`up` and the simulator call `register` once. A change of a workload, of one of its pods, of its Service or
of a Diagnosis about it brings the workload's key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from springtide.api import labels
from springtide.api.commands import Command, Create, Delete, Emit
from springtide.api.core import Node, Pod, Service
from springtide.api.gangpods import job_of
from springtide.api.kueue import ResourceFlavor, Workload
from springtide.api.meta import Object
from springtide.api.nodehealth import NodeHealth
from springtide.api.springtide import Diagnosis
from springtide.client import Forbidden, Invalid
from springtide.runtime import Runtime
from springtide.workloads.mtbf import mtbf_seconds
from springtide.workloads.plan import View, plan, refuse

ROOM = "workloads"
_INDEX = "workloads.workload"


@dataclass(frozen=True, slots=True)
class Settings:
    """How this room works."""

    workers: int = 8
    """Workloads reconciled at once."""
    concurrent_writes: int = 16
    """Pods of one gang created or deleted at once. 1 writes one by one."""


def register(runtime: Runtime, settings: Settings | None = None) -> None:
    """Add the controller to a runtime."""
    chosen = settings or Settings()
    workloads = runtime.informer(Workload)
    pods = runtime.informer(Pod, indexes={_INDEX: _keys_by_label})
    services = runtime.informer(Service)
    diagnoses = runtime.informer(Diagnosis, indexes={_INDEX: _keys_of_diagnosis})
    nodes = runtime.informer(Node)
    flavors = runtime.informer(ResourceFlavor)
    healths = runtime.informer(NodeHealth)

    async def reconcile(key: str) -> float | None:
        workload = workloads.cache.get(key)
        if workload is None or workload.metadata.annotations.get(labels.PODS_BY) == labels.OTHERS:
            return None
        view = View(
            workload=workload,
            pods=pods.cache.by_index(_INDEX, key),
            service=services.cache.get(f"{workload.metadata.namespace}/{job_of(workload)}"),
            diagnoses=diagnoses.cache.by_index(_INDEX, key),
            node_named=nodes.cache.get,
            flavor_named=flavors.cache.get,
            mtbf_of=lambda units, now: mtbf_seconds(units, healths.cache.list(), nodes.cache.get, now),
        )
        decided = plan(view, runtime.clock.now())
        try:
            await _write(runtime, decided.commands, chosen.concurrent_writes)
        except Invalid as error:  # refused for good: the same pod would be refused again
            await runtime.apply(ROOM, refuse(view, error.message, runtime.clock.now()).commands)
        except Forbidden as error:  # refused for now, by a quota or a policy: said, and tried again
            await runtime.apply(ROOM, (Emit(workload, "FailedCreate", error.message, type="Warning"),))
            raise
        return decided.requeue_after_seconds

    runtime.controller(
        ROOM,
        reconcile,
        [
            (workloads, lambda workload: (workload.key,)),
            (pods, _keys_by_label),
            (services, _keys_by_label),
            (diagnoses, _keys_of_diagnosis),
        ],
        workers=chosen.workers,
    )


async def _write(runtime: Runtime, commands: Sequence[Command], at_once: int) -> None:
    """Write in the plan's order; neighbours that create or delete pods go up to `at_once` together."""
    for together, run in groupby(commands, key=_may_go_together):
        group = list(run)
        if not together:
            await runtime.apply(ROOM, group)
            continue
        for start in range(0, len(group), at_once):
            batch = group[start : start + at_once]
            answers = await asyncio.gather(
                *(runtime.apply(ROOM, (command,)) for command in batch), return_exceptions=True
            )
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer


def _may_go_together(command: Command) -> bool:
    match command:
        case Create(obj=Pod()):
            return True
        case Delete(kind=kind):
            return kind is Pod
    return False


def _keys_by_label(obj: Object) -> Iterable[str]:
    name = obj.metadata.labels.get(labels.WORKLOAD)
    return (f"{obj.metadata.namespace}/{name}",) if name else ()


def _keys_of_diagnosis(obj: Diagnosis) -> Iterable[str]:
    return (f"{obj.metadata.namespace}/{obj.spec.workload}",)
