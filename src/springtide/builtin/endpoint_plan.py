"""Which addresses stand behind a Service: its EndpointSlices, and the Endpoints that older clients read.

Pure. Called by `endpoints`. Source of the rules: kube-controller-manager's endpointslice controller and the
dns and kube-proxy contracts of the EndpointSlice kind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from springtide.api.commands import Apply, Command, Delete, Plan
from springtide.api.core import Endpoints, Pod, Service
from springtide.api.discovery import EndpointSlice
from springtide.api.meta import find_condition, owner_reference
from springtide.api.services import ServicePort
from springtide.api.struct import encode

Json = dict[str, Any]
Ports = tuple[tuple[str, str, int, str], ...]
"""Name, protocol, number and application protocol of each port, in the order of the Service."""

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
_ENDED = ("Succeeded", "Failed")
_PER_SLICE = 100
"""Endpoints of one slice: small pieces, so that one change moves few bytes."""
CAPACITY = 1000
"""Addresses of one Endpoints object at most, as in Kubernetes: it is one object, written whole."""
_OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"


def plan(
    service: Service, pods: Iterable[Pod], slices: Sequence[EndpointSlice], endpoints: Endpoints | None
) -> Plan:
    """Bring slices and Endpoints of a Service with a selector to what its pods are now.

    Headless Services have slices only: nobody balances their load, and every gang has one.
    """
    if not has_endpoints(service):
        return Plan()
    groups = _groups(service, pods)
    wanted = {name: fields for ports, members in groups for name, fields in _slices(service, ports, members)}
    commands: list[Command] = []
    existing = {one.metadata.name: one for one in slices if one.metadata.labels.get(MANAGED_BY) == MANAGER}
    for name, fields in wanted.items():
        if name not in existing or not _same(encode(existing[name]), fields):
            commands.append(Apply(EndpointSlice, service.metadata.namespace, name, fields))
    for name, one in existing.items():
        if name not in wanted and one.metadata.deletion_timestamp is None:
            commands.append(Delete(EndpointSlice, one.metadata.namespace, name, one.metadata.uid))
    if service.spec.cluster_ip != "None":
        older = _endpoints(service, groups)
        if endpoints is None or not _same(encode(endpoints), older):
            commands.append(Apply(Endpoints, service.metadata.namespace, service.metadata.name, older))
    return Plan(tuple(commands))


def has_endpoints(service: Service) -> bool:
    """Whether its endpoints are made from pods; those of others are written by whoever made it."""
    return bool(service.spec.selector) and service.spec.type != "ExternalName"


def _groups(service: Service, pods: Iterable[Pod]) -> list[tuple[Ports, list[Pod]]]:
    """The pods that have an address, by the numbers that the Service's ports have in them."""
    found: dict[Ports, list[Pod]] = {}
    for pod in sorted(pods, key=lambda one: (one.metadata.creation_timestamp, one.metadata.name)):
        if pod.status.pod_ip and pod.status.phase not in _ENDED:
            found.setdefault(_ports(service, pod), []).append(pod)
    return sorted(found.items()) or [((), [])]


def _ports(service: Service, pod: Pod) -> Ports:
    numbers = [(port, _number(port, pod)) for port in service.spec.ports]
    return tuple(
        (port.name, port.protocol or "TCP", number, port.app_protocol or "")
        for port, number in numbers
        if number is not None
    )


def _number(port: ServicePort, pod: Pod) -> int | None:
    """The port's number in this pod; None if the pod has none of the name."""
    if not isinstance(port.target_port, str) or not port.target_port:
        return port.target_port or port.port
    containers = (
        *pod.spec.containers,
        *(one for one in pod.spec.init_containers if one.restart_policy == "Always"),
    )
    for container in containers:
        for own in container.ports:
            if own.name == port.target_port and (own.protocol or "TCP") == (port.protocol or "TCP"):
                return own.container_port
    return None


def _slices(service: Service, ports: Ports, pods: Sequence[Pod]) -> Iterable[tuple[str, Json]]:
    for number, start in enumerate(range(0, len(pods) or 1, _PER_SLICE)):
        name = _slice_name(service, ports, number)
        yield (
            name,
            {
                "metadata": {
                    "labels": _labels(service),
                    "ownerReferences": [encode(owner_reference(service))],
                },
                "addressType": "IPv4",
                "endpoints": [_endpoint(service, pod) for pod in pods[start : start + _PER_SLICE]],
                "ports": [_slice_port(port) for port in ports],
            },
        )


