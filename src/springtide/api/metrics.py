"""metrics.k8s.io/v1beta1: what nodes and pods use now. Answered, never stored; `kubectl top` shows it."""

from __future__ import annotations

from datetime import datetime

from springtide.api.meta import Object
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct
from springtide.api.volumes import ResourceList

DEFINITION_PREFIX = "io.k8s.metrics.pkg.apis.metrics.v1beta1"


class ContainerMetrics(Struct):
    """What one container uses."""

    name: str
    """Name of the container."""
    usage: ResourceList = {}
    """Amounts by resource: `cpu` in cores, `memory` in bytes of the working set."""


_COLUMNS = (Column("Window", "string", ".window"),)


@resource(
    plural="nodes",
    namespaced=False,
    builtin=True,
    columns=(
        Column("CPU", "string", ".usage.cpu"),
        Column("Memory", "string", ".usage.memory"),
        *_COLUMNS,
    ),
)
class NodeMetrics(Object):
    """What one node uses."""

    api_version: str = "metrics.k8s.io/v1beta1"
    kind: str = "NodeMetrics"
    timestamp: datetime | None = None
    """End of the time the amounts are averaged over."""
    window: str = ""
    """Length of that time, such as `10s`."""
    usage: ResourceList = {}
    """Amounts by resource: `cpu` in cores, `memory` in bytes of the working set."""


@resource(plural="pods", builtin=True, columns=_COLUMNS)
class PodMetrics(Object):
    """What the containers of one pod use."""

    api_version: str = "metrics.k8s.io/v1beta1"
    kind: str = "PodMetrics"
    timestamp: datetime | None = None
    """End of the time the amounts are averaged over."""
    window: str = ""
    """Length of that time, such as `10s`."""
    containers: list[ContainerMetrics] = []
    """The running containers."""
