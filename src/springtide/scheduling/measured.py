"""What pods use of the GPUs they ask for, as the collectors of their nodes measured it. Pure.

Called by `sampling` and, for jobs, by the CLI.
GPUs are counted in thousandths, a part of one (HAMi's shares) by what it asks for: ten hundredths of two
devices are 200. What was not measured, or not lately, is left out here, and said to be left out: it must
not count as idle, nor as used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from springtide.api.core import Pod, PodSpec
from springtide.api.gpus import GPU, asked_of
from springtide.api.nodehealth import CollectorState, NodeHealth

COLLECTOR = "nvidia"
FRESH_SECONDS = 120.0
"""What is older is not what a pod uses now; collectors write twice a minute at least."""
_GPU_MILLIS = 1000


@dataclass(frozen=True, slots=True)
class GpuUse:
    """What one pod asks of GPUs and what it uses of that."""

    millis: float
    """Thousandths of GPUs it asks for: of their power, else of their memory."""
    part: float | None
    """What part of that it uses, from 0 to 1; None: not measured."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of one pod; None: it was not."""

    millis: int | None
    mib: int | None


def measured(healths: Iterable[NodeHealth], now: datetime) -> dict[str, Measured]:
    """What was measured lately, by the pod's uid."""
    found: dict[str, Measured] = {}
    oldest = now - timedelta(seconds=FRESH_SECONDS)
    for health in healths:
        working = any(
            one.name == COLLECTOR and one.state == CollectorState.WORKING for one in health.status.collectors
        )
        for pod in health.status.pods if working else ():
            if pod.sample_time is not None and pod.sample_time >= oldest:
                found[pod.uid] = Measured(pod.gpu_millis, pod.gpu_memory_mib)
    return found


def asks_gpus(spec: PodSpec) -> bool:
    """Whether it is worth asking what such a pod uses of GPUs."""
    listed = (box.resources for box in (*spec.init_containers, *spec.containers))
    return any(GPU in one.limits or GPU in one.requests for one in listed)


def gpu_use(pod: Pod, found: Measured | None) -> GpuUse | None:
    """What the pod uses of its GPUs; None: it asks for none. Raises ValueError for a part out of range."""
    asked = asked_of(pod.spec)
    if asked is None:
        return None
    count, part = asked
    parts = []
    if part.share and found is not None and found.millis is not None:
        parts.append(found.millis / (count * part.share * _GPU_MILLIS / 100))
    if part.memory and found is not None and found.mib is not None:
        parts.append(found.mib / (count * part.memory))
    size = (part.share or part.percent or 100) * count * _GPU_MILLIS / 100
    used = sum(min(1.0, one) for one in parts) / len(parts) if parts else None
    return GpuUse(size, used)
