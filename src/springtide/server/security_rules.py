"""Rules of security contexts, of pods and of containers. Called by `pod_rules` and `container_rules`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from springtide.server.container_paths import relative_path_errors
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, duplicate, required, unsupported

Json = dict[str, Any]

_LARGEST_ID = 2**31 - 1
_SYSCTL = re.compile(r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*")
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_ID_RULE = f"must be between 0 and {_LARGEST_ID}, inclusive"


def pod_security_errors(context: Json, spec: Json, field: str) -> Iterator[FieldError]:
    """Faults of `spec.securityContext`."""
    yield from _id_errors(context, field, ("fsGroup", "runAsUser", "runAsGroup"))
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        if not 0 <= group <= _LARGEST_ID:
            yield bad_value(f"{field}.supplementalGroups[{index}]", group, _ID_RULE)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        rule = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield bad_value(f"{field}.shareProcessNamespace", True, rule)
    yield from _sysctl_errors(context.get("sysctls") or [], f"{field}.sysctls")
    change = context.get("fsGroupChangePolicy")
    if change is not None and change not in ("Always", "OnRootMismatch"):
        yield unsupported(f"{field}.fsGroupChangePolicy", change, ("Always", "OnRootMismatch"))
    groups = context.get("supplementalGroupsPolicy")
    if groups is not None and groups not in ("Merge", "Strict"):
        yield unsupported(f"{field}.supplementalGroupsPolicy", groups, ("Merge", "Strict"))
    yield from _profile_errors(context, field)


def container_security_errors(context: Json, field: str) -> Iterator[FieldError]:
    """Faults of a container's `securityContext`."""
    yield from _id_errors(context, field, ("runAsUser", "runAsGroup"))
    mount = context.get("procMount")
    if mount is not None and mount not in ("Default", "Unmasked"):
        yield unsupported(f"{field}.procMount", mount, ("Default", "Unmasked"))
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            rule = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            yield bad_value(field, context, rule)
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            rule = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            yield bad_value(field, context, rule)
    yield from _profile_errors(context, field)


def _id_errors(context: Json, field: str, names: tuple[str, ...]) -> Iterator[FieldError]:
    for name in names:
        number = context.get(name)
        if number is not None and not 0 <= number <= _LARGEST_ID:
            yield bad_value(f"{field}.{name}", number, _ID_RULE)


def _sysctl_errors(sysctls: list[Json], field: str) -> Iterator[FieldError]:
    names: set[str] = set()
    for index, one in enumerate(sysctls):
        place, name = f"{field}[{index}].name", one.get("name") or ""
        if not name:
            yield required(place)
        elif len(name) > 253 or not _SYSCTL.fullmatch(name):
            yield bad_value(place, name, "must be the name of a kernel setting, 253 characters at most")
        elif name in names:
            yield duplicate(place, name)
        names.add(name)


def _profile_errors(context: Json, field: str) -> Iterator[FieldError]:
    """seccomp and AppArmor: a file is named for type Localhost, and only then."""
    for name, what in (("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")):
        profile = context.get(name)
        if profile is None:
            continue
        place, kind, file = f"{field}.{name}", profile.get("type") or "", profile.get("localhostProfile")
        if not kind:
            yield required(f"{place}.type", f"type is required when {name} is set")
        elif kind not in _PROFILES:
            yield unsupported(f"{place}.type", kind, _PROFILES)
        if kind == "Localhost" and not file:
            yield required(f"{place}.localhostProfile", f"must be set when {what} type is Localhost")
        elif kind != "Localhost" and file is not None:
            rule = f"can only be set when {what} type is Localhost"
            yield bad_value(f"{place}.localhostProfile", file, rule)
        elif file and name == "seccompProfile":
            yield from relative_path_errors(file, f"{place}.localhostProfile")
