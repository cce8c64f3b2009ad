"""Replay of Alibaba's GPU trace of 2023 ("openb") against the engine's own placement.

The protocol of fragmentation gradient descent (USENIX ATC 2023): pods of the list are repeated or dropped at
random until they ask for `arrivals` times the GPUs there are, shuffled, and placed one after another; nobody
leaves, and who does not fit is not asked again. With a backlog all of them are seen at once instead.
Called by `springtide simulate openb` and the benchmarks.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns

from springtide.scheduling.classes import Constraints, PodClass
from springtide.scheduling.devices import WHOLE, Device, DeviceRequest
from springtide.scheduling.facts import PodSetFacts
from springtide.scheduling.fragments import Demand
from springtide.scheduling.nodes import NodeFacts
from springtide.scheduling.placement import Placement
from springtide.scheduling.policies import Policy
from springtide.scheduling.requests import CPU, MEMORY
from springtide.scheduling.sharing import GPU
from springtide.scheduling.snapshot import Snapshot, idle_cluster
from springtide.simulation.tracefile import TraceError as TraceError
from springtide.simulation.tracefile import rows

MILLI = 1000
"""A whole GPU, in the trace's unit."""
MEBIBYTE = 2**20


@dataclass(frozen=True)
class TraceNode:
    """A row of the list of nodes."""

    name: str
    cpu: int
    """Thousandths."""
    memory: int
    """MiB."""
    gpus: int
    model: str


@dataclass(frozen=True)
class TracePod:
    """A row of the list of pods, without its name: rows that are equal are the same sort of pod."""

    cpu: int
    memory: int
    gpus: int
    milli: int
    """Of each GPU, in thousandths; 0 without GPUs."""
    models: tuple[str, ...]
    """Models that will do; empty: any."""

    @property
    def wanted(self) -> int:
        """GPUs asked for, in thousandths."""
        return self.gpus * self.milli


@dataclass(frozen=True)
class Outcome:
    """What a replay came to."""

    pods: int
    placed: int
    allocation_percent: float
    """GPUs allocated of all, at the end."""
    allocation_percent_at_capacity: float
    """The same when as much had arrived as there is."""
    stranded_percent: float
    """GPUs that are free at the end and that a typical pod could not use, of all."""
    decision_us: tuple[float, ...]
    """How long each decision took."""


def load_nodes(path: Path) -> list[TraceNode]:
    """Read a list of nodes. Raises TraceError."""
    return [
        TraceNode(
            name=row["sn"],
            cpu=_number(path, line, row, "cpu_milli"),
            memory=_number(path, line, row, "memory_mib"),
            gpus=_number(path, line, row, "gpu"),
            model=row.get("model") or "",
        )
        for line, row in rows(path, ("sn", "cpu_milli", "memory_mib", "gpu"))
    ]


def load_pods(path: Path) -> list[TracePod]:
    """Read a list of pods. Raises TraceError."""
    found = []
    for line, row in rows(path, ("cpu_milli", "memory_mib", "num_gpu", "gpu_milli")):
        gpus = _number(path, line, row, "num_gpu")
        models = tuple(sorted(filter(None, (row.get("gpu_spec") or "").split("|"))))
        found.append(
            TracePod(
                cpu=_number(path, line, row, "cpu_milli"),
                memory=_number(path, line, row, "memory_mib"),
                gpus=gpus,
                milli=_number(path, line, row, "gpu_milli") if gpus else 0,
                models=models,
            )
        )
    return found


def arrivals(pods: Sequence[TracePod], capacity: int, factor: float, seed: int) -> list[TracePod]:
    """Pods that ask for `factor` times the capacity (thousandths of a GPU), as they come."""
    chance = random.Random(seed)
    found = list(pods)
    wanted, target = sum(pod.wanted for pod in found), factor * capacity
    if not wanted:
        raise TraceError("no pod of the list asks for GPUs")
    while wanted < target:
        found.append(pods[chance.randrange(len(pods))])
        wanted += found[-1].wanted
    while wanted > target:
        wanted -= found.pop(chance.randrange(len(found))).wanted
    chance.shuffle(found)
    return found


def replay(
    nodes: Sequence[TraceNode],
    pods: Sequence[TracePod],
    policy: Policy,
    *,
    seed: int,
    factor: float = 1.3,
    backlog: bool = False,
) -> Outcome:
    """Place the pods of one seed, one after another, or with `backlog` all that there are, largest first."""
    capacity = sum(node.gpus for node in nodes) * MILLI
    coming = arrivals(pods, capacity, factor, seed)
    classes = {pod: (PodSetFacts("", 1, _class(pod)),) for pod in set(coming)}
    placement = Placement(_snapshot(nodes, pods), policy, seed)
    took: list[float] = []
    placed = used = arrived = 0
    at_capacity = 0.0
    for pod in sorted(coming, key=_size, reverse=True) if backlog else coming:
        started = perf_counter_ns()
        share = placement.place(classes[pod])
        took.append((perf_counter_ns() - started) / 1000)
        arrived += pod.wanted
        if share is not None:
            placed += 1
            used += pod.wanted
        if arrived <= capacity:
            at_capacity = used / capacity
    return Outcome(
        pods=len(coming),
        placed=placed,
        allocation_percent=100 * used / capacity,
        allocation_percent_at_capacity=100 * at_capacity,
        stranded_percent=100 * placement.stranded() * MILLI / WHOLE / capacity,
        decision_us=tuple(took),
    )


def _size(pod: TracePod) -> int:
    return pod.wanted


def _class(pod: TracePod) -> PodClass:
    requests = {CPU: pod.cpu, MEMORY: pod.memory * MEBIBYTE}
    return PodClass(tuple(sorted(requests.items())), Constraints(), _devices(pod))


def _devices(pod: TracePod) -> DeviceRequest | None:
    if not pod.gpus:
        return None
    share = WHOLE if pod.gpus > 1 else -(-pod.milli * WHOLE // MILLI)
    return DeviceRequest(GPU, pod.gpus, share, models=frozenset(pod.models))


def _snapshot(nodes: Sequence[TraceNode], pods: Iterable[TracePod]) -> Snapshot:
    """An empty cluster that knows which pods are usual."""
    facts = tuple(
        NodeFacts(
            name=node.name,
            labels={},
            taints=(),
            usable=True,
            allocatable={CPU: node.cpu, MEMORY: node.memory * MEBIBYTE},
            devices=tuple(Device(f"{node.name}-{i}", node.model, 0, WHOLE) for i in range(node.gpus)),
            model=node.model,
        )
        for node in nodes
    )
    usual = Counter((pod.cpu, _devices(pod)) for pod in pods)
    return idle_cluster(facts, (Demand(cpu, asked, often) for (cpu, asked), often in usual.items()))


def _number(path: Path, line: int, row: dict[str, str], name: str) -> int:
    text = row[name] or "0"
    if not text.isdecimal():
        raise TraceError(f"{path}:{line}: {name}: {text!r} is not a whole number of at least 0")
    return int(text)
