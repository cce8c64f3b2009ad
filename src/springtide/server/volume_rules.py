"""Rules of a pod's volumes that their schema does not say. Called by `pod_rules`.

Rules and messages: Kubernetes' core validation. Sources of storage networks and clouds are only checked to
be the one source of their volume.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from springtide.api.names import label_fault, subdomain_fault
from springtide.api.quantity import parse
from springtide.server.claim_rules import claim_spec_errors
from springtide.server.container_paths import no_backsteps_errors, relative_path_errors
from springtide.server.container_rules import field_ref_errors, resource_ref_errors
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, duplicate, forbidden_field, required, unsupported

Json = dict[str, Any]

_MODE_RULE = "must be a number between 0 and 0777 (octal), both inclusive"
_HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_FILE_FIELDS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
_PROJECTIONS = (
    "secret",
    "configMap",
    "downwardAPI",
    "serviceAccountToken",
    "clusterTrustBundle",
    "podCertificate",
)
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_SHORTEST_TOKEN_SECONDS = 600
_LONGEST_TOKEN_SECONDS = 1 << 32


def volume_errors(volumes: list[Json], field: str) -> tuple[dict[str, Json], list[FieldError]]:
    """The sound volumes by name, which containers may mount, and what is wrong with the others."""
    sound: dict[str, Json] = {}
    errors: list[FieldError] = []
    for index, volume in enumerate(volumes):
        place, name = f"{field}[{index}]", volume.get("name") or ""
        found = list(_source_errors(volume, place))
        if not name:
            found.append(required(f"{place}.name"))
        elif fault := label_fault(name):
            found.append(bad_value(f"{place}.name", name, fault))
        if name in sound:
            found.append(duplicate(f"{place}.name", name))
        if not found:
            sound[name] = volume
        errors += found
    return sound, errors


def _source_errors(volume: Json, field: str) -> Iterator[FieldError]:
    given = [key for key, value in volume.items() if key != "name" and value is not None]
    if not given:
        yield required(field, "must specify a volume type")
        return
    first, *others = given
    for name in others:
        yield forbidden_field(f"{field}.{name}", "may not specify more than 1 volume type")
    check = _CHECKS.get(first)
    if check is not None:
        yield from check(volume[first], f"{field}.{first}")


def _empty_dir(source: Json, field: str) -> Iterator[FieldError]:
    limit = source.get("sizeLimit")
    if limit is not None and parse(limit) < 0:
        yield forbidden_field(f"{field}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _host_path(source: Json, field: str) -> Iterator[FieldError]:
    path = source.get("path") or ""
    if not path:
        yield required(f"{field}.path")
    yield from no_backsteps_errors(path, f"{field}.path")
    kind = source.get("type")
    if kind is not None and kind not in _HOST_PATH_TYPES:
        yield unsupported(f"{field}.type", kind, _HOST_PATH_TYPES)


def _secret(source: Json, field: str) -> Iterator[FieldError]:
    if not source.get("secretName"):
        yield required(f"{field}.secretName")
    yield from _files(source, field)


def _config_map(source: Json, field: str) -> Iterator[FieldError]:
    if not source.get("name"):
        yield required(f"{field}.name")
    yield from _files(source, field)


def _files(source: Json, field: str) -> Iterator[FieldError]:
    yield from _mode(source, "defaultMode", field)
    for index, item in enumerate(source.get("items") or ()):
        place = f"{field}.items[{index}]"
        if not item.get("key"):
            yield required(f"{place}.key")
        yield from _file_path(item.get("path") or "", f"{place}.path")
        yield from _mode(item, "mode", place)


def _mode(source: Json, name: str, field: str) -> Iterator[FieldError]:
    mode = source.get(name)
    if mode is not None and not 0 <= mode <= 0o777:
        yield bad_value(f"{field}.{name}", mode, _MODE_RULE)


def _file_path(path: str, field: str) -> Iterator[FieldError]:
    if not path:
        yield required(field)
    yield from relative_path_errors(path, field)
    if path.startswith("..") and not path.startswith("../") and path != "..":
        yield bad_value(field, path, "must not start with '..'")


def _claim(source: Json, field: str) -> Iterator[FieldError]:
    if not source.get("claimName"):
        yield required(f"{field}.claimName")


def _nfs(source: Json, field: str) -> Iterator[FieldError]:
    for part in ("server", "path"):
        if not source.get(part):
            yield required(f"{field}.{part}")
    path = source.get("path") or ""
    if path and not path.startswith("/"):
        yield bad_value(f"{field}.path", path, "must be an absolute path")


def _downward(source: Json, field: str) -> Iterator[FieldError]:
    yield from _mode(source, "defaultMode", field)
    for index, item in enumerate(source.get("items") or ()):
        place = f"{field}.items[{index}]"
        yield from _file_path(item.get("path") or "", f"{place}.path")
        field_ref, resource_ref = item.get("fieldRef"), item.get("resourceFieldRef")
        if field_ref is not None:
            yield from field_ref_errors(field_ref, f"{place}.fieldRef", _FILE_FIELDS)
            if resource_ref is not None:
                rule = "fieldRef and resourceFieldRef can not be specified simultaneously"
                yield bad_value(place, "resource", rule)
        elif resource_ref is not None:
            yield from resource_ref_errors(resource_ref, f"{place}.resourceFieldRef", names_container=True)
        else:
            yield required(place, "one of fieldRef and resourceFieldRef is required")
        yield from _mode(item, "mode", place)


def _projected(source: Json, field: str) -> Iterator[FieldError]:
    yield from _mode(source, "defaultMode", field)
    paths: set[str] = set()
    for index, projection in enumerate(source.get("sources") or ()):
        place = f"{field}.sources[{index}]"
        given = [name for name in _PROJECTIONS if projection.get(name) is not None]
        if not given:
            yield required(place)
            continue
        for name in given[1:]:
            yield forbidden_field(f"{place}.{name}", "may not specify more than 1 volume type per source")
        part, inner = projection[given[0]], f"{place}.{given[0]}"
        yield from _projection(given[0], part, inner)
        for path in _paths_of(part):
            if path in paths:
                yield bad_value(f"{inner}.path", path, "conflicting duplicate paths")
            paths.add(path)


def _projection(name: str, part: Json, field: str) -> Iterator[FieldError]:
    if name in ("secret", "configMap"):
        if not part.get("name"):
            yield required(f"{field}.name")
        yield from _files(part, field)
    elif name == "downwardAPI":
        yield from _downward(part, field)
    elif name == "serviceAccountToken":
        seconds = part.get("expirationSeconds")
        if seconds is not None and seconds < _SHORTEST_TOKEN_SECONDS:
            yield bad_value(
                f"{field}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"
            )
        if seconds is not None and seconds > _LONGEST_TOKEN_SECONDS:
            yield bad_value(
                f"{field}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds"
            )
        yield from _file_path(part.get("path") or "", f"{field}.path")


def _paths_of(part: Json) -> Iterator[str]:
    if part.get("path"):
        yield part["path"]
    for item in part.get("items") or ():
        if item.get("path"):
            yield item["path"]


def _csi(source: Json, field: str) -> Iterator[FieldError]:
    driver = source.get("driver") or ""
    if not driver:
        yield required(f"{field}.driver")
    elif fault := subdomain_fault(driver.lower()):
        yield bad_value(f"{field}.driver", driver, fault)


def _ephemeral(source: Json, field: str) -> Iterator[FieldError]:
    template = source.get("volumeClaimTemplate")
    if template is None:
        yield required(f"{field}.volumeClaimTemplate")
    else:
        yield from claim_spec_errors(template.get("spec") or {}, f"{field}.volumeClaimTemplate.spec")


def _image(source: Json, field: str) -> Iterator[FieldError]:
    if not source.get("reference"):
        yield required(f"{field}.reference")
    policy = source.get("pullPolicy")
    if policy not in _PULL_POLICIES:
        yield unsupported(f"{field}.pullPolicy", policy, _PULL_POLICIES)


_CHECKS = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "secret": _secret,
    "configMap": _config_map,
    "persistentVolumeClaim": _claim,
    "nfs": _nfs,
    "downwardAPI": _downward,
    "projected": _projected,
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
}
