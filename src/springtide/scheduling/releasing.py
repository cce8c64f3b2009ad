"""What is about to become free: the places of workloads and pods that are ending.

A pod holds its requests until it is gone, so what is evicted or deleted is neither free nor worth taking
from anybody else. `ClusterState` puts it into every snapshot by looking at the objects alone, so that it is
the same after a crash; `claims` lets those who wait for it hold it against everybody behind them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from springtide.api.gpus import indices_in
from springtide.scheduling.classes import PodClass
from springtide.scheduling.devices import Taken
from springtide.scheduling.facts import PodFacts, WorkloadFacts

PodSetOnNode = tuple[str, str, str]
"""Name of a pod set, of a node, and the devices there as `gpus.spelled`: empty where none are asked for."""


@dataclass(frozen=True, slots=True)
class Held:
    """Pods of one class on one node, and with them what they take of it."""

    pod_class: PodClass
    node: str
    count: int
    devices: Taken = ()
    """Those of each of the pods, where it is known which."""


def held_by(workload: WorkloadFacts, gone: Mapping[PodSetOnNode, int]) -> tuple[Held, ...]:
    """What an admitted workload would free if it ended. `gone`: pods that hold nothing, or end already."""
    if gone:
        return tuple(_held_by(workload, gone))
    if workload.held is None:
        workload.keep_held(tuple(_held_by(workload, gone)))
    return workload.held or ()


def _held_by(workload: WorkloadFacts, gone: Mapping[PodSetOnNode, int]) -> Iterator[Held]:
    class_of = {pod_set.name: pod_set.pod_class for pod_set in workload.pod_sets}
    if not workload.devices and not gone:
        for (pod_set, node), count in workload.assigned.items():
            if count > 0 and pod_set in class_of:
                yield Held(class_of[pod_set], node, count)
        return
    asking = {(pod_set, node) for pod_set, node, _ in workload.devices}
    plain = {(*cell, ""): count for cell, count in workload.assigned.items() if cell not in asking}
    for (pod_set, node, devices), count in {**plain, **workload.devices}.items():
        left = count - gone.get((pod_set, node, devices), 0)
        if left > 0 and pod_set in class_of:
            yield Held(class_of[pod_set], node, left, indices_in(devices))


def held_by_pods(pods: Iterable[PodFacts]) -> Iterator[Held]:
    """What pods would free."""
    counts = Counter((pod.pod_class, pod.node, pod.devices) for pod in pods if pod.holds)
    for (pod_class, node, devices), count in counts.items():
        if pod_class is not None:
            yield Held(pod_class, node, count, indices_in(devices))
