"""kueue.x-k8s.io/v1beta2: Workload and the queues it waits in.

`training` and others write Workloads, `scheduling` admits them, `workloads` makes their pods and
`health` evicts them. Source of names and meaning: Kueue's API of that version.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from springtide.api.affinity import Toleration
from springtide.api.flavors import (
    AdmissionCheck as AdmissionCheck,
)
from springtide.api.flavors import (
    AdmissionCheckSpec as AdmissionCheckSpec,
)
from springtide.api.flavors import (
    Cohort as Cohort,
)
from springtide.api.flavors import (
    CohortSpec as CohortSpec,
)
from springtide.api.flavors import (
    ResourceFlavor as ResourceFlavor,
)
from springtide.api.flavors import (
    ResourceFlavorSpec as ResourceFlavorSpec,
)
from springtide.api.flavors import (
    Topology as Topology,
)
from springtide.api.flavors import (
    TopologyLevel as TopologyLevel,
)
from springtide.api.flavors import (
    TopologySpec as TopologySpec,
)
from springtide.api.flavors import (
    WorkloadPriorityClass as WorkloadPriorityClass,
)
from springtide.api.listtypes import Limits, ListMap, Required
from springtide.api.meta import Condition, Object
from springtide.api.pods import PodTemplateSpec
from springtide.api.queues import NAME
from springtide.api.queues import (
    AdmissionChecksStrategy as AdmissionChecksStrategy,
)
from springtide.api.queues import (
    AdmissionCheckStrategyRule as AdmissionCheckStrategyRule,
)
from springtide.api.queues import (
    AdmissionScope as AdmissionScope,
)
from springtide.api.queues import (
    BorrowWithinCohort as BorrowWithinCohort,
)
from springtide.api.queues import (
    ClusterQueue as ClusterQueue,
)
from springtide.api.queues import (
    ClusterQueuePreemption as ClusterQueuePreemption,
)
from springtide.api.queues import (
    ClusterQueueSpec as ClusterQueueSpec,
)
from springtide.api.queues import (
    ClusterQueueStatus as ClusterQueueStatus,
)
from springtide.api.queues import (
    ConcurrentAdmissionConstraints as ConcurrentAdmissionConstraints,
)
from springtide.api.queues import (
    ConcurrentAdmissionMigration as ConcurrentAdmissionMigration,
)
from springtide.api.queues import (
    ConcurrentAdmissionPolicy as ConcurrentAdmissionPolicy,
)
from springtide.api.queues import (
    FairSharing as FairSharing,
)
from springtide.api.queues import (
    FairSharingStatus as FairSharingStatus,
)
from springtide.api.queues import (
    FlavorFungibility as FlavorFungibility,
)
from springtide.api.queues import (
    FlavorQuotas as FlavorQuotas,
)
from springtide.api.queues import (
    FlavorUsage as FlavorUsage,
)
from springtide.api.queues import (
    LocalQueue as LocalQueue,
)
from springtide.api.queues import (
    LocalQueueAdmissionFairSharingStatus as LocalQueueAdmissionFairSharingStatus,
)
from springtide.api.queues import (
    LocalQueueFairSharingStatus as LocalQueueFairSharingStatus,
)
from springtide.api.queues import (
    LocalQueueFlavorUsage as LocalQueueFlavorUsage,
)
from springtide.api.queues import (
    LocalQueueResourceUsage as LocalQueueResourceUsage,
)
from springtide.api.queues import (
    LocalQueueSpec as LocalQueueSpec,
)
from springtide.api.queues import (
    LocalQueueStatus as LocalQueueStatus,
)
from springtide.api.queues import (
    ResourceGroup as ResourceGroup,
)
from springtide.api.queues import (
    ResourceQuota as ResourceQuota,
)
from springtide.api.queues import (
    ResourceUsage as ResourceUsage,
)
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always
from springtide.api.topology import TopologyAssignment as TopologyAssignment
from springtide.api.topology import assign_devices as assign_devices
from springtide.api.topology import assign_nodes as assign_nodes
from springtide.api.topology import names_nodes as names_nodes
from springtide.api.topology import nodes_of as nodes_of
from springtide.api.topology import places_of as places_of
from springtide.api.volumes import ResourceList

DEFINITION_PREFIX = "io.x-k8s.kueue.v1beta2"

POD_SET_NAME = Limits(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
COUNT = Limits(minimum=0, format="int32")


class WorkloadCondition(StrEnum):
    """Types of conditions of a Workload."""

    QUOTA_RESERVED = "QuotaReserved"
    ADMITTED = "Admitted"
    PODS_READY = "PodsReady"
    FINISHED = "Finished"
    EVICTED = "Evicted"
    PREEMPTED = "Preempted"
    REQUEUED = "Requeued"
    DEACTIVATION_TARGET = "DeactivationTarget"
    WAITING_FOR_REPLACEMENT_PODS = "WaitingForReplacementPods"


class WorkloadReason(StrEnum):
    """Reasons of conditions of a Workload."""

    QUOTA_RESERVED = "QuotaReserved"
    ADMITTED = "Admitted"
    PENDING = "Pending"
    PENDING_EVALUATION = "PendingEvaluation"
    WAITING_FOR_QUOTA = "WaitingForQuota"
    WAITING_FOR_PREEMPTED_WORKLOADS = "WaitingForPreemptedWorkloads"
    WAITING_FOR_PODS_READY = "WaitingForPodsReady"
    NO_RESERVATION = "NoReservation"
    MISCONFIGURED = "Misconfigured"
    INADMISSIBLE = "Inadmissible"
    SUSPENDED = "Suspended"
    ON_HOLD = "OnHold"
    WAIT_FOR_START = "WaitForStart"
    WAIT_FOR_RECOVERY = "WaitForRecovery"
    STARTED = "Started"
    RECOVERED = "Recovered"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    OUT_OF_SYNC = "OutOfSync"
    OWNER_NOT_FOUND = "OwnerNotFound"
    PREEMPTED = "Preempted"
    PODS_READY_TIMEOUT = "PodsReadyTimeout"
    ADMISSION_CHECK = "AdmissionCheck"
    CLUSTER_QUEUE_STOPPED = "ClusterQueueStopped"
    LOCAL_QUEUE_STOPPED = "LocalQueueStopped"
    NODE_FAILURES = "NodeFailures"
    DEACTIVATED = "Deactivated"
    DEACTIVATED_DUE_TO_REQUEUING = "DeactivatedDueToRequeuingLimitExceeded"
    DEACTIVATED_DUE_TO_CHECK = "DeactivatedDueToAdmissionCheck"
    DEACTIVATED_DUE_TO_TIME = "DeactivatedDueToMaximumExecutionTimeExceeded"
    REACTIVATED = "Reactivated"
    REQUEUED = "Requeued"
    BACKOFF_FINISHED = "BackoffFinished"
    REQUEUING_LIMIT_EXCEEDED = "RequeuingLimitExceeded"
    MAXIMUM_EXECUTION_TIME_EXCEEDED = "MaximumExecutionTimeExceeded"
    IN_CLUSTER_QUEUE = "InClusterQueue"
    IN_COHORT_RECLAMATION = "InCohortReclamation"
    IN_COHORT_FAIR_SHARING = "InCohortFairSharing"
    IN_COHORT_RECLAIM_WHILE_BORROWING = "InCohortReclaimWhileBorrowing"
    HIGHER_PRIORITY_POD = "HigherPriorityPod"
    """Ours: a workload makes room for a plain pod that is more important than its pods."""
    PROGRAM_FAILED = "ProgramFailed"
    """Ours: an attempt is evicted because its program failed within the restart budget."""
    CONSOLIDATED = "Consolidated"
    """Ours: a workload is moved so that what is free is in one piece."""


class PodsetSliceRequiredTopologyConstraint(Struct):
    """One layer of slices."""

    topology: Annotated[str, Limits(min_length=1, max_length=63)]
    """Topology level each slice must fit into."""
    size: Annotated[int, Limits(minimum=1, format="int32")]
    """How many pods a slice of this layer has."""


class PodSetTopologyRequest(Struct):
    """How near to each other the pods of a set must be."""

    required: Annotated[str | None, Limits(max_length=63)] = None
    """Topology level one domain of which must take all pods."""
    preferred: Annotated[str | None, Limits(max_length=63)] = None
    """Topology level one domain of which should take all pods."""
    unconstrained: bool | None = None
    """Whether any place will do."""
    pod_index_label: Annotated[str | None, Limits(max_length=317)] = None
    """Label that numbers the pods."""
    sub_group_index_label: Annotated[str | None, Limits(max_length=317)] = None
    """Label that numbers the replicated jobs within the set."""
    sub_group_count: Annotated[int | None, COUNT] = None
    """How many replicated jobs there are within the set."""
    pod_set_group_name: Annotated[str | None, Limits(max_length=256)] = None
    """Pod sets of the same group get the same flavor and topology domain."""
    pod_set_slice_required_topology: Annotated[str | None, Limits(max_length=63)] = None
    """Topology level one domain of which must take each slice."""
    pod_set_slice_size: Annotated[int | None, Limits(minimum=1, format="int32")] = None
    """How many pods a slice has."""
    podset_slice_required_topology_constraints: Annotated[
        list[PodsetSliceRequiredTopologyConstraint], Limits(max_items=3)
    ] = []
    """Layers of slices, the coarsest first; instead of the two fields above."""


class PodSet(Struct):
    """Pods that are all alike."""

    name: Annotated[str, POD_SET_NAME] = "main"
    """Name, unique within the workload."""
    template: Annotated[PodTemplateSpec, Required()] = PodTemplateSpec()
    """The pods to make; only labels and annotations of its metadata count."""
    count: Annotated[int, COUNT] = 1
    """How many pods there are."""
    min_count: Annotated[int | None, Limits(minimum=1, format="int32")] = None
    """How few pods will do, for workloads that can run with fewer."""
    topology_request: PodSetTopologyRequest | None = None
    """How near to each other the pods must be."""


class PriorityClassRef(Struct):
    """The class that gives a workload its priority."""

    group: Annotated[str, Limits(enum=("kueue.x-k8s.io", "scheduling.k8s.io"))]
    """API group of the class."""
    kind: Annotated[str, Limits(enum=("WorkloadPriorityClass", "PriorityClass"))]
    """Kind of the class."""
    name: Annotated[str, Limits(min_length=1, max_length=253, pattern=NAME.pattern)]
    """Name of the class."""


class PreemptionGate(Struct):
    """Something that may hold preemption back."""

    name: Annotated[str, Limits(min_length=1, max_length=63)]
    """Name of the gate."""


class WorkloadSpec(Struct):
    """What is to run, and in which queue it waits."""

    pod_sets: Annotated[list[PodSet], ListMap("name", merge=False), Limits(min_items=1, max_items=18)] = []
    """Sets of like pods that run together or not at all; fixed once quota is reserved."""
    queue_name: Annotated[str, NAME] = ""
    """LocalQueue it waits in; fixed while it is admitted."""
    priority_class_ref: PriorityClassRef | None = None
    """The class that gives its priority."""
    priority: Annotated[int | None, Limits(format="int32")] = None
    """The higher goes first; filled in from the class."""
    active: bool = True
    """Whether it may run; false evicts it and keeps it out."""
    maximum_execution_time_seconds: Annotated[int | None, Limits(minimum=1, format="int32")] = None
    """Seconds it may be admitted before it is deactivated; no limit by default."""
    preemption_gates: Annotated[list[PreemptionGate], ListMap("name", merge=False), Limits(max_items=8)] = []
    """What may hold back preemption on its behalf."""


class PodSetAssignment(Struct):
    """What one pod set was given."""

    name: Annotated[str, POD_SET_NAME] = "main"
    """Name of the pod set."""
    flavors: dict[str, Annotated[str, NAME]] = {}
    """ResourceFlavor by resource."""
    resource_usage: ResourceList = {}
    """What all its pods together are counted with."""
    count: Annotated[int | None, COUNT] = None
    """How many pods were counted."""
    topology_assignment: TopologyAssignment | None = None
    """Which domains (here: nodes) take how many pods."""
    delayed_topology_request: Annotated[str | None, Limits(enum=("Pending", "Ready"))] = None
    """Whether the domains are still to be chosen: `Pending` or `Ready`."""


class Admission(Struct):
    """What a workload was given; its presence means quota is reserved."""

    cluster_queue: Annotated[str, NAME] = always("", required=False)
    """ClusterQueue whose quota is used."""
    pod_set_assignments: Annotated[
        list[PodSetAssignment], ListMap("name", merge=False), Limits(max_items=18)
    ] = []
    """What each pod set was given, in the order of the pod sets."""


class RequeueState(Struct):
    """How often a workload was put back into its queue."""

    count: Annotated[int | None, COUNT] = None
    """How often; here also the number of the attempt, 0 for the first."""
    requeue_at: datetime | None = None
    """When it may be considered again."""


class ReclaimablePod(Struct):
    """Pods whose quota is no longer needed."""

    name: Annotated[str, POD_SET_NAME]
    """Name of the pod set."""
    count: Annotated[int, COUNT]
    """How many of its pods are done."""


class PodSetUpdate(Struct):
    """Additions to a pod set that an admission check asks for."""

    name: Annotated[str, POD_SET_NAME]
    """Name of the pod set."""
    labels: dict[str, str] = {}
    """Labels to add."""
    annotations: dict[str, str] = {}
    """Annotations to add."""
    node_selector: dict[str, str] = {}
    """Node labels to require."""
    tolerations: Annotated[list[Toleration], Limits(max_items=8)] = []
    """Tolerations to add."""


class AdmissionCheckState(Struct):
    """Where one admission check stands."""

    name: Annotated[str, Limits(min_length=1, max_length=316)]
    """Name of the check."""
    state: Annotated[str, Limits(enum=("Pending", "Ready", "Retry", "Rejected"))]
    """`Pending`, `Ready`, `Retry` or `Rejected`."""
    last_transition_time: Annotated[datetime | None, Required()] = None
    """When the state last changed."""
    message: Annotated[str, Limits(max_length=32768)] = always("")
    """What it means, for people."""
    requeue_after_seconds: Annotated[int | None, COUNT] = None
    """Seconds to wait before a retry."""
    retry_count: Annotated[int | None, COUNT] = None
    """How often it was retried."""
    pod_set_updates: Annotated[list[PodSetUpdate], Limits(max_items=18)] = []
    """Additions to pod sets it asks for."""


class PodSetRequest(Struct):
    """What one pod set asks for."""

    name: Annotated[str, POD_SET_NAME]
    """Name of the pod set."""
    resources: ResourceList = {}
    """What all its pods together need."""


class WorkloadSchedulingStatsEviction(Struct):
    """How often a workload was evicted for a reason."""

    reason: Annotated[str, Limits(max_length=316)]
    """The reason."""
    underlying_cause: Annotated[str, Limits(max_length=316)] = always("")
    """More about the reason."""
    count: Annotated[int, COUNT] = always(0)
    """How often."""


class SchedulingStats(Struct):
    """What scheduling has seen of a workload."""

    evictions: Annotated[
        list[WorkloadSchedulingStatsEviction],
        ListMap("reason", "underlyingCause"),
        Limits(max_items=256),
    ] = []
    """Evictions by reason."""


class UnhealthyNode(Struct):
    """A failed node that had pods of a workload."""

    name: Annotated[str, Limits(max_length=63)]
    """Name of the node."""


class PreemptionGateState(Struct):
    """Where a preemption gate stands."""

    name: Annotated[str, Limits(min_length=1, max_length=63)]
    """Name of the gate."""
    position: Annotated[str, Limits(enum=("Closed", "Open"))]
    """`Closed` holds preemption back."""
    last_transition_time: Annotated[datetime | None, Required()] = None
    """When the position last changed."""


class WorkloadStatus(Struct):
    """Where a workload stands."""

    conditions: Annotated[list[Condition], ListMap("type"), Limits(max_items=16)] = []
    """`QuotaReserved`, `Admitted`, `PodsReady`, `Evicted`, `Finished` …"""
    admission: Admission | None = None
    """What it was given."""
    requeue_state: RequeueState | None = None
    """How often it was put back into its queue."""
    reclaimable_pods: Annotated[list[ReclaimablePod], ListMap("name", merge=False), Limits(max_items=18)] = []
    """Pods whose quota is no longer needed."""
    admission_checks: Annotated[list[AdmissionCheckState], ListMap("name"), Limits(max_items=8)] = []
    """Where each admission check stands."""
    resource_requests: Annotated[list[PodSetRequest], ListMap("name", merge=False), Limits(max_items=18)] = []
    """What each pod set asks for, while it waits."""
    accumulated_past_execution_time_seconds: Annotated[int | None, Limits(format="int32")] = None
    """Seconds it was admitted in earlier attempts."""
    scheduling_stats: SchedulingStats | None = None
    """What scheduling has seen of it."""
    nominated_cluster_names: Annotated[list[str], Limits(max_items=20, items=Limits(max_length=256))] = []
    """Clusters that are considered."""
    cluster_name: Annotated[str | None, Limits(max_length=256)] = None
    """Cluster it was sent to."""
    unhealthy_nodes: Annotated[list[UnhealthyNode], ListMap("name", merge=False), Limits(max_items=8)] = []
    """Failed nodes for which replacements are sought."""
    preemption_gates: Annotated[
        list[PreemptionGateState], ListMap("name", merge=False), Limits(max_items=8)
    ] = []
    """Where each preemption gate stands."""


@resource(
    plural="workloads",
    short_names=("wl", "kwl", "kueueworkload", "kueueworkloads"),
    columns=(
        Column("Queue", "string", ".spec.queueName", "LocalQueue it waits in"),
        Column("Reserved in", "string", ".status.admission.clusterQueue", "ClusterQueue whose quota it uses"),
        Column(
            "Admitted", "string", ".status.conditions[?(@.type=='Admitted')].status", "Whether it may run"
        ),
        Column(
            "Finished", "string", ".status.conditions[?(@.type=='Finished')].status", "Whether it is done"
        ),
        Column("Age", "date", ".metadata.creationTimestamp", "Time since it was made"),
    ),
)
class Workload(Object):
    """Pods that are queued, admitted and run together."""

    api_version: str = "kueue.x-k8s.io/v1beta2"
    kind: str = "Workload"
    spec: WorkloadSpec = WorkloadSpec()
    """What is to run, and in which queue it waits."""
    status: WorkloadStatus = WorkloadStatus()
    """Where it stands."""


SCHEDULER_EVICTIONS = frozenset(
    (
        WorkloadReason.PREEMPTED.value,
        WorkloadReason.PODS_READY_TIMEOUT.value,
        WorkloadReason.ADMISSION_CHECK.value,
        WorkloadReason.CLUSTER_QUEUE_STOPPED.value,
        WorkloadReason.LOCAL_QUEUE_STOPPED.value,
        WorkloadReason.CONSOLIDATED.value,
    )
)

QUEUE_EVICTIONS = frozenset(
    (
        WorkloadReason.DEACTIVATED.value,
        WorkloadReason.CLUSTER_QUEUE_STOPPED.value,
        WorkloadReason.LOCAL_QUEUE_STOPPED.value,
    )
)
"""Evictions by a person or for a queue's sake: nothing has failed."""


def is_own_eviction(reason: str) -> bool:
    """Whether the scheduler itself evicts for this reason: it also says when the eviction is over."""
    return reason in SCHEDULER_EVICTIONS or is_deactivation(reason)


def is_deactivation(reason: str) -> bool:
    """Whether a workload evicted for this reason stays out until somebody says otherwise."""
    return reason.startswith(WorkloadReason.DEACTIVATED.value)


def evictions_of(workload: Workload) -> dict[tuple[str, str], int]:
    """How often the workload was evicted, by reason and underlying cause."""
    stats = workload.status.scheduling_stats
    found = stats.evictions if stats is not None else ()
    return {(one.reason, one.underlying_cause): one.count for one in found}
