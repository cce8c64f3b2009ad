"""Strategies of Ingress, IngressClass and NetworkPolicy. Listed in `admission.STRATEGIES`.

Rules and messages: Kubernetes' networking validation. A warning says that nothing here acts on them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Any

from springtide.api.names import label_1035_fault, subdomain_fault
from springtide.server.container_rules import port_or_name_errors
from springtide.server.schema_rules import FieldError
from springtide.server.selector_rules import label_selector_errors
from springtide.server.status import bad_value, forbidden_field, required, unsupported
from springtide.server.strategy import Strategy

Json = dict[str, Any]

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_DIRECTIONS = ("Egress", "Ingress")
_CONTROLLER = re.compile(r"[a-z0-9A-Z.-]+(/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+)")
_LONGEST_CONTROLLER = 250
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDS = ("/..", "/.")


class IngressStrategy(Strategy):
    """networking.k8s.io/v1 Ingress."""

    def before_create(self, obj: Json, context: Any) -> None:
        obj["status"] = {"loadBalancer": {}}

    def validate(self, obj: Json) -> Sequence[FieldError]:
        return list(_ingress_errors(obj.get("spec") or {}))


class IngressClassStrategy(Strategy):
    """networking.k8s.io/v1 IngressClass."""

    def default(self, obj: Json) -> None:
        parameters = (obj.get("spec") or {}).get("parameters")
        if parameters is not None and parameters.get("scope") is None:
            parameters["scope"] = "Cluster"

    def validate(self, obj: Json) -> Sequence[FieldError]:
        return list(_class_errors(obj.get("spec") or {}))

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        before, after = ((obj.get("spec") or {}).get("controller") for obj in (old, new))
        return [] if before == after else [bad_value("spec.controller", after, "field is immutable")]


class NetworkPolicyStrategy(Strategy):
    """networking.k8s.io/v1 NetworkPolicy."""

    def default(self, obj: Json) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("podSelector", {})
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]
        for direction in ("ingress", "egress"):
            for rule in spec.get(direction) or ():
                for port in rule.get("ports") or ():
                    if port.get("protocol") is None:
                        port["protocol"] = "TCP"

    def validate(self, obj: Json) -> Sequence[FieldError]:
        return list(_policy_errors(obj["spec"]))

    def warn(self, obj: Json) -> Sequence[str]:
        return ("nothing in this control plane filters traffic: the policy is stored and has no effect",)


def _ingress_errors(spec: Json) -> Iterator[FieldError]:
    rules, backend = spec.get("rules") or [], spec.get("defaultBackend")
    if not rules and backend is None:
        yield bad_value("spec", rules, "either `defaultBackend` or `rules` must be specified")
    if backend is not None:
        yield from _backend_errors(backend, "spec.defaultBackend")
    for index, rule in enumerate(rules):
        field, host = f"spec.rules[{index}]", rule.get("host") or ""
        if host:
            yield from _host_errors(host, f"{field}.host")
        if (http := rule.get("http")) is not None:
            yield from _paths_errors(http.get("paths") or [], f"{field}.http.paths")
    for index, tls in enumerate(spec.get("tls") or ()):
        for number, host in enumerate(tls.get("hosts") or ()):
            yield from _host_errors(host, f"spec.tls[{index}].hosts[{number}]")
    name = spec.get("ingressClassName")
    if name is not None and (fault := subdomain_fault(name)):
        yield bad_value("spec.ingressClassName", name, fault)


def _host_errors(host: str, field: str) -> Iterator[FieldError]:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if fault := subdomain_fault(host.removeprefix("*.")):
            yield bad_value(field, host, fault)
    else:
        yield bad_value(field, host, "must be a DNS name, not an IP address")


def _paths_errors(paths: list[Json], field: str) -> Iterator[FieldError]:
    if not paths:
        yield required(field)
    for index, one in enumerate(paths):
        place, path, kind = f"{field}[{index}]", one.get("path") or "", one.get("pathType")
        if not kind:
            yield required(f"{place}.pathType", "pathType must be specified")
        elif kind not in _PATH_TYPES:
            yield unsupported(f"{place}.pathType", kind, _PATH_TYPES)
        elif kind != "ImplementationSpecific" or path:
            yield from _path_errors(path, kind, f"{place}.path")
        yield from _backend_errors(one.get("backend") or {}, f"{place}.backend")


def _path_errors(path: str, kind: str, field: str) -> Iterator[FieldError]:
    if not path.startswith("/"):
        yield bad_value(field, path, "must be an absolute path")
    if kind == "ImplementationSpecific":
        return
    for bad in _BAD_SEQUENCES:
        if bad in path:
            yield bad_value(field, path, f"must not contain '{bad}'")
    for bad in _BAD_ENDS:
        if path.endswith(bad):
            yield bad_value(field, path, f"cannot end with '{bad}'")


def _backend_errors(backend: Json, field: str) -> Iterator[FieldError]:
    service, other = backend.get("service"), backend.get("resource")
    if service is not None and other is not None:
        yield bad_value(field, "", "cannot set both resource and service backends")
    elif other is not None:
        yield from (required(f"{field}.resource.{part}") for part in ("kind", "name") if not other.get(part))
    elif service is None or not service.get("name"):
        yield required(f"{field}.service.name" if service is not None else field)
    else:
        if fault := label_1035_fault(service["name"]):
            yield bad_value(f"{field}.service.name", service["name"], fault)
        port = service.get("port") or {}
        name, number = port.get("name") or "", port.get("number") or 0
        if name and number:
            yield bad_value(field, "", "cannot set both port name & port number")
        elif name:
            yield from port_or_name_errors(name, f"{field}.service.port.name")
        elif number:
            yield from port_or_name_errors(number, f"{field}.service.port.number")
        else:
            yield required(field, "port name or number is required")


def _class_errors(spec: Json) -> Iterator[FieldError]:
    controller = spec.get("controller") or ""
    if not controller:
        yield required("spec.controller")
    elif len(controller) > _LONGEST_CONTROLLER:
        message = f"Too long: may not be more than {_LONGEST_CONTROLLER} bytes"
        yield FieldError("FieldValueTooLong", "spec.controller", message)
    elif not _CONTROLLER.fullmatch(controller):
        yield bad_value(
            "spec.controller", controller, 'must be a domain-prefixed path (such as "acme.io/foo")'
        )
    parameters = spec.get("parameters")
    if parameters is None:
        return
    yield from (required(f"spec.parameters.{part}") for part in ("kind", "name") if not parameters.get(part))
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope not in ("Cluster", "Namespace"):
        yield unsupported("spec.parameters.scope", scope, ("Cluster", "Namespace"))
    elif scope == "Namespace" and not namespace:
        yield required("spec.parameters.namespace", "`parameters.scope` is set to 'Namespace'")
    elif scope == "Cluster" and namespace is not None:
        yield forbidden_field("spec.parameters.namespace", "`parameters.scope` is set to 'Cluster'")


def _policy_errors(spec: Json) -> Iterator[FieldError]:
    yield from label_selector_errors(spec.get("podSelector") or {}, "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            field = f"spec.{direction}[{index}]"
            for number, port in enumerate(rule.get("ports") or ()):
                yield from _port_errors(port, f"{field}.ports[{number}]")
            for number, peer in enumerate(rule.get(peers) or ()):
                yield from _peer_errors(peer, f"{field}.{peers}[{number}]")
    kinds = spec.get("policyTypes") or []
    if len(kinds) > len(_DIRECTIONS):
        yield bad_value("spec.policyTypes", kinds, "may not specify more than two policyTypes")
        return
    for index, kind in enumerate(kinds):
        if kind not in _DIRECTIONS:
            yield unsupported(f"spec.policyTypes[{index}]", kind, _DIRECTIONS)


def _port_errors(port: Json, field: str) -> Iterator[FieldError]:
    if port.get("protocol") not in _PROTOCOLS:
        yield unsupported(f"{field}.protocol", port.get("protocol"), _PROTOCOLS)
    number, end = port.get("port"), port.get("endPort")
    if number is None:
        if end is not None:
            yield required(f"{field}.port", "must be specified when `endPort` is specified")
        return
    yield from port_or_name_errors(number, f"{field}.port")
    if end is None:
        return
    if isinstance(number, str):
        yield bad_value(f"{field}.endPort", end, "may not be specified when `port` is non-numeric")
    elif end < number:
        yield bad_value(f"{field}.endPort", end, "must be greater than or equal to `port`")
    else:
        yield from port_or_name_errors(end, f"{field}.endPort")


def _peer_errors(peer: Json, field: str) -> Iterator[FieldError]:
    given = [name for name in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(name) is not None]
    for name in given:
        if name != "ipBlock":
            yield from label_selector_errors(peer[name], f"{field}.{name}")
    if not given:
        yield required(field, "must specify a peer")
    elif "ipBlock" in given and len(given) > 1:
        yield forbidden_field(field, "may not specify both ipBlock and another peer")
    elif "ipBlock" in given:
        yield from _block_errors(peer["ipBlock"], f"{field}.ipBlock")


def _block_errors(block: Json, field: str) -> Iterator[FieldError]:
    cidr = block.get("cidr") or ""
    if not cidr:
        yield required(f"{field}.cidr")
        return
    whole = _network(cidr)
    if whole is None:
        yield bad_value(
            f"{field}.cidr", cidr, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        )
        return
    for index, text in enumerate(block.get("except") or ()):
        part = _network(text)
        if part is None or part.version != whole.version:
            yield bad_value(
                f"{field}.except[{index}]", text, "must be a valid CIDR value, (e.g. 10.9.8.0/24)"
            )
        elif part.prefixlen <= whole.prefixlen or not whole.supernet_of(part):  # type: ignore[arg-type]
            yield bad_value(f"{field}.except[{index}]", text, "must be a strict subset of `cidr`")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None
