"""A cluster of objects for tests of the engine: what a plan writes takes effect here, as on a server.

No API server and no clock: `cycle` plans on a snapshot and applies the commands at once.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from springtide.api import labels
from springtide.api.commands import Apply, Bind, Delete, Emit, Plan
from springtide.api.core import Node, Pod, PodStatus
from springtide.api.gpus import indices_in
from springtide.api.kueue import Workload, places_of
from springtide.api.meta import Condition, Object, find_condition
from springtide.api.struct import decode, encode, replace
from springtide.scheduling import ClusterState, Policy, Snapshot, plan
from springtide.scheduling.feeds import feeds
from springtide.scheduling.plan import Options
from springtide.scheduling.policies import FRAGMENTS
from springtide.scheduling.requests import pod_requests
from springtide.workloads.pods import Slot, attempt_of, pod_for
from tests.builders import at, cluster_queue, local_queue, namespace, resource_flavor


class World:
    """Objects by kind and key, and a `ClusterState` that hears of every change."""

    def __init__(self, *objects: Object, queues: bool = True) -> None:
        self.state = ClusterState()
        self.objects: dict[tuple[type[Object], str], Object] = {}
        self.clock = 0.0
        self.options: dict[str, Any] = {}
        self.add(namespace(), *(resource_flavor(name) for name in ("default", "spot", "on-demand")))
        if queues:
            self.add(cluster_queue(), local_queue())
        self.add(*objects)

    # -- changes -----------------------------------------------------------------------------------

    def add(self, *objects: Object) -> None:
        """Create or replace objects."""
        for obj in objects:
            known = self.objects.get((type(obj), obj.key))
            self.objects[(type(obj), obj.key)] = obj
            self._tell(known, obj)

    def remove(self, *objects: Object) -> None:
        """Delete objects by kind and key."""
        for obj in objects:
            known = self.objects.pop((type(obj), obj.key))
            self._tell(known, None)

    def cycle(
        self, *, policy: Policy = FRAGMENTS, refresh: bool = True, starts_max: int | None = None
    ) -> Plan:
        """One scheduling cycle, its writes included."""
        self.clock += 1
        options = Options(policy, refresh, starts_max=starts_max, **self.options)
        decided = plan(self.snapshot(), at(self.clock), options)
        for command in decided.commands:
            self.execute(command)
        return decided

    def start_pods(self, key: str) -> list[Pod]:
        """Create the pods of an admitted workload, running, as `workloads` and a node would."""
        found = self.workload(key)
        made: list[Pod] = []
        for pod_set in found.spec.pod_sets:
            for index, (node, devices, number) in enumerate(self._places(key)[pod_set.name]):
                made += [
                    self._pod_of(found, pod_set.name, f"{index}-{count}", node, devices)
                    for count in range(number)
                ]
        self.add(*made)
        return made

    # -- reading -----------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        return self.state.snapshot()

    def workload(self, key: str) -> Workload:
        found = self.objects[(Workload, key)]
        assert isinstance(found, Workload)
        return found

    def pod(self, key: str) -> Pod:
        found = self.objects[(Pod, key)]
        assert isinstance(found, Pod)
        return found

    def is_admitted(self, key: str) -> bool:
        return self.workload(key).status.admission is not None

    def condition(self, key: str, type_: str = "QuotaReserved") -> Condition:
        found = find_condition(self.workload(key).status.conditions, type_)
        assert found is not None, f"{key} has no condition {type_}"
        return found

    def placement(self, key: str) -> dict[str, dict[str, int]]:
        """Pods per node, per pod set."""
        found: dict[str, dict[str, int]] = {}
        for name, places in self._places(key).items():
            nodes = found.setdefault(name, {})
            for node, _, count in places:
                nodes[node] = nodes.get(node, 0) + count
        return found

    def devices(self, key: str) -> list[tuple[str, str]]:
        """Node and devices of each pod, as admitted."""
        places = [place for found in self._places(key).values() for place in found]
        return [(node, devices) for node, devices, count in places for _ in range(count)]

    def _places(self, key: str) -> dict[str, list[tuple[str, str, int]]]:
        admission = self.workload(key).status.admission
        assert admission is not None, self.condition(key).message
        return {
            assignment.name: places_of(assignment.topology_assignment)
            for assignment in admission.pod_set_assignments
            if assignment.topology_assignment is not None
        }

    def used(self) -> dict[str, Counter[str]]:
        """What every node holds by the objects alone: pods on it, and admitted pods still to come."""
        held: dict[str, Counter[str]] = {}
        exist: Counter[tuple[str, str, str]] = Counter()
        for obj in self.objects.values():
            if isinstance(obj, Pod) and obj.spec.node_name:
                name, part = (
                    obj.metadata.labels.get(labels.WORKLOAD, ""),
                    obj.metadata.labels.get(labels.PODSET, ""),
                )
                exist[(f"{obj.metadata.namespace}/{name}", part, obj.spec.node_name)] += 1
                if obj.status.phase not in ("Succeeded", "Failed"):
                    held.setdefault(obj.spec.node_name, Counter()).update(pod_requests(obj.spec))
        for obj in self.objects.values():
            if isinstance(obj, Workload) and obj.status.admission is not None and not self._finished(obj):
                for pod_set in obj.spec.pod_sets:
                    for node, number in self.placement(obj.key)[pod_set.name].items():
                        missing = max(0, number - exist[(obj.key, pod_set.name, node)])
                        for _ in range(missing):
                            held.setdefault(node, Counter()).update(pod_requests(pod_set.template.spec))
        return held

    # -- inside ------------------------------------------------------------------------------------

    def _finished(self, obj: Workload) -> bool:
        found = find_condition(obj.status.conditions, "Finished")
        return found is not None and found.status == "True"

    def _tell(self, old: Any, new: Any) -> None:
        feeds(self.state)[type(new if new is not None else old)](old, new)

    def execute(self, command: object) -> None:
        match command:
            case Bind(namespace=where, pod=name, node=node, notes=notes):
                found = self.pod(f"{where}/{name}")
                annotations = {**found.metadata.annotations, **notes}
                metadata = replace(found.metadata, annotations=annotations)
                self.add(replace(found, metadata=metadata, spec=replace(found.spec, node_name=node)))
            case Apply(kind=kind, namespace=where, name=name, fields={"metadata": {"annotations": told}}):
                found_one = self.objects[(kind, f"{where}/{name}")]
                annotations = {**found_one.metadata.annotations, **told}
                self.add(replace(found_one, metadata=replace(found_one.metadata, annotations=annotations)))
            case Apply(kind=kind, namespace=where, name=name, fields=fields):
                self._apply(kind, f"{where}/{name}" if where else name, fields["status"])
            case Delete(kind=kind, namespace=where, name=name):
                doomed = self.objects[(kind, f"{where}/{name}")]
                metadata = replace(doomed.metadata, deletion_timestamp=at(self.clock))
                self.add(replace(doomed, metadata=metadata))
            case Emit():
                pass
            case _:
                raise AssertionError(f"the scheduler never does {command}")

    def _apply(self, kind: type[Object], key: str, applied: dict[str, Any]) -> None:
        """Server-side apply by the manager `scheduling`: what it owns and leaves out goes."""
        raw = encode(self.objects[(kind, key)])
        status = raw.setdefault("status", {})
        owned = {"QuotaReserved", "Admitted", "PodScheduled", "Active", "UnsupportedFields", "Preempted"}
        if "conditions" not in applied:  # the status of a Queue is the scheduler's as a whole
            status.clear()
        owned |= {condition["type"] for condition in applied.get("conditions", ())}
        others = [c for c in status.get("conditions", []) if c["type"] not in owned]
        owned |= {"Requeued", "DeactivationTarget"}
        others = [c for c in others if c["type"] not in owned]
        for field in (
            "nominatedNodeName",
            "admission",
            "requeueState",
            "schedulingStats",
            "unhealthyNodes",
            "admissionChecks",
            "accumulatedPastExecutionTimeSeconds",
            "flavorsReservation",
            "flavorsUsage",
        ):
            status.pop(field, None)
        status.update(applied)
        if "conditions" in applied:
            status["conditions"] = others + applied["conditions"]
        self.add(decode(kind, raw))

    def _pod_of(self, owner: Workload, pod_set: str, suffix: str, node: str, devices: str) -> Pod:
        named = next(found for found in owner.spec.pod_sets if found.name == pod_set)
        name = f"{owner.metadata.name}-{pod_set}-{suffix}-{attempt_of(owner)}"
        there = self.objects.get((Node, node))
        slot = Slot(named, 0, node, "", name, indices_in(devices))
        made = pod_for(owner, slot, there if isinstance(there, Node) else None)
        metadata = replace(made.metadata, uid=f"uid-{made.key}", creation_timestamp=at(self.clock))
        return replace(made, metadata=metadata, status=PodStatus(phase="Running"))
