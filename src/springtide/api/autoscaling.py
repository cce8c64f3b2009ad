"""autoscaling/v2: the HorizontalPodAutoscaler, how many replicas which measurements call for.

Stored in this version; `autoscaling_v1` is the older form of the same objects.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from springtide.api.listtypes import ListMap
from springtide.api.meta import Condition, LabelSelector, Object
from springtide.api.quantity import Quantity
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always

DEFINITION_PREFIX = "io.k8s.api.autoscaling.v2"


class CrossVersionObjectReference(Struct):
    """An object, in whatever version."""

    kind: str
    """Its kind."""
    name: str
    """Its name."""
    api_version: str = ""
    """Its API version."""


class MetricIdentifier(Struct):
    """A measurement by name."""

    name: str
    """Its name."""
    selector: LabelSelector | None = None
    """Which of several of this name."""


class MetricTarget(Struct):
    """The value a measurement should have."""

    type: str
    """`Utilization`, `Value` or `AverageValue`: which of the others counts."""
    value: Quantity | None = None
    """As a total."""
    average_value: Quantity | None = None
    """For each pod."""
    average_utilization: int | None = None
    """In percent of what pods request."""


class ObjectMetricSource(Struct):
    """A measurement of another object."""

    described_object: CrossVersionObjectReference
    """The object."""
    target: MetricTarget
    """The value it should have."""
    metric: MetricIdentifier
    """The measurement."""


class PodsMetricSource(Struct):
    """A measurement of each pod."""

    metric: MetricIdentifier
    """The measurement."""
    target: MetricTarget
    """The value it should have."""


class ResourceMetricSource(Struct):
    """What pods use of a resource."""

    name: str
    """The resource."""
    target: MetricTarget
    """How much they should use."""


class ContainerResourceMetricSource(ResourceMetricSource):
    """What one container of each pod uses of a resource."""

    container: str
    """The container."""


class ExternalMetricSource(Struct):
    """A measurement from outside the cluster."""

    metric: MetricIdentifier
    """The measurement."""
    target: MetricTarget
    """The value it should have."""


class MetricSpec(Struct):
    """One measurement that counts; `type` says which field is set."""

    type: str
    """`Object`, `Pods`, `Resource`, `ContainerResource` or `External`."""
    object: ObjectMetricSource | None = None
    """A measurement of another object."""
    pods: PodsMetricSource | None = None
    """A measurement of each pod."""
    resource: ResourceMetricSource | None = None
    """What pods use of a resource."""
    container_resource: ContainerResourceMetricSource | None = None
    """What one container of each pod uses of a resource."""
    external: ExternalMetricSource | None = None
    """A measurement from outside."""


class HPAScalingPolicy(Struct):
    """How fast replicas may change."""

    type: str
    """`Pods` or `Percent`."""
    value: int
    """How many of these."""
    period_seconds: int
    """In which time."""


class HPAScalingRules(Struct):
    """How one direction behaves."""

    stabilization_window_seconds: int | None = None
    """How long the most cautious advice of the past counts."""
    select_policy: str | None = None
    """Of several policies `Max` (default), `Min`, or `Disabled`."""
    policies: list[HPAScalingPolicy] = []
    """How fast replicas may change."""
    tolerance: Quantity | None = None
    """Deviation from the target that is ignored."""


class HorizontalPodAutoscalerBehavior(Struct):
    """How scaling behaves, by direction."""

    scale_up: HPAScalingRules | None = None
    """To more replicas."""
    scale_down: HPAScalingRules | None = None
    """To fewer replicas."""


class HorizontalPodAutoscalerSpec(Struct):
    """What is scaled, within which bounds, by which measurements."""

    scale_target_ref: CrossVersionObjectReference
    """What is scaled."""
    min_replicas: int | None = None
    """The fewest; 1 by default."""
    max_replicas: int
    """The most."""
    metrics: list[MetricSpec] = []
    """What counts; 80 % of the requested CPU by default."""
    behavior: HorizontalPodAutoscalerBehavior | None = None
    """How scaling behaves."""


class MetricValueStatus(Struct):
    """A value that was measured."""

    value: Quantity | None = None
    """As a total."""
    average_value: Quantity | None = None
    """For each pod."""
    average_utilization: int | None = None
    """In percent of what pods request."""


class ObjectMetricStatus(Struct):
    """A measurement of another object."""

    metric: MetricIdentifier
    """The measurement."""
    current: MetricValueStatus
    """Its value."""
    described_object: CrossVersionObjectReference
    """The object."""


class PodsMetricStatus(Struct):
    """A measurement of each pod."""

    metric: MetricIdentifier
    """The measurement."""
    current: MetricValueStatus
    """Its value."""


class ResourceMetricStatus(Struct):
    """What pods use of a resource."""

    name: str
    """The resource."""
    current: MetricValueStatus
    """How much."""


class ContainerResourceMetricStatus(ResourceMetricStatus):
    """What one container of each pod uses of a resource."""

    container: str
    """The container."""


class ExternalMetricStatus(Struct):
    """A measurement from outside the cluster."""

    metric: MetricIdentifier
    """The measurement."""
    current: MetricValueStatus
    """Its value."""


class MetricStatus(Struct):
    """One measurement; `type` says which field is set."""

    type: str
    """`Object`, `Pods`, `Resource`, `ContainerResource` or `External`."""
    object: ObjectMetricStatus | None = None
    """A measurement of another object."""
    pods: PodsMetricStatus | None = None
    """A measurement of each pod."""
    resource: ResourceMetricStatus | None = None
    """What pods use of a resource."""
    container_resource: ContainerResourceMetricStatus | None = None
    """What one container of each pod uses of a resource."""
    external: ExternalMetricStatus | None = None
    """A measurement from outside."""


class HorizontalPodAutoscalerCondition(Condition):
    """One observation of an autoscaler's state."""

    reason: str = ""
    """Cause of the last change of status, one CamelCase word."""
    message: str = ""
    """What it means, for people."""
    last_transition_time: datetime | None = None
    """When `status` last changed."""


class HorizontalPodAutoscalerStatus(Struct):
    """What an autoscaler saw and did last."""

    observed_generation: int | None = None
    """The generation this is about."""
    last_scale_time: datetime | None = None
    """When it last changed the number of replicas."""
    current_replicas: int = 0
    """Replicas there are."""
    desired_replicas: int = always(0)
    """Replicas it wants."""
    current_metrics: list[MetricStatus] | None = None
    """What it measured."""
    conditions: Annotated[list[HorizontalPodAutoscalerCondition], ListMap("type")] = []
    """Whether it can scale, and whether something holds it."""


@resource(
    plural="horizontalpodautoscalers",
    short_names=("hpa",),
    categories=("all",),
    builtin=True,
    columns=(Column("Age", "date", ".metadata.creationTimestamp"),),
)
class HorizontalPodAutoscaler(Object):
    """Keeps as many replicas as measurements call for."""

    api_version: str = "autoscaling/v2"
    kind: str = "HorizontalPodAutoscaler"
    spec: HorizontalPodAutoscalerSpec
    """What is scaled, and how."""
    status: HorizontalPodAutoscalerStatus = HorizontalPodAutoscalerStatus()
    """What it saw and did last."""
