"""coordination.k8s.io/v1: the Lease, by which a node says it lives and a leader says it leads."""

from __future__ import annotations

from datetime import datetime

from springtide.api.meta import Object
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct

DEFINITION_PREFIX = "io.k8s.api.coordination.v1"


class LeaseSpec(Struct):
    """Who holds the lease, and until when."""

    holder_identity: str | None = None
    """Name of the current holder."""
    lease_duration_seconds: int | None = None
    """How long after `renewTime` others must wait before they may take the lease."""
    acquire_time: datetime | None = None
    """When the current holder took the lease (`springtide.api.meta.micro_time`)."""
    renew_time: datetime | None = None
    """When the holder last renewed the lease (`springtide.api.meta.micro_time`)."""
    lease_transitions: int | None = None
    """How often the holder changed."""
    strategy: str | None = None
    """How a coordinated election picks the leader."""
    preferred_holder: str | None = None
    """Who the current holder should hand over to."""


@resource(
    plural="leases",
    builtin=True,
    columns=(
        Column("Holder", "string", ".spec.holderIdentity"),
        Column("Age", "date", ".metadata.creationTimestamp"),
    ),
)
class Lease(Object):
    """A claim that lapses unless it is renewed."""

    api_version: str = "coordination.k8s.io/v1"
    kind: str = "Lease"
    spec: LeaseSpec = LeaseSpec()
    """The claim."""
