"""Which kinds the engine looks at, and what takes in each: one table for all who feed a `ClusterState`.

The controller feeds it by watching, `springtide plan` and `explain` by listing once, tests by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from springtide.api import labels
from springtide.api.core import Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod
from springtide.api.hypernodes import HyperNode
from springtide.api.kueue import (
    AdmissionCheck,
    ClusterQueue,
    Cohort,
    LocalQueue,
    ResourceFlavor,
    Topology,
    Workload,
)
from springtide.api.meta import Object
from springtide.api.policy import PodDisruptionBudget
from springtide.api.scheduling import PriorityClass
from springtide.api.storage import CSINode, StorageClass
from springtide.api.volcano import Queue
from springtide.scheduling.state import ClusterState

OWN = frozenset((labels.SCHEDULER_NAME,))
EMBEDDED = OWN | {"default-scheduler", labels.VOLCANO_SCHEDULER}
"""The embedded control plane has no other scheduler: pods that name none, or Volcano's, are placed too."""
Change = Callable[[Any, Any], None]
"""Takes in what an object was (None: it came) and what it is now (None: it went)."""


def feeds(state: ClusterState) -> Mapping[type[Object], Change]:
    """By kind, what takes in its changes; in the order in which they are best taken in at first."""
    return {
        Namespace: state.change_namespace,
        Topology: state.queues.change_topology,
        HyperNode: state.change_hyper_node,
        ResourceFlavor: state.queues.change_flavor,
        AdmissionCheck: state.queues.change_check,
        Cohort: state.queues.change_cohort,
        ClusterQueue: state.queues.change_cluster_queue,
        LocalQueue: state.queues.change_local_queue,
        Queue: state.change_queue,
        StorageClass: state.volumes.change_class,
        CSINode: state.volumes.change_csi_node,
        PersistentVolume: state.volumes.change_volume,
        PersistentVolumeClaim: state.volumes.change_claim,
        Node: state.change_node,
        PodDisruptionBudget: state.change_budget,
        PriorityClass: state.change_priority_class,
        Workload: state.change_workload,
        Pod: state.change_pod,
    }


def state_of(objects: Iterable[Object], *, embedded: bool = True) -> ClusterState:
    """A state that knows these objects. Raises KeyError for a kind the engine does not look at.

    `embedded`: whether they are of the embedded control plane. It has no other scheduler, so that pods that
    name none are placed too; and nobody binds claims to volumes: nodes serve them.
    """
    state = ClusterState(EMBEDDED if embedded else OWN, provisioned=not embedded)
    change = feeds(state)
    for obj in objects:
        change[type(obj)](None, obj)
    return state