def _slice_name(service: Service, ports: Ports, number: int) -> str:
    """The same for the same piece of the same Service: writing it twice writes one."""
    digest = hashlib.sha256(f"{service.metadata.uid}/{ports}/{number}".encode()).hexdigest()
    return f"{service.metadata.name[:57]}-{digest[:5]}"


def _labels(service: Service) -> dict[str, str]:
    own = {SERVICE_NAME: service.metadata.name, MANAGED_BY: MANAGER}
    if service.spec.cluster_ip == "None":
        own[HEADLESS] = ""
    return {**service.metadata.labels, **own}


def _endpoint(service: Service, pod: Pod) -> Json:
    serving, terminating = _is_ready(pod), pod.metadata.deletion_timestamp is not None
    ready = service.spec.publish_not_ready_addresses or (serving and not terminating)
    endpoint: Json = {
        "addresses": [pod.status.pod_ip],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": _target(pod),
    }
    if pod.spec.node_name:
        endpoint["nodeName"] = pod.spec.node_name
    if pod.spec.hostname and pod.spec.subdomain == service.metadata.name:
        endpoint["hostname"] = pod.spec.hostname
    return endpoint


def _target(pod: Pod) -> Json:
    metadata = pod.metadata
    return {
        "kind": "Pod",
        "namespace": metadata.namespace,
        "name": metadata.name,
        "uid": metadata.uid,
    }


def _slice_port(port: tuple[str, str, int, str]) -> Json:
    name, protocol, number, application = port
    found: Json = {"name": name, "protocol": protocol, "port": number}
    return {**found, "appProtocol": application} if application else found


def _is_ready(pod: Pod) -> bool:
    condition = find_condition(pod.status.conditions, "Ready")
    return condition is not None and condition.status == "True"


def _endpoints(service: Service, groups: Sequence[tuple[Ports, Sequence[Pod]]]) -> Json:
    """The same in the older kind, which has no place for ending pods, nor for more than so many."""
    subsets: list[Json] = []
    left, all_there = CAPACITY, 0
    for ports, pods in groups:
        living = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
        all_there += len(living) if ports else 0
        ready, waiting = _by_readiness(service, living)
        ready, waiting = ready[:left], waiting[: max(0, left - len(ready))]
        left -= len(ready) + len(waiting) if ports else 0
        subset: Json = {"ports": [_endpoints_port(port) for port in ports]}
        for name, members in (("addresses", ready), ("notReadyAddresses", waiting)):
            if members:
                subset[name] = [_address(service, pod) for pod in members]
        if (ready or waiting) and ports:
            subsets.append(subset)
    notes = {_OVER_CAPACITY: "truncated"} if all_there > CAPACITY else {}
    return {
        "metadata": {
            **({"annotations": notes} if notes else {}),
            "labels": {
                **service.metadata.labels,
                "endpoints.kubernetes.io/managed-by": "endpoint-controller",
            },
            "ownerReferences": [encode(owner_reference(service))],
        },
        "subsets": subsets,
    }


def _by_readiness(service: Service, pods: Sequence[Pod]) -> tuple[list[Pod], list[Pod]]:
    """Those that are served, and those that are not yet."""
    ready: list[Pod] = []
    waiting: list[Pod] = []
    for pod in pods:
        (ready if service.spec.publish_not_ready_addresses or _is_ready(pod) else waiting).append(pod)
    return ready, waiting


def _endpoints_port(port: tuple[str, str, int, str]) -> Json:
    found = _slice_port(port)
    return found if found["name"] else {key: value for key, value in found.items() if key != "name"}


def _address(service: Service, pod: Pod) -> Json:
    endpoint = _endpoint(service, pod)
    return {
        "ip": pod.status.pod_ip,
        **{key: endpoint[key] for key in ("hostname", "nodeName", "targetRef") if key in endpoint},
    }


def _same(existing: Json, wanted: Json) -> bool:
    """Whether everything wanted is there already."""
    labels = existing.get("metadata", {}).get("labels", {})
    return all(labels.get(key) == value for key, value in wanted["metadata"]["labels"].items()) and all(
        _bare(existing.get(key) or []) == _bare(value or [])
        for key, value in wanted.items()
        if key != "metadata"
    )


def _bare(value: Any) -> Any:
    """Without what says nothing: the server may write empty names out, or leave them."""
    if isinstance(value, dict):
        return {key: _bare(part) for key, part in value.items() if part != ""}
    return [_bare(part) for part in value] if isinstance(value, list) else value
