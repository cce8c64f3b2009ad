"""How quick a large gang finds whom to preempt in a full cluster, without an API server: one JSON row a case.

    python benchmarks/preemption.py [--only NAME]

Each case is one whole cycle: snapshot, order, quota, search for victims, and the commands that end them.
Times are the best of `REPEATS`; `cpu_seconds` is this process's own time, for a machine others use too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter, process_time

from springtide.api.commands import Command, Emit
from springtide.api.core import (
    Container,
    Namespace,
    Node,
    NodeCondition,
    NodeStatus,
    PodSpec,
    PodTemplateSpec,
    ResourceRequirements,
)
from springtide.api.kueue import (
    Admission,
    ClusterQueue,
    ClusterQueuePreemption,
    ClusterQueueSpec,
    FlavorQuotas,
    LocalQueue,
    LocalQueueSpec,
    PodSet,
    PodSetAssignment,
    PodSetTopologyRequest,
    ResourceFlavor,
    ResourceGroup,
    ResourceQuota,
    Workload,
    WorkloadSpec,
    WorkloadStatus,
    assign_nodes,
)
from springtide.api.labels import HOSTNAME
from springtide.api.meta import Condition, LabelSelector, ObjectMeta
from springtide.scheduling import ClusterState, plan

GPU = "nvidia.com/gpu"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NODES, GPUS, RACKS = 2000, 8, 50
REPEATS = 3


@dataclass(frozen=True)
class Scene:
    """What fills the cluster, and who asks."""

    gpus_of_victims: int
    within: str = ""
    pods_of_victims: int = 1
    cohort: bool = False
    """Whether the victims borrow in another queue of the cohort."""
    gang_pods: int = 64
    gpus_of_pods: int = 8


def queue(name: str, gpus: int, cohort: str) -> ClusterQueue:
    """A ClusterQueue that preempts wherever it may."""
    quota = [
        ResourceQuota(name="cpu", nominal_quota=gpus * 64),
        ResourceQuota(name=GPU, nominal_quota=gpus),
    ]
    return ClusterQueue(
        metadata=ObjectMeta(name=name),
        spec=ClusterQueueSpec(
            namespace_selector=LabelSelector(),
            cohort_name=cohort,
            preemption=ClusterQueuePreemption(
                within_cluster_queue="LowerPriority", reclaim_within_cohort="Any" if cohort else "Never"
            ),
            resource_groups=[
                ResourceGroup(
                    covered_resources=["cpu", GPU], flavors=[FlavorQuotas(name="gpus", resources=quota)]
                )
            ],
        ),
    )


def workload(name: str, line: str, pods: int, gpus: int, priority: int, within: str = "") -> Workload:
    """A workload of pods of so many GPUs each."""
    container = Container(
        name="main", image="x", resources=ResourceRequirements(requests={"cpu": gpus, GPU: gpus})
    )
    template = PodTemplateSpec(spec=PodSpec(containers=[container], scheduler_name="springtide"))
    topology = PodSetTopologyRequest(required=within) if within else None
    return Workload(
        metadata=ObjectMeta(name=name, namespace="default", uid=name, creation_timestamp=NOW),
        spec=WorkloadSpec(
            pod_sets=[PodSet(name="node", count=pods, template=template, topology_request=topology)],
            queue_name=line,
            priority=priority,
        ),
    )


def admitted(one: Workload, line: str, nodes: list[tuple[str, int]], since: datetime) -> Workload:
    """The workload, running on these nodes."""
    pods = sum(count for _, count in nodes)
    container = one.spec.pod_sets[0].template.spec.containers[0]
    gpus = int(str(container.resources.requests[GPU]))
    assignment = PodSetAssignment(
        name="node",
        flavors={"cpu": "gpus", GPU: "gpus"},
        resource_usage={"cpu": pods * gpus, GPU: pods * gpus},
        count=pods,
        topology_assignment=assign_nodes(nodes),
    )
    conditions = [
        Condition(type=type_, status="True", reason=type_, last_transition_time=since)
        for type_ in ("QuotaReserved", "Admitted")
    ]
    status = WorkloadStatus(
        conditions=conditions, admission=Admission(cluster_queue=line, pod_set_assignments=[assignment])
    )
    return Workload(metadata=one.metadata, spec=one.spec, status=status)


def cluster(scene: Scene) -> ClusterState:
    """A state in which every GPU is in use."""
    state = ClusterState()
    state.change_namespace(None, Namespace(metadata=ObjectMeta(name="default")))
    state.queues.change_flavor(None, ResourceFlavor(metadata=ObjectMeta(name="gpus")))
    cohort = "all" if scene.cohort else ""
    total = NODES * GPUS
    lines = {"own": total // 2 if cohort else total, "other": total // 2}
    for name, gpus in lines.items():
        state.queues.change_cluster_queue(None, queue(name, gpus, cohort))
        door = LocalQueueSpec(cluster_queue=name)
        state.queues.change_local_queue(
            None, LocalQueue(metadata=ObjectMeta(name=name, namespace="default"), spec=door)
        )
    names = [f"node-{index:05}" for index in range(NODES)]
    for index, name in enumerate(names):
        state.change_node(
            None,
            Node(
                metadata=ObjectMeta(name=name, labels={HOSTNAME: name, "rack": str(index * RACKS // NODES)}),
                status=NodeStatus(
                    allocatable={"cpu": "128", "memory": "1Ti", GPU: str(GPUS), "pods": "110"},
                    conditions=[NodeCondition(type="Ready", status="True")],
                ),
            ),
        )
    fill(state, scene, names, "other" if cohort else "own")
    return state


def fill(state: ClusterState, scene: Scene, names: list[str], line: str) -> None:
    """Workloads on every node, of different priorities and ages, mixed over the cluster."""
    per_node = GPUS // scene.gpus_of_victims
    places = [names[(place * 7) % NODES] for place in range(NODES)]
    slots = [name for name in places for _ in range(per_node)]
    size = scene.pods_of_victims
    for index in range(len(slots) // size):
        own = slots[index * size : (index + 1) * size]
        nodes = sorted({name: own.count(name) for name in own}.items())
        one = workload(f"low-{index:06}", line, size, scene.gpus_of_victims, (index * 31) % 5)
        since = NOW - timedelta(seconds=60 + (index * 7919) % 86_400)
        state.change_workload(None, admitted(one, line, nodes, since))


def measure(scene: Scene) -> dict[str, object]:
    """One cycle with the gang at the head of the queue."""
    state = cluster(scene)
    gang = workload("gang", "own", scene.gang_pods, scene.gpus_of_pods, 1000, scene.within)
    state.change_workload(None, gang)
    best: tuple[float, float, float] | None = None
    ended = 0
    for _ in range(REPEATS):
        wall, cpu = perf_counter(), process_time()
        snapshot = state.snapshot()
        taken = perf_counter() - wall
        decided = plan(snapshot, NOW)
        now = perf_counter() - wall, process_time() - cpu, taken
        best = min(best, now) if best is not None else now
        ended = sum("make room for" in note for note in notes(decided.commands))
    assert best is not None
    return {
        "nodes": NODES,
        "victims_possible": NODES * GPUS // scene.gpus_of_victims // scene.pods_of_victims,
        "gang_gpus": scene.gang_pods * scene.gpus_of_pods,
        "within": scene.within,
        "cohort": scene.cohort,
        "preempted": ended,
        "seconds": round(best[0], 3),
        "cpu_seconds": round(best[1], 3),
        "snapshot_seconds": round(best[2], 3),
    }


def notes(commands: Iterable[Command]) -> list[str]:
    """The notes of the events among the commands."""
    return [command.note for command in commands if isinstance(command, Emit)]


CASES: dict[str, Callable[[], dict[str, object]]] = {
    "whole-nodes": lambda: measure(Scene(8)),
    "scattered-gpus": lambda: measure(Scene(1)),
    "gangs": lambda: measure(Scene(8, pods_of_victims=16)),
    "one-rack": lambda: measure(Scene(8, within="rack", gang_pods=40)),
    "reclaim": lambda: measure(Scene(8, cohort=True)),
    "hopeless": lambda: measure(Scene(8, within="rack", gang_pods=64)),
    "one-pod": lambda: measure(Scene(1, gang_pods=1)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Preemption by the engine, one JSON row a case")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    only = parser.parse_args().only
    for name, case in CASES.items():
        if only in name:
            print(json.dumps({"benchmark": "preemption", "case": name, **case()}), flush=True)


if __name__ == "__main__":
    main()
