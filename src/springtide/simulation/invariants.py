"""What must always be true, checked at every committed write (architecture, "What must always be true").

`Ledger.observe` is fed every revision of the store in order, so no state in between escapes it. A violation
is recorded with the virtual time and what was seen, never raised into the code under test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any, TypeVar

from springtide.api.core import Node, Pod
from springtide.api.kueue import ClusterQueue, Workload
from springtide.api.labels import ATTEMPT, JOB_COMPLETION_INDEX, PODSET, WORKLOAD
from springtide.api.meta import Object, find_condition, is_true
from springtide.api.quantity import parse
from springtide.api.springtide import Action, Diagnosis
from springtide.api.trainer import TrainJob

T = TypeVar("T", bound=Object)

GANG_GRACE_SECONDS = 90.0
"""How long a gang may run in part while a fault is being handled (node lease 40 s, grace period, retries)."""


@dataclass(frozen=True)
class Violation:
    """One broken invariant: which, when (virtual time) and what was seen."""

    invariant: str
    at: datetime
    detail: str


@dataclass
class Ledger:
    """The state of the world as committed, and every violation seen so far."""

    restart_budget: int
    violations: list[Violation] = field(default_factory=list)
    _shelves: dict[type[Object], dict[str, Any]] = field(default_factory=dict)
    revisions: int = 0
    written: list[str] = field(default_factory=list)
    """Kind and key of every revision but heartbeats, in order."""
    _partial_since: dict[str, datetime] = field(default_factory=dict)

    def observe(self, value: Object, *, deleted: bool, now: datetime) -> None:
        """Take one committed revision into account and check what it may have broken."""
        self.revisions += 1
        if value.kind != "Lease":
            self.written.append(f"{value.kind} {value.key}")
        shelf = self.of(type(value))
        before = shelf.get(value.key)
        if deleted:
            shelf.pop(value.key, None)
        else:
            shelf[value.key] = value
        if isinstance(value, Pod):
            self._check_node(value.spec.node_name, now)
            self._check_incarnations(value, now)
        if isinstance(value, Workload) and not deleted:
            self._check_workload(before if isinstance(before, Workload) else None, value, now)
        if isinstance(value, Diagnosis) and not deleted:
            self._check_budget(value, now)
        if isinstance(value, TrainJob) and isinstance(before, TrainJob) and not deleted:
            self._check_terminal(before, value, now)

    def check_gangs(self, now: datetime, off: Collection[str] = ()) -> None:
        """Called on a timer: a gang that has been partly running for too long.

        `off` names the nodes without power: nothing runs there, whatever the last status they wrote says.
        """
        running: dict[str, int] = defaultdict(int)
        for pod in self.of(Pod).values():
            workload = pod.metadata.labels.get(WORKLOAD)
            if workload and pod.status.phase == "Running" and pod.spec.node_name not in off:
                running[f"{pod.metadata.namespace}/{workload}"] += 1
        for key, gang in self.of(Workload).items():
            size = sum(pod_set.count for pod_set in gang.spec.pod_sets)
            done = self._finished_pods(key)
            partial = 0 < running[key] < size - done
            if not partial:
                self._partial_since.pop(key, None)
                continue
            since = self._partial_since.setdefault(key, now)
            if (now - since).total_seconds() > GANG_GRACE_SECONDS:
                self._record(
                    "a gang runs whole or not at all", now, f"{key}: {running[key]} of {size} since {since}"
                )
                self._partial_since[key] = now

    def _finished_pods(self, workload_key: str) -> int:
        return sum(
            1
            for pod in self.of(Pod).values()
            if f"{pod.metadata.namespace}/{pod.metadata.labels.get(WORKLOAD)}" == workload_key
            and _terminal(pod)
        )

    def of(self, kind: type[T]) -> dict[str, T]:
        """All objects of a kind as committed, by key."""
        return self._shelves.setdefault(kind, {})

    def _check_node(self, name: str, now: datetime) -> None:
        node = self.of(Node).get(name)
        if node is None:
            return
        used: dict[str, Fraction] = defaultdict(Fraction)
        for pod in self.of(Pod).values():
            if pod.spec.node_name == name and not _terminal(pod):
                for container in pod.spec.containers:
                    for resource, quantity in container.resources.requests.items():
                        used[resource] += Fraction(parse(quantity))
        for resource, amount in used.items():
            room = Fraction(parse(node.status.allocatable.get(resource, "0")))
            if amount > room:
                self._record("no resource is given twice", now, f"{name}: {resource} {amount} of {room}")

    def _check_incarnations(self, pod: Pod, now: datetime) -> None:
        labels = pod.metadata.labels
        if WORKLOAD not in labels:
            return
        live = [
            other
            for other in self.of(Pod).values()
            if not _terminal(other)
            and other.metadata.namespace == pod.metadata.namespace
            and all(
                other.metadata.labels.get(key) == labels.get(key)
                for key in (WORKLOAD, PODSET, JOB_COMPLETION_INDEX)
            )
        ]
        if len(live) > 1:
            names = ", ".join(f"{p.metadata.name} (attempt {p.metadata.labels.get(ATTEMPT)})" for p in live)
            self._record("no two live incarnations of one rank", now, names)

    def _check_workload(self, before: Workload | None, workload: Workload, now: datetime) -> None:
        status = workload.status
        was_finished = before is not None and is_true(before.status.conditions, "Finished")
        if was_finished and not is_true(status.conditions, "Finished"):
            self._record("what is finished stays finished", now, workload.key)
        if status.admission is not None:
            self._check_quota(status.admission.cluster_queue, now)

    def _check_budget(self, diagnosis: Diagnosis, now: datetime) -> None:
        restarts = [
            other
            for other in self.of(Diagnosis).values()
            if other.metadata.namespace == diagnosis.metadata.namespace
            and other.spec.workload == diagnosis.spec.workload
            and other.metadata.owner_references == diagnosis.metadata.owner_references
            and other.spec.action != Action.FAIL_FAST
        ]
        if len(restarts) > self.restart_budget:
            detail = f"{diagnosis.metadata.namespace}/{diagnosis.spec.workload}: {len(restarts)} restarts"
            self._record("restart budgets hold", now, detail)

    def _check_quota(self, queue_name: str, now: datetime) -> None:
        queue = self.of(ClusterQueue).get(queue_name)
        if queue is None:
            return
        used: dict[str, Fraction] = defaultdict(Fraction)
        for workload in self.of(Workload).values():
            status = workload.status
            if status.admission is None or is_true(status.conditions, "Finished"):
                continue
            if status.admission.cluster_queue != queue_name:
                continue
            for assignment in status.admission.pod_set_assignments:
                for resource, quantity in assignment.resource_usage.items():
                    used[resource] += Fraction(parse(quantity))
        nominal: dict[str, Fraction] = defaultdict(Fraction)
        for group in queue.spec.resource_groups:
            for flavor in group.flavors:
                for resource_quota in flavor.resources:
                    nominal[resource_quota.name] += Fraction(parse(resource_quota.nominal_quota))
        for resource, limit in nominal.items():
            if used[resource] > limit:
                self._record("quota holds", now, f"{queue_name}: {resource} {used[resource]} of {limit}")

    def _check_terminal(self, before: TrainJob, after: TrainJob, now: datetime) -> None:
        if before.metadata.uid != after.metadata.uid:
            return
        for type_ in ("Complete", "Failed"):
            if is_true(before.status.conditions, type_):
                found = find_condition(after.status.conditions, type_)
                if found is None or found.status != "True":
                    self._record("what is finished stays finished", now, f"{after.key}: {type_}")

    def _record(self, invariant: str, now: datetime, detail: str) -> None:
        self.violations.append(Violation(invariant, now, detail))


def _terminal(pod: Pod) -> bool:
    return pod.status.phase in ("Succeeded", "Failed")


def terminal(job: TrainJob) -> bool:
    """Whether a TrainJob has ended, one way or the other."""
    return is_true(job.status.conditions, "Complete") or is_true(job.status.conditions, "Failed")
