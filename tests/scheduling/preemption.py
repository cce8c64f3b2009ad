"""Scenes for preemption: queues with policies, running workloads, and a world that comes to rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from springtide.api.core import Pod
from springtide.api.kueue import (
    BorrowWithinCohort,
    ClusterQueue,
    ClusterQueuePreemption,
    FairSharing,
    PodSet,
    Workload,
)
from springtide.api.labels import WORKLOAD
from springtide.api.meta import Object
from springtide.api.quantity import Quantity
from springtide.api.struct import replace
from tests.builders import cluster_queue, local_queue, pod_set, pod_spec, workload
from tests.scheduling.world import World

LOWER, ANY, NEVER = "LowerPriority", "Any", "Never"
LOWER_OR_NEWER = "LowerOrNewerEqualPriority"


def queue(
    name: str,
    cpu: Quantity | None = None,
    *,
    within: str = NEVER,
    reclaim: str = NEVER,
    borrow: str = NEVER,
    threshold: int | None = None,
    cohort: str = "",
    quota: Mapping[str, Quantity] | None = None,
    weight: str = "",
) -> tuple[Object, Object]:
    """A ClusterQueue with a preemption policy, and a LocalQueue of the same name."""
    limits = quota if quota is not None else {"cpu": cpu} if cpu is not None else None
    plain = cluster_queue(name, limits)
    policy = ClusterQueuePreemption(
        within_cluster_queue=within,
        reclaim_within_cohort=reclaim,
        borrow_within_cohort=BorrowWithinCohort(policy=borrow, max_priority_threshold=threshold),
    )
    sharing = FairSharing(weight=weight) if weight else None
    spec = replace(plain.spec, cohort_name=cohort, preemption=policy, fair_sharing=sharing)
    found: ClusterQueue = replace(plain, spec=spec)
    return found, local_queue(name, name)


def job(
    name: str,
    size: int = 1,
    *,
    queue: str = "q",
    priority: int = 0,
    created: float = 0,
    pods: int = 1,
    gpu: int | None = None,
    within: str = "",
    sets: Sequence[PodSet] = (),
) -> Workload:
    """A workload of pods of `size` CPUs each (or of `gpu` GPUs)."""
    spec = pod_spec(cpu=size, gpu=gpu)
    chosen = sets or (pod_set(pods, spec, within=within),)
    return workload(name, *chosen, queue=queue, created=created, priority=priority, job=name)


def key(name: str) -> str:
    """The key of a job."""
    return f"default/{name}"


def running(world: World, *jobs: Workload) -> None:
    """Admit these one after the other, and run their pods."""
    for one in jobs:
        world.add(one)
        world.cycle()
        assert world.is_admitted(one.key), world.condition(one.key).message
        world.start_pods(one.key)


def pods_of(world: World, name: str) -> list[Pod]:
    """The pods of a workload that exist."""
    return [
        found
        for found in world.objects.values()
        if isinstance(found, Pod) and found.metadata.labels.get(WORKLOAD) == name
    ]


def preempted(world: World) -> set[str]:
    """Names of the workloads that were preempted last and do not run again."""
    return {
        found.metadata.name
        for found in world.objects.values()
        if isinstance(found, Workload)
        and any(c.type == "Preempted" and c.status == "True" for c in found.status.conditions)
    }


def end_pods(world: World) -> None:
    """Pods of ended attempts go; those of new ones start."""
    for found in list(world.objects.values()):
        if isinstance(found, Workload):
            left = pods_of(world, found.metadata.name)
            if found.status.admission is None:
                world.remove(*left)
            elif not left:
                world.start_pods(found.key)


def settle(world: World, most: int = 8) -> int:
    """Cycles until nothing changes any more; how many it took. Fails if it never ends."""
    for number in range(most):
        decided = world.cycle()
        end_pods(world)
        if not decided.commands:
            return number
    raise AssertionError(f"no rest after {most} cycles: {decided.commands}")
