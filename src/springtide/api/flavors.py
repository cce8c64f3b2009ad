"""kueue.x-k8s.io/v1beta2: what queues refer to. Part of `springtide.api.kueue`.

ResourceFlavors and Topologies say which nodes there are, Cohorts which queues share, and the other two what
else decides about a workload. `scheduling` reads all of them.
"""

from __future__ import annotations

from typing import Annotated

from springtide.api.affinity import Toleration
from springtide.api.listtypes import Default, Limits, ListMap, Required, Rule
from springtide.api.meta import Condition, Object
from springtide.api.nodes import Taint
from springtide.api.quantity import Quantity
from springtide.api.queues import NAME, FairSharing, FairSharingStatus, ResourceGroup
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always

DEFINITION_PREFIX = "io.x-k8s.kueue.v1beta2"

_QUALIFIED = Limits(
    min_length=1,
    max_length=316,
    pattern=(
        r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
        r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
    ),
)
_AGE = Column("Age", "date", ".metadata.creationTimestamp", "Time since it was made")


class CohortSpec(Struct):
    """What the queues of a cohort share."""

    parent_name: Annotated[str, NAME] = ""
    """Cohort it is part of; none for the root of a tree."""
    resource_groups: Annotated[list[ResourceGroup], Limits(max_items=16)] = []
    """Quota for all below it, besides the queues' own."""
    fair_sharing: FairSharing | None = None
    """How it shares with other cohorts and queues of its parent."""


class CohortStatus(Struct):
    """Where a cohort stands."""

    fair_sharing: FairSharingStatus | None = None
    """Where it stands in sharing."""


@resource(plural="cohorts", namespaced=False, columns=(_AGE,))
class Cohort(Object):
    """Queues and cohorts that lend to each other what they do not use."""

    api_version: str = "kueue.x-k8s.io/v1beta2"
    kind: str = "Cohort"
    spec: CohortSpec = CohortSpec()
    """What its members share."""
    status: CohortStatus = CohortStatus()
    """Where it stands."""


class ResourceFlavorSpec(Struct):
    """Which nodes are of a flavor."""

    node_labels: Annotated[dict[str, str], Limits(max_properties=8)] = {}
    """Labels of its nodes; its pods run on nodes that have all of them."""
    node_taints: Annotated[
        list[Taint],
        Limits(max_items=8),
        Rule(
            "self.all(x, x.effect in ['NoSchedule', 'PreferNoSchedule', 'NoExecute'])",
            "supported taint effect values: 'NoSchedule', 'PreferNoSchedule', 'NoExecute'",
        ),
    ] = []
    """Taints of its nodes, which pods must tolerate to be given the flavor."""
    tolerations: Annotated[
        list[Toleration],
        Limits(max_items=8),
        Rule(
            "self.all(x, !has(x.key) ? x.operator == 'Exists' : true)",
            "operator must be Exists when 'key' is empty, which means 'match all values and all keys'",
        ),
        Rule(
            "self.all(x, has(x.tolerationSeconds) ? x.effect == 'NoExecute' : true)",
            "effect must be 'NoExecute' when 'tolerationSeconds' is set",
        ),
        Rule(
            "self.all(x, !has(x.operator) || x.operator in ['Equal', 'Exists'])",
            "supported toleration values: 'Equal'(default), 'Exists'",
        ),
        Rule(
            "self.all(x, has(x.operator) && x.operator == 'Exists' ? !has(x.value) : true)",
            "a value must be empty when 'operator' is 'Exists'",
        ),
        Rule(
            "self.all(x, !has(x.effect) || x.effect in ['NoSchedule', 'PreferNoSchedule', 'NoExecute'])",
            "supported taint effect values: 'NoSchedule', 'PreferNoSchedule', 'NoExecute'",
        ),
    ] = []
    """Tolerations that its pods are given."""
    topology_name: Annotated[str | None, NAME] = None
    """Topology of its nodes."""
    resource_weights: Annotated[dict[str, Quantity], Limits(max_properties=16)] = {}
    """How much more than 1 a resource of this flavor counts in fair sharing."""


