"""Deletes the oldest ended pods once there are very many, so that forgotten ones do not pile up for ever.

Runs beside the controllers; registered by `controller`. Source of the rules and of the limit:
kube-controller-manager's pod garbage collector (terminated-pod-gc-threshold).
"""

from __future__ import annotations

import asyncio

from springtide.api.commands import Delete
from springtide.api.core import Pod
from springtide.client import ApiError
from springtide.runtime import Informer, Runtime, logger

KEPT = 12_500
"""Ended pods that are kept."""
PERIOD_SECONDS = 20.0
_ENDED = ("Succeeded", "Failed")

log = logger("builtin.terminated")


class TerminatedPods:
    """Looks now and then."""

    def __init__(self, runtime: Runtime, manager: str, pods: Informer[Pod], kept: int = KEPT) -> None:
        self._runtime = runtime
        self._manager = manager
        self._pods = pods
        self._kept = kept

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            try:
                await self.tidy()
            except ApiError as error:
                log.warning("ended pods not deleted", error=error.message)

    async def tidy(self) -> None:
        """Delete what is too much, the oldest first."""
        cache = self._pods.cache
        if len(cache) <= self._kept:
            return
        ended = [
            pod
            for pod in cache.list()
            if pod.status.phase in _ENDED and pod.metadata.deletion_timestamp is None
        ]
        ended.sort(key=_age)
        for pod in ended[: max(0, len(ended) - self._kept)]:
            metadata = pod.metadata
            gone = Delete(Pod, metadata.namespace, metadata.name, metadata.uid, grace_period_seconds=0)
            await self._runtime.apply(self._manager, (gone,))


def _age(pod: Pod) -> tuple[float, str]:
    created = pod.metadata.creation_timestamp
    return created.timestamp() if created is not None else 0.0, pod.key
