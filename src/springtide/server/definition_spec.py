"""What a CRD says beside its schemas, checked when it is written: names, versions, columns, subresources,
field selectors.

Called by `customresources`. Limits, places and words: apiextensions `validation.go`. A part that all
versions have in common is named by upstream as if it stood at `spec` (its internal form has it there), so
it is here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from springtide.api.names import label_1035_fault, subdomain_fault
from springtide.server.definition_rules import schema_at
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, duplicate, forbidden_field, required, unsupported

Json = Mapping[str, Any]

APPROVAL = "api-approved.kubernetes.io"
MOST_SELECTABLE = 8
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_LONGEST_WARNING = 256


def spec_errors(spec: Json) -> Iterator[FieldError]:
    """Everything wrong with a CRD's spec but its schemas."""
    yield from _group_errors(spec["group"])
    scope = spec.get("scope", "")
    if not scope:
        yield required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        yield unsupported("spec.scope", scope, ("Cluster", "Namespaced"))
    yield from _versions_errors(spec["versions"])
    yield from _names_errors(spec["names"])
    yield from _conversion_errors(spec.get("conversion") or {})
    if spec.get("preserveUnknownFields"):
        instead = "set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        yield bad_value("spec.preserveUnknownFields", True, f"cannot set to true, {instead}")


def place_of(versions: Sequence[Json], key: str, index: int, shared: str) -> str:
    """Where errors about a part of a version are reported: `spec.<shared>` if all versions have the same."""
    first = versions[0].get(key)
    if all(version.get(key) == first for version in versions):
        return f"spec.{shared}"
    return f"spec.versions[{index}].{key}"


def own_versions(versions: Sequence[Json], key: str) -> Iterator[tuple[int, Json]]:
    """The versions whose part `key` is to be looked at: one for all, if they have it in common."""
    first = versions[0].get(key) if versions else None
    common = all(version.get(key) == first for version in versions)
    yield from enumerate(versions[:1] if common else versions)


def approval_errors(new: Json, old: Json | None) -> Iterator[FieldError]:
    """Groups of the Kubernetes community need a note of their review."""
    group = new["spec"]["group"]
    if not re.search(r"(^|\.)(k8s|kubernetes)\.io$", group):
        return
    path, value = f"metadata.annotations[{APPROVAL}]", approval_of(new)
    if old is not None and approval_state(approval_of(old)) == approval_state(value):
        return
    state = approval_state(value)
    if state in ("MissingAnnotation", "InvalidAnnotation"):
        message = approval_message(value)
        yield required(path, message) if state == "MissingAnnotation" else bad_value(path, value, message)


def approval_of(definition: Json) -> str:
    return str((definition["metadata"].get("annotations") or {}).get(APPROVAL, ""))


def approval_state(value: str) -> str:
    """As the condition KubernetesAPIApprovalPolicyConformant calls it."""
    if not value:
        return "MissingAnnotation"
    if value.startswith("unapproved"):
        return "UnapprovedAnnotation"
    return "ApprovedAnnotation" if re.match(r"[a-zA-Z][\w+.-]*://[^/\s]+", value) else "InvalidAnnotation"


def approval_message(value: str) -> str:
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    return {
        "MissingAnnotation": f'protected groups must have approval annotation "{APPROVAL}", {see}',
        "UnapprovedAnnotation": f'not approved: "{value}"',
        "ApprovedAnnotation": f"approved in {value}",
        "InvalidAnnotation": f'protected groups must have approval annotation "{APPROVAL}" with either a URL '
        f'or a reason starting with "unapproved", {see}',
    }[approval_state(value)]


def _group_errors(group: str) -> Iterator[FieldError]:
    if not group:
        yield required("spec.group")
    elif fault := subdomain_fault(group):
        yield bad_value("spec.group", group, fault)
    elif "." not in group:
        yield bad_value("spec.group", group, "should be a domain with at least one dot")


def _names_errors(names: Json) -> Iterator[FieldError]:
    for key in ("plural", "singular", "kind", "listKind"):
        text = names.get(key) or ""
        if not text:
            yield required(f"spec.names.{key}")
            continue
        mixed = key in ("kind", "listKind")
        fault = label_1035_fault(text.lower() if mixed else text)
        if fault:
            words = f"may have mixed case, but should otherwise match: {fault}" if mixed else fault
            yield bad_value(f"spec.names.{key}", text, words)
    for key in ("shortNames", "categories"):
        for index, name in enumerate(names.get(key) or ()):
            if fault := label_1035_fault(name):
                yield bad_value(f"spec.names.{key}[{index}]", name, fault)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        yield bad_value("spec.names.listKind", names["listKind"], "kind and listKind may not be the same")


def _versions_errors(versions: list[Json]) -> Iterator[FieldError]:
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        if fault := label_1035_fault(version["name"]):
            yield bad_value(f"{path}.name", version["name"], fault)
        yield from _deprecation_errors(version, f"{path}.deprecationWarning")
        if ((version.get("schema") or {}).get("openAPIV3Schema")) is None:
            yield required(f"{path}.schema.openAPIV3Schema", "schemas are required")
    for index, version in own_versions(versions, "subresources"):
        place = place_of(versions, "subresources", index, "subresources")
        yield from _scale_errors((version.get("subresources") or {}).get("scale"), f"{place}.scale")
    for index, version in own_versions(versions, "additionalPrinterColumns"):
        place = place_of(versions, "additionalPrinterColumns", index, "additionalPrinterColumns")
        for number, column in enumerate(version.get("additionalPrinterColumns") or ()):
            yield from _column_errors(column, f"{place}[{number}]")
    for index, version in own_versions(versions, "selectableFields"):
        place = place_of(versions, "selectableFields", index, "selectableFields")
        yield from _selectable_errors(version, place)
    if versions and (fault := label_1035_fault(versions[0]["name"])):
        yield bad_value("spec.version", versions[0]["name"], fault)
    if len({version["name"] for version in versions}) != len(versions):
        yield bad_value("spec.versions", _named(versions), "must contain unique version names")
    if sum(1 for version in versions if version["storage"]) != 1:
        rule = "must have exactly one version marked as storage version"
        yield bad_value("spec.versions", _named(versions), rule)


