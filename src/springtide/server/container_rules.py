"""Rules of containers that their schema does not say: names, ports, variables, mounts, probes, hooks.

Called by `pod_rules` for every list of containers. Rules and messages: Kubernetes' core validation. The
schema was checked before, so types are right; defaults are filled in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from springtide.api.names import env_name_fault, label_fault, qualified_fault, subdomain_fault
from springtide.server.container_paths import no_backsteps_errors, relative_path_errors
from springtide.server.resource_rules import requirement_errors
from springtide.server.schema_rules import FieldError
from springtide.server.security_rules import container_security_errors
from springtide.server.status import (
    bad_value,
    duplicate,
    forbidden_field,
    not_found_value,
    required,
    unsupported,
)

Json = dict[str, Any]

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")
_PORT_RULE = "must be between 1 and 65535, inclusive"
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_HEADER_NAME = re.compile(r"[-A-Za-z0-9]+")
_ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_RESOURCE_FIELDS = tuple(
    f"{part}.{name}" for part in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
_HUGE_PAGES = ("limits.hugepages-", "requests.hugepages-")
_SUBSCRIPTED = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]", re.DOTALL)
_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_ACTIONS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")


class Around(NamedTuple):
    """What of its pod a container's rules need to know."""

    volumes: dict[str, Json]
    claims: frozenset[str]
    restart_policy: str
    grace_seconds: int


def container_errors(container: Json, field: str, around: Around) -> Iterator[FieldError]:
    """Faults every container can have, whichever list it stands in."""
    name = container.get("name") or ""
    if not name:
        yield required(f"{field}.name")
    elif fault := label_fault(name):
        yield bad_value(f"{field}.name", name, fault)
    if not container.get("image"):
        yield required(f"{field}.image")
    policy = container.get("imagePullPolicy")
    if policy not in _PULL_POLICIES:
        yield unsupported(f"{field}.imagePullPolicy", policy, _PULL_POLICIES)
    policy = container.get("terminationMessagePolicy")
    if policy not in ("File", "FallbackToLogsOnError"):
        supported = ("FallbackToLogsOnError", "File")
        yield unsupported(f"{field}.terminationMessagePolicy", policy, supported)
    yield from _port_errors(container.get("ports") or [], f"{field}.ports")
    yield from _env_errors(container.get("env") or [], f"{field}.env", around)
    yield from _env_from_errors(container.get("envFrom") or [], f"{field}.envFrom")
    yield from _mount_errors(container, f"{field}.volumeMounts", around.volumes)
    yield from _device_errors(container, f"{field}.volumeDevices", around.volumes)
    yield from requirement_errors(container.get("resources") or {}, f"{field}.resources", around.claims)
    yield from _resize_errors(container.get("resizePolicy") or [], f"{field}.resizePolicy", around)
    if security := container.get("securityContext"):
        yield from container_security_errors(security, f"{field}.securityContext")


def running_errors(container: Json, field: str, around: Around) -> Iterator[FieldError]:
    """Faults of what only containers that stay may have: hooks and probes."""
    for hook in ("postStart", "preStop"):
        if (action := (container.get("lifecycle") or {}).get(hook)) is not None:
            yield from _action_errors(action, f"{field}.lifecycle.{hook}", around.grace_seconds)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if (probe := container.get(name)) is not None:
            yield from _probe_errors(probe, name, f"{field}.{name}", around.grace_seconds)


