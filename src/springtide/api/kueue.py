"""kueue.x-k8s.io/v1beta2: Workload and the queues it waits in.

`training` and others write Workloads, `scheduling` admits them, `workloads` makes their pods and
`health` evicts them. Source of names and meaning: Kueue's API of that version.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from springtide.api.affinity import Toleration
from springtide.api.listtypes import Default, Limits, ListMap, ListSet, Required
from springtide.api.meta import Condition, LabelSelector, Object
from springtide.api.pods import PodTemplateSpec
from springtide.api.quantity import Quantity
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always
from springtide.api.topology import TopologyAssignment as TopologyAssignment
from springtide.api.topology import assign_nodes as assign_nodes
from springtide.api.topology import nodes_of as nodes_of
from springtide.api.volumes import ResourceList

DEFINITION_PREFIX = "io.x-k8s.kueue.v1beta2"

NAME = Limits(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
POD_SET_NAME = Limits(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
STOP_POLICY = Limits(enum=("None", "Hold", "HoldAndDrain"))
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
    REACTIVATED = "Reactivated"
    REQUEUED = "Requeued"
    BACKOFF_FINISHED = "BackoffFinished"
    REQUEUING_LIMIT_EXCEEDED = "RequeuingLimitExceeded"
    MAXIMUM_EXECUTION_TIME_EXCEEDED = "MaximumExecutionTimeExceeded"
    IN_CLUSTER_QUEUE = "InClusterQueue"
    IN_COHORT_RECLAMATION = "InCohortReclamation"
    IN_COHORT_FAIR_SHARING = "InCohortFairSharing"
    IN_COHORT_RECLAIM_WHILE_BORROWING = "InCohortReclaimWhileBorrowing"
    PROGRAM_FAILED = "ProgramFailed"
    """Ours: an attempt is evicted because its program failed within the restart budget."""


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


class FairSharing(Struct):
    """How a queue shares with others."""

    weight: Annotated[Quantity | None, Default(1)] = None
    """Its share compared with others; 1 by default, 0 means only what is left."""


class LocalQueueSpec(Struct):
    """Where a local queue leads."""

    cluster_queue: Annotated[str, NAME] = ""
    """ClusterQueue whose quota its workloads use."""
    stop_policy: Annotated[str | None, STOP_POLICY, Default("None")] = None
    """`Hold` admits nothing more; `HoldAndDrain` evicts too; `None` by default."""
    fair_sharing: FairSharing | None = None
    """How it shares with other local queues."""


class LocalQueueResourceUsage(Struct):
    """How much of a resource is used."""

    name: str
    """Name of the resource."""
    total: Quantity = ""
    """How much."""


class LocalQueueFlavorUsage(Struct):
    """How much of a flavor is used."""

    name: Annotated[str, NAME]
    """Name of the flavor."""
    resources: Annotated[
        list[LocalQueueResourceUsage], ListMap("name", merge=False), Limits(max_items=64)
    ] = always([])
    """By resource."""


class LocalQueueAdmissionFairSharingStatus(Struct):
    """What a local queue has used lately."""

    consumed_resources: ResourceList = always({})
    """Decayed use by resource."""
    last_update: Annotated[datetime | None, Required()] = None
    """When that was computed."""


class LocalQueueFairSharingStatus(Struct):
    """Where a local queue stands in sharing."""

    weighted_share: int = always(0)
    """Use above nominal quota divided by weight."""
    admission_fair_sharing_status: LocalQueueAdmissionFairSharingStatus | None = None
    """What it has used lately."""


class LocalQueueStatus(Struct):
    """Where a local queue stands."""

    conditions: Annotated[list[Condition], ListMap("type"), Limits(max_items=16)] = []
    """`Active`: whether it can admit."""
    pending_workloads: Annotated[int, Limits(format="int32")] = 0
    """Workloads that wait."""
    reserving_workloads: Annotated[int, Limits(format="int32")] = 0
    """Workloads with quota."""
    admitted_workloads: Annotated[int, Limits(format="int32")] = 0
    """Workloads that are admitted and not finished."""
    flavors_reservation: Annotated[
        list[LocalQueueFlavorUsage], ListMap("name", merge=False), Limits(max_items=64)
    ] = []
    """Reserved quota by flavor."""
    flavors_usage: Annotated[
        list[LocalQueueFlavorUsage], ListMap("name", merge=False), Limits(max_items=64)
    ] = []
    """Used quota by flavor."""
    fair_sharing: LocalQueueFairSharingStatus | None = None
    """Where it stands in sharing."""


@resource(
    plural="localqueues",
    short_names=("queue", "queues", "lq"),
    columns=(
        Column("ClusterQueue", "string", ".spec.clusterQueue", "ClusterQueue it leads to"),
        Column("Pending Workloads", "integer", ".status.pendingWorkloads", "Workloads that wait"),
        Column("Admitted Workloads", "integer", ".status.admittedWorkloads", "Workloads that are admitted"),
    ),
)
class LocalQueue(Object):
    """The queue of a namespace; it leads to a ClusterQueue."""

    api_version: str = "kueue.x-k8s.io/v1beta2"
    kind: str = "LocalQueue"
    spec: LocalQueueSpec = LocalQueueSpec()
    """Where it leads."""
    status: LocalQueueStatus = LocalQueueStatus()
    """Where it stands."""


class ResourceQuota(Struct):
    """How much of one resource there is."""

    name: str
    """Name of the resource."""
    nominal_quota: Quantity = always("0")
    """How much belongs to the queue."""
    borrowing_limit: Quantity | None = None
    """How much it may borrow from its cohort; without limit by default."""
    lending_limit: Quantity | None = None
    """How much its cohort may borrow from it; all by default."""


class FlavorQuotas(Struct):
    """How much of one flavor there is."""

    name: Annotated[str, NAME]
    """Name of the ResourceFlavor."""
    resources: Annotated[
        list[ResourceQuota], ListMap("name", merge=False), Limits(min_items=1, max_items=64)
    ] = always([])
    """By resource, in the order of `coveredResources`."""


class ResourceGroup(Struct):
    """Resources that come in the same flavors."""

    covered_resources: Annotated[list[str], Limits(min_items=1, max_items=64)] = always([])
    """Names of the resources."""
    flavors: Annotated[
        list[FlavorQuotas], ListMap("name", merge=False), Limits(min_items=1, max_items=64)
    ] = always([])
    """The flavors, in the order in which they are tried."""


class FlavorFungibility(Struct):
    """When to try the next flavor."""

    when_can_borrow: Annotated[str, Limits(enum=("MayStopSearch", "TryNextFlavor"))] = "MayStopSearch"
    """What to do when borrowing in this flavor would do."""
    when_can_preempt: Annotated[str, Limits(enum=("MayStopSearch", "TryNextFlavor"))] = "TryNextFlavor"
    """What to do when preemption in this flavor would do."""
    preference: Annotated[str | None, Limits(enum=("BorrowingOverPreemption", "PreemptionOverBorrowing"))] = (
        None
    )
    """Which of the two is rather done."""


class BorrowWithinCohort(Struct):
    """Whether a workload that borrows may preempt."""

    policy: Annotated[str, Limits(enum=("Never", "LowerPriority"))] = "Never"
    """`Never`, or workloads of `LowerPriority`."""
    max_priority_threshold: Annotated[int | None, Limits(format="int32")] = None
    """Highest priority that may be preempted so."""


class ClusterQueuePreemption(Struct):
    """Whom workloads of a queue may push out."""

    reclaim_within_cohort: Annotated[str, Limits(enum=("Never", "LowerPriority", "Any"))] = "Never"
    """Whom to push out of other queues to get one's own quota back."""
    borrow_within_cohort: Annotated[BorrowWithinCohort | None, Default({})] = None
    """Whom to push out of other queues in order to borrow."""
    within_cluster_queue: Annotated[
        str, Limits(enum=("Never", "LowerPriority", "LowerOrNewerEqualPriority"))
    ] = "Never"
    """Whom to push out of the same queue."""


