"""node.k8s.io/v1: the RuntimeClass, a name for a way to run containers."""

from __future__ import annotations

from typing import Annotated

from springtide.api.affinity import Toleration
from springtide.api.listtypes import MapAtomic
from springtide.api.meta import Object
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct
from springtide.api.volumes import ResourceList

DEFINITION_PREFIX = "io.k8s.api.node.v1"


class Overhead(Struct):
    """What a pod of the class costs beyond its containers."""

    pod_fixed: ResourceList = {}
    """The cost of one pod."""


class Scheduling(Struct):
    """Which nodes know the class."""

    node_selector: Annotated[dict[str, str], MapAtomic()] = {}
    """Labels of such nodes."""
    tolerations: list[Toleration] = []
    """Taints of such nodes."""


@resource(
    plural="runtimeclasses",
    namespaced=False,
    builtin=True,
    columns=(
        Column("Handler", "string", ".handler"),
        Column("Age", "date", ".metadata.creationTimestamp"),
    ),
)
class RuntimeClass(Object):
    """A way to run containers; pods name it in `spec.runtimeClassName`."""

    api_version: str = "node.k8s.io/v1"
    kind: str = "RuntimeClass"
    handler: str
    """What the node calls it."""
    overhead: Overhead | None = None
    """What a pod of the class costs beyond its containers."""
    scheduling: Scheduling | None = None
    """Which nodes know it."""
