"""Keeps the resource score of LocalQueues current, from what is measured of their pods.

CPU and memory are the metrics API's, GPUs those of the nodes' collectors (NodeHealth). Looks only while the
ordering goes by scores; on a cluster without either everybody keeps the score it has. Registered by the
controller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TypeVar

from springtide.api import labels
from springtide.api.commands import Apply
from springtide.api.configuration import SchedulerConfiguration
from springtide.api.core import Pod
from springtide.api.kueue import LocalQueue, Workload
from springtide.api.meta import Object
from springtide.api.metrics import PodMetrics
from springtide.api.nodehealth import NodeHealth
from springtide.client import ApiError
from springtide.runtime import Runtime, logger
from springtide.scheduling.measured import Measured, asks_gpus, gpu_use, measured
from springtide.scheduling.queues import DEFAULT_QUEUE
from springtide.scheduling.requests import pod_requests
from springtide.scheduling.scores import Look, PodUse, looks, score_of, used_by

INTERVAL_SECONDS = 60.0
MANAGER = "scheduling-scores"
"""Field manager of the annotation."""

_KEY = "scores"
_BEGINS_WITH: tuple[type[Object], ...] = (LocalQueue, SchedulerConfiguration)
"""Kinds whose changes may be a reason to begin."""

K = TypeVar("K", bound=Object)

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
        self._refused: dict[type[Object], str] = {}

    async def reconcile(self, _: str) -> float | None:
        """Bring all scores up to date; returns seconds until the next look."""
        if not self._wanted():
            return None
        now = self._runtime.clock.monotonic()
        if now < self._next_at:
            return self._next_at - now
        self._next_at = now + INTERVAL_SECONDS
        used = await self._list(PodMetrics, "what CPU and memory pods use is not known")
        pods = list(self._running())
        healths: list[NodeHealth] = []
        if any(asks_gpus(pod.spec) for _, pod in pods):
            healths = await self._list(NodeHealth, "what GPUs pods use is not known")
        at = self._runtime.clock.now()
        uses = _uses(pods, {one.key: used_by(one) for one in used}, measured(healths, at))
        await self._runtime.apply(MANAGER, self._commands(looks(uses), at))
        return INTERVAL_SECONDS

    async def _list(self, kind: type[K], why: str) -> list[K]:
        """All of a kind that is not served everywhere; nothing, and a word about it, where it is not."""
        try:
            return (await self._runtime.client.list(kind)).items
        except ApiError as error:
            if self._refused.get(kind) != str(error):
                self._refused[kind] = str(error)
                log.warning(f"{why}; resource scores go by the rest", cause=str(error))
            return []

    def _commands(self, looked: dict[str, Look], now: datetime) -> list[Apply]:
        found = []
        for queue, look in looked.items():
            obj = self._queues.get(queue)
            if obj is None:
                continue
            known = score_of(obj)
            score = known.taking(look, now)
            if score != known:
                meta = obj.metadata
                fields = {"metadata": {"annotations": {labels.RESOURCE_SCORE: score.spelled()}}}
                found.append(Apply(LocalQueue, meta.namespace, meta.name, fields, uid=meta.uid))
        return found

    def _running(self) -> Iterator[tuple[str, Pod]]:
        """The pods of workloads that are on nodes, each with the key of its LocalQueue."""
        for pod in self._pods.list():
            name = pod.metadata.labels.get(labels.WORKLOAD)
            workload = self._workloads.get(f"{pod.metadata.namespace}/{name}") if name else None
            if workload is None or not pod.spec.node_name or pod.status.phase in ("Succeeded", "Failed"):
                continue
            yield f"{pod.metadata.namespace}/{workload.spec.queue_name or DEFAULT_QUEUE}", pod


def _uses(
    pods: Iterable[tuple[str, Pod]], used: Mapping[str, dict[str, int]], seen: Mapping[str, Measured]
) -> Iterator[PodUse]:
    """What each of them asks for and uses; nothing of those of which there is nothing to say."""
    for queue, pod in pods:
        known = used.get(pod.key)
        try:
            gpus = gpu_use(pod, seen.get(pod.metadata.uid))
            if known is not None or gpus is not None:
                yield PodUse(queue, pod_requests(pod.spec) if known is not None else {}, known, gpus)
        except ValueError:  # asks for what cannot be read: it is told elsewhere
            continue
