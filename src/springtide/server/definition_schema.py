"""The schema of a CRD, checked when the CRD is written: keywords, list types, defaults, and its rules.

Called by `customresources` for every schema that is new or changed. What is refused, where and in which
words follows apiextensions `validation.go`; structurality is `structural`'s, rules are `definition_rules`'.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from springtide.server.definition_rules import RuleScope, Spending, rule_errors
from springtide.server.schema import Schema
from springtide.server.schema_formats import is_known
from springtide.server.schema_rules import INVALID, TYPE_INVALID, FieldError, has_rules
from springtide.server.status import bad_value, forbidden_field, required, unsupported
from springtide.server.structural import keyword_errors, structural_errors

Json = Mapping[str, Any]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_AT_STATUS_ROOT = frozenset(
    [
        *("description", "type", "format", "title", "maximum", "exclusiveMaximum", "minimum"),
        *("exclusiveMinimum", "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems"),
        *("multipleOf", "required", "items", "properties", "externalDocs", "example"),
        *("x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations"),
    ]
)
_AT_STATUS_ROOT_SHOWN = (
    "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength "
    "Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example "
    "XPreserveUnknownFields XValidations]"
)
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")


def schema_errors(schema: Any, field: str, *, status: bool) -> list[FieldError]:
    """Everything wrong with a schema at `field`. `status`: the kind has the status subresource."""
    broken = list(keyword_errors(schema, field))
    if broken:
        return broken
    errors = list(_root_errors(schema, field, status=status))
    unsound = structural_errors(schema, field) or list(_default_errors(schema, field))
    errors += unsound
    spending = Spending()
    scope = None if unsound or not has_rules(schema) else RuleScope.of_root(schema, spending)
    errors += _node(schema, field, _Place(), scope, root=True)
    return [*errors, *spending.errors(field)]


def _root_errors(schema: Json, field: str, *, status: bool) -> Iterator[FieldError]:
    if status:
        extra = [key for key, value in schema.items() if value and key not in _AT_STATUS_ROOT]
        if schema.get("type") and schema["type"] != "object":
            where = "at the root of the schema if the status subresource is enabled"
            yield bad_value(f"{field}.type", schema["type"], f'only "object" is allowed as the type {where}')
        elif extra:
            rule = (
                f"only {_AT_STATUS_ROOT_SHOWN} fields are allowed at the root of the schema "
                "if the status subresource is enabled"
            )
            yield bad_value(field, schema, rule)
    if schema.get("nullable"):
        yield forbidden_field(f"{field}.nullable", "nullable cannot be true at the root")


@dataclass(frozen=True, slots=True)
class _Place:
    """What is not allowed here because of what stands above."""

    no_defaults: str = ""
    inside_metadata: bool = False
    uncorrelated: str = ""
    """The nearest part above whose items cannot be found again after a change."""

    def without_correlation(self, field: str) -> _Place:
        return self if self.uncorrelated else replace(self, uncorrelated=field)


def _node(
    schema: Json, field: str, place: _Place, scope: RuleScope | None, *, root: bool = False
) -> list[FieldError]:
    """What is wrong with a node and all below it; its rules are looked at only if nothing is."""
    errors = [*_keyword_faults(schema, field, place), *_list_faults(schema, field)]
    for part in _spine(schema, field, place, scope, root=root):
        errors += part
    if schema.get("not") is not None:
        errors += _node(schema["not"], f"{field}.not", place, None)
    for keyword in ("allOf", "oneOf", "anyOf"):
        for index, child in enumerate(schema.get(keyword) or ()):
            errors += _node(child, f"{field}.{keyword}[{index}]", place, None)
    if schema.get("x-kubernetes-validations"):
        errors += rule_errors(schema, field, scope, place.uncorrelated, sound=not errors)
    return errors


def _spine(
    schema: Json, field: str, place: _Place, scope: RuleScope | None, *, root: bool
) -> Iterator[list[FieldError]]:
    values, items = schema.get("additionalProperties"), schema.get("items")
    if isinstance(values, Mapping):
        inner = place
        if place.inside_metadata:
            reason = "inside additionalProperties applying to object metadata"
            inner = replace(place, no_defaults=reason)
        yield _node(values, f"{field}.additionalProperties", inner, scope.values(values) if scope else None)
    resource = root or bool(schema.get("x-kubernetes-embedded-resource"))
    for name, child in (schema.get("properties") or {}).items():
        inner = _in_property(place, name, resource=resource, root=root)
        below = scope.property(name, child) if scope else None
        yield _node(child, f"{field}.properties[{name}]", inner, below)
    if items is not None:
        atomic = schema.get("x-kubernetes-list-type") != "map"
        inner = place.without_correlation(field) if atomic else place
        yield _node(items, f"{field}.items", inner, scope.items(items) if scope else None)


def _in_property(place: _Place, name: str, *, resource: bool, root: bool) -> _Place:
    if not resource or name not in ("metadata", "kind", "apiVersion"):
        return place
    place = replace(place, inside_metadata=True)
    return replace(place, no_defaults=f"in top-level {name}") if root else place


def _keyword_faults(schema: Json, field: str, place: _Place) -> Iterator[FieldError]:
    kind = schema.get("type", "")
    if kind and kind not in _TYPES:
        yield unsupported(f"{field}.type", kind, _TYPES)
    if schema.get("default") is not None and place.no_defaults:
        yield forbidden_field(f"{field}.default", f"must not be set {place.no_defaults}")
    for keyword in _UNSUPPORTED:
        if schema.get(keyword):
            yield forbidden_field(f"{field}.{keyword}", f"{keyword} is not supported")
    if kind == "null":
        yield forbidden_field(f"{field}.type", "type cannot be set to null, use nullable as an alternative")
    if place.inside_metadata and schema.get("x-kubernetes-embedded-resource"):
        yield forbidden_field(
            f"{field}.x-kubernetes-embedded-resource", "must not be used inside of resource meta"
        )
    if schema.get("uniqueItems"):
        rule = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden_field(f"{field}.uniqueItems", rule)
    values = schema.get("additionalProperties")
    if schema.get("properties") and (isinstance(values, Mapping) or values is False):
        rule = "additionalProperties and properties are mutual exclusive"
        yield forbidden_field(f"{field}.additionalProperties", rule)
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        yield bad_value(f"{field}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")


def _list_faults(schema: Json, field: str) -> Iterator[FieldError]:
    map_type, list_type = schema.get("x-kubernetes-map-type"), schema.get("x-kubernetes-list-type")
    if map_type is not None:
        yield from _only_for(schema, field, "object", "x-kubernetes-map-type")
        if map_type not in ("atomic", "granular"):
            yield unsupported(f"{field}.x-kubernetes-map-type", map_type, ("atomic", "granular"))
    if list_type is not None:
        wrong = list(_only_for(schema, field, "array", "x-kubernetes-list-type"))
        yield from wrong
        if not wrong and list_type == "set" and schema.get("items"):
            yield from _set_faults(schema["items"], field)
        if list_type not in ("atomic", "set", "map"):
            yield unsupported(f"{field}.x-kubernetes-list-type", list_type, ("atomic", "set", "map"))
    if schema.get("x-kubernetes-list-map-keys") and list_type != "map":
        rule = "must be map if x-kubernetes-list-map-keys is non-empty"
        path = f"{field}.x-kubernetes-list-type"
        yield required(path, rule) if list_type is None else bad_value(path, list_type, rule)
    if list_type == "map":
        yield from _map_faults(schema, field)
    items = schema.get("items")
    if list_type in ("set", "map") and items and items.get("nullable"):
        rule = f"cannot be nullable when x-kubernetes-list-type is {list_type}"
        yield forbidden_field(f"{field}.items.nullable", rule)


def _only_for(schema: Json, field: str, kind: str, keyword: str) -> Iterator[FieldError]:
    if schema.get("type", "") != kind:
        rule = f"must be {kind} if {keyword} is specified"
        found = schema.get("type", "")
        yield bad_value(f"{field}.type", found, rule) if found else required(f"{field}.type", rule)


def _set_faults(items: Json, field: str) -> Iterator[FieldError]:
    rule = "must be atomic as item of a list with x-kubernetes-list-type=set"
    if items.get("type") == "array" and items.get("x-kubernetes-list-type", "atomic") != "atomic":
        path = f"{field}.items.x-kubernetes-list-type"
        yield bad_value(path, items.get("x-kubernetes-list-type"), rule)
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        path = f"{field}.items.x-kubernetes-map-type"
        yield bad_value(path, items.get("x-kubernetes-list-type"), rule)


def _map_faults(schema: Json, field: str) -> Iterator[FieldError]:
    keys, items = schema.get("x-kubernetes-list-map-keys") or [], schema.get("items")
    if not keys:
        yield required(
            f"{field}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map"
        )
    if items is None:
        yield required(f"{field}.items", "must have a schema if x-kubernetes-list-type is map")
        return
    if items.get("type") != "object":
        rule = "must be object if parent array's x-kubernetes-list-type is map"
        yield bad_value(f"{field}.items.type", items.get("type", ""), rule)
        return
    properties, seen = items.get("properties") or {}, set()
    for key in keys:
        path = f"{field}.items.properties[{key}]"
        child = properties.get(key)
        if child is None:
            rule = "entries must all be names of item properties"
            yield bad_value(f"{field}.x-kubernetes-list-map-keys", keys, rule)
        elif child.get("type") in ("array", "object"):
            rule = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield bad_value(f"{path}.type", items.get("type"), rule)
        if key in seen:
            yield bad_value(f"{field}.x-kubernetes-list-map-keys", keys, "must not contain duplicate entries")
        seen.add(key)
        if child is not None:
            yield from _key_faults(key, child, items, path)


def _key_faults(key: str, child: Json, items: Json, path: str) -> Iterator[FieldError]:
    if key not in (items.get("required") or ()) and child.get("default") is None:
        rule = "so it must have a default or be a required property"
        yield required(f"{path}.default", f"this property is in x-kubernetes-list-map-keys, {rule}")
    if child.get("nullable"):
        rule = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
        yield forbidden_field(f"{path}.nullable", rule)


def _default_errors(schema: Json, field: str) -> Iterator[FieldError]:
    """Defaults must be what the schema they stand in accepts, without fields it would prune."""
    if schema.get("default") is not None:
        yield from _one_default(schema, field)
    if schema.get("items") is not None:
        yield from _default_errors(schema["items"], f"{field}.items")
    for name, child in (schema.get("properties") or {}).items():
        yield from _default_errors(child, f"{field}.properties[{name}]")


def _one_default(schema: Json, field: str) -> Iterator[FieldError]:
    holder = Schema({"type": "object", "properties": {"default": schema}})
    value = {"default": schema["default"]}
    if holder.unknown_fields(value):
        yield bad_value(f"{field}.default", schema["default"], "must not have unknown fields")
    for error in holder.validate(value):
        path = f"{field}.{error.field}"
        text = error.message.replace(error.field, path)
        reason = (
            INVALID if error.reason == TYPE_INVALID else error.reason
        )  # the object is a CRD: its types are right
        yield replace(error, field=path, message=text, reason=reason)


def drop_nulls(schema: Any) -> None:
    """Take away keywords that are null, in place: they say nothing. A null schema allows everything."""
    if not isinstance(schema, dict):
        return
    for keyword in [key for key, value in schema.items() if value is None]:
        del schema[keyword]
    for keyword in ("items", "additionalProperties", "not"):
        drop_nulls(schema.get(keyword))
    for keyword in ("properties", "allOf", "oneOf", "anyOf"):
        children: Any = schema.get(keyword)
        if isinstance(children, dict):
            places: Iterable[Any] = list(children)
        else:
            places = range(len(children)) if isinstance(children, list) else ()
        for place in places:
            if children[place] is None:
                children[place] = {}
            drop_nulls(children[place])


def unknown_formats(schema: Json) -> Iterator[str]:
    """Formats in a schema that nobody knows, and that check nothing."""
    name = schema.get("format")
    if isinstance(name, str) and name and not is_known(name, schema.get("type", "")):
        yield name
    children = [
        *(schema.get("properties") or {}).values(),
        schema.get("items"),
        schema.get("additionalProperties"),
    ]
    for keyword in ("allOf", "anyOf", "oneOf"):
        children += schema.get(keyword) or []
    for child in children:
        if isinstance(child, Mapping):
            yield from unknown_formats(child)
