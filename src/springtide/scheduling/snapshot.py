"""One consistent picture of the cluster: what a cycle decides on. Immutable; made by `ClusterState`.

Arrays have one row a node (in the order of `nodes`) and one column a resource (`resources`), in the units
of `requests`: CPU in thousandths, everything else whole. Two snapshots of equal clusters are equal
whatever order the changes came in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from springtide.api.hypernodes import HyperNode
from springtide.api.kueue import ClusterQueue, Cohort, LocalQueue
from springtide.scheduling.arrays import Ints
from springtide.scheduling.budgets import Budget
from springtide.scheduling.devices import Devices
from springtide.scheduling.durations import History
from springtide.scheduling.facts import PodFacts, WorkloadFacts
from springtide.scheduling.fragments import Demand
from springtide.scheduling.inventory import devices_of
from springtide.scheduling.members import Seating
from springtide.scheduling.neighbours import Neighbourhood
from springtide.scheduling.nodes import NodeFacts, Nodes
from springtide.scheduling.priorities import PodPriorities, Standing
from springtide.scheduling.queues import QueueTree
from springtide.scheduling.releasing import Held, PodSetOnNode
from springtide.scheduling.usage import Spell
from springtide.scheduling.volcano_ledger import QueueBooks


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The cluster at one moment."""

    nodes: Nodes
    resources: tuple[str, ...]
    capacity: Ints
    """Allocatable, nodes × resources."""
    allocated: Ints
    """Taken by pods bound to the node and not terminal, and by admitted pods that are not created yet."""
    devices: Devices
    """What of the nodes' devices is free. Not to be changed: `copy` it."""
    devices_when_empty: Devices
    """What the nodes' devices are with nothing on them."""
    demands: tuple[Demand, ...] = ()
    """The sorts of pods that the cluster sees, and how often."""
    waiting: tuple[WorkloadFacts, ...] = ()
    """Workloads without an admission, first in the queue first."""
    admitted: tuple[WorkloadFacts, ...] = ()
    """Unfinished workloads with an admission."""
    pods: tuple[PodFacts, ...] = ()
    """Plain pods that wait for a node, first in the queue first."""
    pods_of: Mapping[str, int] = field(default_factory=dict)
    """How many pods of a waiting workload still exist, of whatever attempt and phase."""
    lingering: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """What the pods of a waiting workload's ended attempt still hold, by workload."""
    running: Mapping[str, Mapping[str, PodFacts]] = field(default_factory=dict)
    """Plain pods that run and are not ending, by node and key."""
    doomed: tuple[PodFacts, ...] = ()
    """Plain pods that were told that they go for others, and are not deleted yet."""
    unmade: tuple[PodFacts, ...] = ()
    """Pods with a node whose volumes are to be made there, of which nobody has told the provisioner."""
    claims_in_use: frozenset[str] = frozenset()
    """Claims for one pod alone that a pod has."""
    budgets: tuple[Budget, ...] = ()
    """How many pods of an application may be away."""
    priorities: PodPriorities = field(default_factory=PodPriorities)
    """How important the pods of workloads are."""
    neighbourhood: Neighbourhood | None = None
    """Which sorts of pods stand where; None where no pod asks about others."""
    queues: QueueTree = field(default_factory=QueueTree)
    hyper_nodes: tuple[HyperNode, ...] = ()
    """The HyperNodes as last seen, for what their status says."""
    queue_objects: tuple[ClusterQueue | LocalQueue, ...] = ()
    """The queues as last seen, for what their status says."""
    cohort_objects: tuple[Cohort, ...] = ()
    """The same of Cohorts."""
    volcano: QueueBooks | None = None
    """The same of Queues of Volcano; None without any."""
    cooling: tuple[WorkloadFacts, ...] = ()
    """Admitted workloads that say themselves how long they run before they may be preempted."""
    usage: Mapping[str, Mapping[tuple[str, str], int]] = field(default_factory=dict)
    """Quota reserved per ClusterQueue and (flavor, resource) by admitted workloads."""
    releasing: tuple[Held, ...] = ()
    """What pods hold that are ending: deleted, of an evicted workload, or of an ended attempt."""
    gone: Mapping[str, Mapping[PodSetOnNode, int]] = field(default_factory=dict)
    """Pods of admitted workloads that exist and hold nothing any more, or are ending, by workload."""
    members: Mapping[str, Seating] = field(default_factory=dict)
    """Pods of groups that have no node yet, by the Workload that stands for the group."""
    checkpoints: Mapping[str, datetime] = field(default_factory=dict)
    """When workloads last saved their work, of those that say so."""
    history: History = field(default_factory=History)
    """How long work took that has finished."""
    spells: tuple[Spell, ...] = ()
    """What workloads held that ended, of LocalQueues that share by use, since these were last sampled."""

    def against_pods(self, facts: WorkloadFacts) -> Standing | None:
        """How a workload stands against plain pods; None where there are none."""
        return self.priorities.standing(facts.obj) if self.running or self.pods else None

    def node_named(self, name: str) -> NodeFacts | None:
        """The node of a name."""
        return next((one for one in self.nodes.facts if one.name == name), None)


def idle_cluster(nodes: Sequence[NodeFacts], demands: Iterable[Demand] = ()) -> Snapshot:
    """Nodes with nothing on them and nobody waiting: for replays and benchmarks. Nodes name their devices."""
    facts = tuple(nodes)
    resources = tuple(sorted({name for node in facts for name in node.allocatable}))
    capacity = np.array(
        [[node.allocatable.get(name, 0) for name in resources] for node in facts], dtype=np.int64
    ).reshape(len(facts), len(resources))
    devices = devices_of(facts, np.zeros(len(facts), dtype=np.int64))
    return Snapshot(
        nodes=Nodes(facts),
        resources=resources,
        capacity=capacity,
        allocated=np.zeros_like(capacity),
        devices=devices,
        devices_when_empty=devices,
        demands=tuple(demands),
    )
