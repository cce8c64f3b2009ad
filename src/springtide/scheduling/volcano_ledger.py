"""Volcano's Queues and who stands in them, kept current change by change; and the status of Queues.

Part of the cluster state, which asks it for the Queues' part of the tree before each cycle; what a Queue says
of itself is written by the cycle at its end. Nothing is done here while there is no Queue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced

from springtide.api import labels
from springtide.api.commands import Apply, Command, Emit
from springtide.api.kueue import Workload
from springtide.api.meta import find_condition, is_true
from springtide.api.struct import encode, replace
from springtide.api.volcano import PodGroupPhase, Queue, QueueState, QueueStatus
from springtide.scheduling.arrays import Ints
from springtide.scheduling.cohorts import Cell
from springtide.scheduling.facts import WorkloadFacts
from springtide.scheduling.queues import FlavorFacts, QueueTree
from springtide.scheduling.quota import total_requests
from springtide.scheduling.requests import PODS, quantities
from springtide.scheduling.volcano_queues import (
    FLAVOR,
    ROOT,
    Dialect,
    VolcanoQueue,
    dialect_of,
    ineffective_fields,
    queue_facts,
)

Total = tuple[tuple[str, int], ...]

_STARTED = (PodGroupPhase.INQUEUE, PodGroupPhase.RUNNING, PodGroupPhase.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Standing:
    """A workload in a Queue."""

    queue: str
    phase: PodGroupPhase
    asks: tuple[tuple[str, int], ...]
    """What it asks for; nothing if it is done or not active."""


@dataclass(frozen=True)
class QueueBooks:
    """The Queues at one moment, for what their status says."""

    objects: tuple[Queue, ...]
    standing: Mapping[str, Standing]
    """By key of the workload."""
    dialect: Dialect
    priorities: Mapping[str, int] = field(default_factory=dict)
    """Of Queues that have one."""

    def commands(
        self,
        usage: Mapping[str, Mapping[Cell, int]],
        admitted: Mapping[str, Mapping[Cell, int]],
        ended: Mapping[str, Mapping[Cell, int]],
    ) -> Iterator[Command]:
        """One status for each Queue that says something else so far.

        `usage` is what is held, by ClusterQueue; this cycle has admitted and ended workloads, each with what
        it holds.
        """
        tallies = self._tallies(usage, admitted, ended)
        for obj in self.objects:
            status = self._status(obj, tallies[obj.metadata.name])
            if encode(status) == encode(obj.status):
                continue
            name, fields = obj.metadata.name, {"status": encode(status)}
            yield Apply(Queue, "", name, fields, subresource="status", uid=obj.metadata.uid)
            vain = ineffective_fields(obj) if not obj.status.state else []
            if vain:
                note = f"No effect: {'; '.join(vain)}"
                yield Emit(obj, "UnsupportedFields", note, type="Warning", action="Queueing")
            why = self.dialect.direct.get(name)
            if status.state == QueueState.UNKNOWN != obj.status.state and why is not None:
                note = why if isinstance(why, str) else why.message
                yield Emit(obj, "Misconfigured", note, type="Warning", action="Queueing")

    def _tallies(
        self,
        usage: Mapping[str, Mapping[Cell, int]],
        admitted: Mapping[str, Mapping[Cell, int]],
        ended: Mapping[str, Mapping[Cell, int]],
    ) -> dict[str, _Tally]:
        found = {obj.metadata.name: _Tally() for obj in self.objects}
        parents = {obj.metadata.name: obj.spec.parent or ROOT for obj in self.objects}
        for key, one in self.standing.items():
            phase = one.phase
            phase = PodGroupPhase.INQUEUE if key in admitted else phase
            phase = PodGroupPhase.PENDING if key in ended else phase
            for name in _upwards(one.queue, parents):
                found[name].phases[phase] += 1
                _add(found[name].allocated, admitted.get(key, {}), +1)
                _add(found[name].allocated, ended.get(key, {}), -1)
        for name in list(found):
            direct = self.dialect.direct.get(name)
            if isinstance(direct, str):
                for above in _upwards(name, parents):
                    _add(found[above].allocated, usage.get(direct, {}), +1)
        return found

    def _status(self, obj: Queue, tally: _Tally) -> QueueStatus:
        phases = tally.phases
        return replace(
            obj.status,
            state=self._state(obj, tally),
            unknown_groups=phases[PodGroupPhase.UNKNOWN],
            pending=phases[PodGroupPhase.PENDING],
            running=phases[PodGroupPhase.RUNNING],
            inqueue=phases[PodGroupPhase.INQUEUE],
            completed=phases[PodGroupPhase.COMPLETED],
            allocated=dict(quantities(+tally.allocated)),
        )

    def _state(self, obj: Queue, tally: _Tally) -> str:
        if obj.metadata.name in self.dialect.lost or queue_facts(obj).error:
            return QueueState.UNKNOWN.value
        if obj.status.state not in (QueueState.CLOSED, QueueState.CLOSING):
            return QueueState.OPEN.value
        runs = any(tally.phases[phase] for phase in _STARTED)
        return QueueState.CLOSING.value if runs else QueueState.CLOSED.value


@dataclass
class _Tally:
    phases: Counter[PodGroupPhase] = field(default_factory=Counter)
    allocated: Counter[str] = field(default_factory=Counter)


class VolcanoLedger:
    """Takes in changes of Queues and workloads."""

    def __init__(self) -> None:
        self._objects: dict[str, Queue] = {}
        self._queues: dict[str, VolcanoQueue] = {}
        self._standing: dict[str, Standing] = {}
        self._asked: dict[str, Counter[str]] = {}
        self._cooling: set[str] = set()
        self._version = 0
        self._dialect = Dialect()
        nothing = QueueTree()
        self._joined: tuple[QueueTree, int, Total, QueueTree] = nothing, 0, (), nothing

    def change_queue(self, name: str, new: Queue | None) -> bool:
        """Take in a Queue; whether that changes more than what it says of itself."""
        known = self._queues.pop(name, None)
        self._objects.pop(name, None)
        if new is not None:
            self._objects[name] = new
            self._queues[name] = queue_facts(new)
        changed = known != self._queues.get(name)
        self._version += changed
        return changed

    def change_workload(self, key: str, new: Workload | None, facts: WorkloadFacts | None) -> bool:
        """Take in a workload, `facts` if it is unfinished; whether its place in a Queue has changed."""
        if new is not None and labels.COOLDOWN_TIME in new.metadata.annotations:
            self._cooling.add(key)
        else:
            self._cooling.discard(key)
        before = self._standing.pop(key, None)
        after = _standing(new, facts)
        if after is not None:
            self._standing[key] = after
        if before == after:
            return False
        if (before and (before.queue, before.asks)) != (after and (after.queue, after.asks)):
            self._ask(before, -1)
            self._ask(after, +1)
        return bool(self._queues)

    def join(self, tree: QueueTree, resources: Sequence[str], capacity: Ints) -> QueueTree:
        """The tree with the Queues in it; the same object as long as nothing about it changes.

        `capacity` is what the nodes have, nodes × resources.
        """
        if not self._queues:
            return tree
        total = tuple(zip(resources, capacity.sum(axis=0).tolist(), strict=True))
        known, version, of, joined = self._joined
        if known is tree and (version, of) == (self._version, total):
            return joined
        self._dialect = dialect_of(self._queues, dict(total), self._asked, tree.cluster_queues)
        joined = replaced(
            tree,
            cluster_queues={**tree.cluster_queues, **self._dialect.cluster_queues},
            cohorts={**tree.cohorts, **self._dialect.cohorts},
            flavors={FLAVOR: FlavorFacts(), **tree.flavors},
            direct=self._dialect.direct,
        )
        self._joined = tree, self._version, total, joined
        return joined

    def books(self) -> QueueBooks | None:
        """What the status of Queues is made from, as of the last `join`; None without any."""
        if not self._queues:
            return None
        objects = tuple(self._objects[name] for name in sorted(self._objects))
        prior = {name: queue.priority for name, queue in self._queues.items() if queue.priority}
        return QueueBooks(objects, dict(self._standing), self._dialect, prior)

    def cooling(self, workloads: Mapping[str, WorkloadFacts]) -> tuple[WorkloadFacts, ...]:
        """Admitted workloads that say how long they run before they may be preempted."""
        found = (workloads[key] for key in sorted(self._cooling) if key in workloads)
        return tuple(facts for facts in found if facts.admission is not None)

    def _ask(self, one: Standing | None, sign: int) -> None:
        if one is None or not one.asks:
            return
        asked = self._asked.setdefault(one.queue, Counter())
        for name, amount in one.asks:
            asked[name] += sign * amount
        self._version += 1


def _standing(obj: Workload | None, facts: WorkloadFacts | None) -> Standing | None:
    if obj is None or labels.VOLCANO_QUEUE not in obj.metadata.annotations:
        return None
    asks: tuple[tuple[str, int], ...] = ()
    if facts is not None and obj.spec.active:
        total = total_requests(facts.pod_sets)
        asks = tuple(sorted((name, amount) for name, amount in total.items() if amount and name != PODS))
    return Standing(obj.metadata.annotations[labels.VOLCANO_QUEUE] or "default", phase_of(obj), asks)


def phase_of(obj: Workload) -> PodGroupPhase:
    """The phase that a PodGroup of this workload is in."""
    if is_true(obj.status.conditions, "Finished"):
        return PodGroupPhase.COMPLETED
    if obj.status.admission is None:
        return PodGroupPhase.PENDING
    ready = find_condition(obj.status.conditions, "PodsReady")
    if ready is not None and ready.status == "True":
        return PodGroupPhase.RUNNING
    recovers = ready is not None and ready.reason == "WaitForRecovery"
    return PodGroupPhase.UNKNOWN if recovers else PodGroupPhase.INQUEUE


def _upwards(name: str, parents: Mapping[str, str]) -> Iterator[str]:
    """A Queue that exists, and those above it that do."""
    seen: set[str] = set()
    while name in parents and name not in seen:
        seen.add(name)
        yield name
        name = parents[name]


def _add(found: Counter[str], cells: Mapping[Cell, int], sign: int) -> None:
    for (_, name), amount in cells.items():
        found[name] += sign * amount
