"""core/v1: Service and Endpoints, by which pods are found. Part of `springtide.api.core`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import field

from springtide.api.containers import IntOrString
from springtide.api.listtypes import ListMap, MapAtomic
from springtide.api.meta import Condition, Object
from springtide.api.references import ObjectReference
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct

DEFINITION_PREFIX = "io.k8s.api.core.v1"


class ServicePort(Struct):
    """A port of a service."""

    port: int
    """Number clients connect to."""
    name: str = ""
    """Name, unique within the service."""
    protocol: str = "TCP"
    """`TCP`, `UDP` or `SCTP`."""
    app_protocol: str | None = None
    """Protocol spoken on top, a hint."""
    target_port: IntOrString = ""
    """Number or name of the pods' port; `port` by default."""
    node_port: int = 0
    """Number on every node, for types that have one."""


class ClientIPConfig(Struct):
    """How long a client sticks to a pod."""

    timeout_seconds: int | None = None
    """Seconds, 1 to 86400; 10800 by default."""


class SessionAffinityConfig(Struct):
    """Settings of the session affinity."""

    client_ip: ClientIPConfig | None = field(name="clientIP", default=None)
    """Those of affinity `ClientIP`."""


class ServiceSpec(Struct):
    """Which pods a service stands for, and how it is reached."""

    ports: Annotated[list[ServicePort], ListMap("port", "protocol", merge_key="port")] = []
    """Its ports."""
    selector: Annotated[dict[str, str], MapAtomic()] = {}
    """Labels of its pods."""
    cluster_ip: str = field(name="clusterIP", default="")
    """Its address; `None` for a headless service whose name resolves to the pods."""
    cluster_ips: list[str] = field(name="clusterIPs", default_factory=list)
    """All its addresses."""
    type: str = ""
    """`ClusterIP` (default), `NodePort`, `LoadBalancer` or `ExternalName`."""
    external_ips: list[str] = field(name="externalIPs", default_factory=list)
    """Further addresses at which nodes accept its traffic."""
    session_affinity: str = ""
    """`ClientIP` sends a client to the same pod; `None` by default."""
    session_affinity_config: SessionAffinityConfig | None = None
    """Settings of the session affinity."""
    load_balancer_ip: str = field(name="loadBalancerIP", default="")
    """Deprecated wish for the load balancer's address."""
    load_balancer_class: str | None = None
    """Which load balancer implementation serves it."""
    load_balancer_source_ranges: list[str] = []
    """Clients that its load balancer lets in."""
    allocate_load_balancer_node_ports: bool | None = None
    """Whether type `LoadBalancer` gets node ports; true by default."""
    health_check_node_port: int = 0
    """Port at which nodes tell whether they have pods of it, for policy `Local`."""
    external_name: str = ""
    """Name it is an alias of, for `ExternalName`."""
    external_traffic_policy: str = ""
    """`Cluster` or `Local`: whether outside traffic may go to other nodes."""
    internal_traffic_policy: str | None = None
    """`Cluster` or `Local`: whether inside traffic may go to other nodes."""
    publish_not_ready_addresses: bool = False
    """Whether pods that are not ready count."""
    ip_families: list[str] = []
    """`IPv4`, `IPv6` or both."""
    ip_family_policy: str | None = None
    """`SingleStack`, `PreferDualStack` or `RequireDualStack`."""
    traffic_distribution: str | None = None
    """Which pods are preferred: `PreferClose`, `PreferSameZone` or `PreferSameNode`."""


class ServiceStatus(Struct):
    """What is known of a service."""

    load_balancer: dict[str, Any] = {}
    """Addresses of its load balancer."""
    conditions: Annotated[list[Condition], ListMap("type")] = []
    """Observations of its state."""


@resource(
    plural="services",
    short_names=("svc",),
    categories=("all",),
    builtin=True,
    columns=(
        Column("Type", "string", ".spec.type"),
        Column("Cluster-IP", "string", ".spec.clusterIP"),
        Column("Age", "date", ".metadata.creationTimestamp"),
    ),
)
class Service(Object):
    """A stable name for a changing set of pods."""

    api_version: str = "v1"
    kind: str = "Service"
    spec: ServiceSpec = ServiceSpec()
    """Which pods it stands for, and how it is reached."""
    status: ServiceStatus = ServiceStatus()
    """What is known of it."""


class EndpointAddress(Struct):
    """An address behind a service."""

    atomic: ClassVar[bool] = True

    ip: str
    """The address."""
    hostname: str = ""
    """Host name of the pod."""
    node_name: str | None = None
    """Node it is on."""
    target_ref: ObjectReference | None = None
    """The pod."""


class EndpointPort(Struct):
    """A port behind a service."""

    atomic: ClassVar[bool] = True

    port: int
    """Number of the port."""
    name: str = ""
    """Name of the service's port."""
    protocol: str = ""
    """`TCP`, `UDP` or `SCTP`."""
    app_protocol: str | None = None
    """Protocol spoken on top."""


class EndpointSubset(Struct):
    """Addresses that share ports."""

    addresses: list[EndpointAddress] = []
    """Those that are ready."""
    not_ready_addresses: list[EndpointAddress] = []
    """Those that are not."""
    ports: list[EndpointPort] = []
    """The ports."""


@resource(
    plural="endpoints",
    short_names=("ep",),
    builtin=True,
    columns=(Column("Age", "date", ".metadata.creationTimestamp"),),
)
class Endpoints(Object):
    """The addresses behind a service of the same name."""

    api_version: str = "v1"
    kind: str = "Endpoints"
    subsets: list[EndpointSubset] = []
    """The addresses, grouped by ports."""