class AdmissionCheckStrategyRule(Struct):
    """When an admission check holds."""

    name: Annotated[str, Limits(min_length=1, max_length=316)]
    """Name of the check."""
    on_flavors: Annotated[list[str], ListSet(), Limits(max_items=64, items=NAME)] = []
    """Flavors it holds for; all by default."""


class AdmissionChecksStrategy(Struct):
    """Which admission checks hold."""

    admission_checks: Annotated[
        list[AdmissionCheckStrategyRule],
        ListMap("name", merge=False),
        Limits(min_items=1, max_items=64),
    ] = always([])
    """The checks."""


class AdmissionScope(Struct):
    """Which local queues compete by use."""

    admission_mode: Annotated[str, Limits(enum=("UsageBasedAdmissionFairSharing", "NoAdmissionFairSharing"))]
    """`UsageBasedAdmissionFairSharing` or `NoAdmissionFairSharing`."""


class ConcurrentAdmissionConstraints(Struct):
    """Limits of a migration between flavors."""

    last_acceptable_flavor_name: Annotated[str | None, NAME] = None
    """Last flavor of the list that is acceptable."""


class ConcurrentAdmissionMigration(Struct):
    """Whether an admitted workload moves to a better flavor."""

    mode: Annotated[str, Limits(enum=("TryPreferredFlavors", "RetainFirstAdmission"))]
    """`TryPreferredFlavors` or `RetainFirstAdmission`."""
    constraints: ConcurrentAdmissionConstraints | None = None
    """Limits of it."""


