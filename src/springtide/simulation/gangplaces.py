"""Where the gangs of a cluster stand while nodes go out of service and come back.

Two ways to find a node in place of a lost one: `EnginePlaces` asks the scheduling engine, with the objects
and the cycle of production; `CountedPlaces` picks one at once, as if by a person who sees everything, for the
system ours is compared with. Called by `recovery`; times are seconds from the start of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from springtide.api.commands import Apply, Command
from springtide.api.core import Namespace, Node
from springtide.api.flavors import Topology
from springtide.api.kueue import ClusterQueue, LocalQueue, ResourceFlavor, Workload, WorkloadStatus, nodes_of
from springtide.api.labels import HOSTNAME
from springtide.api.meta import Condition, Object, set_condition
from springtide.api.struct import decode, replace
from springtide.runtime.clock import EPOCH
from springtide.scheduling import ClusterState, plan
from springtide.scheduling.feeds import feeds
from springtide.scheduling.status import OWNED

BLOCK = "simulation.springtide.dev/block"
ROUNDS_MAX = 12
"""Cycles within which a change of the cluster has settled."""


@dataclass(frozen=True)
class Size:
    """The cluster and who runs on it."""

    nodes: int = 2048
    """Of the large job."""
    gpus: int = 8
    """Of a node."""
    block: int = 128
    """Nodes of the large job that must be within one block of the network."""
    spares: int = 16
    """Nodes kept free, spread over the blocks."""
    small_jobs: int = 4
    """Jobs of lower priority beside it: they make room where no spare is left."""
    small_nodes: int = 8

    @property
    def blocks(self) -> int:
        """Blocks of the network."""
        return max(1, self.nodes // self.block)

    @property
    def jobs(self) -> dict[str, int]:
        """Nodes of each job, the large one first."""
        return {"large": self.nodes, **{f"small-{n}": self.small_nodes for n in range(self.small_jobs)}}

    @property
    def all_nodes(self) -> int:
        """Nodes of the cluster."""
        return sum(self.jobs.values()) + self.spares

    def names(self) -> dict[str, str]:
        """Every node with its block; what is not of the large job is spread evenly."""
        found = {f"n{at:05}": f"b{at * self.blocks // self.nodes:03}" for at in range(self.nodes)}
        rest = range(self.nodes, self.all_nodes)
        return found | {f"n{at:05}": f"b{(at - self.nodes) % self.blocks:03}" for at in rest}


class Places(Protocol):
    """Who stands where."""

    def start(self) -> None:
        """Place every job for the first time."""

    def node(self, job: str, part: float) -> str:
        """The node at this part, 0 to 1, of the job's ranks; empty while it has no places."""

    def rank(self, job: str, node: str) -> int | None:
        """Which rank of the job is on this node; None: none."""

    def holds(self, job: str, node: str) -> bool:
        """Whether a rank of the job is on this node."""

    def lose(self, node: str) -> None:
        """Take a node out of service."""

    def restore(self, node: str) -> None:
        """Put a node back."""

    def place(self, job: str, now: float) -> bool:
        """Give the job whole places again; False: it must wait."""

    def displaced(self) -> list[str]:
        """Jobs that lost their places to another since the last question."""


class CountedPlaces:
    """Takes the first free node of the block, else one of a smaller job there: at once, without mistakes."""

    def __init__(self, size: Size) -> None:
        self._size = size
        self._block = size.names()
        self._out: set[str] = set()
        self._of: dict[str, list[str]] = {job: [] for job in size.jobs}
        self._displaced: list[str] = []

    def start(self) -> None:
        for job in self._of:
            self.place(job, 0.0)

    def node(self, job: str, part: float) -> str:
        held = self._of[job]
        return held[int(part * len(held))] if held else ""

    def rank(self, job: str, node: str) -> int | None:
        return _rank_in(self._of[job], node)

    def holds(self, job: str, node: str) -> bool:
        return node in self._of[job]

    def lose(self, node: str) -> None:
        self._out.add(node)

    def restore(self, node: str) -> None:
        self._out.discard(node)

    def place(self, job: str, now: float) -> bool:
        del now
        held = self._of[job]
        if not held:
            return self._place_anew(job)
        for index, node in enumerate(held):
            if node in self._out:
                found = self._free_like(node, job) or self._taken_from_smaller(node, job)
                if not found:
                    return False
                held[index] = found
        return True

    def displaced(self) -> list[str]:
        found, self._displaced = self._displaced, []
        return found

    def _place_anew(self, job: str) -> bool:
        free = self._free()
        wanted = self._size.jobs[job]
        if len(free) < wanted:
            return False
        self._of[job] = free[:wanted]
        return True

    def _free(self) -> list[str]:
        held = {node for nodes in self._of.values() for node in nodes}
        return [node for node in self._block if node not in held and node not in self._out]

    def _free_like(self, node: str, job: str) -> str:
        large = job == "large"
        inside = (one for one in self._free() if not large or self._block[one] == self._block[node])
        return next(inside, "")

    def _taken_from_smaller(self, node: str, job: str) -> str:
        if job != "large":
            return ""
        for other, held in self._of.items():
            if other == job:
                continue
            inside = [one for one in held if self._block[one] == self._block[node] and one not in self._out]
            if inside:
                self._of[other] = []
                self._displaced.append(other)
                return inside[0]
        return ""


