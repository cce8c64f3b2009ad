"""scheduling.k8s.io/v1: the PriorityClass, a name for a number that orders pods."""

from __future__ import annotations

from springtide.api.meta import Object
from springtide.api.resources import Column, resource
from springtide.api.struct import always

DEFINITION_PREFIX = "io.k8s.api.scheduling.v1"


@resource(
    plural="priorityclasses",
    namespaced=False,
    short_names=("pc",),
    builtin=True,
    columns=(
        Column("Value", "integer", ".value"),
        Column("Global-Default", "boolean", ".globalDefault"),
        Column("Age", "date", ".metadata.creationTimestamp"),
        Column("PreemptionPolicy", "string", ".preemptionPolicy"),
    ),
)
class PriorityClass(Object):
    """Maps a name to a priority; pods name it in `spec.priorityClassName`."""

    api_version: str = "scheduling.k8s.io/v1"
    kind: str = "PriorityClass"
    value: int = always(0, required=False)
    """The priority of pods of this class; the higher goes first."""
    global_default: bool = False
    """Whether pods without a class get this one."""
    description: str = ""
    """When to use the class, for people."""
    preemption_policy: str | None = None
    """`PreemptLowerPriority` or `Never`: whether pods of this class may push others out."""
