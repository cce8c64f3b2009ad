"""Answers the admission checks of request ceilings: caches -> View -> plan -> writes; nothing clever.

`up` and the simulator call `register` once. What one workload of a LocalQueue gets or gives back may let the
next one pass, so that a change of one brings all that wait there.
"""

from __future__ import annotations

from collections.abc import Iterable

from springtide.api.kueue import AdmissionCheck, Workload
from springtide.api.springtide import RequestCeiling
from springtide.ceilings.plan import CONTROLLER, View, activity, parameters_of, plan
from springtide.runtime import Runtime

ROOM = "ceilings"
_BY_QUEUE = "ceilings.queue"


def register(runtime: Runtime) -> None:
    """Add the controllers to a runtime."""
    checks = runtime.informer(AdmissionCheck)
    ceilings = runtime.informer(RequestCeiling)
    workloads = runtime.informer(Workload, indexes={_BY_QUEUE: _queue_of})

    def made_here() -> dict[str, RequestCeiling]:
        found = {}
        for check in checks.cache.list():
            ceiling = ceilings.cache.get(parameters_of(check))
            if ceiling is not None:
                found[check.metadata.name] = ceiling
        return found

    async def answer(key: str) -> float | None:
        workload = workloads.cache.get(key)
        if workload is None or not workload.status.admission_checks:
            return None
        beside = [one for queue in _queue_of(workload) for one in workloads.cache.by_index(_BY_QUEUE, queue)]
        view = View(workload, made_here(), beside)
        await runtime.apply(ROOM, plan(view, runtime.clock.now()).commands)
        return None

    async def activate(name: str) -> float | None:
        check = checks.cache.get(name)
        if check is None or check.spec.controller_name != CONTROLLER:
            return None
        ceiling = ceilings.cache.get(parameters_of(check))
        await runtime.apply(ROOM, activity(check, ceiling, runtime.clock.now()).commands)
        return None

    def beside(workload: Workload) -> Iterable[str]:
        queues = _queue_of(workload) if workload.status.admission_checks else ()
        return [one.key for queue in queues for one in workloads.cache.by_index(_BY_QUEUE, queue)]

    def all_checked(_: RequestCeiling) -> Iterable[str]:
        return [one.key for one in workloads.cache.list() if one.status.admission_checks]

    def those_of(ceiling: RequestCeiling) -> Iterable[str]:
        name = ceiling.metadata.name
        return [one.metadata.name for one in checks.cache.list() if parameters_of(one) == name]

    runtime.controller(ROOM, answer, [(workloads, beside), (ceilings, all_checked)])
    runtime.controller(
        f"{ROOM}.activity", activate, [(checks, lambda check: (check.metadata.name,)), (ceilings, those_of)]
    )


def _queue_of(workload: Workload) -> Iterable[str]:
    return (f"{workload.metadata.namespace}/{workload.spec.queue_name}",)
