"""core/v1: PodTemplate and ReplicationController, the forerunner of ReplicaSets. Part of `core`.

They are served so that clients that look for them find them; no controller here acts on either.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from springtide.api.listtypes import ListMap, MapAtomic
from springtide.api.meta import Condition, Object
from springtide.api.pods import PodTemplateSpec
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always

DEFINITION_PREFIX = "io.k8s.api.core.v1"

_AGE = Column("Age", "date", ".metadata.creationTimestamp")


@resource(plural="podtemplates", builtin=True, columns=(_AGE,))
class PodTemplate(Object):
    """A pod to make copies of, stored by itself."""

    api_version: str = "v1"
    kind: str = "PodTemplate"
    template: PodTemplateSpec = PodTemplateSpec()
    """The pod."""


class ReplicationControllerCondition(Condition):
    """One observation of a replication controller's state."""

    reason: str = ""
    """Cause of the last change of status, one CamelCase word."""
    message: str = ""
    """What it means, for people."""
    last_transition_time: datetime | None = None
    """When `status` last changed."""


class ReplicationControllerSpec(Struct):
    """How many copies of which pod."""

    replicas: int | None = None
    """How many; 1 by default."""
    min_ready_seconds: int = 0
    """How long a pod must be ready to count as available."""
    selector: Annotated[dict[str, str], MapAtomic()] = {}
    """Labels of its pods; those of the template by default."""
    template: PodTemplateSpec | None = None
    """The pod."""


class ReplicationControllerStatus(Struct):
    """How many copies there are."""

    replicas: int = always(0)
    """Pods that exist."""
    fully_labeled_replicas: int = 0
    """Pods that have all labels of the template."""
    ready_replicas: int = 0
    """Pods that are ready."""
    available_replicas: int = 0
    """Pods that have been ready long enough."""
    observed_generation: int = 0
    """The generation this is about."""
    conditions: Annotated[list[ReplicationControllerCondition], ListMap("type")] = []
    """Observations of its state."""


@resource(
    plural="replicationcontrollers", short_names=("rc",), categories=("all",), builtin=True, columns=(_AGE,)
)
class ReplicationController(Object):
    """Keeps a number of copies of a pod."""

    api_version: str = "v1"
    kind: str = "ReplicationController"
    spec: ReplicationControllerSpec = ReplicationControllerSpec()
    """How many copies of which pod."""
    status: ReplicationControllerStatus = ReplicationControllerStatus()
    """How many there are."""
