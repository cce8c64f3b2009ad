"""What is about to become free: the places of workloads and pods that are ending.

A pod holds its requests until it is gone, so what is evicted or deleted is neither free nor worth taking
from anybody else. `ClusterState` puts it into every snapshot by looking at the objects alone, so that it is
the same after a crash; `claims` lets those who wait for it hold it against everybody behind them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from springtide.scheduling.classes import PodClass
from springtide.scheduling.facts import PodFacts, WorkloadFacts

PodSetOnNode = tuple[str, str]
"""Name of a pod set, and of a node."""


@dataclass(frozen=True, slots=True)
class Held:
    """Pods of one class on one node, and with them what they take of it."""

    pod_class: PodClass
    node: str
    count: int


def held_by(workload: WorkloadFacts, gone: Mapping[PodSetOnNode, int]) -> Iterator[Held]:
    """What an admitted workload would free if it ended. `gone`: pods that hold nothing, or end already."""
    class_of = {pod_set.name: pod_set.pod_class for pod_set in workload.pod_sets}
    for (pod_set, node), count in workload.assigned.items():
        left = count - gone.get((pod_set, node), 0)
        if left > 0 and pod_set in class_of:
            yield Held(class_of[pod_set], node, left)


def held_by_pods(pods: Iterable[PodFacts]) -> Iterator[Held]:
    """What pods would free."""
    counts = Counter((pod.pod_class, pod.node) for pod in pods if pod.holds and pod.pod_class is not None)
    for (pod_class, node), count in counts.items():
        if pod_class is not None:
            yield Held(pod_class, node, count)
