"""core/v1: where a pod may run. Part of `springtide.api.core`; read by the scheduler."""

from __future__ import annotations

from typing import Annotated, ClassVar

from springtide.api.listtypes import MapAtomic
from springtide.api.meta import LabelSelector
from springtide.api.struct import Struct

DEFINITION_PREFIX = "io.k8s.api.core.v1"


class NodeSelectorRequirement(Struct):
    """One condition on a label or field of a node."""

    key: str
    """Label key, or field path in `matchFields`."""
    operator: str
    """`In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`."""
    values: list[str] = []
    """Values to compare with; one integer for `Gt` and `Lt`."""


class NodeSelectorTerm(Struct):
    """Nodes that meet every condition; an empty term matches none."""

    atomic: ClassVar[bool] = True

    match_expressions: list[NodeSelectorRequirement] = []
    """Conditions on labels."""
    match_fields: list[NodeSelectorRequirement] = []
    """Conditions on fields; only `metadata.name` exists."""


class NodeSelector(Struct):
    """Nodes that match at least one term."""

    atomic: ClassVar[bool] = True

    node_selector_terms: list[NodeSelectorTerm]
    """The alternatives."""


class PreferredSchedulingTerm(Struct):
    """A wish about nodes."""

    weight: int
    """How strong the wish is, from 1 to 100."""
    preference: NodeSelectorTerm
    """Nodes that are liked."""


class NodeAffinity(Struct):
    """Which nodes a pod needs or likes."""

    required_during_scheduling_ignored_during_execution: Annotated[NodeSelector | None, MapAtomic()] = None
    """Nodes the pod may be placed on."""
    preferred_during_scheduling_ignored_during_execution: list[PreferredSchedulingTerm] = []
    """Nodes the pod is rather placed on."""


class PodAffinityTerm(Struct):
    """Pods to be near to, or away from."""

    topology_key: str
    """Node label whose equal value means near."""
    label_selector: LabelSelector | None = None
    """Labels of those pods."""
    namespaces: list[str] = []
    """Namespaces of those pods; the pod's own by default."""
    namespace_selector: LabelSelector | None = None
    """Namespaces of those pods, by label."""
    match_label_keys: list[str] = []
    """Labels whose value those pods share with this one."""
    mismatch_label_keys: list[str] = []
    """Labels whose value those pods do not share with this one."""


class WeightedPodAffinityTerm(Struct):
    """A wish about other pods."""

    weight: int
    """How strong the wish is, from 1 to 100."""
    pod_affinity_term: PodAffinityTerm
    """The pods."""


class PodAffinity(Struct):
    """Which pods a pod needs or likes to be near to."""

    required_during_scheduling_ignored_during_execution: list[PodAffinityTerm] = []
    """Pods it must be near to, all terms at once."""
    preferred_during_scheduling_ignored_during_execution: list[WeightedPodAffinityTerm] = []
    """Pods it is rather placed near to."""


class PodAntiAffinity(Struct):
    """Which pods a pod must or would rather be away from."""

    required_during_scheduling_ignored_during_execution: list[PodAffinityTerm] = []
    """Pods it must be away from, all terms at once."""
    preferred_during_scheduling_ignored_during_execution: list[WeightedPodAffinityTerm] = []
    """Pods it is rather placed away from."""


class Affinity(Struct):
    """Where a pod needs or likes to run."""

    node_affinity: NodeAffinity | None = None
    """By properties of the node."""
    pod_affinity: PodAffinity | None = None
    """Near other pods."""
    pod_anti_affinity: PodAntiAffinity | None = None
    """Away from other pods."""


class Toleration(Struct):
    """Taints a pod puts up with."""

    key: str = ""
    """Key of the taint; empty with `Exists` for all taints."""
    operator: str = ""
    """`Equal` (default) or `Exists`."""
    value: str = ""
    """Value of the taint, for `Equal`."""
    effect: str = ""
    """`NoSchedule`, `PreferNoSchedule` or `NoExecute`; all by default."""
    toleration_seconds: int | None = None
    """For `NoExecute`: how long the pod stays; forever by default."""

    def tolerates(self, key: str, value: str, effect: str) -> bool:
        """Whether a taint of this key, value and effect is put up with."""
        if self.effect and self.effect != effect:
            return False
        if self.key and self.key != key:
            return False
        if self.operator == "Exists":
            return True
        return bool(self.key) and self.value == value


class TopologySpreadConstraint(Struct):
    """How evenly pods are spread."""

    max_skew: int
    """By how many pods domains may differ."""
    topology_key: str
    """Node label whose values are the domains."""
    when_unsatisfiable: str
    """`DoNotSchedule` or `ScheduleAnyway`."""
    label_selector: LabelSelector | None = None
    """Pods that are counted."""
    min_domains: int | None = None
    """How many domains there must be at least."""
    node_affinity_policy: str | None = None
    """Whether nodes the pod's affinity excludes count: `Honor` (default) or `Ignore`."""
    node_taints_policy: str | None = None
    """Whether nodes with taints the pod does not tolerate count: `Honor` or `Ignore` (default)."""
    match_label_keys: list[str] = []
    """Labels whose value counted pods share with this one."""
