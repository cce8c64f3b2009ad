"""Keeps the resource score of LocalQueues current, from what the metrics API says of their pods.

Looks only while the ordering goes by scores; on a cluster without the metrics API everybody keeps the score
it has. Registered by the controller.
"""

from __future__ import annotations

from collections.abc import Callable

from springtide.api import labels
from springtide.api.commands import Apply
from springtide.api.configuration import SchedulerConfiguration
from springtide.api.core import Pod
from springtide.api.kueue import LocalQueue, Workload
from springtide.api.meta import Object
from springtide.api.metrics import PodMetrics
from springtide.client import ApiError
from springtide.runtime import Runtime, logger
from springtide.scheduling.queues import DEFAULT_QUEUE
from springtide.scheduling.requests import pod_requests
from springtide.scheduling.scores import parts_by_queue, score_of, used_by

INTERVAL_SECONDS = 60.0
MANAGER = "scheduling-scores"
"""Field manager of the annotation."""

_KEY = "scores"
_BEGINS_WITH: tuple[type[Object], ...] = (LocalQueue, SchedulerConfiguration)
"""Kinds whose changes may be a reason to begin."""

log = logger("scheduling.sampling")


def sample(runtime: Runtime, wanted: Callable[[], bool]) -> None:
    """Add it to a runtime; it looks while `wanted` says so."""
    sampler = _Sampler(runtime, wanted)
    runtime.controller(
        "scheduling.sampling",
        sampler.reconcile,
        [(runtime.informer(kind), lambda _: (_KEY,)) for kind in _BEGINS_WITH],
    )


class _Sampler:
    """One look at all running pods, again and again."""

    def __init__(self, runtime: Runtime, wanted: Callable[[], bool]) -> None:
        self._runtime = runtime
        self._wanted = wanted
        self._pods = runtime.informer(Pod).cache
        self._workloads = runtime.informer(Workload).cache
        self._queues = runtime.informer(LocalQueue).cache
        self._next_at = float("-inf")
        self._refused = ""

    async def reconcile(self, _: str) -> float | None:
        """Bring all scores up to date; returns seconds until the next look."""
        if not self._wanted():
            return None
        now = self._runtime.clock.monotonic()
        if now < self._next_at:
            return self._next_at - now
        self._next_at = now + INTERVAL_SECONDS
        try:
            listing = await self._runtime.client.list(PodMetrics)
        except ApiError as error:
            if str(error) != self._refused:
                self._refused = str(error)
                log.warning("what pods use is not known; resource scores stay as they are", cause=str(error))
            return INTERVAL_SECONDS
        used = {one.key: used_by(one) for one in listing.items}
        await self._runtime.apply(MANAGER, self._commands(used))
        return INTERVAL_SECONDS

    def _commands(self, used: dict[str, dict[str, int]]) -> list[Apply]:
        pods, queue_of = [], {}
        for key in used:
            pod = self._pods.get(key)
            name = pod.metadata.labels.get(labels.WORKLOAD) if pod is not None else None
            workload = self._workloads.get(f"{pod.metadata.namespace}/{name}") if pod and name else None
            if pod is None or workload is None:
                continue
            try:
                pods.append((key, pod_requests(pod.spec)))
            except ValueError:
                continue
            queue_of[key] = f"{pod.metadata.namespace}/{workload.spec.queue_name or DEFAULT_QUEUE}"
        now = self._runtime.clock.now()
        found = []
        for queue, part in parts_by_queue(pods, used, queue_of).items():
            obj = self._queues.get(queue)
            if obj is not None:
                notes = {labels.RESOURCE_SCORE: score_of(obj).follow(part, now).spelled()}
                meta = obj.metadata
                fields = {"metadata": {"annotations": notes}}
                found.append(Apply(LocalQueue, meta.namespace, meta.name, fields, uid=meta.uid))
        return found
