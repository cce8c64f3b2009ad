"""How many workloads a second the engine admits through quota in cohorts: one JSON row a case.

    python benchmarks/admissions.py [--only NAME]

The shape is that of Kueue's own large-scale performance test: cohorts of a hundred ClusterQueues, each with a
quota of 20 CPUs of which others may borrow, and workloads of 1, 5 and 20 CPUs that run for 50, 100 and 200 ms
at priorities 50, 100 and 200. All wait from the start. What a plan writes takes effect at once, as on an API
server that costs nothing; whoever has run its time has finished before the next cycle, and cycles follow each
other until all were admitted. The clock is this process's CPU time, so that a machine others use too does not
change the figures; what plays the API server stops the clock. A cycle is taking in what changed, a snapshot,
and the plan, of nodes and quota both.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import perf_counter, process_time

import numpy as np

from springtide.api.commands import Apply, Command
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
    ClusterQueue,
    ClusterQueuePreemption,
    ClusterQueueSpec,
    FlavorQuotas,
    LocalQueue,
    LocalQueueSpec,
    PodSet,
    ResourceFlavor,
    ResourceGroup,
    ResourceQuota,
    Workload,
    WorkloadSpec,
    WorkloadStatus,
)
from springtide.api.labels import HOSTNAME
from springtide.api.meta import Condition, LabelSelector, ObjectMeta
from springtide.api.struct import decode, replace
from springtide.scheduling import ClusterState, plan
from springtide.scheduling.plan import Options

START = datetime(2026, 1, 1, tzinfo=UTC)
QUOTA, BORROWING_LIMIT = 20, 100
NODE_CPUS = 128


@dataclass(frozen=True)
class Size:
    """One class of workloads of Kueue's test."""

    name: str
    cpus: int
    seconds: float
    priority: int
    each: int
    """How many of 30."""


SIZES = (Size("small", 1, 0.05, 50, 20), Size("medium", 5, 0.1, 100, 7), Size("large", 20, 0.2, 200, 3))


def cluster_queue(name: str, cohort: str) -> ClusterQueue:
    """A queue with its own quota, in a cohort."""
    cpu = ResourceQuota(name="cpu", nominal_quota=QUOTA, borrowing_limit=BORROWING_LIMIT)
    flavor = FlavorQuotas(name="any", resources=[cpu])
    return ClusterQueue(
        metadata=ObjectMeta(name=name),
        spec=ClusterQueueSpec(
            namespace_selector=LabelSelector(),
            cohort_name=cohort,
            preemption=ClusterQueuePreemption(
                within_cluster_queue="LowerPriority", reclaim_within_cohort="Any"
            ),
            resource_groups=[ResourceGroup(covered_resources=["cpu"], flavors=[flavor])],
        ),
    )


def workload(name: str, line: str, size: Size, created: datetime) -> Workload:
    """One pod of this size."""
    resources = ResourceRequirements(requests={"cpu": size.cpus})
    template = PodTemplateSpec(
        spec=PodSpec(
            containers=[Container(name="main", image="x", resources=resources)], scheduler_name="springtide"
        )
    )
    return Workload(
        metadata=ObjectMeta(name=name, namespace="default", uid=name, creation_timestamp=created),
        spec=WorkloadSpec(
            pod_sets=[PodSet(name="main", count=1, template=template)],
            queue_name=line,
            priority=size.priority,
        ),
    )


def node(name: str) -> Node:
    """A node without GPUs."""
    return Node(
        metadata=ObjectMeta(name=name, labels={HOSTNAME: name}),
        status=NodeStatus(
            allocatable={"cpu": str(NODE_CPUS), "memory": "1Ti", "pods": "256"},
            conditions=[NodeCondition(type="Ready", status="True")],
        ),
    )


