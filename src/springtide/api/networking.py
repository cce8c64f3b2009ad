"""networking.k8s.io/v1: Ingress, IngressClass and NetworkPolicy.

Served so that manifests that bring them apply; nothing here routes or filters traffic by them.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import field

from springtide.api.containers import IntOrString
from springtide.api.meta import LabelSelector, Object
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always
from springtide.api.volumes import TypedLocalObjectReference

DEFINITION_PREFIX = "io.k8s.api.networking.v1"

_AGE = Column("Age", "date", ".metadata.creationTimestamp")


class ServiceBackendPort(Struct):
    """A port of a service, by name or number."""

    atomic: ClassVar[bool] = True

    name: str = ""
    """Its name; excludes `number`."""
    number: int = 0
    """Its number; excludes `name`."""


class IngressServiceBackend(Struct):
    """A service that answers."""

    name: str
    """Its name."""
    port: ServiceBackendPort = ServiceBackendPort()
    """Its port."""


class IngressBackend(Struct):
    """Who answers."""

    service: IngressServiceBackend | None = None
    """A service; excludes `resource`."""
    resource: TypedLocalObjectReference | None = None
    """Another object; excludes `service`."""


class HTTPIngressPath(Struct):
    """A path, and who answers."""

    path: str = ""
    """The path, from its `/` on."""
    path_type: str
    """`Exact`, `Prefix` or `ImplementationSpecific`."""
    backend: IngressBackend
    """Who answers."""


class HTTPIngressRuleValue(Struct):
    """The paths of a host."""

    paths: list[HTTPIngressPath]
    """The paths; the longest that fits counts."""


class IngressRule(Struct):
    """A host, and who answers for it."""

    host: str = ""
    """The host; `*.` at its start stands for one label, empty for any host."""
    http: HTTPIngressRuleValue | None = None
    """Its paths."""


class IngressTLS(Struct):
    """A certificate."""

    hosts: list[str] = []
    """Hosts it is for."""
    secret_name: str = ""
    """The Secret that holds it."""


class IngressSpec(Struct):
    """Which requests go where."""

    ingress_class_name: str | None = None
    """The class that serves it."""
    default_backend: IngressBackend | None = None
    """Who answers what no rule fits."""
    tls: list[IngressTLS] = []
    """Certificates."""
    rules: list[IngressRule] = []
    """Hosts and paths."""


class IngressPortStatus(Struct):
    """A port of a load balancer."""

    port: int
    """Its number."""
    protocol: str
    """`TCP`, `UDP` or `SCTP`."""
    error: str | None = None
    """Why it does not work."""


class IngressLoadBalancerIngress(Struct):
    """An address of a load balancer."""

    ip: str = ""
    """As a number."""
    hostname: str = ""
    """As a name."""
    ports: list[IngressPortStatus] = []
    """Its ports."""


class IngressLoadBalancerStatus(Struct):
    """Where an ingress is reached."""

    ingress: list[IngressLoadBalancerIngress] = []
    """Its addresses."""


class IngressStatus(Struct):
    """What is known of an ingress."""

    load_balancer: IngressLoadBalancerStatus = IngressLoadBalancerStatus()
    """Where it is reached."""


@resource(plural="ingresses", short_names=("ing",), builtin=True, columns=(_AGE,))
class Ingress(Object):
    """Lets requests from outside in, by host and path."""

    api_version: str = "networking.k8s.io/v1"
    kind: str = "Ingress"
    spec: IngressSpec = IngressSpec()
    """Which requests go where."""
    status: IngressStatus = IngressStatus()
    """What is known of it."""


class IngressClassParametersReference(Struct):
    """Settings of a class of ingresses."""

    api_group: str | None = None
    """API group of the object."""
    kind: str
    """Kind of the object."""
    name: str
    """Name of the object."""
    scope: str | None = None
    """`Cluster` (default) or `Namespace`."""
    namespace: str | None = None
    """Namespace of the object, for scope `Namespace`."""


class IngressClassSpec(Struct):
    """Who serves a class of ingresses."""

    controller: str = ""
    """Name of the program, such as `example.com/ingress`."""
    parameters: IngressClassParametersReference | None = None
    """Its settings."""


@resource(plural="ingressclasses", namespaced=False, builtin=True, columns=(_AGE,))
class IngressClass(Object):
    """A class of ingresses."""

    api_version: str = "networking.k8s.io/v1"
    kind: str = "IngressClass"
    spec: IngressClassSpec = IngressClassSpec()
    """Who serves it."""


class IPBlock(Struct):
    """A range of addresses."""

    cidr: str
    """The range."""
    except_: list[str] = field(name="except", default_factory=list)
    """Ranges within it that are left out."""


class NetworkPolicyPeer(Struct):
    """Who is at the other end."""

    pod_selector: LabelSelector | None = None
    """Pods with these labels."""
    namespace_selector: LabelSelector | None = None
    """Namespaces with these labels."""
    ip_block: IPBlock | None = None
    """Addresses; excludes the selectors."""


class NetworkPolicyPort(Struct):
    """Ports that are let through."""

    protocol: str | None = None
    """`TCP` (default), `UDP` or `SCTP`."""
    port: IntOrString | None = None
    """Number or name; none means all."""
    end_port: int | None = None
    """Last number of a range that starts with `port`."""


class NetworkPolicyIngressRule(Struct):
    """Traffic that may come in."""

    ports: list[NetworkPolicyPort] = []
    """To these ports; none means to all."""
    from_: list[NetworkPolicyPeer] = field(name="from", default_factory=list)
    """From these; none means from everywhere."""


class NetworkPolicyEgressRule(Struct):
    """Traffic that may go out."""

    ports: list[NetworkPolicyPort] = []
    """To these ports; none means to all."""
    to: list[NetworkPolicyPeer] = []
    """To these; none means to everywhere."""


class NetworkPolicySpec(Struct):
    """Which traffic of which pods is let through."""

    pod_selector: LabelSelector = always(LabelSelector(), required=False)
    """The pods; an empty selector means all of the namespace."""
    ingress: list[NetworkPolicyIngressRule] = []
    """What may come in."""
    egress: list[NetworkPolicyEgressRule] = []
    """What may go out."""
    policy_types: list[str] = []
    """`Ingress`, `Egress`: which directions are restricted."""


@resource(plural="networkpolicies", short_names=("netpol",), builtin=True, columns=(_AGE,))
class NetworkPolicy(Object):
    """Restricts the traffic of pods."""

    api_version: str = "networking.k8s.io/v1"
    kind: str = "NetworkPolicy"
    spec: NetworkPolicySpec = NetworkPolicySpec()
    """Which traffic of which pods is let through."""
