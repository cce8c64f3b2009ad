"""The environment, command and arguments of a container, exactly as Kubernetes computes them.

Pure except for `base_environment`. Called by `pod.py` before every start. Raises `Unresolvable` when a
ConfigMap, Secret or field that is not optional does not exist; the container then waits and is tried again.
Source of the rules: the Kubernetes documentation of container environment variables, and the kubelet's order:
`envFrom` first, `env` over it; `$(NAME)` sees Services and the `env` entries before it, commands see all.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from springtide.api.containers import Container, EnvVarSource
from springtide.api.core import ConfigMap, Pod, Secret
from springtide.api.quantity import parse
from springtide.api.volumes import ResourceFieldSelector

_REFERENCE = re.compile(r"\$(\$|\([^)]*\)|)", re.DOTALL)
_MAP_FIELD = re.compile(r"^(metadata\.(?:labels|annotations))\['(.*)'\]$")


class Unresolvable(Exception):
    """A value the container needs cannot be found; the text names what and where."""


@dataclass(frozen=True)
class Sources:
    """What values may be taken from: ConfigMaps and Secrets of the namespace, and what the node offers."""

    config_maps: Mapping[str, ConfigMap] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    allocatable: Mapping[str, str] = field(default_factory=dict)
    pod_ip: str = ""
    host_ip: str = ""
    tokens: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """Tokens of the pod's service account, by audience and wanted seconds of life."""
    token_fault: str = ""
    """Why a token is missing."""
    services: Mapping[str, str] = field(default_factory=dict)
    """Variables that say where the namespace's Services are; for pods that want them."""


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace `$(NAME)`; `$$` is a dollar sign, and what is not known is left as it stands."""

    def replace(match: re.Match[str]) -> str:
        inside = match.group(1)
        if inside == "$":
            return "$"
        if inside.startswith("(") and inside[1:-1] in values:
            return values[inside[1:-1]]
        return match.group(0)

    return _REFERENCE.sub(replace, text)


def container_environment(pod: Pod, container: Container, sources: Sources) -> dict[str, str]:
    """What the pod's author asked for, without the base environment."""
    services = dict(sources.services) if pod.spec.enable_service_links is not False else {}
    result = dict(services)
    for source in container.env_from:
        if source.config_map_ref is not None:
            ref = source.config_map_ref
            result |= _prefixed(source.prefix, _config_map(sources, pod, ref.name, bool(ref.optional)))
        if source.secret_ref is not None:
            secret = source.secret_ref
            result |= _prefixed(source.prefix, _secret(sources, pod, secret.name, bool(secret.optional)))
    declared: dict[str, str] = {}
    for variable in container.env:
        if variable.value_from is None:
            declared[variable.name] = expand(variable.value, services | declared)
            continue
        value = _value_from(pod, container, variable.value_from, sources)
        if value is not None:
            declared[variable.name] = value
    return result | declared


def argv(container: Container, environment: Mapping[str, str]) -> list[str]:
    """The program and its arguments. Raises Unresolvable without a command: no image could tell it."""
    words = [expand(word, environment) for word in (*container.command, *container.args)]
    if not container.command:
        raise Unresolvable(
            f"container {container.name!r} has no command: process nodes run no image,"
            " so set spec.containers[].command"
        )
    return words


def base_environment(patterns: Sequence[str]) -> dict[str, str]:
    """What containers get from this process, as from an image's ENV; this Python's programs first in PATH."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }
    programs = str(Path(sys.executable).parent)
    path = kept.get("PATH", os.defpath)
    return kept | {
        "PATH": path if path.split(os.pathsep)[0] == programs else programs + os.pathsep + path,
        "PYTHONUNBUFFERED": "1",
    }


def with_terminal(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program on a terminal, which says of what kind it is."""
    return {"TERM": "xterm", **environment}


# -- values -----------------------------------------------------------------------------------------


def _prefixed(prefix: str, values: Mapping[str, str]) -> dict[str, str]:
    return {prefix + name: value for name, value in values.items()}


def _config_map(sources: Sources, pod: Pod, name: str, optional: bool) -> Mapping[str, str]:
    found = sources.config_maps.get(name)
    if found is None and not optional:
        raise Unresolvable(f'configmap "{name}" not found in namespace "{pod.metadata.namespace}"')
    return found.data if found is not None else {}


