"""core/v1: ResourceQuota and LimitRange, what a namespace may use. Part of `springtide.api.core`."""

from __future__ import annotations

from typing import ClassVar

from springtide.api.meta import Object
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct
from springtide.api.volumes import ResourceList

DEFINITION_PREFIX = "io.k8s.api.core.v1"

_AGE = Column("Age", "date", ".metadata.creationTimestamp")


class ScopedResourceSelectorRequirement(Struct):
    """A condition on the objects a quota counts."""

    scope_name: str
    """What is asked about: `PriorityClass`, `Terminating`, `BestEffort` …"""
    operator: str
    """`In`, `NotIn`, `Exists` or `DoesNotExist`."""
    values: list[str] = []
    """Values for `In` and `NotIn`; empty otherwise."""


class ScopeSelector(Struct):
    """Conditions on the objects a quota counts, all of which must hold."""

    atomic: ClassVar[bool] = True

    match_expressions: list[ScopedResourceSelectorRequirement] = []
    """The conditions."""


class ResourceQuotaSpec(Struct):
    """How much a namespace may use."""

    hard: ResourceList = {}
    """The most of each resource: `requests.cpu`, `limits.memory`, `pods`, `count/jobs.batch` …"""
    scopes: list[str] = []
    """Count only objects to which all of these apply: `NotTerminating`, `BestEffort` …"""
    scope_selector: ScopeSelector | None = None
    """Count only objects that meet these conditions."""


class ResourceQuotaStatus(Struct):
    """How much a namespace uses."""

    hard: ResourceList = {}
    """The limits that are enforced."""
    used: ResourceList = {}
    """What is used of each."""


@resource(plural="resourcequotas", short_names=("quota",), builtin=True, columns=(_AGE,))
class ResourceQuota(Object):
    """Limits what all objects of a namespace use together."""

    api_version: str = "v1"
    kind: str = "ResourceQuota"
    spec: ResourceQuotaSpec = ResourceQuotaSpec()
    """How much may be used."""
    status: ResourceQuotaStatus = ResourceQuotaStatus()
    """How much is used."""


class LimitRangeItem(Struct):
    """Bounds and defaults for objects of one type."""

    type: str
    """`Pod`, `Container` or `PersistentVolumeClaim`."""
    max: ResourceList = {}
    """The most one object may ask for."""
    min: ResourceList = {}
    """The least one object may ask for."""
    default: ResourceList = {}
    """Limits of containers that state none."""
    default_request: ResourceList = {}
    """Requests of containers that state none."""
    max_limit_request_ratio: ResourceList = {}
    """How many times its request a limit may be."""


class LimitRangeSpec(Struct):
    """Bounds and defaults in a namespace."""

    limits: list[LimitRangeItem]
    """One item for each type of object."""


@resource(plural="limitranges", short_names=("limits",), builtin=True, columns=(_AGE,))
class LimitRange(Object):
    """Limits what one object of a namespace may ask for, and fills in what it leaves out."""

    api_version: str = "v1"
    kind: str = "LimitRange"
    spec: LimitRangeSpec = LimitRangeSpec(limits=[])
    """The bounds and defaults."""
