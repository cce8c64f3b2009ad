"""discovery.k8s.io/v1: EndpointSlice, the addresses behind a service in pieces.

Written by `builtin`'s endpoints controller, read by the node's proxy and names, and by whoever balances load.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from springtide.api.listtypes import ListSet
from springtide.api.meta import Object
from springtide.api.references import ObjectReference
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct

DEFINITION_PREFIX = "io.k8s.api.discovery.v1"


class EndpointConditions(Struct):
    """What state an endpoint is in; unknown counts as true for `ready` and `serving`."""

    ready: bool | None = None
    """It can take new connections: it serves and is not ending, or its service wants it anyway."""
    serving: bool | None = None
    """It answers, even if it is ending."""
    terminating: bool | None = None
    """It is ending."""


class ForZone(Struct):
    """A zone."""

    name: str
    """Its name."""


class ForNode(Struct):
    """A node."""

    name: str
    """Its name."""


class EndpointHints(Struct):
    """Who should prefer an endpoint."""

    for_zones: list[ForZone] = []
    """Clients in these zones."""
    for_nodes: list[ForNode] = []
    """Clients on these nodes."""


class Endpoint(Struct):
    """One address behind a service."""

    addresses: Annotated[list[str], ListSet()]
    """Its address; clients use the first only."""
    conditions: EndpointConditions = EndpointConditions()
    """What state it is in."""
    hostname: str | None = None
    """Its host name, where it has one of its own within the service's domain."""
    target_ref: ObjectReference | None = None
    """The pod."""
    deprecated_topology: dict[str, str] = {}
    """Without use; kept as it was written."""
    node_name: str | None = None
    """Node it is on."""
    zone: str | None = None
    """Zone it is in."""
    hints: EndpointHints | None = None
    """Who should prefer it."""


class EndpointPort(Struct):
    """A port of all endpoints of a slice."""

    atomic: ClassVar[bool] = True

    name: str | None = None
    """Name of the service's port."""
    protocol: str | None = None
    """`TCP` (default), `UDP` or `SCTP`."""
    port: int | None = None
    """Number of the port; none stands for all ports."""
    app_protocol: str | None = None
    """Protocol spoken on top, a hint."""


@resource(
    plural="endpointslices",
    builtin=True,
    columns=(
        Column("AddressType", "string", ".addressType"),
        Column("Ports", "string", ".ports[*].port"),
        Column("Endpoints", "string", ".endpoints[*].addresses[0]"),
        Column("Age", "date", ".metadata.creationTimestamp"),
    ),
)
class EndpointSlice(Object):
    """A piece of the addresses behind a service; label `kubernetes.io/service-name` names it."""

    api_version: str = "discovery.k8s.io/v1"
    kind: str = "EndpointSlice"
    address_type: str
    """`IPv4`, `IPv6` or `FQDN`; never changes."""
    endpoints: list[Endpoint] = []
    """The addresses, at most 1000."""
    ports: list[EndpointPort] = []
    """Their ports, at most 100."""
