"""OpenAPI schemas made from the types: structural ones for CRDs, named definitions for built-in kinds.

`springtide.api.crds` writes the former into CustomResourceDefinitions; the server serves the latter
for `kubectl explain`, validates and prunes by them, and lets server-side apply merge lists by them.
Descriptions are the docstrings that stand under the fields; they are read from the source once, when
a schema is first asked for.
"""

from __future__ import annotations

import ast
import inspect
import sys
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from springtide.api.listtypes import (
    Default,
    Limits,
    ListAtomic,
    ListMap,
    ListSet,
    MapAtomic,
    MapGranular,
    Replaced,
    Required,
    RetainKeys,
    Rule,
)
from springtide.api.meta import Object, ObjectMeta
from springtide.api.resources import resource_of
from springtide.api.struct import Always, Struct

BUILTIN = "definitions.json"
"""Package data, written by `springtide.api.crds`."""

QUANTITY_NAME = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING_NAME = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"

QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
_INT_OR_STRING: dict[str, Any] = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
}
_PRESERVE = "x-kubernetes-preserve-unknown-fields"

_WIDE = frozenset(
    (
        "activeDeadlineSeconds",
        "deletionGracePeriodSeconds",
        "expirationSeconds",
        "fsGroup",
        "generation",
        "gid",
        "gracePeriodSeconds",
        "nodeAllocatableUpdatePeriodSeconds",
        "observedGeneration",
        "remainingItemCount",
        "resourceSliceCount",
        "revision",
        "runAsGroup",
        "runAsUser",
        "seconds",
        "sizeBytes",
        "startingDeadlineSeconds",
        "supplementalGroups",
        "terminationGracePeriodSeconds",
        "tolerationSeconds",
        "uid",
        "weightedShare",
    )
)
"""Integer fields of 64 bits; all others have 32, as in the Kubernetes API reference."""

_EMBEDDED_METADATA = ("annotations", "finalizers", "labels", "name", "namespace")
"""What of an embedded template's metadata a CRD keeps, as upstream's generated CRDs do."""


@dataclass
class _Context:
    """One schema document under construction."""

    structural: bool
    """Inline everything (CRD) instead of referring to named definitions."""
    prefix: str = "#/definitions/"
    found: dict[str, type[Struct]] = field(default_factory=dict)
    """Types that were referred to, by definition name."""
    stack: list[type[Struct]] = field(default_factory=list)


@cache
def structural(kind: type[Object]) -> dict[str, Any]:
    """The structural OpenAPI v3 schema of a custom kind, with nothing left to refer to. Do not change it."""
    return _object(kind, _Context(structural=True))


def definitions(kinds: Iterable[type[Struct]], prefix: str = "#/definitions/") -> dict[str, dict[str, Any]]:
    """Named schemas of these kinds and of everything they refer to.

    `prefix` is what references start with: `#/definitions/` in OpenAPI v2, `#/components/schemas/` in v3.
    """
    made: dict[str, dict[str, Any]] = {
        QUANTITY_NAME: {"type": "string", "description": "A number with an optional suffix: 500m, 2, 1.5Gi."},
        INT_OR_STRING_NAME: {
            "type": "string",
            "format": "int-or-string",
            "description": "A number, or a name or percentage.",
        },
    }
    context = _Context(structural=False, prefix=prefix)
    waiting = list(kinds)
    while waiting:
        kind = waiting.pop()
        name = definition_name(kind)
        if name in made:
            continue
        context.found.clear()
        made[name] = _object(kind, context)
        waiting.extend(context.found.values())
    return dict(sorted(made.items()))


@cache
def builtin_definitions() -> dict[str, dict[str, Any]]:
    """`definitions` of all built-in kinds as shipped: quicker than making them. Do not change them."""
    text = resources.files("springtide.api").joinpath(BUILTIN).read_bytes()
    return msgspec.json.decode(text, type=dict[str, dict[str, Any]])


@cache
def definition_name(kind: type[Struct]) -> str:
    """What OpenAPI documents call a type, such as `io.k8s.api.core.v1.Pod`."""
    prefix = getattr(sys.modules[kind.__module__], "DEFINITION_PREFIX", kind.__module__)
    return f"{prefix}.{kind.__name__}"


