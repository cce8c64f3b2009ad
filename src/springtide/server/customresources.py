"""CustomResourceDefinitions: checked when written, served the moment they are stored, gone when deleted.

The store is the truth: at start every stored CRD is served again. Deleting a CRD deletes all its objects,
whatever finalizers they have; should the server die in between, the next start finishes that.
Rules: Kubernetes apiextensions validation of structural schemas, as far as the server relies on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from springtide.api.resources import Column
from springtide.server.context import Context
from springtide.server.kinds import ServedKind
from springtide.server.metadata import is_subdomain
from springtide.server.schema import Schema
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, duplicate, required, unsupported
from springtide.server.strategy import Strategy
from springtide.server.structural import schema_errors
from springtide.server.transition_rules import unevaluated_rules

Json = dict[str, Any]

RESOURCE = "apiextensions.k8s.io/customresourcedefinitions"
AGE = Column("Age", "date", ".metadata.creationTimestamp")


class CustomResourceDefinitionStrategy(Strategy):
    """apiextensions.k8s.io/v1 CustomResourceDefinition."""

    def default(self, obj: Json) -> None:
        names = obj["spec"]["names"]
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", f"{names['kind']}List")
        obj["spec"].setdefault("conversion", {"strategy": "None"})

    def before_create(self, obj: Json, context: Context) -> None:
        obj["status"] = _status(obj, context.timestamp(), None)

    def before_update(self, new: Json, old: Json) -> None:
        since = old["metadata"]["creationTimestamp"]
        new["status"] = _status(new, since, old.get("status"))

    def validate(self, obj: Json) -> Sequence[FieldError]:
        spec, names = obj["spec"], obj["spec"]["names"]
        errors: list[FieldError] = []
        expected = f"{names['plural']}.{spec['group']}"
        name = obj["metadata"].get("name", "")
        if name != expected:
            rule = f'must be spec.names.plural+"."+spec.group: {expected}'
            errors.append(bad_value("metadata.name", name, rule))
        if "." not in spec["group"]:
            errors.append(bad_value("spec.group", spec["group"], "should be a domain with at least one dot"))
        if spec["scope"] not in ("Namespaced", "Cluster"):
            errors.append(unsupported("spec.scope", spec["scope"], ("Cluster", "Namespaced")))
        if spec["conversion"].get("strategy") != "None":
            errors.append(
                unsupported("spec.conversion.strategy", spec["conversion"].get("strategy"), ("None",))
            )
        return [*errors, *_names_errors(names), *_version_errors(spec["versions"])]

    def warn(self, obj: Json) -> Sequence[str]:
        return [
            f"spec.versions[{number}].schema: the rule {rule!r} at {path or 'the root'} is not evaluated: "
            "of x-kubernetes-validations this server knows `self == oldSelf`"
            for number, version in enumerate(obj["spec"]["versions"])
            for path, rule in unevaluated_rules((version.get("schema") or {}).get("openAPIV3Schema") or {})
        ]

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        fixed = (("group",), ("scope",), ("names", "plural"), ("names", "kind"))
        return [
            bad_value("spec." + ".".join(path), _at(new["spec"], path), "field is immutable")
            for path in fixed
            if _at(new["spec"], path) != _at(old["spec"], path)
        ]

    def after_write(self, obj: Json, context: Context, *, deleted: bool) -> None:
        if deleted:
            group, plural = obj["spec"]["group"], obj["spec"]["names"]["plural"]
            context.kinds.remove(group, plural)
            _purge(f"{group}/{plural}", context)
        else:
            serve(obj, context)


def serve_stored(context: Context) -> None:
    """Serve every CRD the store holds: called once at start."""
    for record in context.store.page(RESOURCE).records:
        serve(msgspec.json.decode(record.value), context)
    served = {kind.resource for kind in context.kinds}
    for resource in context.store.resources():
        if resource not in served:
            _purge(resource, context)


def _purge(resource: str, context: Context) -> None:
    """Delete all objects of a kind that is no longer served."""
    for record in context.store.page(resource).records:
        latest = context.store.latest(resource, record.key)
        if latest is not None:
            context.store.write(resource, record.key, latest.value, expected=latest.revision, deleted=True)


def serve(definition: Json, context: Context) -> None:
    """Serve all served versions of a CRD, in place of those it had."""
    context.kinds.remove(definition["spec"]["group"], definition["spec"]["names"]["plural"])
    for kind in served_kinds(definition):
        context.kinds.add(kind)


def served_kinds(definition: Json) -> Iterator[ServedKind]:
    """One `ServedKind` for each served version."""
    spec, names = definition["spec"], definition["spec"]["names"]
    storage = next(version["name"] for version in spec["versions"] if version["storage"])
    for version in spec["versions"]:
        if not version["served"]:
            continue
        schema = (version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
        subresources = version.get("subresources") or {}
        yield ServedKind(
            group=spec["group"],
            version=version["name"],
            kind=names["kind"],
            plural=names["plural"],
            namespaced=spec["scope"] == "Namespaced",
            schema=schema,
            validator=Schema(schema),
            singular=names["singular"],
            list_kind=names["listKind"],
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            columns=_columns(version),
            status="status" in subresources,
            builtin=False,
            storage_version=storage,
            selectable_fields=_selectable(version),
            scale=subresources.get("scale") or {},
            warning=_deprecation(version, spec, names),
        )


def _columns(version: Json) -> tuple[Column, ...]:
    listed = version.get("additionalPrinterColumns")
    if not listed:
        return (AGE,)
    return tuple(
        Column(
            column["name"],
            column["type"],
            column["jsonPath"],
            column.get("description", ""),
            column.get("priority", 0),
        )
        for column in listed
    )


def _selectable(version: Json) -> dict[str, str]:
    paths = [field["jsonPath"].strip(".") for field in version.get("selectableFields") or ()]
    return {path: path for path in paths}


def _deprecation(version: Json, spec: Json, names: Json) -> str:
    if not version.get("deprecated"):
        return ""
    said = version.get("deprecationWarning")
    return said or f"{spec['group']}/{version['name']} {names['kind']} is deprecated"


def _names_errors(names: Json) -> Iterator[FieldError]:
    for key in ("plural", "singular", "kind", "listKind"):
        if not is_subdomain(names[key].lower()) or "." in names[key]:
            yield bad_value(f"spec.names.{key}", names[key], "must be a DNS label: letters, digits and '-'")


def _version_errors(versions: list[Json]) -> Iterator[FieldError]:
    if sum(1 for version in versions if version["storage"]) != 1:
        stored = [version["name"] for version in versions if version["storage"]]
        yield bad_value("spec.versions", stored, "must have exactly one version marked as storage version")
    if len({version["name"] for version in versions}) != len(versions):
        yield duplicate("spec.versions", [version["name"] for version in versions])
    for index, version in enumerate(versions):
        if not is_subdomain(version["name"]):
            yield bad_value(f"spec.versions[{index}].name", version["name"], "must be a DNS label such as v1")
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        field = f"spec.versions[{index}].schema.openAPIV3Schema"
        if schema is None:
            yield required(field, "schemas are required")
            continue
        if schema.get("type") != "object":
            yield bad_value(f"{field}.type", schema.get("type"), "must be object at the root")
        yield from schema_errors(schema, field)


def _status(obj: Json, now: str, old: Json | None) -> Json:
    """A CRD is accepted and served with the write that stores it: there is no controller to wait for."""
    reasons = (
        ("NamesAccepted", "NoConflicts", "no conflicts found"),
        ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    )
    conditions = [
        {"type": type_, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now}
        for type_, reason, message in reasons
    ]
    storage = [version["name"] for version in obj["spec"]["versions"] if version.get("storage")]
    stored = [*((old or {}).get("storedVersions") or [])]
    stored += [version for version in storage if version not in stored]
    return {"conditions": conditions, "acceptedNames": obj["spec"]["names"], "storedVersions": stored}


def _at(obj: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj
