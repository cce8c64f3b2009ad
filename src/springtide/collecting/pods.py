"""Which pods are watched: those of this node that belong to a Workload or hold GPUs. Pure.

Called by `controller.py` for every look at the machine.
"""

from __future__ import annotations

from collections.abc import Iterable

from springtide.api.core import Pod
from springtide.api.labels import PROGRESS, SAMPLE_STACKS, WORKLOAD
from springtide.api.quantity import parse
from springtide.collecting.rounds import Ended, WatchedPod

PODS_MAX = 256
"""As many as one NodeHealth holds."""


def watched(pods: Iterable[Pod], node: str) -> tuple[WatchedPod, ...]:
    """In the order of their names; those that run before those that have ended."""
    found = [_watched(pod) for pod in pods if pod.spec.node_name == node and _matters(pod)]
    return tuple(sorted(found, key=lambda pod: (pod.finished, pod.key))[:PODS_MAX])


def _matters(pod: Pod) -> bool:
    return WORKLOAD in pod.metadata.labels or _asks_gpus(pod)


def _asks_gpus(pod: Pod) -> bool:
    return any(
        _is_gpu(name) and parse(amount) > 0
        for container in pod.spec.containers
        for name, amount in (*container.resources.limits.items(), *container.resources.requests.items())
    )


def _is_gpu(resource: str) -> bool:
    """`nvidia.com/gpu`, `amd.com/gpu`, `nvidia.com/mig-1g.5gb`, `nvidia.com/gpucores` …"""
    _, slash, kind = resource.partition("/")
    return bool(slash) and (kind.startswith(("gpu", "mig-")) or kind.endswith("gpu"))


def _watched(pod: Pod) -> WatchedPod:
    metadata = pod.metadata
    return WatchedPod(
        metadata.namespace,
        metadata.name,
        metadata.uid,
        finished=pod.status.phase in ("Succeeded", "Failed"),
        ended=tuple(_ended(pod)),
        progress=metadata.annotations.get(PROGRESS, ""),
        sample=metadata.annotations.get(SAMPLE_STACKS, ""),
        gpus=_asks_gpus(pod),
    )


def _ended(pod: Pod) -> Iterable[Ended]:
    for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        for number, state in (
            (status.restart_count - 1, status.last_state.terminated),
            (status.restart_count, status.state.terminated),
        ):
            if state is not None:
                yield Ended(
                    status.name,
                    number,
                    state.exit_code,
                    state.signal or (state.exit_code - 128 if 128 < state.exit_code <= 192 else 0),
                    state.reason,
                    state.message,
                    state.finished_at,
                )