@dataclass
class Run:
    """A cluster whose workloads run by the clock of the process."""

    queues: int
    per_cohort: int
    workloads: int
    state: ClusterState = field(default_factory=ClusterState)
    objects: dict[str, Workload] = field(default_factory=dict)
    ends: list[tuple[float, str]] = field(default_factory=list)
    seconds_of: dict[str, float] = field(default_factory=dict)
    clock: float = 0.0
    cycles: list[float] = field(default_factory=list)
    admitted: int = 0
    explained: int = 0

    def prepare(self) -> None:
        """Nodes for all quota, the queues, and everybody who waits."""
        self.state.change_namespace(None, Namespace(metadata=ObjectMeta(name="default")))
        self.state.queues.change_flavor(None, ResourceFlavor(metadata=ObjectMeta(name="any")))
        for index in range(-(-self.queues * QUOTA * 5 // (NODE_CPUS * 4))):
            self.state.change_node(None, node(f"node-{index:05}"))
        for index in range(self.queues):
            name = f"queue-{index:05}"
            self.state.queues.change_cluster_queue(
                None, cluster_queue(name, f"cohort-{index // self.per_cohort}")
            )
            door = LocalQueue(
                metadata=ObjectMeta(name=name, namespace="default"), spec=LocalQueueSpec(cluster_queue=name)
            )
            self.state.queues.change_local_queue(None, door)
        of_thirty = [size for size in SIZES for _ in range(size.each)]
        for index in range(self.workloads):
            line, number = index % self.queues, index // self.queues
            size = of_thirty[number % len(of_thirty)]
            created = START - timedelta(milliseconds=self.workloads - index)
            name = f"{size.name}-{index:06}"
            one = workload(name, f"queue-{line:05}", size, created)
            self.objects[one.key], self.seconds_of[one.key] = one, size.seconds
            self.state.change_workload(None, one)

    def cycle(self) -> None:
        """What has finished, one cycle on the rest, and what it wrote."""
        changes = [(self.objects[key], self._finished(key)) for at, key in self.ends if at <= self.clock]
        self.ends = [(at, key) for at, key in self.ends if at > self.clock]
        self._count(lambda: self._take_in(changes), new=True)
        decided = self._count(
            lambda: plan(self.state.snapshot(), self._now(), Options(refresh=False)).commands
        )
        changes = [pair for command in decided for pair in self._write(command)]
        self._count(lambda: self._take_in(changes))

    def _count(self, work: Callable[[], Iterable[Command] | None], *, new: bool = False) -> list[Command]:
        began = process_time()
        found = work()
        spent = process_time() - began
        self.clock += spent
        if new:
            self.cycles.append(0.0)
        self.cycles[-1] += spent
        return list(found or ())

    def _take_in(self, changes: Iterable[tuple[Workload, Workload]]) -> None:
        for old, new in changes:
            self.state.change_workload(old, new)

    def _write(self, command: Command) -> list[tuple[Workload, Workload]]:
        """The change that a command makes of a workload."""
        if not isinstance(command, Apply) or command.kind is not Workload:
            return []
        key = f"{command.namespace}/{command.name}"
        old = self.objects[key]
        new = replace(old, status=decode(WorkloadStatus, command.fields["status"]))
        self.objects[key] = new
        if old.status.admission is None and new.status.admission is not None:
            self.admitted += 1
            self.ends.append((self.clock + self.seconds_of[key], key))
        else:
            self.explained += 1
        return [(old, new)]

    def _finished(self, key: str) -> Workload:
        done = Condition(type="Finished", status="True", reason="Succeeded", last_transition_time=self._now())
        old = self.objects[key]
        status = replace(old.status, conditions=[*old.status.conditions, done])
        self.objects[key] = replace(old, status=status)
        return self.objects[key]

    def _now(self) -> datetime:
        return START + timedelta(seconds=self.clock)


def measure(queues: int, per_cohort: int, workloads: int) -> dict[str, object]:
    """Cycles until everybody was admitted."""
    run = Run(queues, per_cohort, workloads)
    run.prepare()
    wall = perf_counter()
    while run.admitted < workloads:
        before = run.admitted
        run.cycle()
        if run.admitted == before and not run.ends:
            raise RuntimeError(f"nothing more is admitted after {before} of {workloads} workloads")
        if run.admitted == before:
            run.clock = max(run.clock, min(at for at, _ in run.ends))
    return {
        "cluster_queues": queues,
        "cohorts": -(-queues // per_cohort),
        "workloads": workloads,
        "cycles": len(run.cycles),
        "admissions_per_second": round(workloads / run.clock),
        "cpu_seconds": round(run.clock, 2),
        "wall_seconds": round(perf_counter() - wall, 2),
        "p50_cycle_ms": round(1000 * float(np.percentile(run.cycles, 50)), 1),
        "p99_cycle_ms": round(1000 * float(np.percentile(run.cycles, 99)), 1),
        "explanations": run.explained,
    }


CASES: dict[str, Callable[[], dict[str, object]]] = {
    "baseline": lambda: measure(30, 6, 15_000),
    "large-scale": lambda: measure(1_000, 100, 50_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=CASES)
    only = parser.parse_args().only
    for name, case in CASES.items():
        if only in (None, name):
            print(json.dumps({"benchmark": "admissions", "case": name, **case()}), flush=True)


if __name__ == "__main__":
    main()
