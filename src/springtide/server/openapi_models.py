"""The schemas of kinds as models of an OpenAPI document: named, referring to each other.

Called by `openapi`. Version 3 takes schemas as they are; version 2 knows no `oneOf`, `anyOf`, `not` or
`nullable`, so they are left out there, as kube-apiserver does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from springtide.api.meta import ListMeta, ObjectMeta
from springtide.api.schema import definition_name, definitions

Json = dict[str, Any]


@dataclass(frozen=True)
class Dialect:
    """What differs between the two versions of OpenAPI."""

    prefix: str
    """What references to models start with."""
    dropped: frozenset[str]
    """Schema keywords this version does not know."""
    inline_body: bool
    """Whether a request body is a parameter (version 2)."""


V2 = Dialect("#/definitions/", frozenset({"oneOf", "anyOf", "not", "nullable"}), inline_body=True)
V3 = Dialect("#/components/schemas/", frozenset(), inline_body=False)


def model_name(group: str, version: str, kind: str, schema: Json, known: Mapping[str, Json]) -> str:
    """The name of a kind's model: that of its definition, or for a CRD the group backwards, version, kind."""
    for name, definition in known.items():
        if definition is schema:
            return name
    return ".".join([*reversed(group.split(".")), version, kind])


def collect(
    group: str,
    version: str,
    kind: str,
    schema: Json,
    known: Mapping[str, Json],
    dialect: Dialect,
    models: dict[str, Json],
) -> None:
    """Add the model of a kind, of its list, and of all they refer to."""
    known = {**_metadata_models(), **known}
    name = model_name(group, version, kind, schema, known)
    gvk = {"group": group, "version": version, "kind": kind}
    source = {"type": "object", **schema, "x-kubernetes-group-version-kind": [gvk]}
    source["properties"] = {**_TYPE_META, **schema.get("properties", {})}
    if not source["properties"].get("metadata", {}).keys() - {"type", "description"}:
        source["properties"]["metadata"] = {"$ref": V2.prefix + definition_name(ObjectMeta)}
    models[name] = _rewrite(source, dialect)
    models[f"{name}List"] = _rewrite(_list_model(name, gvk), dialect)
    _collect_referred(source, known, dialect, models)
    _collect_referred({"$ref": V2.prefix + definition_name(ListMeta)}, known, dialect, models)


_TYPE_META: Json = {
    "apiVersion": {"type": "string", "description": "Group and version of the kind, such as v1."},
    "kind": {"type": "string", "description": "The kind, in CamelCase."},
}


@cache
def _metadata_models() -> dict[str, Json]:
    return definitions((ObjectMeta, ListMeta))


def _list_model(name: str, gvk: Json) -> Json:
    return {
        "type": "object",
        "description": f"A list of {gvk['kind']} objects.",
        "required": ["items"],
        "properties": {
            **_TYPE_META,
            "metadata": {"$ref": V2.prefix + definition_name(ListMeta)},
            "items": {"type": "array", "items": {"$ref": V2.prefix + name}},
        },
        "x-kubernetes-group-version-kind": [{**gvk, "kind": f"{gvk['kind']}List"}],
    }


def _collect_referred(
    source: Any, known: Mapping[str, Json], dialect: Dialect, models: dict[str, Json]
) -> None:
    waiting = [source]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, Mapping):
            name = str(value.get("$ref", "")).rpartition("/")[2]
            if name in known and name not in models:
                models[name] = _rewrite(known[name], dialect)
                waiting.append(known[name])
            waiting.extend(child for child in value.values() if isinstance(child, dict | list))


def _rewrite(schema: Json, dialect: Dialect) -> Json:
    """A schema in the words of a dialect. Keys of `properties` are names, not keywords."""
    if "$ref" in schema:
        return _reference(schema, dialect)
    rewritten: Json = {}
    for key, value in schema.items():
        if key in dialect.dropped:
            continue
        if key == "properties":
            rewritten[key] = {name: _rewrite(child, dialect) for name, child in value.items()}
        elif key in ("allOf", "oneOf", "anyOf"):
            rewritten[key] = [_rewrite(child, dialect) for child in value]
        elif key in ("items", "additionalProperties", "not") and isinstance(value, Mapping):
            rewritten[key] = _rewrite(dict(value), dialect)
        else:
            rewritten[key] = value
    return rewritten


def _reference(schema: Json, dialect: Dialect) -> Json:
    """Version 3 allows nothing beside a `$ref`, so there it moves into `allOf`."""
    target = {"$ref": dialect.prefix + str(schema["$ref"]).rpartition("/")[2]}
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    if not beside or dialect.inline_body:
        return {**beside, **target}
    return {**beside, "allOf": [target]}