def _named(versions: list[Json]) -> list[Json]:
    """Versions in an error, without their schemas."""
    return [{key: version.get(key) for key in ("name", "served", "storage")} for version in versions]


def _deprecation_errors(version: Json, path: str) -> Iterator[FieldError]:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    if not version.get("deprecated"):
        yield bad_value(path, warning, "can only be set for deprecated versions")
        return
    if len(warning.encode()) > _LONGEST_WARNING:
        yield bad_value(path, warning, f"must be <= {_LONGEST_WARNING} characters long")
    if not warning:
        yield bad_value(path, warning, "must not be an empty string")
    bad = next((at for at, letter in enumerate(warning) if not letter.isprintable()), None)
    if bad is not None:
        rule = f"must only contain printable UTF-8 characters; non-printable character found at index {bad}"
        yield bad_value(path, warning, rule)


def _scale_errors(scale: Json | None, path: str) -> Iterator[FieldError]:
    if scale is None:
        return
    for key, prefix in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        value = scale.get(key) or ""
        if not value:
            yield required(f"{path}.{key}")
        elif faults := list(_path_errors(value, f"{path}.{key}")):
            yield from faults
        elif not value.startswith(prefix):
            yield bad_value(f"{path}.{key}", value, f"should be a json path under {prefix[:-1]}")
    selector = scale.get("labelSelectorPath") or ""
    if selector:
        faults = list(_path_errors(selector, f"{path}.labelSelectorPath"))
        yield from faults
        if not faults and not selector.startswith((".spec.", ".status.")):
            rule = "should be a json path under either .spec or .status"
            yield bad_value(f"{path}.labelSelectorPath", selector, rule)


def _path_errors(value: str, path: str) -> Iterator[FieldError]:
    if not value.startswith("."):
        yield bad_value(path, value, "must be a simple json path starting with .")


def _column_errors(column: Json, path: str) -> Iterator[FieldError]:
    if not column.get("name"):
        yield required(f"{path}.name")
    kind, form = column.get("type") or "", column.get("format") or ""
    if not kind:
        yield required(f"{path}.type", f"must be one of {','.join(_COLUMN_TYPES)}")
    elif kind not in _COLUMN_TYPES:
        yield bad_value(f"{path}.type", kind, f"must be one of {','.join(_COLUMN_TYPES)}")
    if form and form not in _COLUMN_FORMATS:
        yield bad_value(f"{path}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}")
    if not column.get("jsonPath"):
        yield required(f"{path}.JSONPath")
    else:
        yield from _path_errors(column["jsonPath"], f"{path}.JSONPath")


def _selectable_errors(version: Json, path: str) -> Iterator[FieldError]:
    fields = version.get("selectableFields") or []
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if not fields or not isinstance(schema, Mapping):
        return
    seen: set[str] = set()
    for index, one in enumerate(fields):
        place, text = f"{path}[{index}].jsonPath", one.get("jsonPath") or ""
        if not text:
            yield required(place)
            continue
        found = schema_at(schema, text, brackets=False)
        if found is None:
            yield bad_value(place, text, f"is an invalid path: {_path_fault(text)}")
            continue
        if text.startswith(".metadata"):
            yield bad_value(place, text, "must not point to fields in metadata")
        if found.get("type") not in ("string", "boolean", "integer"):
            rule = (
                "must point to a field of type string, boolean or integer. "
                "Enum string fields and strings with formats are allowed."
            )
            yield bad_value(place, text, rule)
        if text in seen:
            yield duplicate(place, text)
        seen.add(text)
    if len(seen) > MOST_SELECTABLE:
        message = f"Too many: {len(seen)}: must have at most {MOST_SELECTABLE} items"
        yield FieldError("FieldValueTooMany", path, message)


def _path_fault(text: str) -> str:
    if not text.startswith("."):
        start = re.split(r"[.\[]", text, maxsplit=1)[0]
        return f"expected [ or . but got: {start}"
    return "array notation is not allowed" if "[" in text else "does not refer to a valid field"


def _conversion_errors(conversion: Json) -> Iterator[FieldError]:
    strategy = conversion.get("strategy") or ""
    if not strategy:
        yield required("spec.conversion.strategy")
    elif strategy == "Webhook":
        rule = (
            "conversion webhooks are not called by this server; "
            "use None, which changes nothing but apiVersion, if the versions have the same fields"
        )
        yield bad_value("spec.conversion.strategy", strategy, rule)
    elif strategy != "None":
        yield unsupported("spec.conversion.strategy", strategy, ("None", "Webhook"))
    elif conversion.get("webhook"):
        rule = "should not be set when strategy is not set to Webhook"
        yield forbidden_field("spec.conversion.webhookClientConfig", rule)