class EnginePlaces:
    """The scheduling engine on the objects of the cluster; what it writes takes effect here at once."""

    def __init__(self, size: Size) -> None:
        self._size = size
        self._state = ClusterState()
        self._objects: dict[tuple[type[Object], str], Object] = {}
        self._held: dict[str, list[str]] = {}
        self._displaced: list[str] = []
        self._changed = False
        for obj in _objects(size):
            self._put(obj)

    def start(self) -> None:
        self._settle(0.0)

    def node(self, job: str, part: float) -> str:
        held = self._held.get(job, [])
        return held[int(part * len(held))] if held else ""

    def rank(self, job: str, node: str) -> int | None:
        return _rank_in(self._held.get(job, ()), node)

    def holds(self, job: str, node: str) -> bool:
        return node in self._held.get(job, ())

    def lose(self, node: str) -> None:
        self._cordon(node, on=True)

    def restore(self, node: str) -> None:
        self._cordon(node, on=False)

    def place(self, job: str, now: float) -> bool:
        """Ends the attempt as `health` does, and lets the engine decide until it has nothing to add."""
        known = self._workload(job)
        if not self._changed and self._is_admitted(known):
            return True
        if self._is_admitted(known) and not _is(known, "Evicted"):
            self._evict(known, now)
        self._settle(now)
        return self._is_admitted(self._workload(job))

    def displaced(self) -> list[str]:
        found, self._displaced = self._displaced, []
        return found

    # -- inside ------------------------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        self._changed = False
        before = {job for job, held in self._held.items() if held}
        for _ in range(ROUNDS_MAX):
            moment = EPOCH + timedelta(seconds=now)
            commands = [one for one in plan(self._state.snapshot(), moment).commands if _matters(one)]
            for command in commands:
                self._execute(command, now)
            if not commands or all(self._is_admitted(self._workload(job)) for job in self._size.jobs):
                break
        for job in self._size.jobs:
            self._held[job] = _places(self._workload(job))
            if job in before and not self._held[job]:
                self._displaced.append(job)

    def _is_admitted(self, known: Workload) -> bool:
        return known.status.admission is not None and _is(known, "Admitted")

    def _workload(self, job: str) -> Workload:
        found = self._objects[(Workload, f"default/{job}")]
        assert isinstance(found, Workload)
        return found

    def _cordon(self, name: str, *, on: bool) -> None:
        node = self._objects[(Node, name)]
        assert isinstance(node, Node)
        self._put(replace(node, spec=replace(node.spec, unschedulable=on)))
        self._changed = True

    def _evict(self, known: Workload, now: float) -> None:
        conditions = _evicted(known.status.conditions, "True", "NodeFailures", now)
        self._put(replace(known, status=replace(known.status, conditions=conditions)))

    def _put(self, obj: Object) -> None:
        key = type(obj), obj.key
        known = self._objects.get(key)
        self._objects[key] = obj
        feeds(self._state)[type(obj)](known, obj)

    def _execute(self, command: Command, now: float) -> None:
        assert isinstance(command, Apply)
        known = self._objects[(Workload, f"{command.namespace}/{command.name}")]
        assert isinstance(known, Workload)
        applied = decode(WorkloadStatus, command.fields["status"])
        said = {one.type for one in applied.conditions} | {*OWNED, "Preempted", "Requeued"}
        others = [one for one in known.status.conditions if one.type not in said]
        conditions = [*others, *applied.conditions]
        if _is(known, "Evicted", "NodeFailures"):  # `health` ends the eviction once the attempt has ended
            conditions = _evicted(conditions, "False", "Requeued", now)
        status = replace(
            known.status,
            admission=applied.admission,
            requeue_state=applied.requeue_state,
            unhealthy_nodes=applied.unhealthy_nodes,
            conditions=conditions,
        )
        self._put(replace(known, status=status))