_LABELLED = Rule(
    "!has(self.topologyName) || self.nodeLabels.size() >= 1",
    "at least one nodeLabel is required when topology is set",
)
_FIXED = Rule(
    "!has(oldSelf.topologyName) || self == oldSelf",
    "resourceFlavorSpec are immutable when topologyName is set",
)


@resource(
    plural="resourceflavors", namespaced=False, short_names=("flavor", "flavors", "rf"), columns=(_AGE,)
)
class ResourceFlavor(Object):
    """A sort of nodes that quota is counted for."""

    api_version: str = "kueue.x-k8s.io/v1beta2"
    kind: str = "ResourceFlavor"
    spec: Annotated[ResourceFlavorSpec, _LABELLED, _FIXED] = ResourceFlavorSpec()
    """Which nodes."""


class TopologyLevel(Struct):
    """One level of a topology."""

    node_label: Annotated[str, _QUALIFIED, Required()] = ""
    """Label whose value names a node's domain."""


class TopologySpec(Struct):
    """How nodes are near to each other."""

    levels: Annotated[
        list[TopologyLevel],
        Limits(min_items=1, max_items=16),
        Required(),
        Rule("self == oldSelf", "field is immutable"),
        Rule("size(self.filter(i, size(self.filter(j, j == i)) > 1)) == 0", "must be unique"),
        Rule(
            "size(self.filter(i, i.nodeLabel == 'kubernetes.io/hostname')) == 0 || "
            "self[size(self) - 1].nodeLabel == 'kubernetes.io/hostname'",
            "the kubernetes.io/hostname label can only be used at the lowest level of topology",
        ),
    ] = []
    """Levels, the widest first."""


@resource(plural="topologies", namespaced=False, columns=(_AGE,))
class Topology(Object):
    """Which nodes are near to each other: racks, blocks and the like."""

    api_version: str = "kueue.x-k8s.io/v1beta2"
    kind: str = "Topology"
    spec: Annotated[TopologySpec, Required()] = TopologySpec()
    """Its levels."""


@resource(
    plural="workloadpriorityclasses",
    namespaced=False,
    columns=(Column("Value", "integer", ".value", "The priority it gives"), _AGE),
)
class WorkloadPriorityClass(Object):
    """A priority in queues, which pods do not have."""

    api_version: str = "kueue.x-k8s.io/v1beta2"
    kind: str = "WorkloadPriorityClass"
    value: Annotated[int, Limits(format="int32")] = always(0)
    """The priority it gives; the higher goes first."""
    description: Annotated[str, Limits(max_length=2048)] = ""
    """When to use it."""


class AdmissionCheckParametersReference(Struct):
    """The object that configures a check."""

    api_group: Annotated[str, NAME]
    """Its API group."""
    kind: Annotated[str, Limits(max_length=63, pattern=r"^(?i)[a-z]([-a-z0-9]*[a-z0-9])?$")]
    """Its kind."""
    name: Annotated[str, Limits(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    """Its name."""


class AdmissionCheckSpec(Struct):
    """Who makes a check."""

    controller_name: Annotated[str, Required(), Rule("self == oldSelf", "field is immutable")] = ""
    """The controller that sets the check's state on workloads."""
    retry_delay_minutes: Annotated[int | None, Default(15)] = None
    """Minutes before a failed check is made again; deprecated."""
    parameters: AdmissionCheckParametersReference | None = None
    """The object that configures it."""


class AdmissionCheckStatus(Struct):
    """Where a check stands."""

    conditions: Annotated[list[Condition], ListMap("type")] = []
    """`Active`: whether its controller is ready."""


@resource(plural="admissionchecks", namespaced=False, columns=(_AGE,))
class AdmissionCheck(Object):
    """Something besides quota that must hold before a workload is admitted."""

    api_version: str = "kueue.x-k8s.io/v1beta2"
    kind: str = "AdmissionCheck"
    spec: AdmissionCheckSpec = AdmissionCheckSpec()
    """Who makes it."""
    status: AdmissionCheckStatus = AdmissionCheckStatus()
    """Where it stands."""
