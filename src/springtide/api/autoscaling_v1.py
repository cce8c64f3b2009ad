"""autoscaling/v1: the HorizontalPodAutoscaler by CPU alone; stored as `autoscaling/v2`."""

from __future__ import annotations

from datetime import datetime

from msgspec import field

from springtide.api.autoscaling import CrossVersionObjectReference
from springtide.api.meta import Object
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always

DEFINITION_PREFIX = "io.k8s.api.autoscaling.v1"


class HorizontalPodAutoscalerSpec(Struct):
    """What is scaled, within which bounds, for which use of CPU."""

    scale_target_ref: CrossVersionObjectReference
    """What is scaled."""
    min_replicas: int | None = None
    """The fewest; 1 by default."""
    max_replicas: int
    """The most."""
    target_cpu_utilization_percentage: int | None = field(name="targetCPUUtilizationPercentage", default=None)
    """How much of the requested CPU pods should use, in percent."""


class HorizontalPodAutoscalerStatus(Struct):
    """What an autoscaler saw and did last."""

    observed_generation: int | None = None
    """The generation this is about."""
    last_scale_time: datetime | None = None
    """When it last changed the number of replicas."""
    current_replicas: int = always(0)
    """Replicas there are."""
    desired_replicas: int = always(0)
    """Replicas it wants."""
    current_cpu_utilization_percentage: int | None = field(
        name="currentCPUUtilizationPercentage", default=None
    )
    """How much of the requested CPU pods use, in percent."""


@resource(
    plural="horizontalpodautoscalers",
    short_names=("hpa",),
    categories=("all",),
    builtin=True,
    columns=(Column("Age", "date", ".metadata.creationTimestamp"),),
)
class HorizontalPodAutoscaler(Object):
    """Keeps as many replicas as the use of CPU calls for."""

    api_version: str = "autoscaling/v1"
    kind: str = "HorizontalPodAutoscaler"
    spec: HorizontalPodAutoscalerSpec
    """What is scaled, and how."""
    status: HorizontalPodAutoscalerStatus = HorizontalPodAutoscalerStatus()
    """What it saw and did last."""
