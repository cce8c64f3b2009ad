"""GPUs that jobs ask for and what they use of them, as their nodes measured it. For `queue` and `explain`.

NodeHealth is read only where a job that runs asks for GPUs; who may not read it, and where nodes have no
collectors, sees queues and jobs without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from springtide.api import labels
from springtide.api.core import Pod
from springtide.api.kueue import Workload
from springtide.api.nodehealth import NodeHealth
from springtide.cli.session import Session
from springtide.client import Forbidden, NotFound


@dataclass(frozen=True)
class JobGpus:
    """GPUs of one job's pods on nodes, parts of GPUs by their part."""

    asked: float
    used: float
    """Of those that were measured, mean of the last minute."""
    measured: float
    """How many of those asked for were measured."""

    def __str__(self) -> str:
        if not self.measured:
            return f"{self.asked:.4g}, not measured"
        text = f"{self.used:.3g} of {self.measured:.4g} ({self.used / self.measured:.0%})"
        missing = self.asked - self.measured
        return f"{text}, {missing:.4g} not measured" if missing > 0 else text


async def gpus_by_workload(session: Session, workloads: Iterable[Workload]) -> dict[str, JobGpus]:
    """By key of Workload; of those admitted ones whose pods are on nodes and ask for GPUs."""
    from springtide.scheduling.measured import asks_gpus

    asking = {
        one.key for one in workloads if any(asks_gpus(pod_set.template.spec) for pod_set in one.spec.pod_sets)
    }
    if not asking:
        return {}
    try:
        healths = (await session.client.list(NodeHealth)).items
    except (Forbidden, NotFound):
        return {}
    if not healths:
        return {}
    pods = (await session.client.list(Pod, label_selector=labels.WORKLOAD)).items
    return {key: found for key, found in summed(pods, healths, session.now()).items() if key in asking}


def summed(pods: Iterable[Pod], healths: Iterable[NodeHealth], at: datetime) -> Mapping[str, JobGpus]:
    """What the pods of each workload ask for and use, by its key. Pure."""
    from springtide.scheduling.measured import gpu_use, measured

    seen = measured(healths, at)
    found: dict[str, JobGpus] = {}
    for pod in pods:
        if not pod.spec.node_name or pod.status.phase in ("Succeeded", "Failed"):
            continue
        try:
            use = gpu_use(pod, seen.get(pod.metadata.uid))
        except ValueError:  # asks for what cannot be read: it is told elsewhere
            continue
        if use is None:
            continue
        key = f"{pod.metadata.namespace}/{pod.metadata.labels.get(labels.WORKLOAD, '')}"
        known, gpus = found.get(key, JobGpus(0.0, 0.0, 0.0)), use.millis / 1000
        found[key] = JobGpus(
            known.asked + gpus,
            known.used + gpus * (use.part or 0.0),
            known.measured + (gpus if use.part is not None else 0.0),
        )
    return found
