"""A whole platform under many jobs: 1,000 simulated nodes, 2,000 jobs of one pod. One JSON object a row.

    python benchmarks/scale.py [--jobs 2000] [--profile FILE]

Everything `springtide up` runs is in this process: store, API server, all controllers, simulated nodes;
only TLS is left out. Jobs are created through the API and run one simulated second; the row says how long it
took until all were Complete. The bound in the same row is the time the store alone needs for as many
revisions of the same size.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import resource
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import psutil

from springtide.api.core import ResourceRequirements
from springtide.api.meta import ObjectMeta, is_true
from springtide.api.trainer import RuntimeRef, Trainer, TrainJob, TrainJobSpec
from springtide.client import Client
from springtide.node import Behaviour, SimulatedNodes, SimulationSettings, load_nodes
from springtide.runtime import Runtime, SystemClock, configure_logging
from springtide.server import InProcessTransport, Server
from springtide.store import SqliteLog, Store
from springtide.up.bootstrap import bootstrap
from springtide.up.rooms import register_controllers

NODES = Path(__file__).parent.parent / "examples" / "simulated" / "nodes.yaml"
SIMULATED_SECONDS = 1.0
CREATORS = 16
"""Requests under way at a time while the jobs are created."""
PATIENCE_SECONDS = 300.0


def job(index: int) -> TrainJob:
    return TrainJob(
        metadata=ObjectMeta(name=f"job-{index:05}", namespace="default"),
        spec=TrainJobSpec(
            runtime_ref=RuntimeRef(name="plain"),
            trainer=Trainer(
                command=["python", "train.py"],
                resources_per_node=ResourceRequirements(requests={"cpu": "4", "memory": "8Gi"}),
            ),
        ),
    )


class Complete:
    """Counts finished jobs as the platform's own cache sees them; `all` is set with the last."""

    def __init__(self, runtime: Runtime, wanted: int) -> None:
        self._left = wanted
        self.all = asyncio.Event()
        runtime.informer(TrainJob).on_change(self._see)

    def _see(self, old: TrainJob | None, new: TrainJob | None) -> None:
        if new is not None and _is_complete(new) and not (old is not None and _is_complete(old)):
            self._left -= 1
            if not self._left:
                self.all.set()


def _is_complete(job: TrainJob) -> bool:
    return is_true(job.status.conditions, "Complete")


async def run(jobs: int, folder: Path, profile: cProfile.Profile | None) -> dict[str, object]:
    """One platform from start to the last job's end."""
    clock = SystemClock()
    store = Store(SqliteLog(folder), monotonic=clock.monotonic)
    server = Server(store, clock=clock)
    await server.start()
    client = Client(InProcessTransport(server))
    await bootstrap(client.with_manager("bootstrap"))
    runtime = Runtime(client, clock)
    register_controllers(runtime)
    nodes = load_nodes(NODES)
    simulated = SimulatedNodes(
        runtime, nodes, SimulationSettings(default=Behaviour(duration_seconds=SIMULATED_SECONDS))
    )
    complete = Complete(runtime, jobs)
    running = asyncio.create_task(runtime.run())
    began, cpu = perf_counter(), process_time()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await simulated.ready()
    nodes_seconds, nodes_cpu = perf_counter() - began, process_time() - cpu

    if profile is not None:
        profile.enable()
    first = store.revision
    began, cpu = perf_counter(), process_time()
    await _create(client.with_manager("user"), jobs)
    created = perf_counter() - began
    async with asyncio.timeout(PATIENCE_SECONDS):
        await complete.all.wait()
    seconds, cpu_seconds = perf_counter() - began, process_time() - cpu
    if profile is not None:
        profile.disable()
    revisions = store.revision - first
    resident = psutil.Process().memory_info().rss
    running.cancel()
    await asyncio.wait([running])
    await store.close()
    return {
        "nodes": len(nodes),
        "jobs": jobs,
        "nodes_ready_seconds": round(nodes_seconds, 2),
        "nodes_ready_cpu_seconds": round(nodes_cpu, 2),
        "create_seconds": round(created, 2),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),
        "jobs_per_second": round(jobs / seconds, 1),
        "revisions": revisions,
        "resident_mb": round(resident / 1e6, 1),
        "resident_mb_max": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1),
    }


async def _create(client: Client, jobs: int) -> None:
    waiting = iter(range(jobs))

    async def create() -> None:
        for index in waiting:
            await client.create(job(index))

    async with asyncio.TaskGroup() as group:
        for _ in range(CREATORS):
            group.create_task(create())


async def bound(revisions: int, folder: Path) -> dict[str, object]:
    """The store alone: as many durable revisions, each as big as a pod with its managed fields."""
    store = Store(SqliteLog(folder), monotonic=SystemClock().monotonic)
    waiting = iter(range(revisions))
    value = b"x" * 3000

    async def write() -> None:
        for index in waiting:
            await store.write("bound", str(index), value, expected=0)

    began, cpu = perf_counter(), process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(CREATORS):
            group.create_task(write())
    seconds, cpu_seconds = perf_counter() - began, process_time() - cpu
    await store.close()
    return {"bound_store_seconds": round(seconds, 2), "bound_store_cpu_seconds": round(cpu_seconds, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description="A platform under many jobs, one JSON row")
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--profile", help="write a cProfile of the jobs' time into this file")
    options = parser.parse_args()
    configure_logging(level="warning")
    profile = cProfile.Profile() if options.profile else None
    with tempfile.TemporaryDirectory(prefix="springtide-bench-") as folder:
        row = asyncio.run(run(options.jobs, Path(folder) / "platform", profile))
        row |= asyncio.run(bound(int(str(row["revisions"])), Path(folder) / "bound"))
    print(json.dumps({"benchmark": "scale", **row}), flush=True)
    if profile is not None:
        profile.dump_stats(options.profile)


if __name__ == "__main__":
    main()
