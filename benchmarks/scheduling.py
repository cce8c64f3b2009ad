"""How quick the engine decides, without an API server: one JSON row a case.

    python benchmarks/scheduling.py [--only NAME]

`placement` is choosing and taking nodes alone; `cycle` is a whole plan with quota, conditions and commands;
`change` is taking one change of a pod into the state. Rates are by the wall clock; `cpu_share` says how much
of that time this process had a core, for a machine that others use too.
"""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from time import perf_counter, process_time

from springtide.api.core import (
    Container,
    Namespace,
    Node,
    NodeCondition,
    NodeStatus,
    Pod,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
    ResourceRequirements,
)
from springtide.api.kueue import (
    ClusterQueue,
    ClusterQueueSpec,
    LocalQueue,
    LocalQueueSpec,
    PodSet,
    Workload,
    WorkloadSpec,
)
from springtide.api.labels import HOSTNAME
from springtide.api.meta import LabelSelector, ObjectMeta
from springtide.api.struct import replace
from springtide.scheduling import ClusterState, plan
from springtide.scheduling.classes import class_of
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.placement import Placement

GPU = "nvidia.com/gpu"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def cluster(nodes: int, racks: int = 50) -> ClusterState:
    """A state of equal nodes of 8 GPUs, 128 CPUs and 1 TiB, with open queues."""
    state = ClusterState()
    state.change_namespace(None, Namespace(metadata=ObjectMeta(name="default")))
    state.queues.change_cluster_queue(
        None,
        ClusterQueue(
            metadata=ObjectMeta(name="default"), spec=ClusterQueueSpec(namespace_selector=LabelSelector())
        ),
    )
    state.queues.change_local_queue(
        None,
        LocalQueue(
            metadata=ObjectMeta(name="default", namespace="default"),
            spec=LocalQueueSpec(cluster_queue="default"),
        ),
    )
    for index in range(nodes):
        name = f"node-{index:05}"
        state.change_node(
            None,
            Node(
                metadata=ObjectMeta(name=name, labels={HOSTNAME: name, "rack": str(index % racks)}),
                status=NodeStatus(
                    allocatable={"cpu": "128", "memory": "1Ti", GPU: "8", "pods": "110"},
                    conditions=[NodeCondition(type="Ready", status="True")],
                ),
            ),
        )
    return state


def spec(kind: int) -> PodSpec:
    """A pod of one of many classes: 0-8 GPUs, CPU and memory to match."""
    gpus = (0, 1, 1, 1, 2, 1, 1, 4)[kind % 8]
    requests: dict[str, str | int | float] = {
        "cpu": f"{250 * (1 + kind % 37)}m",
        "memory": f"{1 + kind % 11}Gi",
    }
    if gpus:
        requests[GPU] = str(gpus)
    return PodSpec(
        containers=[Container(name="main", image="x", resources=ResourceRequirements(requests=requests))],
        scheduler_name="springtide",
    )


def workload(index: int, pod_spec: PodSpec, pods: int = 1) -> Workload:
    return Workload(
        metadata=ObjectMeta(
            name=f"w-{index:06}", namespace="default", uid=str(index), creation_timestamp=NOW
        ),
        spec=WorkloadSpec(
            pod_sets=[PodSet(name="node", count=pods, template=PodTemplateSpec(spec=pod_spec))]
        ),
    )


def placement(nodes: int, pods: int, classes: int, gang: int = 1, within: str = "") -> dict[str, object]:
    """Choose and take nodes for gangs of `gang` pods until `pods` are placed or refused."""
    snapshot = cluster(nodes).snapshot()
    kinds = [
        (PodSetFacts("node", gang, class_of(spec(kind)), required_level=within),) for kind in range(classes)
    ]
    engine = Placement(snapshot)
    started = perf_counter()
    placed = sum(engine.place(kinds[index % classes]) is not None for index in range(pods // gang))
    seconds = perf_counter() - started
    return {
        "nodes": nodes,
        "pods": pods,
        "classes": classes,
        "gang": gang,
        "within": within,
        "placed": placed * gang,
        "pods_per_second": round(pods / seconds),
    }


def cycle(nodes: int, workloads: int, classes: int, full: bool = False) -> dict[str, object]:
    """A whole plan over waiting single-pod workloads; with `full`, none of them fits."""
    state = cluster(nodes)
    for index in range(workloads):
        wanted = spec(index % classes)
        if full:
            wanted = replace(wanted, containers=[*wanted.containers * 200])
        state.change_workload(None, workload(index, wanted))
    started = perf_counter()
    snapshot = state.snapshot()
    decided = plan(snapshot, NOW)
    seconds = perf_counter() - started
    return {
        "nodes": nodes,
        "workloads": workloads,
        "classes": classes,
        "fits": not full,
        "commands": len(decided.commands),
        "cycle_seconds": round(seconds, 4),
        "workloads_per_second": round(workloads / seconds),
    }


def change(nodes: int, pods: int) -> dict[str, object]:
    """Bound pods that come, then report progress: microseconds a change."""
    state = cluster(nodes)
    found = [
        Pod(
            metadata=ObjectMeta(name=f"p-{index:06}", namespace="default", uid=str(index)),
            spec=replace(spec(index % 150), node_name=f"node-{index % nodes:05}"),
            status=PodStatus(phase="Running"),
        )
        for index in range(pods)
    ]
    started = perf_counter()
    for pod in found:
        state.change_pod(None, pod)
    came = perf_counter()
    for pod in found:
        state.change_pod(pod, replace(pod, status=replace(pod.status, message="60 %")))
    reported = perf_counter()
    state.snapshot()
    return {
        "nodes": nodes,
        "pods": pods,
        "new_pod_us": round(1e6 * (came - started) / pods, 1),
        "status_change_us": round(1e6 * (reported - came) / pods, 1),
        "snapshot_ms": round(1e3 * (perf_counter() - reported), 2),
    }


CASES: dict[str, Callable[[], dict[str, object]]] = {
    "placement-1000": lambda: placement(1000, 4000, 1),
    "placement-2000-150-classes": lambda: placement(2000, 16_000, 150),
    "placement-2000-own-classes": lambda: placement(2000, 4000, 4000),
    "placement-5000-gangs-of-4": lambda: placement(5000, 9000, 8, gang=4),
    "placement-5000-gangs-of-4-in-a-rack": lambda: placement(5000, 9000, 8, gang=4, within="rack"),
    "placement-5000-gangs-of-1000": lambda: placement(5000, 9000, 8, gang=1000),
    "cycle-1000x2000": lambda: cycle(1000, 2000, 8),
    "cycle-1000x2000-full": lambda: cycle(1000, 2000, 8, full=True),
    "cycle-2000x16000": lambda: cycle(2000, 16_000, 150),
    "change-2000x16000": lambda: change(2000, 16_000),
}


def rows(only: str) -> Iterator[dict[str, object]]:
    for name, case in CASES.items():
        if only in name:
            wall, cpu = perf_counter(), process_time()
            row = case()
            share = round((process_time() - cpu) / (perf_counter() - wall), 2)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            yield {"benchmark": "scheduling", "case": name, **row, "cpu_share": share, "rss_mib_max": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description="Decisions of the engine, one JSON row a case")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    for row in rows(parser.parse_args().only):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
