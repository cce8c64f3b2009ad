"""Rules of a pod spec that its schema does not say: of pods themselves, and of templates of pods.

Called by `PodStrategy` and by the strategies of kinds that hold templates. Rules and messages: Kubernetes'
core validation. Containers, volumes and placement have files of their own.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from springtide.api.names import label_fault, qualified_fault, subdomain_fault
from springtide.server.container_rules import (
    Around,
    container_errors,
    host_port_errors,
    restart_errors,
    running_errors,
)
from springtide.server.placement_rules import affinity_errors, spread_errors, toleration_errors
from springtide.server.resource_rules import amount_errors
from springtide.server.schema_rules import FieldError
from springtide.server.security_rules import pod_security_errors
from springtide.server.selector_rules import label_errors
from springtide.server.status import (
    bad_value,
    duplicate,
    forbidden_field,
    not_found_value,
    required,
    unsupported,
)
from springtide.server.volume_rules import volume_errors

Json = dict[str, Any]

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")
_LARGEST = 2**31 - 1
_COST = "controller.kubernetes.io/pod-deletion-cost"
_WHOLE = re.compile("-[0-9]{1,20}|0|[1-9][0-9]{0,19}")
_SHORT_LIVED = "may not be set for init containers without restartPolicy=Always"
_NOT_EPHEMERAL = (
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
)


def cost_errors(annotations: Json | None, field: str) -> list[FieldError]:
    """Faults of the note that says which pods of a set are to go first."""
    text = (annotations or {}).get(_COST)
    if text is None or (_WHOLE.fullmatch(text) and -_LARGEST - 1 <= int(text) <= _LARGEST):
        return []
    return [bad_value(f"{field}[{_COST}]", text, "must be a 32bit integer")]


def validate_pod_spec(spec: Json, field: str, *, of_pod: bool = False) -> list[FieldError]:
    """What is wrong with the complete spec that stands at `field`; `of_pod`: of a pod, not a template."""
    volumes, errors = volume_errors(spec.get("volumes") or [], f"{field}.volumes")
    around = Around(
        volumes,
        frozenset(one.get("name") or "" for one in spec.get("resourceClaims") or ()),
        spec["restartPolicy"],
        spec["terminationGracePeriodSeconds"],
    )
    errors += _containers(spec, f"{field}.containers", around)
    errors += _init_containers(spec, f"{field}.initContainers", around)
    errors += ephemeral_container_errors(spec, f"{field}.ephemeralContainers", around)
    errors += _choices(spec, field)
    errors += _names(spec, field)
    if not of_pod:
        errors += own_name_errors(spec, field)
    errors += _placement(spec, field)
    errors += _dns(spec, field)
    errors += _host_aliases(spec, field)
    errors += _gates(spec, field)
    errors += pod_security_errors(spec.get("securityContext") or {}, spec, f"{field}.securityContext")
    errors += _host_network(spec, field, of_pod=of_pod)
    if of_pod:
        errors += _only_pods(spec, field)
    return errors


def around_of(spec: Json) -> Around:
    """What containers that are added to a pod later need to know of it."""
    volumes, _ = volume_errors(spec.get("volumes") or [], "spec.volumes")
    return Around(volumes, frozenset(), spec["restartPolicy"], spec["terminationGracePeriodSeconds"])


def _containers(spec: Json, field: str, around: Around) -> Iterator[FieldError]:
    containers = spec.get("containers") or []
    if not containers:
        yield required(field)
    names: set[str] = set()
    for index, container in enumerate(containers):
        place = f"{field}[{index}]"
        yield from container_errors(container, place, around)
        if (name := container.get("name") or "") in names:
            yield duplicate(f"{place}.name", name)
        names.add(name)
        yield from running_errors(container, place, around)
        yield from restart_errors(container, place)
    yield from host_port_errors(containers, field)


def _init_containers(spec: Json, field: str, around: Around) -> Iterator[FieldError]:
    names = {container.get("name") for container in spec.get("containers") or ()}
    for index, container in enumerate(spec.get("initContainers") or ()):
        place = f"{field}[{index}]"
        yield from container_errors(container, place, around)
        yield from restart_errors(container, place)
        if (name := container.get("name")) in names and name:
            yield duplicate(f"{place}.name", name)
        names.add(name)
        yield from host_port_errors([container], field, index)
        if container.get("restartPolicy") == "Always":
            yield from running_errors(container, place, around)
            continue
        for part in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(part) is not None:
                yield forbidden_field(f"{place}.{part}", _SHORT_LIVED)


def ephemeral_container_errors(spec: Json, field: str, around: Around) -> Iterator[FieldError]:
    """Faults of containers that were added to a running pod to look into it."""
    others = {one.get("name") for part in ("containers", "initContainers") for one in spec.get(part) or ()}
    names = set(others)
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        place = f"{field}[{index}]"
        yield from container_errors(container, place, around)
        if (name := container.get("name") or "") in names:
            yield duplicate(f"{place}.name", name)
        names.add(name)
        target = container.get("targetContainerName") or ""
        if target and target not in others:
            yield not_found_value(f"{place}.targetContainerName", target)
        for part in _NOT_EPHEMERAL:
            if container.get(part):
                yield forbidden_field(f"{place}.{part}", "cannot be set for an Ephemeral Container")
        for number, mount in enumerate(container.get("volumeMounts") or ()):
            for part in ("subPath", "subPathExpr"):
                if mount.get(part):
                    rule = "cannot be set for an Ephemeral Container"
                    yield forbidden_field(f"{place}.volumeMounts[{number}].{part}", rule)


def _choices(spec: Json, field: str) -> Iterator[FieldError]:
    for name, supported in (("restartPolicy", _RESTART_POLICIES), ("dnsPolicy", _DNS_POLICIES)):
        if spec.get(name) not in supported:
            yield unsupported(f"{field}.{name}", spec.get(name), supported)
    policy = spec.get("preemptionPolicy")
    if policy is not None and policy not in _PREEMPTION_POLICIES:
        yield unsupported(f"{field}.preemptionPolicy", policy, _PREEMPTION_POLICIES)
    system = (spec.get("os") or {}).get("name")
    if spec.get("os") is not None and system not in ("linux", "windows"):
        yield unsupported(f"{field}.os", system, ("linux", "windows"))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _LARGEST:
        rule = f"must be between 1 and {_LARGEST}, inclusive"
        yield bad_value(f"{field}.activeDeadlineSeconds", deadline, rule)
    if spec["terminationGracePeriodSeconds"] < 0:
        seconds = spec["terminationGracePeriodSeconds"]
        rule = "must be greater than or equal to 0"
        yield bad_value(f"{field}.terminationGracePeriodSeconds", seconds, rule)
    for name, amount in (spec.get("overhead") or {}).items():
        yield from amount_errors(name, amount, f"{field}.overhead[{name}]")


def own_name_errors(spec: Json, field: str) -> Iterator[FieldError]:
    """Faults of the names in which the pods of one template differ: checked for each pod by itself."""
    if (host := spec.get("hostname")) and (fault := label_fault(host)):
        yield bad_value(f"{field}.hostname", host, fault)
    if (node := spec.get("nodeName")) and (fault := subdomain_fault(node)):
        yield bad_value(f"{field}.nodeName", node, fault)


def _names(spec: Json, field: str) -> Iterator[FieldError]:
    if (value := spec.get("subdomain")) and (fault := label_fault(value)):
        yield bad_value(f"{field}.subdomain", value, fault)
    for name in ("serviceAccountName", "priorityClassName", "runtimeClassName"):
        if (value := spec.get(name)) and (fault := subdomain_fault(value)):
            yield bad_value(f"{field}.{name}", value, fault)
    override = spec.get("hostnameOverride")
    if override is None:
        return
    for condition, why in (("setHostnameAsFQDN", "setHostnameAsFQDN"), ("hostNetwork", "hostNetwork")):
        if spec.get(condition):
            yield forbidden_field(f"{field}.hostnameOverride", f"may not be specified when {why} is true")
    if len(override) > 64:
        yield FieldError(
            "FieldValueTooLong", f"{field}.hostnameOverride", "Too long: may not be more than 64 bytes"
        )
    if fault := subdomain_fault(override):
        yield bad_value(f"{field}.hostnameOverride", override, fault)


def _placement(spec: Json, field: str) -> Iterator[FieldError]:
    yield from label_errors(spec.get("nodeSelector") or {}, f"{field}.nodeSelector")
    yield from toleration_errors(spec.get("tolerations") or [], f"{field}.tolerations")
    if (affinity := spec.get("affinity")) is not None:
        yield from affinity_errors(affinity, f"{field}.affinity")
    spread = spec.get("topologySpreadConstraints") or []
    yield from spread_errors(spread, f"{field}.topologySpreadConstraints")


def _dns(spec: Json, field: str) -> Iterator[FieldError]:
    config = spec.get("dnsConfig")
    servers = (config or {}).get("nameservers") or []
    if spec.get("dnsPolicy") == "None" and config is None:
        yield required(f"{field}.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
    elif spec.get("dnsPolicy") == "None" and not servers:
        rule = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        yield required(f"{field}.dnsConfig.nameservers", rule)
    if len(servers) > 3:
        yield bad_value(f"{field}.dnsConfig.nameservers", servers, "must not have more than 3 nameservers")
    for index, server in enumerate(servers):
        yield from ip_errors(server, f"{field}.dnsConfig.nameservers[{index}]")
    searches = (config or {}).get("searches") or []
    if len(searches) > 32:
        yield bad_value(f"{field}.dnsConfig.searches", searches, "must not have more than 32 search paths")
    for index, search in enumerate(searches):
        if search != "." and (fault := subdomain_fault(search.removesuffix(".").replace("_", "-"))):
            yield bad_value(f"{field}.dnsConfig.searches[{index}]", search, fault)
    for index, option in enumerate((config or {}).get("options") or ()):
        if not option.get("name"):
            yield required(f"{field}.dnsConfig.options[{index}]", "must not be empty")


def _host_aliases(spec: Json, field: str) -> Iterator[FieldError]:
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from ip_errors(alias.get("ip") or "", f"{field}.hostAliases[{index}].ip")
        for number, name in enumerate(alias.get("hostnames") or ()):
            if fault := subdomain_fault(name):
                yield bad_value(f"{field}.hostAliases[{index}].hostnames[{number}]", name, fault)


def ip_errors(text: str, field: str) -> Iterator[FieldError]:
    """An IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        yield bad_value(field, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")


def _gates(spec: Json, field: str) -> Iterator[FieldError]:
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        if fault := qualified_fault(gate.get("conditionType") or ""):
            place = f"{field}.readinessGates[{index}].conditionType"
            yield bad_value(place, gate.get("conditionType") or "", fault)
    seen: set[str] = set()
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        place, name = f"{field}.schedulingGates[{index}]", gate.get("name") or ""
        if fault := qualified_fault(name):
            yield bad_value(place, name, fault)
        if name in seen:
            yield duplicate(place, name)
        seen.add(name)
    claims: set[str] = set()
    for index, claim in enumerate(spec.get("resourceClaims") or ()):
        place, name = f"{field}.resourceClaims[{index}]", claim.get("name") or ""
        if not name:
            yield required(f"{place}.name")
        elif fault := label_fault(name):
            yield bad_value(f"{place}.name", name, fault)
        elif name in claims:
            yield duplicate(f"{place}.name", name)
        claims.add(name)
        given = [part for part in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(part)]
        if len(given) != 1:
            rule = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            yield bad_value(place, claim, rule)


def _host_network(spec: Json, field: str, *, of_pod: bool) -> Iterator[FieldError]:
    if not spec.get("hostNetwork"):
        return
    for index, container in enumerate(spec.get("containers") or ()):
        for number, port in enumerate(container.get("ports") or ()):
            on_host = port.get("hostPort") or 0
            if (of_pod or on_host) and on_host != port.get("containerPort"):
                place = f"{field}.containers[{index}].ports[{number}].hostPort"
                yield bad_value(place, on_host, "must match `containerPort` when `hostNetwork` is true")


def _only_pods(spec: Json, field: str) -> Iterator[FieldError]:
    """What templates may say and pods may not."""
    for part in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(part) or ()):
            image = container.get("image") or ""
            if image != image.strip():
                rule = "must not have leading or trailing whitespace"
                yield bad_value(f"{field}.{part}[{index}].image", image, rule)
