"""What a node knows of Services: the names pods find them by, and which addresses answer for each port.

Pure views over two caches, Services and EndpointSlices. `names` come into every pod's hosts file
(`peers.py`), `routes` go to the proxy (`proxy.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from springtide.api.core import Service
from springtide.api.discovery import Endpoint, EndpointSlice
from springtide.api.services import ServicePort
from springtide.node.names import CLUSTER_DOMAIN, Peer
from springtide.runtime import Informer, Runtime

SERVICE_NAME = "kubernetes.io/service-name"
_INDEX = "node.service"
_API_SERVER = "default/kubernetes"
_NODE_PORT_TYPES = ("NodePort", "LoadBalancer")
_AFFINITY_SECONDS = 10_800


@dataclass(frozen=True)
class Door:
    """Where clients come in."""

    address: str
    port: int
    protocol: str


@dataclass(frozen=True)
class Route:
    """Who answers at a door, and for how long a client keeps to the same one; 0: not at all."""

    backends: tuple[tuple[str, int], ...]
    affinity_seconds: int = 0


def _service_key(piece: EndpointSlice) -> list[str]:
    name = piece.metadata.labels.get(SERVICE_NAME)
    return [f"{piece.metadata.namespace}/{name}"] if name else []


class ServiceBook:
    """The Services of the cluster as this node sees them."""

    def __init__(self, runtime: Runtime, host_address: str) -> None:
        self.services: Informer[Service] = runtime.informer(Service)
        self.slices: Informer[EndpointSlice] = runtime.informer(EndpointSlice, indexes={_INDEX: _service_key})
        self._host_address = host_address

    def key_of_slice(self, piece: EndpointSlice) -> list[str]:
        """The Service a slice belongs to: what to look at when it changes."""
        return _service_key(piece)

    def routes(self, key: str) -> dict[Door, Route]:
        """Every door of a Service behind which somebody answers."""
        service = self.services.cache.get(key)
        if service is None or not _has_address(service):
            return {}
        affinity = _affinity_seconds(service)
        found: dict[Door, Route] = {}
        for port in service.spec.ports:
            backends = self._backends(service, port)
            if not backends:
                continue
            protocol = port.protocol or "TCP"
            found[Door(service.spec.cluster_ip, port.port, protocol)] = Route(backends, affinity)
            if port.node_port and service.spec.type in _NODE_PORT_TYPES:
                found[Door(self._host_address, port.node_port, protocol)] = Route(backends, affinity)
        return found

    def _backends(self, service: Service, port: ServicePort) -> tuple[tuple[str, int], ...]:
        """Ready addresses; if there are none, those that still serve while they end."""
        ready: list[tuple[str, int]] = []
        ending: list[tuple[str, int]] = []
        for piece in self._slices(service):
            number = next((one.port for one in piece.ports if (one.name or "") == port.name), None)
            for endpoint in piece.endpoints if number else ():
                target = (endpoint.addresses[0], number or 0)
                if endpoint.conditions.ready is not False:
                    ready.append(target)
                elif endpoint.conditions.serving and endpoint.conditions.terminating:
                    ending.append(target)
        return tuple(dict.fromkeys(ready or ending))

    def _slices(self, service: Service) -> list[EndpointSlice]:
        pieces = self.slices.cache.by_index(_INDEX, service.key)
        return sorted(pieces, key=lambda piece: piece.metadata.name)

    def names(self, namespace: str) -> Iterator[Peer]:
        """The lines of a hosts file in this namespace, as the cluster's DNS would answer there."""
        for service in sorted(self.services.cache.list(), key=lambda one: one.key):
            names = _names(service.metadata.name, service.metadata.namespace, namespace)
            if _has_address(service):
                yield Peer(service.spec.cluster_ip, names)
            elif service.spec.cluster_ip == "None":
                for endpoint in self._named_endpoints(service):
                    own = _names(
                        f"{endpoint.hostname}.{service.metadata.name}", service.metadata.namespace, namespace
                    )
                    yield Peer(endpoint.addresses[0], (*(own if endpoint.hostname else ()), *names))

    def _named_endpoints(self, service: Service) -> Iterator[Endpoint]:
        for piece in self._slices(service):
            for endpoint in piece.endpoints:
                if endpoint.conditions.ready is not False:
                    yield endpoint

    def variables(self, namespace: str) -> dict[str, str]:
        """`<NAME>_SERVICE_HOST` and `<NAME>_SERVICE_PORT` of the namespace's Services.

        Not of the API server's own: pods are told where it truly listens, since port 443 of the Service's
        address can be served only where this process may bind ports below 1024.
        """
        found: dict[str, str] = {}
        for service in self.services.cache.list():
            if service.metadata.namespace != namespace or not _has_address(service) or not service.spec.ports:
                continue
            if service.key == _API_SERVER:
                continue
            name = service.metadata.name.upper().replace("-", "_")
            found[f"{name}_SERVICE_HOST"] = service.spec.cluster_ip
            found[f"{name}_SERVICE_PORT"] = str(service.spec.ports[0].port)
            for port in service.spec.ports:
                if port.name:
                    found[f"{name}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
        return found


def _has_address(service: Service) -> bool:
    return service.spec.cluster_ip not in ("", "None") and service.spec.type != "ExternalName"


def _affinity_seconds(service: Service) -> int:
    if service.spec.session_affinity != "ClientIP":
        return 0
    config = service.spec.session_affinity_config
    given = config.client_ip.timeout_seconds if config is not None and config.client_ip is not None else None
    return given or _AFFINITY_SECONDS


def _names(name: str, namespace: str, seen_from: str) -> tuple[str, ...]:
    """All forms of a name, the full one first; the short one only within the namespace."""
    forms = (f"{name}.{namespace}.svc.{CLUSTER_DOMAIN}", f"{name}.{namespace}.svc", f"{name}.{namespace}")
    return (*forms, name) if namespace == seen_from else forms
