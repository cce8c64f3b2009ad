"""The cluster, kept current change by change: what is allocated where, who waits, which queues there are.

`controller` feeds it every change its informers see and asks it for a `Snapshot` before each cycle.
Nothing is rebuilt per pod: a change touches the rows of the nodes it concerns, and a snapshot copies arrays.

Allocation is counted once: a pod bound to a node and not terminal holds its requests; an admitted
workload holds, per pod set and node, those of its assigned pods that do not exist yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from operator import attrgetter

from springtide.api import labels
from springtide.api.core import Namespace, Node, Pod
from springtide.api.hypernodes import HyperNode
from springtide.api.kueue import Workload
from springtide.api.policy import PodDisruptionBudget
from springtide.api.scheduling import PriorityClass
from springtide.api.volcano import Queue
from springtide.scheduling.assumed import Assumed, Assumptions
from springtide.scheduling.budgets import Budget, budget_of
from springtide.scheduling.checkpoints import Checkpoints
from springtide.scheduling.classes import PodClass
from springtide.scheduling.devices import DeviceRequest
from springtide.scheduling.facts import (
    PodFacts,
    WorkloadFacts,
    is_same_pod,
    is_same_workload,
    pod_facts,
    told_anew,
    workload_facts,
)
from springtide.scheduling.finished import Finished
from springtide.scheduling.fragments import Demand
from springtide.scheduling.imaging import Imaging
from springtide.scheduling.inventory import Inventory
from springtide.scheduling.ledger import Ledger
from springtide.scheduling.members import Members
from springtide.scheduling.neighbours import Neighbours, sorted_pod, sorted_workload
from springtide.scheduling.network import HyperNodes
from springtide.scheduling.nodes import NodeFacts, Nodes, facts_of
from springtide.scheduling.plainpods import RunningPods, is_to_be_deleted
from springtide.scheduling.priorities import PriorityBook
from springtide.scheduling.queuebooks import QueueBooks, key_of
from springtide.scheduling.releasing import Held, PodSetOnNode, held_by, held_by_pods
from springtide.scheduling.snapshot import Snapshot
from springtide.scheduling.stranded import is_held, may_be_held
from springtide.scheduling.templates import Templates
from springtide.scheduling.usage import Spells
from springtide.scheduling.volcano_ledger import VolcanoLedger
from springtide.scheduling.volumes import Volumes, claimed_pod, claimed_workload, has_claims

_IN_LINE = attrgetter("order")
"""Sorts those who wait or run: the first in the queue first."""


class ClusterState:
    """Applies changes; yields snapshots. `version` moves whenever a snapshot would differ."""

    def __init__(
        self,
        scheduler_names: frozenset[str] = frozenset((labels.SCHEDULER_NAME,)),
        *,
        provisioned: bool = False,
    ) -> None:
        """`scheduler_names`: plain pods that name one of these in `spec.schedulerName` are placed here.

        `provisioned`: somebody binds claims to volumes, and pods wait for it; else nodes serve claims.
        """
        self.version = 0
        self._scheduler_names = scheduler_names
        self._ledger = Ledger()
        self._neighbours = Neighbours()
        self.volumes = Volumes(self._note_storage, provisioned=provisioned)
        """Takes in what changes of claims, volumes, their classes and drivers."""
        self.queues = QueueBooks(self._note)
        """Takes in what changes of queues and what belongs to them."""
        self._with_claims: dict[str, PodFacts] = {}
        self._running = RunningPods()
        self._budgets: dict[str, Budget] = {}
        self._priorities = PriorityBook()
        self._inventory = Inventory()
        self._checkpoints = Checkpoints()
        self._finished = Finished()
        self._spells = Spells()
        self._nodes = Nodes()
        self._node_facts: dict[str, NodeFacts] = {}
        self._changed_nodes: set[str] = set()
        self._node_set_changed = False
        self._pods: dict[str, PodFacts] = {}
        self._waiting_pods: dict[str, PodFacts] = {}
        self.put_off: set[str] = set()
        """Keys of waiting pods that snapshots leave out for a while (see `refusals`)."""
        self._bound = Assumptions()
        self._workloads: dict[str, WorkloadFacts] = {}
        self._templates = Templates()
        self._pods_of: dict[str, set[str]] = {}
        self._created: dict[str, Counter[tuple[int, str, str]]] = {}
        self._members = Members()
        self._ending: dict[str, PodFacts] = {}
        self._gone: dict[str, Counter[tuple[int, PodSetOnNode]]] = {}
        self._demands: Counter[tuple[int, DeviceRequest | None]] = Counter()
        self._usage: dict[str, Counter[tuple[str, str]]] = {}
        self._hyper_nodes = HyperNodes()
        self._volcano = VolcanoLedger()
        self._imaging = Imaging()

    # -- changes -----------------------------------------------------------------------------------

    def change_node(self, old: Node | None, new: Node | None) -> None:
        """A node came, changed or went. Heartbeats change nothing here."""
        name = key_of(old, new)
        if new is None:
            if self._node_facts.pop(name, None) is not None:
                self._node_set_changed = True
                self._ledger.offer(name, {})
                self.version += 1
            return
        facts = facts_of(new)
        known = self._node_facts.get(name)
        if facts == known:
            return
        self._node_facts[name] = facts
        self._imaging.note(facts)
        if known is None:
            self._node_set_changed = True
        else:
            self._changed_nodes.add(name)
        self._ledger.offer(name, {**facts.allocatable, **self.volumes.attachable(name)})
        self.version += 1

    def change_pod(self, old: Pod | None, new: Pod | None) -> None:
        """A pod came, changed or went."""
        key = key_of(old, new)
        before = self._pods.pop(key, None)
        self._waiting_pods.pop(key, None)
        if before is not None and before.member_of:
            self._members.discard(before)
        after = None
        if new is not None:
            assumed = self._bound.of(key, new)
            after = pod_facts(new, before, assumed.node, self._scheduler_names, assumed.notes)
            after = claimed_pod(sorted_pod(after, self._neighbours, before), self.volumes)
            after = self._imaging.of_pod(after)
            self._pods[key] = after
            if has_claims(new.spec):
                self._with_claims[key] = after
            if after.waits:
                self._waiting_pods[key] = after
            elif after.member_of:
                self._members.add(after)
        else:
            self._bound.forget(key)
            self._with_claims.pop(key, None)
        same = is_same_pod(before, after)
        if same and after is not None and not after.workload and not after.ending:
            self._running.renew(after)
            return  # what a plain pod holds stands as counted: most changes only confirm a binding
        if before is not None:
            self._count_pod(before, -1)
        if after is not None:
            self._count_pod(after, +1)
        if not same:
            self.version += 1

    def change_workload(self, old: Workload | None, new: Workload | None) -> None:
        """A workload came, changed or went."""
        key = key_of(old, new)
        before = self._workloads.get(key)
        told = told_anew(before, new) if before is not None and new is not None else None
        if told is not None:
            self._workloads[key] = told
            self.version += 1
            return
        self._workloads.pop(key, None)
        after = workload_facts(new, self._templates.pod_sets_of) if new is not None else None
        if after is not None:
            after = claimed_workload(sorted_workload(after, self._neighbours), self.volumes)
        after = self._imaging.of_workload(after)
        self._finished.change_workload(before, old, new)
        self._spells.change_workload(before, new, self.queues.tree())
        moved = self._volcano.change_workload(key, new, after)
        if after is not None:
            self._workloads[key] = after
        if before is not None and after is not None and before.pod_sets is after.pod_sets:
            self._recount_workload(before, after)
        else:
            if before is not None:
                self._count_workload(before, -1)
            if after is not None:
                self._count_workload(after, +1)
        if moved or not is_same_workload(before, after):
            self.version += 1

    def change_queue(self, old: Queue | None, new: Queue | None) -> None:
        """A Queue of Volcano came, changed or went."""
        if self._volcano.change_queue(key_of(old, new), new):
            self.version += 1

    def change_hyper_node(self, old: HyperNode | None, new: HyperNode | None) -> None:
        """A HyperNode came, changed or went."""
        if self._hyper_nodes.change(old, new):
            self.version += 1

    def _note(self) -> None:
        self.version += 1

    def _note_storage(self, nodes_offer_more: bool) -> None:
        self.version += 1
        for name, facts in self._node_facts.items() if nodes_offer_more else ():
            self._ledger.offer(name, {**facts.allocatable, **self.volumes.attachable(name)})

    def change_budget(self, old: PodDisruptionBudget | None, new: PodDisruptionBudget | None) -> None:
        """A PodDisruptionBudget came, changed or went."""
        key, budget = key_of(old, new), budget_of(new) if new is not None else None
        if self._budgets.get(key) == budget:
            return
        if budget is None:
            del self._budgets[key]
        else:
            self._budgets[key] = budget
        self.version += 1

    def change_priority_class(self, old: PriorityClass | None, new: PriorityClass | None) -> None:
        """A PriorityClass came, changed or went."""
        self._priorities.change(old, new)
        self.version += 1

    def change_namespace(self, old: Namespace | None, new: Namespace | None) -> None:
        """A namespace came, changed its labels or went."""
        labels = new.metadata.labels if new is not None else None
        self._neighbours.change_namespace(key_of(old, new), labels)
        self.queues.change_namespace(key_of(old, new), labels)

    def assume_bound(
        self, namespace: str, pod: str, uid: str, node: str, notes: Mapping[str, str] | None = None
    ) -> None:
        """Count a pod on a node from the moment the binding is written, before the watch shows it.

        `notes` are the annotations that the binding gives it: they say which devices it holds.
        """
        key = f"{namespace}/{pod}"
        facts = self._pods.get(key)
        if facts is not None and facts.obj.metadata.uid == uid and not facts.node:
            self._bound.add(key, Assumed(uid, node, notes or {}))
            self.change_pod(facts.obj, facts.obj)

    def forget_bound(self, namespace: str, pod: str, uid: str) -> None:
        """Take back `assume_bound` after the write failed."""
        key = f"{namespace}/{pod}"
        facts = self._pods.get(key)
        if self._bound.take_back(key, uid) and facts is not None:
            self.change_pod(facts.obj, facts.obj)

    def add_like(self, node: str, count: int, *, after: int = 0) -> None:
        """As if there were so many more nodes like this one, beside `after` added before: for trials."""
        known = self._node_facts[node]
        for index in range(after, after + count):
            name = f"{node}+{index + 1}"
            marks = {**known.labels, labels.HOSTNAME: name}
            self._node_facts[name] = replace(known, name=name, labels=marks)
            self._ledger.offer(name, known.allocatable)
        self._node_set_changed = True
        self.version += 1

    def remove_like(self, node: str, count: int) -> None:
        """Take back what `add_like` added."""
        for index in range(count):
            name = f"{node}+{index + 1}"
            del self._node_facts[name]
            self._ledger.offer(name, {})
        self._node_set_changed = True
        self.version += 1

    # -- reading -----------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The cluster as of now."""
        self._refresh_nodes()
        if self.volumes.stale or self._imaging.stale:
            self._claim_anew()
        if self._neighbours.stale:
            self._sort_anew()
        names = [facts.name for facts in self._nodes.facts]
        resources, capacity, allocated = self._ledger.arrays(names)
        devices, devices_when_empty = self._inventory.devices(self._nodes.facts)
        waiting: list[WorkloadFacts] = []
        admitted: list[WorkloadFacts] = []
        for facts in self._workloads.values():
            (waiting if facts.obj.status.admission is None else admitted).append(facts)
        waiting.sort(key=_IN_LINE)
        admitted.sort(key=_IN_LINE)
        with_pods = (self._workloads[key] for key in self._pods_of if key in self._workloads)
        restarting = (facts for facts in with_pods if facts.admission is None or is_held(facts.obj))
        pods_of = {facts.key: found for facts in restarting if (found := self._left_of(facts.key))}
        return Snapshot(
            nodes=self._nodes,
            hyper_nodes=self._hyper_nodes.objects(),
            resources=resources,
            capacity=capacity,
            allocated=allocated,
            devices=devices,
            devices_when_empty=devices_when_empty,
            demands=tuple(Demand(cpu, asked, often) for (cpu, asked), often in self._demands.items()),
            waiting=tuple(waiting),
            admitted=tuple(admitted),
            pods=tuple(
                sorted((p for k, p in self._waiting_pods.items() if k not in self.put_off), key=_IN_LINE)
            ),
            pods_of=pods_of,
            lingering={key: self._held_by(key) for key in pods_of},
            running=self._running.by_node(),
            doomed=tuple(pod for key, pod in sorted(self._ending.items()) if is_to_be_deleted(pod)),
            unmade=tuple(pod for _, pod in sorted(self._with_claims.items()) if pod.unmade),
            claims_in_use=frozenset(
                key for pod in self._with_claims.values() if pod.holds for key in pod.storage.exclusive
            ),
            budgets=tuple(budget for _, budget in sorted(self._budgets.items())),
            priorities=self._priorities.priorities(),
            neighbourhood=self._neighbours.neighbourhood(),
            queues=self._volcano.join(self.queues.tree(), resources, capacity),
            volcano=self._volcano.books(),
            cooling=self._volcano.cooling(self._workloads),
            queue_objects=self.queues.objects,
            cohort_objects=self.queues.cohorts,
            usage={queue: dict(+used) for queue, used in self._usage.items() if +used},
            releasing=tuple(self._releasing()),
            gone={key: self._gone_of(key) for key in self._gone if key in self._workloads},
            checkpoints=self._checkpoints.newest(),
            history=self._finished.history(),
            spells=self._spells.since_sampled(self.queues.local_queues),
            members=self._members.waiting(self._workloads, self._seats),
        )

    # -- inside ------------------------------------------------------------------------------------

    def _refresh_nodes(self) -> None:
        if self._node_set_changed:
            self._nodes = Nodes(tuple(self._node_facts[name] for name in sorted(self._node_facts)))
        elif self._changed_nodes:
            self._nodes = self._nodes.with_changes(
                {name: self._node_facts[name] for name in self._changed_nodes}
            )
        self._node_set_changed = False
        self._changed_nodes.clear()
        self._nodes = self._hyper_nodes.over(self._nodes)

    def _count_pod(self, pod: PodFacts, sign: int) -> None:
        if pod.holds and pod.pod_class is not None:
            self._ledger.take(pod.node, pod.pod_class, sign)
            self._neighbours.count(pod.pod_class, pod.node, sign, leaving=pod.ending)
            if not pod.workload and not pod.ending:
                self._running.note(pod, sign)
        self._inventory.count_pod(pod, sign)
        self._checkpoints.count_pod(pod, sign)
        self._count_ending(pod, sign)
        if pod.workload:
            self._count_created(pod, sign)
        elif pod.pod_class is not None and (pod.holds or pod.waits):
            self._count_demand(pod.pod_class, sign)

    def _claim_anew(self) -> None:
        """Claims or volumes changed, or images count now: pods that this concerns are looked at again."""
        imaged, self.volumes.stale, self._imaging.stale = self._imaging.stale, False, False
        for pod in list({**self._with_claims, **(self._waiting_pods if imaged else {})}.values()):
            self.change_pod(pod.obj, pod.obj)
        for workload in list(self._workloads.values()):
            if imaged or any(has_claims(one.template.spec) for one in workload.obj.spec.pod_sets):
                self.change_workload(workload.obj, workload.obj)

    def _sort_anew(self) -> None:
        """Labels count that did not: every pod and pod set gets the sort it has now."""
        self._neighbours.begin_anew()
        for key, pod in self._pods.items():
            found = self._pods[key] = sorted_pod(pod, self._neighbours)
            if key in self._waiting_pods:
                self._waiting_pods[key] = found
            if key in self._ending:
                self._ending[key] = found
            self._running.renew(found)
            if found.holds and found.pod_class is not None:
                self._neighbours.count(found.pod_class, found.node, 1, leaving=found.ending)
        for key, workload in self._workloads.items():
            self._workloads[key] = sorted_workload(workload, self._neighbours)
            for pod_set in self._workloads[key].pod_sets if workload.admission is not None else ():
                for name, node in workload.assigned:
                    if name == pod_set.name:
                        missing = self._missing(workload, (name, node))
                        self._neighbours.count(pod_set.pod_class, node, missing)

    def _count_created(self, pod: PodFacts, sign: int) -> None:
        """A pod that exists no longer needs its workload's reservation, and the other way round.

        One that failed does: its place is that of the next attempt's until the gang gives it back.
        """
        members = self._pods_of.setdefault(pod.workload, set())
        created = self._created.setdefault(pod.workload, Counter())
        attempt, pod_set, node = pod.cell
        workload = self._workloads.get(pod.workload)
        reserves = workload is not None and attempt == workload.attempt
        before = self._missing(workload, (pod_set, node)) if workload is not None and reserves else 0
        if not pod.failed:
            created[pod.cell] += sign
        if sign > 0:
            members.add(pod.key)
        else:
            members.discard(pod.key)
        if workload is not None and reserves:
            self._reserve(workload, pod_set, node, self._missing(workload, (pod_set, node)) - before)
        if not members:
            del self._pods_of[pod.workload], self._created[pod.workload]

    def _count_ending(self, pod: PodFacts, sign: int) -> None:
        if pod.ending and sign > 0:
            self._ending[pod.key] = pod
        else:
            self._ending.pop(pod.key, None)
        if pod.workload and not pod.failed and (pod.ending or not pod.holds):
            gone = self._gone.setdefault(pod.workload, Counter())
            attempt, pod_set, node = pod.cell
            key = attempt, (pod_set, node, pod.devices)
            gone[key] += sign
            if not gone[key]:
                del gone[key]
            if not gone:
                del self._gone[pod.workload]

    def _gone_of(self, workload: str) -> dict[PodSetOnNode, int]:
        attempt = self._workloads[workload].attempt
        return {cell: count for (of, cell), count in self._gone.get(workload, {}).items() if of == attempt}

    def _releasing(self) -> Iterator[Held]:
        """What is ending: pods being deleted, what evicted workloads hold, what ended attempts left."""
        yield from held_by_pods(self._ending.values())
        for facts in self._workloads.values():
            if facts.obj.status.admission is None:
                if facts.key in self._pods_of:
                    left = (self._pods[key] for key in self._pods_of[facts.key])
                    yield from held_by_pods(pod for pod in left if not pod.ending)
            elif facts.evicted is not None and not may_be_held(facts):
                yield from held_by(facts, self._gone_of(facts.key))
            elif facts.key in self._pods_of and facts.is_elastic:
                yield from held_by_pods(self._surplus(facts))

    def _surplus(self, facts: WorkloadFacts) -> Iterator[PodFacts]:
        """Pods of an elastic workload on places that it has no more."""
        places = Counter(facts.assigned)
        for key in sorted(self._pods_of[facts.key]):
            pod = self._pods[key]
            attempt, pod_set, node = pod.cell
            if attempt != facts.attempt or not node:
                continue
            places[pod_set, node] -= 1
            if places[pod_set, node] < 0 and pod.holds and not pod.ending:
                yield pod

    def _count_demand(self, pod_class: PodClass, pods: int) -> None:
        """What sorts of pods there are: the best guess at those still to come."""
        sort = pod_class.cpu, pod_class.devices
        self._demands[sort] += pods
        if not self._demands[sort]:
            del self._demands[sort]

    def _count_workload(self, workload: WorkloadFacts, sign: int) -> None:
        for facts in workload.pod_sets:
            self._count_demand(facts.pod_class, sign * facts.count)
        self._inventory.count_workload(workload, sign)
        self._count_usage(workload, sign)
        for pod_set, node in workload.assigned:
            self._reserve(workload, pod_set, node, sign * self._missing(workload, (pod_set, node)))

    def _recount_workload(self, before: WorkloadFacts, after: WorkloadFacts) -> None:
        """It asks for the same as before: only places that differ are counted, of thousands mostly none."""
        self._inventory.recount_workload(before, after)
        self._count_usage(before, -1)
        self._count_usage(after, +1)
        if before.assigned == after.assigned and before.attempt == after.attempt:
            return
        for cell in {**before.assigned, **after.assigned}:
            pods = self._missing(after, cell) - self._missing(before, cell)
            if pods:
                self._reserve(after, *cell, pods)

    def _count_usage(self, workload: WorkloadFacts, sign: int) -> None:
        """What it takes of its queue's quota; nothing without an admission."""
        if workload.admission is None:
            return
        used = self._usage.get(workload.admission.cluster_queue)
        if used is None:
            used = self._usage[workload.admission.cluster_queue] = Counter()
        for cell, amount in workload.usage.items():
            used[cell] += sign * amount

    def _missing(self, workload: WorkloadFacts, cell: tuple[str, str]) -> int:
        created = self._created.get(workload.key)
        exist = created[(workload.attempt, *cell)] if created is not None else 0
        return max(0, workload.assigned.get(cell, 0) - exist)

    def _reserve(self, workload: WorkloadFacts, pod_set: str, node: str, pods: int) -> None:
        pod_class = next((found.pod_class for found in workload.pod_sets if found.name == pod_set), None)
        if pod_class is not None:
            self._ledger.take(node, pod_class, pods)
            self._neighbours.count(pod_class, node, pods)

    def _left_of(self, workload: str) -> int:
        """How many of its pods there are that must be gone before it may start anew."""
        pods = (self._pods[key] for key in self._pods_of.get(workload, ()))
        return sum(1 for pod in pods if pod.holds or not pod.member_of)

    def _seats(self, workload: WorkloadFacts) -> Counter[PodSetOnNode]:
        """The places of a workload's current attempt that are taken by pods there are."""
        found: Counter[PodSetOnNode] = Counter()
        for key in self._pods_of.get(workload.key, ()):
            pod = self._pods[key]
            attempt, pod_set, node = pod.cell
            if attempt == workload.attempt and node:
                held = pod.holding is not None and pod.holding.indices
                found[pod_set, node, pod.devices if held else ""] += 1
        return found

    def _held_by(self, workload: str) -> Mapping[str, int]:
        held: Counter[str] = Counter()
        for key in self._pods_of[workload]:
            pod = self._pods[key]
            if pod.holds and pod.pod_class is not None:
                held.update(pod.pod_class.amounts)
        return dict(held)
