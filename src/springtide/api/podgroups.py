"""scheduling.k8s.io/v1alpha2: PodGroup, pods that are scheduled together, and Workload, its templates.

Pods name their PodGroup in `spec.schedulingGroup.podGroupName`. `podgroups` makes a Workload of Kueue of each
PodGroup, which the engine admits whole, and says in its status where it stands. Source of names and meaning:
Kubernetes 1.36, where the kinds are alpha (feature gate GenericWorkload).
"""

from __future__ import annotations

from typing import Annotated

from springtide.api.listtypes import Limits, ListMap, Required
from springtide.api.meta import Condition, Object
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always

DEFINITION_PREFIX = "io.k8s.api.scheduling.v1alpha2"

SCHEDULED = "PodGroupScheduled"
"""Type of the condition that says whether the group has its places."""
DISRUPTION_TARGET = "DisruptionTarget"
"""Type of the condition that says that the group is being ended."""
_AGE = Column("Age", "date", ".metadata.creationTimestamp")


class BasicSchedulingPolicy(Struct):
    """Pods are scheduled one by one."""


class GangSchedulingPolicy(Struct):
    """Pods are scheduled together or not at all."""

    min_count: Annotated[int, Limits(minimum=1, format="int32")]
    """How many pods must find a place at once."""


class PodGroupSchedulingPolicy(Struct):
    """How the pods of a group are scheduled; exactly one field is set."""

    basic: BasicSchedulingPolicy | None = None
    """One by one."""
    gang: GangSchedulingPolicy | None = None
    """Together or not at all."""


class TopologyConstraint(Struct):
    """Pods of a group stay within one domain."""

    key: str
    """Node label whose value all pods of the group share."""


class PodGroupSchedulingConstraints(Struct):
    """Where the pods of a group may run."""

    topology: Annotated[list[TopologyConstraint], Limits(max_items=1)] = []
    """The domain they share; one constraint at most."""


class PodGroupResourceClaim(Struct):
    """A claim for devices that pods of a group share; exactly one of the last two fields is set."""

    name: str
    """Name of the claim within the group."""
    resource_claim_name: str | None = None
    """A ResourceClaim that exists."""
    resource_claim_template_name: str | None = None
    """A ResourceClaimTemplate of which one is made for the group."""


class WorkloadPodGroupTemplateReference(Struct):
    """A template of a Workload."""

    workload_name: str
    """Name of the Workload."""
    pod_group_template_name: str
    """Name of the template in it."""


class PodGroupTemplateReference(Struct):
    """Of which template a PodGroup was made."""

    workload: WorkloadPodGroupTemplateReference | None = None
    """A template of a Workload."""


DISRUPTION_MODE = Limits(enum=("Pod", "PodGroup"))
PRIORITY = Limits(minimum=-2_147_483_648, maximum=1_000_000_000, format="int32")


class PodGroupSpec(Struct):
    """Which rules hold for the pods of a group; fixed."""

    pod_group_template_ref: PodGroupTemplateReference | None = None
    """Of which template it was made."""
    scheduling_policy: Annotated[PodGroupSchedulingPolicy, Required()] = PodGroupSchedulingPolicy()
    """Whether its pods start together."""
    scheduling_constraints: PodGroupSchedulingConstraints | None = None
    """Where its pods may run."""
    resource_claims: Annotated[list[PodGroupResourceClaim], ListMap("name"), Limits(max_items=4)] = []
    """Devices its pods share."""
    disruption_mode: Annotated[str | None, DISRUPTION_MODE] = None
    """`Pod`: some of its pods may be ended for others; `PodGroup`: all or none. `Pod` by default."""
    priority_class_name: str = ""
    """PriorityClass that gives its priority."""
    priority: Annotated[int | None, PRIORITY] = None
    """The higher goes first."""


class PodGroupResourceClaimStatus(Struct):
    """The claim that was made of a template."""

    name: str
    """Name of the claim within the group."""
    resource_claim_name: str | None = None
    """Name of the ResourceClaim."""


class PodGroupStatus(Struct):
    """Where a group stands."""

    conditions: Annotated[list[Condition], ListMap("type")] = []
    """`PodGroupScheduled`, `DisruptionTarget`."""
    resource_claim_statuses: Annotated[
        list[PodGroupResourceClaimStatus], ListMap("name"), Limits(max_items=4)
    ] = []
    """Claims that were made of templates."""


@resource(plural="podgroups", builtin=True, columns=(_AGE,))
class PodGroup(Object):
    """Pods that are scheduled together."""

    api_version: str = "scheduling.k8s.io/v1alpha2"
    kind: str = "PodGroup"
    spec: PodGroupSpec = PodGroupSpec()
    """Which rules hold for its pods."""
    status: PodGroupStatus = PodGroupStatus()
    """Where it stands."""


class TypedLocalObjectReference(Struct):
    """An object of the same namespace."""

    api_group: str = ""
    """Its API group."""
    kind: str
    """Its kind."""
    name: str
    """Its name."""


class PodGroupTemplate(Struct):
    """A PodGroup to be made by a controller."""

    name: str
    """Name, unique within the Workload."""
    scheduling_policy: Annotated[PodGroupSchedulingPolicy, Required()] = PodGroupSchedulingPolicy()
    """Whether its pods start together."""
    scheduling_constraints: PodGroupSchedulingConstraints | None = None
    """Where its pods may run."""
    resource_claims: Annotated[list[PodGroupResourceClaim], ListMap("name"), Limits(max_items=4)] = []
    """Devices its pods share."""
    disruption_mode: Annotated[str | None, DISRUPTION_MODE] = None
    """Whether some of its pods may be ended for others, or all or none."""
    priority_class_name: str = ""
    """PriorityClass that gives its priority."""
    priority: Annotated[int | None, PRIORITY] = None
    """The higher goes first."""


class WorkloadSpec(Struct):
    """Which groups of pods there are to be; fixed."""

    controller_ref: TypedLocalObjectReference | None = None
    """What makes the pods."""
    pod_group_templates: Annotated[list[PodGroupTemplate], ListMap("name"), Limits(max_items=8)] = always([])
    """The groups."""


@resource(plural="workloads", builtin=True, columns=(_AGE,))
class Workload(Object):
    """Templates of PodGroups. Not to be confused with the Workload of Kueue."""

    api_version: str = "scheduling.k8s.io/v1alpha2"
    kind: str = "Workload"
    spec: WorkloadSpec = WorkloadSpec()
    """Which groups of pods there are to be."""