class ConcurrentAdmissionPolicy(Struct):
    """Whether a workload is tried in several flavors at once."""

    migration: ConcurrentAdmissionMigration
    """Whether it moves to a better flavor later."""


class ClusterQueueSpec(Struct):
    """How much there is, and who may use it."""

    resource_groups: Annotated[list[ResourceGroup], Limits(max_items=16)] = []
    """Quota; a queue without any is limited by the nodes alone."""
    cohort_name: Annotated[str, NAME] = ""
    """Cohort whose queues may borrow from each other."""
    queueing_strategy: Annotated[str, Limits(enum=("StrictFIFO", "BestEffortFIFO"))] = "BestEffortFIFO"
    """Whether a workload that does not fit holds up the ones behind: `StrictFIFO`, or `BestEffortFIFO`."""
    namespace_selector: LabelSelector | None = None
    """Namespaces that may use it; none by default, all with `{}`."""
    flavor_fungibility: Annotated[FlavorFungibility | None, Default({})] = None
    """When to try the next flavor."""
    preemption: Annotated[ClusterQueuePreemption | None, Default({})] = None
    """Whom its workloads may push out."""
    admission_checks_strategy: AdmissionChecksStrategy | None = None
    """Which admission checks hold."""
    stop_policy: Annotated[str | None, STOP_POLICY, Default("None")] = None
    """`Hold` admits nothing more; `HoldAndDrain` evicts too; `None` by default."""
    fair_sharing: FairSharing | None = None
    """How it shares with other queues of its cohort."""
    admission_scope: AdmissionScope | None = None
    """Which local queues compete by use."""
    concurrent_admission_policy: ConcurrentAdmissionPolicy | None = None
    """Whether a workload is tried in several flavors at once."""


class ResourceUsage(Struct):
    """How much of a resource is used."""

    name: str
    """Name of the resource."""
    total: Quantity = ""
    """How much, borrowed included."""
    borrowed: Quantity = ""
    """How much of it is borrowed."""


class FlavorUsage(Struct):
    """How much of a flavor is used."""

    name: Annotated[str, NAME]
    """Name of the flavor."""
    resources: Annotated[list[ResourceUsage], ListMap("name", merge=False), Limits(max_items=64)] = []
    """By resource."""


class FairSharingStatus(Struct):
    """Where a queue stands in sharing."""

    weighted_share: int = always(0)
    """Use above nominal quota divided by weight."""


class ClusterQueueStatus(Struct):
    """Where a queue stands."""

    conditions: Annotated[list[Condition], ListMap("type"), Limits(max_items=16)] = []
    """`Active`: whether it can admit."""
    flavors_reservation: Annotated[list[FlavorUsage], ListMap("name", merge=False), Limits(max_items=64)] = []
    """Reserved quota by flavor."""
    flavors_usage: Annotated[list[FlavorUsage], ListMap("name", merge=False), Limits(max_items=64)] = []
    """Used quota by flavor."""
    pending_workloads: Annotated[int, Limits(format="int32")] = 0
    """Workloads that wait."""
    reserving_workloads: Annotated[int, Limits(format="int32")] = 0
    """Workloads with quota."""
    admitted_workloads: Annotated[int, Limits(format="int32")] = 0
    """Workloads that are admitted and not finished."""
    fair_sharing: FairSharingStatus | None = None
    """Where it stands in sharing."""


@resource(
    plural="clusterqueues",
    namespaced=False,
    short_names=("cq",),
    columns=(
        Column("Cohort", "string", ".spec.cohortName", "Cohort it belongs to"),
        Column("Strategy", "string", ".spec.queueingStrategy", "Order of its workloads", priority=1),
        Column("Pending Workloads", "integer", ".status.pendingWorkloads", "Workloads that wait"),
        Column(
            "Admitted Workloads",
            "integer",
            ".status.admittedWorkloads",
            "Workloads that are admitted",
            priority=1,
        ),
    ),
)
class ClusterQueue(Object):
    """A share of the cluster, and the workloads that wait for it."""

    api_version: str = "kueue.x-k8s.io/v1beta2"
    kind: str = "ClusterQueue"
    spec: ClusterQueueSpec = ClusterQueueSpec()
    """How much there is, and who may use it."""
    status: ClusterQueueStatus = ClusterQueueStatus()
    """Where it stands."""