def _secret(sources: Sources, pod: Pod, name: str, optional: bool) -> dict[str, str]:
    found = sources.secrets.get(name)
    if found is None and not optional:
        raise Unresolvable(f'secret "{name}" not found in namespace "{pod.metadata.namespace}"')
    data = found.data if found is not None else {}
    return {
        key: secret_bytes(name, key, value).decode(errors="surrogateescape") for key, value in data.items()
    }


def secret_bytes(name: str, key: str, value: str) -> bytes:
    """A Secret's value as it was before base64."""
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise Unresolvable(f'secret "{name}": data[{key}] is not base64: {error}') from None


def _value_from(pod: Pod, container: Container, source: EnvVarSource, sources: Sources) -> str | None:
    """The value, or None for an optional one that does not exist."""
    if source.field_ref is not None:
        return field_value(pod, source.field_ref.field_path, sources)
    if source.resource_field_ref is not None:
        return resource_value(pod, container, source.resource_field_ref, sources)
    if source.config_map_key_ref is not None:
        key = source.config_map_key_ref
        return _key(
            "configmap",
            key.key,
            key.name,
            _config_map(sources, pod, key.name, bool(key.optional)),
            key.optional,
        )
    if source.secret_key_ref is not None:
        secret = source.secret_key_ref
        values = _secret(sources, pod, secret.name, bool(secret.optional))
        return _key("secret", secret.key, secret.name, values, secret.optional)
    raise Unresolvable(
        f"container {container.name!r}: env valueFrom names a source that process nodes do not have"
    )


def _key(kind: str, key: str, name: str, values: Mapping[str, str], optional: bool | None) -> str | None:
    if key in values:
        return values[key]
    if optional:
        return None
    raise Unresolvable(f'key "{key}" not found in {kind} "{name}"')


def field_value(pod: Pod, path: str, sources: Sources) -> str:
    """A field of the pod by its `fieldPath`."""
    metadata = pod.metadata
    match = _MAP_FIELD.match(path)
    if match is not None:
        members = metadata.labels if match.group(1) == "metadata.labels" else metadata.annotations
        return members.get(match.group(2), "")
    plain = {
        "metadata.name": metadata.name,
        "metadata.namespace": metadata.namespace,
        "metadata.uid": metadata.uid,
        "metadata.labels": _lines(metadata.labels),
        "metadata.annotations": _lines(metadata.annotations),
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name or "default",
        "status.hostIP": sources.host_ip,
        "status.hostIPs": sources.host_ip,
        "status.podIP": sources.pod_ip,
        "status.podIPs": sources.pod_ip,
    }
    if path not in plain:
        raise Unresolvable(
            f"fieldPath {path!r} is not supported: use one of {', '.join(plain)} or metadata.labels['key']"
        )
    return plain[path]


def _lines(members: Mapping[str, str]) -> str:
    return "\n".join(f'{key}="{_escaped(value)}"' for key, value in sorted(members.items()))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource_value(pod: Pod, container: Container, ref: ResourceFieldSelector, sources: Sources) -> str:
    """A request or limit in units of the divisor, rounded up; without a limit, what the node can give."""
    wanted = ref.container_name or container.name
    found = next(
        (one for one in (*pod.spec.containers, *pod.spec.init_containers) if one.name == wanted), None
    )
    if found is None:
        raise Unresolvable(f"resourceFieldRef: the pod has no container {wanted!r}")
    kind, _, resource = ref.resource.partition(".")
    if kind not in ("limits", "requests") or not resource:
        raise Unresolvable(f"resourceFieldRef: {ref.resource!r} must be limits.<name> or requests.<name>")
    amounts = found.resources.limits if kind == "limits" else found.resources.requests
    default = (
        sources.allocatable.get(resource, "0")
        if kind == "limits"
        else found.resources.limits.get(resource, "0")
    )
    amount = parse(amounts.get(resource, default))
    divisor = parse(ref.divisor) if ref.divisor not in ("", "0", 0) else parse(1)
    return str(math.ceil(amount / divisor))