@cache
def field_docs(kind: type[Struct]) -> dict[str, str]:
    """The docstring under each field, by Python name, inherited ones included."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if issubclass(base, Struct):
            docs.update(_module_docs(base.__module__).get(base.__name__, {}))
    return docs


def fields_of(kind: type[Struct]) -> Iterator[msgspec.structs.FieldInfo]:
    """The fields of the wire form."""
    return (info for info in msgspec.structs.fields(kind) if info.name != "unknown")


def _object(kind: type[Struct], context: _Context) -> dict[str, Any]:
    hints, docs = _hints(kind), field_docs(kind)
    root = kind if issubclass(kind, Object) else None
    properties: dict[str, Any] = {}
    required: list[str] = []
    context.stack.append(kind)
    for info in fields_of(kind):
        if context.structural and root and info.name == "metadata":
            properties["metadata"] = {"type": "object"}
            continue
        if context.structural and kind is ObjectMeta and info.encode_name not in _EMBEDDED_METADATA:
            continue
        properties[info.encode_name] = _property(info, hints[info.name], docs.get(info.name, ""), context)
        if _is_required(info, hints[info.name]):
            required.append(info.encode_name)
    context.stack.pop()
    schema: dict[str, Any] = {"type": "object", "description": inspect.cleandoc(kind.__doc__ or "")}
    if properties:
        schema["properties"] = dict(sorted(properties.items()))
    if required:
        schema["required"] = sorted(required)
    if getattr(kind, "preserve_unknown", False):
        schema[_PRESERVE] = True
    if getattr(kind, "atomic", False) if context.structural else vars(kind).get("atomic", False):
        schema["x-kubernetes-map-type"] = "atomic"
    if root and not context.structural:
        found = resource_of(root)
        gvk = {"group": found.group, "version": found.version, "kind": found.kind}
        schema["x-kubernetes-group-version-kind"] = [gvk]
    return schema


def _property(
    info: msgspec.structs.FieldInfo, annotation: Any, doc: str, context: _Context
) -> dict[str, Any]:
    inner, markers = _unwrap(annotation)
    schema = dict(_schema(inner, info.encode_name, context))
    if doc:
        schema["description"] = doc
    is_type_meta = info.name in ("api_version", "kind") and issubclass(context.stack[-1], Object)
    default = None if is_type_meta else _default(info, markers)
    if default is not None:
        schema["default"] = default
    for marker in markers:
        _mark(schema, marker, context)
    return _referring(schema, context)


def _referring(schema: dict[str, Any], context: _Context) -> dict[str, Any]:
    """OpenAPI v3 allows nothing beside a `$ref`, so the reference moves into `allOf`, as Kubernetes does."""
    if "$ref" not in schema or len(schema) == 1 or context.prefix.startswith("#/definitions"):
        return schema
    return {"allOf": [{"$ref": schema.pop("$ref")}], **schema}


def _mark(schema: dict[str, Any], marker: object, context: _Context) -> None:
    if isinstance(marker, Limits):
        schema.update(marker.schema())
        if marker.items is not None:
            schema["items"] = {**schema["items"], **marker.items.schema()}
    elif isinstance(marker, ListMap):
        schema["x-kubernetes-list-type"] = "map"
        schema["x-kubernetes-list-map-keys"] = list(marker.keys)
        if marker.merge and not context.structural:
            schema["x-kubernetes-patch-strategy"] = "merge"
            schema["x-kubernetes-patch-merge-key"] = marker.merge_key
    elif isinstance(marker, ListSet):
        schema["x-kubernetes-list-type"] = "set"
        if marker.merge and not context.structural:
            schema["x-kubernetes-patch-strategy"] = "merge"
    elif isinstance(marker, MapAtomic):
        schema["x-kubernetes-map-type"] = "atomic"
    elif isinstance(marker, MapGranular):
        schema["x-kubernetes-map-type"] = "granular"
    elif isinstance(marker, ListAtomic | RetainKeys | Replaced) and not context.structural:
        schema.update(_patch_strategy(marker))
    elif isinstance(marker, Rule) and context.structural:
        schema.setdefault("x-kubernetes-validations", []).append(
            {"rule": marker.cel, "message": marker.message}
        )


def _patch_strategy(marker: ListAtomic | RetainKeys | Replaced) -> dict[str, str]:
    if isinstance(marker, ListAtomic):
        return {"x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": marker.merge_key}
    if isinstance(marker, Replaced):
        return {"x-kubernetes-patch-strategy": "replace"}
    return {"x-kubernetes-patch-strategy": "merge,retainKeys" if marker.merge else "retainKeys"}


def _schema(annotation: Any, name: str, context: _Context) -> dict[str, Any]:
    annotation, markers = _unwrap(annotation)
    if markers:
        schema = dict(_schema(annotation, name, context))
        for marker in markers:
            _mark(schema, marker, context)
        return schema
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return _nested(annotation, context)
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _union(annotation, name, context)
    if origin is list:
        items = _schema(get_args(annotation)[0], name, context)
        return {"type": "array", "items": items, "x-kubernetes-list-type": "atomic"}
    if origin is dict:
        return _map(get_args(annotation)[1], name, context)
    return _scalar(annotation, name)


def _scalar(annotation: Any, name: str) -> dict[str, Any]:
    if annotation is Any:
        return {_PRESERVE: True}
    if annotation is bool:
        return {"type": "boolean"}
    if annotation is int:
        return {"type": "integer", "format": "int64" if name in _WIDE else "int32"}
    if annotation is float:
        return {"type": "number", "format": "double"}
    if annotation is datetime:
        return {"type": "string", "format": "date-time"}
    if annotation is str:
        return {"type": "string"}
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return {"type": "string", "enum": [member.value for member in annotation]}
    raise TypeError(f"field {name!r} has type {annotation!r}, which no schema rule covers")


def _map(member: Any, name: str, context: _Context) -> dict[str, Any]:
    if member is Any:
        return {"type": "object", _PRESERVE: True}
    return {"type": "object", "additionalProperties": _schema(member, name, context)}


def _union(annotation: Any, name: str, context: _Context) -> dict[str, Any]:
    members = {member for member in get_args(annotation) if member is not type(None)}
    if members == {str, int, float}:
        if context.structural:
            return {**_INT_OR_STRING, "pattern": QUANTITY_PATTERN}
        return {"$ref": context.prefix + QUANTITY_NAME}
    if members == {str, int}:
        return dict(_INT_OR_STRING) if context.structural else {"$ref": context.prefix + INT_OR_STRING_NAME}
    if len(members) != 1:
        raise TypeError(f"field {name!r} is a union of {members}, which no schema rule covers")
    return _schema(members.pop(), name, context)


def _nested(kind: type[Struct], context: _Context) -> dict[str, Any]:
    if not context.structural:
        name = definition_name(kind)
        context.found[name] = kind
        return {"$ref": context.prefix + name}
    if kind in context.stack:
        return {"type": "object", _PRESERVE: True}
    return _object(kind, context)


def _default(info: msgspec.structs.FieldInfo, markers: tuple[Any, ...]) -> Any:
    for marker in markers:
        if isinstance(marker, Default):
            return marker.value
    value = info.default
    return value if isinstance(value, str | int | float) and value else None


def _is_required(info: msgspec.structs.FieldInfo, annotation: Any) -> bool:
    _, markers = _unwrap(annotation)
    if any(isinstance(marker, Required) for marker in markers):
        return True
    return info.required or (isinstance(info.default_factory, Always) and info.default_factory.required)


def _unwrap(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type and the markers of `Annotated[...]`."""
    if get_origin(annotation) is Annotated:
        inner, *markers = get_args(annotation)
        return inner, tuple(markers)
    return annotation, ()


@cache
def _hints(kind: type[Struct]) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


@cache
def _module_docs(module: str) -> dict[str, dict[str, str]]:
    """Docstrings under annotated fields, by class and field."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: _class_docs(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _class_docs(node: ast.ClassDef) -> dict[str, str]:
    docs: dict[str, str] = {}
    for statement, follower in zip(node.body, node.body[1:], strict=False):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if isinstance(follower, ast.Expr) and isinstance(follower.value, ast.Constant):
            docs[statement.target.id] = inspect.cleandoc(str(follower.value.value))
    return docs
