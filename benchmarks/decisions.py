"""How many placements a second the engine decides, without an API server: one JSON row a case.

    python benchmarks/decisions.py [--only NAME]

A decision is choosing and taking the place of one pod, or of one gang. Latencies are of each decision by the
wall clock; `cpu_decisions_per_second` is by this process's CPU time, for a machine that others use too.
`one_pass_us` is what one pass of numpy over the nodes' free devices takes: it says how quick the machine is
just now. A class that is seen again costs less, for it looks only at the nodes that changed since.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from time import perf_counter, perf_counter_ns, process_time

import numpy as np

from springtide.scheduling.classes import Constraints, PodClass
from springtide.scheduling.devices import WHOLE, Device, DeviceRequest
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.fragments import Demand
from springtide.scheduling.nodes import NodeFacts
from springtide.scheduling.placement import Placement
from springtide.scheduling.requests import CPU, MEMORY
from springtide.scheduling.sharing import GPU
from springtide.scheduling.snapshot import Snapshot, idle_cluster

GIBIBYTE = 2**30
NODE_CPU, NODE_MEMORY, NODE_GPUS = 128_000, 1024 * GIBIBYTE, 8
NAMED = tuple(Device(f"gpu-{index}", "", 0, WHOLE) for index in range(NODE_GPUS))
RACK = "rack"
REPEATS = 3
"""The best of so many runs is reported; the others say how noisy the machine is."""


def snapshot(nodes: int, classes: list[PodClass], racks: int = 50) -> Snapshot:
    """An empty cluster of equal nodes, which knows these classes."""
    allocatable = {CPU: NODE_CPU, MEMORY: NODE_MEMORY, GPU: NODE_GPUS}
    facts = tuple(
        NodeFacts(f"node-{index:05}", {RACK: str(index * racks // nodes)}, (), True, allocatable, NAMED)
        for index in range(nodes)
    )
    return idle_cluster(facts, (Demand(one.cpu, one.devices, 1) for one in classes))


def class_(kind: int) -> PodClass:
    """One of many classes: parts of a GPU, one, two, four, eight or none, with CPU and memory to match."""
    share = (30, 50, 100, 100, 20, 100, 70, 100)[kind % 8]
    gpus = (1, 1, 1, 2, 1, 1, 1, 4)[kind % 8] if kind % 16 != 13 else 0
    requests = {CPU: 500 + 100 * (kind % 173), MEMORY: (1 + kind % 61) * GIBIBYTE}
    asked = DeviceRequest(GPU, gpus, share if gpus == 1 else WHOLE) if gpus else None
    return PodClass(tuple(sorted(requests.items())), Constraints(), asked)


def measure(nodes: int, pods: int, classes: int, gang: int = 1, within: str = "") -> dict[str, object]:
    """Place gangs until so many pods have been asked for."""
    kinds = [class_(kind) if gang == 1 else _whole(kind) for kind in range(classes)]
    sets = [(PodSetFacts("node", gang, kind, required_level=within),) for kind in kinds]
    runs = [_run(snapshot(nodes, kinds), sets, pods // gang) for _ in range(REPEATS)]
    best = min(runs, key=lambda run: run[1])
    placed, seconds, cpu_seconds, took = best
    return {
        "nodes": nodes,
        "pods": pods,
        "classes": classes,
        "gang": gang,
        "within": within,
        "placed": placed * gang,
        "decisions_per_second": round(len(took) / seconds),
        "pods_per_second": round(pods / seconds),
        "cpu_decisions_per_second": round(len(took) / cpu_seconds),
        "p50_us": round(float(np.percentile(took, 50)), 1),
        "p99_us": round(float(np.percentile(took, 99)), 1),
        "seconds_of_each_run": [round(run[1], 3) for run in runs],
        "one_pass_us": _one_pass(nodes),
    }


def _whole(kind: int) -> PodClass:
    requests = {CPU: 1000 * (1 + kind % 12), MEMORY: (1 + kind % 61) * GIBIBYTE}
    return PodClass(tuple(sorted(requests.items())), Constraints(), DeviceRequest(GPU, 1 + kind % 2))


def _run(
    start: Snapshot, sets: list[tuple[PodSetFacts]], gangs: int
) -> tuple[int, float, float, list[float]]:
    engine = Placement(start)
    took: list[float] = []
    placed = 0
    began, cpu_began = perf_counter(), process_time()
    for index in range(gangs):
        at = perf_counter_ns()
        placed += engine.place(sets[index % len(sets)]) is not None
        took.append((perf_counter_ns() - at) / 1000)
    return placed, perf_counter() - began, process_time() - cpu_began, took


def _one_pass(nodes: int) -> float:
    """Microseconds to look once at every device."""
    share = np.full((nodes, NODE_GPUS), WHOLE)
    times = []
    for _ in range(50):
        at = perf_counter_ns()
        (share >= WHOLE).sum(axis=1).argmax()
        times.append((perf_counter_ns() - at) / 1000)
    return round(min(times), 1)


CASES: dict[str, Callable[[], dict[str, object]]] = {
    "burst": lambda: measure(2_000, 16_000, 150),
    "all-different": lambda: measure(2_000, 16_000, 16_000),
    "large": lambda: measure(10_000, 16_000, 150),
    "gangs": lambda: measure(5_000, 16_000, 24, gang=4, within=RACK),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=CASES)
    only = parser.parse_args().only
    for name, case in CASES.items():
        if only in (None, name):
            print(json.dumps({"benchmark": "decisions", "case": name, **case()}), flush=True)


if __name__ == "__main__":
    main()
