"""Services and EndpointSlices: defaults and rules. Which address a Service gets, `admit_services` decides.

Found through `admission.STRATEGIES`. Rules and messages: ValidateService and ValidateEndpointSlice of
Kubernetes. One address family is served here, IPv4.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Any

from springtide.server.schema_rules import FieldError
from springtide.server.selector_rules import label_errors
from springtide.server.status import bad_value, duplicate, forbidden_field, required, unsupported
from springtide.server.strategy import Strategy

Json = dict[str, Any]

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
OUTSIDE = ("NodePort", "LoadBalancer")
"""Types that are reached from outside the cluster, by a port of every node."""
NONE = "None"
"""The address of a headless service."""

_AFFINITIES = ("ClientIP", "None")
_POLICIES = ("Cluster", "Local")
_DAY_SECONDS = 86_400
_AFFINITY_SECONDS = 10_800
_HIGHEST_PORT = 65_535
_MOST_ENDPOINTS, _MOST_PORTS, _MOST_ADDRESSES = 1000, 20_000, 100
"""As Kubernetes bounds a slice."""
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")


class ServiceStrategy(Strategy):
    """v1 Service."""

    selectable_fields = {"spec.clusterIP": "spec.clusterIP", "spec.type": "spec.type"}

    def default(self, obj: Json) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("sessionAffinity", NONE)
        if spec["sessionAffinity"] == "ClientIP":
            spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {}).setdefault(
                "timeoutSeconds", _AFFINITY_SECONDS
            )
        else:
            spec.pop("sessionAffinityConfig", None)
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port.get("port"))
        if spec["type"] != "ExternalName":
            spec.setdefault("internalTrafficPolicy", "Cluster")
        if spec["type"] in OUTSIDE:
            spec.setdefault("externalTrafficPolicy", "Cluster")
        if spec["type"] == "LoadBalancer":
            spec.setdefault("allocateLoadBalancerNodePorts", True)
        obj.setdefault("status", {}).setdefault("loadBalancer", {})

    def before_update(self, new: Json, old: Json) -> None:
        spec = new["spec"] = dict(new["spec"])
        _keep_given(spec, old["spec"])

    def validate(self, obj: Json) -> Sequence[FieldError]:
        spec = obj["spec"]
        return [
            *_type_errors(spec),
            *_port_errors(spec),
            *_affinity_errors(spec),
            *label_errors(spec.get("selector") or {}, "spec.selector"),
            *_address_errors(spec),
        ]

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        """An address, once given, stays as long as the type has one."""
        before, after = old["spec"], new["spec"]
        if "ExternalName" in (before.get("type"), after.get("type")) or not before.get("clusterIP"):
            return ()
        if after.get("clusterIP") and after["clusterIP"] != before["clusterIP"]:
            return [
                bad_value("spec.clusterIPs[0]", after["clusterIP"], "may not change once set"),
            ]
        return ()


def _keep_given(spec: Json, old: Json) -> None:
    """A writer that leaves out what was given to the Service does not take it away."""
    if old.get("type") != "ExternalName" and spec.get("type") != "ExternalName" and not spec.get("clusterIP"):
        for name in ("clusterIP", "clusterIPs"):
            if old.get(name):
                spec[name] = old[name]
    if spec.get("type") not in OUTSIDE:
        if old.get("type") in OUTSIDE:
            for name in ("externalTrafficPolicy", "allocateLoadBalancerNodePorts", "healthCheckNodePort"):
                spec.pop(name, None)
            spec["ports"] = [
                {name: value for name, value in port.items() if name != "nodePort"}
                for port in spec.get("ports") or ()
            ]
        return
    known = {
        (port.get("protocol"), port.get("port")): port.get("nodePort") for port in old.get("ports") or ()
    }
    spec["ports"] = [
        {**port, "nodePort": number}
        if not port.get("nodePort") and (number := known.get((port.get("protocol"), port.get("port"))))
        else port
        for port in spec.get("ports") or ()
    ]


def is_headless(spec: Json) -> bool:
    """Whether the name stands for the pods themselves."""
    return bool(spec.get("clusterIP") == NONE)


def _type_errors(spec: Json) -> Iterator[FieldError]:
    kind = spec["type"]
    if kind not in TYPES:
        yield unsupported("spec.type", kind, TYPES)
    if kind == "ExternalName" and not spec.get("externalName"):
        yield required("spec.externalName")
    if kind in OUTSIDE and is_headless(spec):
        yield bad_value("spec.clusterIPs[0]", NONE, f"may not be set to 'None' for {kind} services")
    for name in ("internalTrafficPolicy", "externalTrafficPolicy"):
        policy = spec.get(name)
        if policy and policy not in _POLICIES:
            yield unsupported(f"spec.{name}", policy, _POLICIES)
    if spec.get("externalTrafficPolicy") and kind not in OUTSIDE and not spec.get("externalIPs"):
        yield bad_value(
            "spec.externalTrafficPolicy",
            spec["externalTrafficPolicy"],
            "may only be set for externally-accessible services",
        )


def _port_errors(spec: Json) -> Iterator[FieldError]:
    ports = spec.get("ports") or []
    if not ports and not is_headless(spec) and spec["type"] != "ExternalName":
        yield required("spec.ports")
    names: set[str] = set()
    pairs: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        where = f"spec.ports[{index}]"
        yield from _one_port_errors(spec, port, where, named=len(ports) > 1)
        name = port.get("name", "")
        if name and name in names:
            yield duplicate(f"{where}.name", name)
        names.add(name)
        pair = (port.get("protocol"), port.get("port"))
        if pair in pairs:
            yield duplicate(where, {"protocol": pair[0], "port": pair[1]})
        pairs.add(pair)


def _one_port_errors(spec: Json, port: Json, where: str, *, named: bool) -> Iterator[FieldError]:
    name = port.get("name", "")
    if named and not name:
        yield required(f"{where}.name")
    if name and not _LABEL.fullmatch(name):
        yield bad_value(f"{where}.name", name, "a lowercase RFC 1123 label must be given")
    if not port.get("port"):
        yield required(f"{where}.port")
    elif not 1 <= port["port"] <= _HIGHEST_PORT:
        yield bad_value(f"{where}.port", port["port"], "must be between 1 and 65535, inclusive")
    if port["protocol"] not in PROTOCOLS:
        yield unsupported(f"{where}.protocol", port["protocol"], PROTOCOLS)
    target = port.get("targetPort")
    if isinstance(target, int) and not 1 <= target <= _HIGHEST_PORT:
        yield bad_value(f"{where}.targetPort", target, "must be between 1 and 65535, inclusive")
    if isinstance(target, str) and target and not _PORT_NAME.fullmatch(target):
        yield bad_value(
            f"{where}.targetPort", target, "must be a port's number or name (at most 15 of a-z, 0-9 and '-')"
        )
    if port.get("nodePort") and spec["type"] not in OUTSIDE:
        yield forbidden_field(f"{where}.nodePort", "may not be used when `type` is 'ClusterIP'")


def _affinity_errors(spec: Json) -> Iterator[FieldError]:
    affinity = spec["sessionAffinity"]
    if affinity not in _AFFINITIES:
        yield unsupported("spec.sessionAffinity", affinity, _AFFINITIES)
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    seconds = config.get("timeoutSeconds")
    if affinity == "ClientIP" and seconds is not None and not 0 < seconds <= _DAY_SECONDS:
        yield bad_value(
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
            seconds,
            f"must be greater than 0 and less than {_DAY_SECONDS}",
        )


def _address_errors(spec: Json) -> Iterator[FieldError]:
    address = spec.get("clusterIP")
    if address and address != NONE and not _is_address(address):
        yield bad_value("spec.clusterIPs[0]", address, "must be a valid IP address, (e.g. 10.9.8.7)")
    if address and spec["type"] == "ExternalName":
        yield forbidden_field("spec.clusterIPs[0]", "may not be set when `type` is 'ExternalName'")
    several = spec.get("clusterIPs") or []
    if several and address and several[0] != address:
        yield bad_value("spec.clusterIPs", several, "first value must match `clusterIP`")
    families = spec.get("ipFamilies") or []
    if "IPv6" in families or spec.get("ipFamilyPolicy") == "RequireDualStack":
        yield bad_value("spec.ipFamilies", families, "this cluster has one address family, IPv4")
    for index, outside in enumerate(spec.get("externalIPs") or ()):
        if not _is_address(outside):
            yield bad_value(f"spec.externalIPs[{index}]", outside, "must be a valid IP address")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class EndpointSliceStrategy(Strategy):
    """discovery.k8s.io/v1 EndpointSlice."""

    def default(self, obj: Json) -> None:
        obj["endpoints"] = obj.get("endpoints") or []
        obj["ports"] = obj.get("ports") or []
        for port in obj["ports"]:
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")

    def validate(self, obj: Json) -> Sequence[FieldError]:
        errors: list[FieldError] = []
        kinds = ("FQDN", "IPv4", "IPv6")
        if obj.get("addressType") not in kinds:
            errors.append(unsupported("addressType", obj.get("addressType"), kinds))
        endpoints = obj["endpoints"]
        if len(endpoints) > _MOST_ENDPOINTS:
            errors.append(_too_many("endpoints", len(endpoints), _MOST_ENDPOINTS))
        if len(obj["ports"]) > _MOST_PORTS:
            errors.append(_too_many("ports", len(obj["ports"]), _MOST_PORTS))
        for index, endpoint in enumerate(endpoints):
            addresses = endpoint.get("addresses") or []
            where = f"endpoints[{index}].addresses"
            if not addresses:
                errors.append(required(where, "must contain at least 1 address"))
            if len(addresses) > _MOST_ADDRESSES:
                errors.append(_too_many(where, len(addresses), _MOST_ADDRESSES))
            if obj.get("addressType") in ("IPv4", "IPv6"):
                errors += [
                    bad_value(f"{where}[{place}]", address, "must be a valid IP address, (e.g. 10.9.8.7)")
                    for place, address in enumerate(addresses)
                    if not _is_address(address)
                ]
        errors += [
            unsupported(f"ports[{index}].protocol", port["protocol"], PROTOCOLS)
            for index, port in enumerate(obj["ports"])
            if port["protocol"] not in PROTOCOLS
        ]
        return errors

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        if new.get("addressType") != old.get("addressType"):
            return [bad_value("addressType", new.get("addressType"), "field is immutable")]
        return ()


def _too_many(field: str, count: int, most: int) -> FieldError:
    return FieldError("FieldValueTooMany", field, f"Too many: {count}: must have at most {most} items")