def _matters(command: Command) -> bool:
    """Whether a command changes a Workload; events and counts of queues change nothing here."""
    return isinstance(command, Apply) and command.kind is Workload


def _is(known: Workload, type_: str, reason: str = "") -> bool:
    found = [one for one in known.status.conditions if one.type == type_ and one.status == "True"]
    return any(reason in ("", one.reason) for one in found)


def _evicted(conditions: Sequence[Condition], status: str, reason: str, now: float) -> list[Condition]:
    new = Condition(type="Evicted", status=status, reason=reason, message=reason)
    return set_condition(conditions, new, EPOCH + timedelta(seconds=now))


def _rank_in(held: Sequence[str], node: str) -> int | None:
    return held.index(node) if node in held else None


def _places(known: Workload) -> list[str]:
    admission = known.status.admission
    if admission is None:
        return []
    return [
        node
        for one in admission.pod_set_assignments
        if one.topology_assignment is not None
        for node, count in nodes_of(one.topology_assignment)
        for _ in range(count)
    ]


# -- the cluster as objects ----------------------------------------------------------------------------


def _objects(size: Size) -> Iterable[Object]:
    quota = size.all_nodes * size.gpus
    flavor = {"name": "gpus", "resources": [{"name": "nvidia.com/gpu", "nominalQuota": quota}]}
    queue = {
        "namespaceSelector": {},
        "preemption": {"withinClusterQueue": "LowerPriority"},
        "resourceGroups": [{"coveredResources": ["nvidia.com/gpu"], "flavors": [flavor]}],
    }
    levels = [{"nodeLabel": BLOCK}, {"nodeLabel": HOSTNAME}]
    yield decode(Namespace, {"metadata": {"name": "default"}})
    yield decode(Topology, {"metadata": {"name": "network"}, "spec": {"levels": levels}})
    spec = {"nodeLabels": {"pool": "gpus"}, "topologyName": "network"}
    yield decode(ResourceFlavor, {"metadata": {"name": "gpus"}, "spec": spec})
    yield decode(ClusterQueue, {"metadata": {"name": "gpus"}, "spec": queue})
    metadata = {"name": "gpus", "namespace": "default"}
    yield decode(LocalQueue, {"metadata": metadata, "spec": {"clusterQueue": "gpus"}})
    for name, block in size.names().items():
        yield _node(name, block, size.gpus)
    for number, (job, count) in enumerate(size.jobs.items()):
        yield _job(job, count, size, number)


def _node(name: str, block: str, gpus: int) -> Node:
    offered = {"nvidia.com/gpu": gpus, "pods": 110}
    metadata = {"name": name, "uid": name, "labels": {HOSTNAME: name, BLOCK: block, "pool": "gpus"}}
    ready = [{"type": "Ready", "status": "True"}]
    status = {"capacity": offered, "allocatable": offered, "conditions": ready}
    return decode(Node, {"metadata": metadata, "status": status})


def _job(name: str, count: int, size: Size, number: int) -> Workload:
    container = {"name": "node", "image": "x", "resources": {"requests": {"nvidia.com/gpu": size.gpus}}}
    template: Mapping[str, Any] = {"spec": {"containers": [container]}}
    asked: dict[str, Any] = {"unconstrained": True}
    if number == 0:
        asked = {"podSetSliceRequiredTopology": BLOCK, "podSetSliceSize": min(size.block, size.nodes)}
    pod_sets: Sequence[Any] = [
        {"name": "node", "count": count, "template": template, "topologyRequest": asked}
    ]
    metadata = {"name": name, "namespace": "default", "uid": name, "creationTimestamp": EPOCH.isoformat()}
    spec = {"podSets": pod_sets, "queueName": "gpus", "priority": 1000 if number == 0 else 0}
    return decode(Workload, {"metadata": metadata, "spec": spec})