def restart_errors(container: Json, field: str) -> Iterator[FieldError]:
    """Faults of a container's own restart policy and its rules by exit code."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    if policy is None and rules:
        yield required(f"{field}.restartPolicy", "must specify restartPolicy when restart rules are used")
    elif policy is not None and policy not in _RESTART_POLICIES:
        yield unsupported(f"{field}.restartPolicy", policy, _RESTART_POLICIES)
    for index, rule in enumerate(rules):
        place = f"{field}.restartPolicyRules[{index}]"
        if rule.get("action") not in ("Restart", "RestartAllContainers"):
            yield unsupported(f"{place}.action", rule.get("action"), ("Restart", "RestartAllContainers"))
        codes = rule.get("exitCodes")
        if codes is None:
            yield required(f"{place}.exitCodes", "must be specified")
        elif codes.get("operator") not in ("In", "NotIn"):
            yield unsupported(f"{place}.exitCodes.operator", codes.get("operator"), ("In", "NotIn"))


def host_port_errors(containers: list[Json], field: str, start: int = 0) -> Iterator[FieldError]:
    """Ports of the node that two containers would share."""
    taken: set[tuple[str, str, int]] = set()
    for index, container in enumerate(containers, start):
        for number, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = (port.get("hostIP") or "", port.get("protocol") or "", port["hostPort"])
            if key in taken:
                place = f"{field}[{index}].ports[{number}].hostPort"
                yield duplicate(place, f"{key[1]}/{key[0]}/{key[2]}")
            taken.add(key)


def port_or_name_errors(port: Any, field: str) -> Iterator[FieldError]:
    """A number from 1 to 65535, or the name of a port."""
    if isinstance(port, int):
        if not 1 <= port <= 65535:
            yield bad_value(field, port, _PORT_RULE)
    elif fault := port_name_fault(port or ""):
        yield bad_value(field, port or "", fault)


def port_name_fault(name: str) -> str:
    """Why this is no name of a port; empty if it is one."""
    if len(name) > 15:
        return "must be no more than 15 characters"
    if _PORT_NAME.fullmatch(name):
        return ""
    return (
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-), at least one letter (a-z), "
        "no two hyphens in a row, and none at its ends"
    )


def _port_errors(ports: list[Json], field: str) -> Iterator[FieldError]:
    names: set[str] = set()
    for index, port in enumerate(ports):
        place, name = f"{field}[{index}]", port.get("name") or ""
        if name and (fault := port_name_fault(name)):
            yield bad_value(f"{place}.name", name, fault)
        elif name and name in names:
            yield duplicate(f"{place}.name", name)
        names.add(name)
        number, on_host = port.get("containerPort") or 0, port.get("hostPort") or 0
        if not number:
            yield required(f"{place}.containerPort")
        elif not 1 <= number <= 65535:
            yield bad_value(f"{place}.containerPort", number, _PORT_RULE)
        if on_host and not 1 <= on_host <= 65535:
            yield bad_value(f"{place}.hostPort", on_host, _PORT_RULE)
        if port.get("protocol") not in _PROTOCOLS:
            yield unsupported(f"{place}.protocol", port.get("protocol"), _PROTOCOLS)


def _env_errors(env: list[Json], field: str, around: Around) -> Iterator[FieldError]:
    for index, variable in enumerate(env):
        place, name = f"{field}[{index}]", variable.get("name") or ""
        if not name:
            yield required(f"{place}.name")
        elif fault := env_name_fault(name):
            yield bad_value(f"{place}.name", name, fault)
        if (source := variable.get("valueFrom")) is not None:
            value = variable.get("value") or ""
            yield from _env_source_errors(source, value, f"{place}.valueFrom", around)


def _env_source_errors(source: Json, value: str, field: str, around: Around) -> Iterator[FieldError]:
    given = [name for name in _ENV_SOURCES if source.get(name) is not None]
    if (field_ref := source.get("fieldRef")) is not None:
        yield from field_ref_errors(field_ref, f"{field}.fieldRef", _ENV_FIELDS)
    if (resource_ref := source.get("resourceFieldRef")) is not None:
        yield from resource_ref_errors(resource_ref, f"{field}.resourceFieldRef")
    for name in ("configMapKeyRef", "secretKeyRef"):
        if (ref := source.get(name)) is not None:
            yield from _key_ref_errors(ref, f"{field}.{name}")
    if (file_ref := source.get("fileKeyRef")) is not None:
        yield from _file_ref_errors(file_ref, f"{field}.fileKeyRef", around.volumes)
    if not given:
        choices = ", ".join(f"`{name}`" for name in _ENV_SOURCES[:-1])
        yield bad_value(field, "", f"must specify one of: {choices} or `{_ENV_SOURCES[-1]}`")
    elif value:
        yield bad_value(field, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        yield bad_value(field, "", "may not have more than one field specified at a time")


def field_ref_errors(ref: Json, field: str, known: tuple[str, ...]) -> Iterator[FieldError]:
    """Faults of a reference to a field of the pod; `known`: the paths that are served."""
    path = ref.get("fieldPath") or ""
    if not path:
        yield required(f"{field}.fieldPath")
    elif match := _SUBSCRIPTED.fullmatch(path):
        key = match[2].lower() if match[1].endswith("annotations") else match[2]
        if fault := qualified_fault(key):
            yield bad_value(field, key, fault)
    elif path not in known:
        yield unsupported(f"{field}.fieldPath", path, known)


def resource_ref_errors(ref: Json, field: str, *, names_container: bool = False) -> Iterator[FieldError]:
    """Faults of a reference to what a container asks for."""
    wanted = ref.get("resource") or ""
    if names_container and not ref.get("containerName"):
        yield required(f"{field}.containerName")
    elif not wanted:
        yield required(f"{field}.resource")
    elif wanted not in _RESOURCE_FIELDS and not wanted.startswith(_HUGE_PAGES):
        yield unsupported(f"{field}.resource", wanted, _RESOURCE_FIELDS)


def config_key_fault(key: str) -> str:
    """Why this is no key of a ConfigMap or Secret; empty if it is one."""
    if len(key) > 253:
        return "must be no more than 253 characters"
    if key in (".", "..") or key.startswith(".."):
        return "must not be '.' or start with '..'"
    if _CONFIG_KEY.fullmatch(key):
        return ""
    return "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"


def _key_ref_errors(ref: Json, field: str) -> Iterator[FieldError]:
    name, key = ref.get("name") or "", ref.get("key") or ""
    if not name:
        yield required(f"{field}.name")
    elif fault := subdomain_fault(name):
        yield bad_value(f"{field}.name", name, fault)
    if not key:
        yield required(f"{field}.key")
    elif fault := config_key_fault(key):
        yield bad_value(f"{field}.key", key, fault)


def _file_ref_errors(ref: Json, field: str, volumes: dict[str, Json]) -> Iterator[FieldError]:
    name = ref.get("volumeName") or ""
    for part in ("key", "volumeName", "path"):
        if not ref.get(part):
            yield required(f"{field}.{part}")
    if name and name not in volumes:
        yield not_found_value(f"{field}.volumeName", name)
    elif name and volumes[name].get("emptyDir") is None:
        yield bad_value(f"{field}.volumeName", name, "referenced volume must be of type emptyDir")


def _env_from_errors(sources: list[Json], field: str) -> Iterator[FieldError]:
    for index, source in enumerate(sources):
        place, prefix = f"{field}[{index}]", source.get("prefix") or ""
        if prefix and (fault := env_name_fault(prefix)):
            yield bad_value(f"{place}.prefix", prefix, fault)
        given = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
        for name in given:
            target = source[name].get("name") or ""
            if not target:
                yield required(f"{place}.{name}.name")
            elif fault := subdomain_fault(target):
                yield bad_value(f"{place}.{name}.name", target, fault)
        if not given:
            yield bad_value(field, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            yield bad_value(field, "", "may not have more than one field specified at a time")


def _mount_errors(container: Json, field: str, volumes: dict[str, Json]) -> Iterator[FieldError]:
    paths: set[str] = set()
    devices = container.get("volumeDevices") or []
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        place, name, path = f"{field}[{index}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            yield required(f"{place}.name")
        if name not in volumes:
            yield not_found_value(f"{place}.name", name)
        if not path:
            yield required(f"{place}.mountPath")
        if path in paths:
            yield bad_value(f"{place}.mountPath", path, "must be unique")
        paths.add(path)
        if any(device.get("name") == name for device in devices):
            yield bad_value(f"{place}.name", name, "must not already exist in volumeDevices")
        if any(device.get("devicePath") == path for device in devices):
            yield bad_value(f"{place}.mountPath", path, "must not already exist as a path in volumeDevices")
        if mount.get("subPath") and mount.get("subPathExpr"):
            rule = "subPathExpr and subPath are mutually exclusive"
            yield bad_value(f"{place}.subPathExpr", mount["subPathExpr"], rule)
        for part in ("subPath", "subPathExpr"):  # upstream names the list, not the mount, in these
            yield from relative_path_errors(mount.get(part) or "", f"{field}.{part}")
        yield from _sharing_errors(mount, container, field)


def _sharing_errors(mount: Json, container: Json, field: str) -> Iterator[FieldError]:
    propagation, recursive = mount.get("mountPropagation"), mount.get("recursiveReadOnly")
    if propagation is not None and propagation not in _PROPAGATIONS:
        yield unsupported(f"{field}.mountPropagation", propagation, _PROPAGATIONS)
    privileged = (container.get("securityContext") or {}).get("privileged")
    if propagation == "Bidirectional" and not privileged:
        rule = "Bidirectional mount propagation is available only to privileged containers"
        yield forbidden_field(f"{field}.mountPropagation", rule)
    if recursive is not None and recursive not in _RECURSIVE:
        yield unsupported(f"{field}.recursiveReadOnly", recursive, _RECURSIVE)
    elif recursive in ("Enabled", "IfPossible"):
        if not mount.get("readOnly"):
            yield forbidden_field(f"{field}.recursiveReadOnly", "may only be specified when readOnly is true")
        if propagation not in (None, "None"):
            rule = "may only be specified when mountPropagation is None or not specified"
            yield forbidden_field(f"{field}.recursiveReadOnly", rule)


def _device_errors(container: Json, field: str, volumes: dict[str, Json]) -> Iterator[FieldError]:
    paths: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        place, name, path = f"{field}[{index}]", device.get("name") or "", device.get("devicePath") or ""
        if not name:
            yield required(f"{place}.name")
        if not path:
            yield required(f"{place}.devicePath")
        if path in paths:
            yield bad_value(f"{place}.devicePath", path, "must be unique")
        paths.add(path)
        yield from no_backsteps_errors(path, f"{place}.devicePath")
        source = volumes.get(name)
        if source is None:
            yield not_found_value(f"{place}.name", name)
        elif source.get("persistentVolumeClaim") is None and source.get("ephemeral") is None:
            rule = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield bad_value(f"{place}.name", name, rule)


def _resize_errors(policies: list[Json], field: str, around: Around) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, one in enumerate(policies):
        name, policy = one.get("resourceName") or "", one.get("restartPolicy") or ""
        if name in seen:
            yield duplicate(f"{field}[{index}]", name)
        seen.add(name)
        if name not in ("cpu", "memory"):
            yield unsupported(field, name, ("cpu", "memory")) if name else required(field)
        if policy not in ("NotRequired", "RestartContainer"):
            yield (
                unsupported(field, policy, ("NotRequired", "RestartContainer")) if policy else required(field)
            )
        if around.restart_policy == "Never" and policy != "NotRequired":
            rule = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            yield bad_value(field, policy, rule)


def _probe_errors(probe: Json, name: str, field: str, grace_seconds: int) -> Iterator[FieldError]:
    yield from _action_errors(probe, field, grace_seconds)
    counts = (
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    )
    for count in counts:
        if (probe.get(count) or 0) < 0:
            yield bad_value(f"{field}.{count}", probe[count], "must be greater than or equal to 0")
    own_grace = probe.get("terminationGracePeriodSeconds")
    if own_grace is not None and own_grace <= 0:
        yield bad_value(f"{field}.terminationGracePeriodSeconds", own_grace, "must be greater than 0")
    if name == "readinessProbe" and own_grace is not None:
        rule = "must not be set for readinessProbes"
        yield bad_value(f"{field}.terminationGracePeriodSeconds", own_grace, rule)
    if name != "readinessProbe" and probe.get("successThreshold") != 1:
        yield bad_value(f"{field}.successThreshold", probe.get("successThreshold"), "must be 1")


def _action_errors(action: Json, field: str, grace_seconds: int) -> Iterator[FieldError]:
    """Faults of what a probe or hook does: exactly one thing."""
    given = [name for name in _ACTIONS if action.get(name) is not None]
    if not given:
        yield required(field, "must specify a handler type")
        return
    for name in given[1:]:
        yield forbidden_field(f"{field}.{name}", "may not specify more than 1 handler type")
    first = action[given[0]]
    place = f"{field}.{given[0]}"
    if given[0] == "exec" and not first.get("command"):
        yield required(f"{place}.command")
    if given[0] in ("httpGet", "tcpSocket", "grpc"):
        yield from port_or_name_errors(first.get("port"), f"{place}.port")
    if given[0] == "httpGet":
        if first.get("scheme") not in ("HTTP", "HTTPS"):
            yield unsupported(f"{place}.scheme", first.get("scheme"), ("HTTP", "HTTPS"))
        for header in first.get("httpHeaders") or ():
            if not _HEADER_NAME.fullmatch(header.get("name") or ""):
                rule = "a valid HTTP header must consist of alphanumeric characters or '-'"
                yield bad_value(f"{place}.httpHeaders", header.get("name") or "", rule)
    if given[0] == "sleep" and not 0 <= (first.get("seconds") or 0) <= grace_seconds:
        rule = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})"
        yield bad_value(place, first.get("seconds"), rule)
