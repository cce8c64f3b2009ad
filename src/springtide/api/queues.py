"""kueue.x-k8s.io/v1beta2: LocalQueue and ClusterQueue. Part of `springtide.api.kueue`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from springtide.api.listtypes import Default, Limits, ListMap, ListSet, Required, Rule
from springtide.api.meta import Condition, LabelSelector, Object
from springtide.api.quantity import Quantity
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always
from springtide.api.volumes import ResourceList

DEFINITION_PREFIX = "io.x-k8s.kueue.v1beta2"

NAME = Limits(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
STOP_POLICY = Limits(enum=("None", "Hold", "HoldAndDrain"))


class FairSharing(Struct):
    """How a queue shares with others."""

    weight: Annotated[Quantity | None, Default(1)] = None
    """Its share compared with others; 1 by default, 0 means only what is left."""


class LocalQueueSpec(Struct):
    """Where a local queue leads."""

    cluster_queue: Annotated[str, NAME, Rule("self == oldSelf", "field is immutable")] = ""
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


_PREFERENCE = Rule(
    "!has(self.preference) || "
    "(self.whenCanBorrow == 'TryNextFlavor' && self.whenCanPreempt == 'TryNextFlavor')",
    "preference can only be set when both whenCanBorrow and whenCanPreempt are TryNextFlavor",
)
_BORROWS_AND_RECLAIMS = Rule(
    "!(self.reclaimWithinCohort == 'Never' && has(self.borrowWithinCohort) && "
    "self.borrowWithinCohort.policy != 'Never')",
    "reclaimWithinCohort=Never and borrowWithinCohort.Policy!=Never",
)
_NO_LOANS = Rule(
    "!has(self.cohortName) && has(self.resourceGroups) ? self.resourceGroups.all(rg, "
    "rg.flavors.all(f, f.resources.all(r, !has(r.borrowingLimit)))) : true",
    "borrowingLimit must be nil when cohort is empty",
)
"""Rules of Kueue's own CRDs."""


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
    flavor_fungibility: Annotated[FlavorFungibility | None, Default({}), _PREFERENCE] = None
    """When to try the next flavor."""
    preemption: Annotated[ClusterQueuePreemption | None, Default({}), _BORROWS_AND_RECLAIMS] = None
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
    spec: Annotated[ClusterQueueSpec, _NO_LOANS] = ClusterQueueSpec()
    """How much there is, and who may use it."""
    status: ClusterQueueStatus = ClusterQueueStatus()
    """Where it stands."""
