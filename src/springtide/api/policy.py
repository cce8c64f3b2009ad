"""policy/v1: the PodDisruptionBudget, by which an application says how many of its pods may be away."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from springtide.api.containers import IntOrString
from springtide.api.listtypes import ListMap, Replaced
from springtide.api.meta import Condition, LabelSelector, Object
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always

DEFINITION_PREFIX = "io.k8s.api.policy.v1"

DISRUPTION_ALLOWED = "DisruptionAllowed"
"""Condition: whether a pod may be evicted now."""


class PodDisruptionBudgetSpec(Struct):
    """How many pods may be away."""

    min_available: IntOrString | None = None
    """How many must stay, as a number or a percentage; excludes `maxUnavailable`."""
    selector: Annotated[LabelSelector | None, Replaced()] = None
    """Which pods; an empty selector means all of the namespace, none means no pod."""
    max_unavailable: IntOrString | None = None
    """How many may be away, as a number or a percentage; excludes `minAvailable`."""
    unhealthy_pod_eviction_policy: str | None = None
    """Whether pods that are not ready may always go (`AlwaysAllow`) or not (`IfHealthyBudget`, default)."""


class PodDisruptionBudgetStatus(Struct):
    """How many pods may be away now."""

    observed_generation: int = 0
    """The generation this is about; older figures allow nothing."""
    disrupted_pods: dict[str, datetime] = {}
    """Pods whose eviction was granted and that are not gone yet, with the time."""
    disruptions_allowed: int = always(0, required=False)
    """How many may be evicted now."""
    current_healthy: int = always(0, required=False)
    """Pods that are ready."""
    desired_healthy: int = always(0, required=False)
    """Pods that must stay ready."""
    expected_pods: int = always(0, required=False)
    """Pods there should be."""
    conditions: Annotated[list[Condition], ListMap("type")] = []
    """Observations; `DisruptionAllowed` sums them up."""


@resource(
    plural="poddisruptionbudgets",
    short_names=("pdb",),
    builtin=True,
    columns=(Column("Age", "date", ".metadata.creationTimestamp"),),
)
class PodDisruptionBudget(Object):
    """Limits how many pods of an application may be evicted at once."""

    api_version: str = "policy/v1"
    kind: str = "PodDisruptionBudget"
    spec: PodDisruptionBudgetSpec = PodDisruptionBudgetSpec()
    """How many may be away."""
    status: PodDisruptionBudgetStatus = PodDisruptionBudgetStatus()
    """How many may be away now."""
