"""Whether the schema of a CRD is one that the server can work with: checked once, when the CRD is written.

Everything that validates, defaults or prunes objects by the schema later relies on this. Called by
`customresources`. Rules: Kubernetes' structural schemas, the part without CEL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, required, unsupported

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_LIST_TYPES = ("atomic", "map", "set")
_MAP_TYPES = ("atomic", "granular")
_DEEPEST = 200


def schema_errors(schema: Any, field: str, depth: int = 0, *, partial: bool = False) -> Iterator[FieldError]:
    """Everything wrong with a schema node and those below it. `partial`: below allOf, anyOf, oneOf or not,
    where a node only adds rules and needs no type."""
    if not isinstance(schema, dict):
        yield bad_value(field, schema, "must be a schema: an object with type, properties, items …")
        return
    if depth > _DEEPEST:
        yield bad_value(field, "…", f"schemas may be nested {_DEEPEST} deep")
        return
    if "$ref" in schema:
        yield FieldError(
            "FieldValueForbidden", f"{field}.$ref", "Forbidden: $ref is not supported; write it out"
        )
    yield from _keyword_errors(schema, field)
    if not partial:
        yield from _shape_errors(schema, field)
    yield from _children_errors(schema, field, depth, partial)


def _keyword_errors(schema: dict[str, Any], field: str) -> Iterator[FieldError]:
    for keyword, value in schema.items():
        allows, rule = _KEYWORDS.get(keyword, _ANYTHING)
        if not allows(value):
            yield bad_value(f"{field}.{keyword}", value, rule)
    if "type" in schema and schema["type"] not in _TYPES:
        yield unsupported(f"{field}.type", schema["type"], _TYPES)


def _shape_errors(schema: dict[str, Any], field: str) -> Iterator[FieldError]:
    """A structural schema says what every value is."""
    anything = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string")
    if "type" not in schema and not anything:
        yield required(f"{field}.type", "must not be empty for specified object fields")
    if schema.get("type") == "array" and "items" not in schema:
        yield required(f"{field}.items", "must be specified")
    keys = schema.get("x-kubernetes-list-map-keys")
    if schema.get("x-kubernetes-list-type") == "map" and not keys:
        yield required(
            f"{field}.x-kubernetes-list-map-keys", "a list of type map needs the keys of its items"
        )


def _children_errors(schema: dict[str, Any], field: str, depth: int, partial: bool) -> Iterator[FieldError]:
    properties = schema.get("properties", {})
    if isinstance(properties, dict):
        for name, child in properties.items():
            yield from schema_errors(child, f"{field}.properties.{name}", depth + 1, partial=partial)
    else:
        yield bad_value(f"{field}.properties", properties, "must be an object of schemas")
    for keyword, inside in (("items", partial), ("not", True)):
        if keyword in schema:
            yield from schema_errors(schema[keyword], f"{field}.{keyword}", depth + 1, partial=inside)
    extra = schema.get("additionalProperties", False)
    if not isinstance(extra, bool):
        yield from schema_errors(extra, f"{field}.additionalProperties", depth + 1, partial=partial)
    for keyword in ("allOf", "anyOf", "oneOf"):
        members = schema.get(keyword, [])
        if not isinstance(members, list):
            yield bad_value(f"{field}.{keyword}", members, "must be a list of schemas")
            continue
        for index, child in enumerate(members):
            yield from schema_errors(child, f"{field}.{keyword}[{index}]", depth + 1, partial=True)


def _is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except re.error:
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


_Rule = tuple[Callable[[Any], bool], str]
_ANYTHING: _Rule = (lambda _: True, "")
_NUMBER: _Rule = (_is_number, "must be a number")
_COUNT: _Rule = (_is_count, "must be a whole number, 0 or more")
_FLAG: _Rule = (_is_flag, "must be true or false")
_TEXT: _Rule = (lambda value: isinstance(value, str), "must be text")
_TEXTS: _Rule = (_is_texts, "must be a list of names")
_KEYWORDS: dict[str, _Rule] = {
    "pattern": (_is_pattern, "must be a regular expression"),
    "enum": (lambda value: isinstance(value, list) and bool(value), "must be a list of at least one value"),
    "required": _TEXTS,
    "minimum": _NUMBER,
    "maximum": _NUMBER,
    "multipleOf": (lambda value: _is_number(value) and value > 0, "must be a number above 0"),
    "exclusiveMinimum": _FLAG,
    "exclusiveMaximum": _FLAG,
    "uniqueItems": _FLAG,
    "nullable": _FLAG,
    "format": _TEXT,
    "title": _TEXT,
    "description": _TEXT,
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _COUNT
    ),
    **dict.fromkeys(
        (
            "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-int-or-string",
            "x-kubernetes-embedded-resource",
        ),
        _FLAG,
    ),
    "x-kubernetes-list-map-keys": _TEXTS,
    "x-kubernetes-list-type": (_LIST_TYPES.__contains__, f"must be one of {', '.join(_LIST_TYPES)}"),
    "x-kubernetes-map-type": (_MAP_TYPES.__contains__, f"must be one of {', '.join(_MAP_TYPES)}"),
    "x-kubernetes-validations": (lambda value: isinstance(value, list), "must be a list of rules"),
}
