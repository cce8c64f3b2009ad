"""Whether the schema of a CRD is structural: every field has one known type, and logic below `allOf`, `not`
… only adds rules.

Pruning, defaulting and server-side apply rely on it. Called by `definition_schema` when a CRD is written,
after `keyword_errors` has seen that every keyword holds what it may. Rules and messages: apiextensions
`pkg/apiserver/schema/validation.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from springtide.server import regex
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, forbidden_field, required

Json = Mapping[str, Any]

DEEPEST = 200
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_NESTED = ("allOf", "anyOf", "oneOf")
_LEVELS = {
    "root": "at the root",
    "items": "for specified array items",
    "field": "for specified object fields",
}


def structural_errors(schema: Json, field: str) -> list[FieldError]:
    """Everything that keeps a schema from being structural, sorted as upstream sorts it."""
    found = [*_spine_errors(schema, field, "root"), *_completeness_errors(schema, schema, field, field)]
    return sorted(found, key=str)


def _spine_errors(schema: Json, field: str, level: str) -> Iterator[FieldError]:
    """A node of the spine: the part of a schema outside all logic."""
    items, values = schema.get("items"), schema.get("additionalProperties")
    if schema.get("type") == "array" and items is None:
        yield required(f"{field}.items", "must be specified")
    if items is not None:
        yield from _spine_errors(items, f"{field}.items", "items")
    for name, child in (schema.get("properties") or {}).items():
        yield from _spine_errors(child, f"{field}.properties[{name}]", "field")
    if values is not None and level == "root":
        yield forbidden_field(f"{field}.additionalProperties", "must not be used at the root")
    if isinstance(values, Mapping):
        yield from _spine_errors(values, f"{field}.additionalProperties", "field")
    yield from _extension_errors(schema, field)
    yield from _logic_errors(schema, field, *_int_or_string_shapes(schema))
    yield from _type_errors(schema, field, level)
    yield from _identity_errors(schema, field, level)


def _extension_errors(schema: Json, field: str) -> Iterator[FieldError]:
    if schema.get("x-kubernetes-int-or-string"):
        for keyword in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
            if schema.get(keyword):
                rule = "must be false if x-kubernetes-int-or-string is true"
                yield bad_value(f"{field}.{keyword}", True, rule)
    if schema.get("x-kubernetes-embedded-resource"):
        if schema.get("additionalProperties") is not None:
            rule = "must not be used if x-kubernetes-embedded-resource is set"
            yield forbidden_field(f"{field}.additionalProperties", rule)
        if not schema.get("x-kubernetes-preserve-unknown-fields") and not schema.get("properties"):
            yield required(
                f"{field}.properties",
                "must not be empty if x-kubernetes-embedded-resource is true "
                "without x-kubernetes-preserve-unknown-fields",
            )


def _type_errors(schema: Json, field: str, level: str) -> Iterator[FieldError]:
    kind = schema.get("type", "")
    if schema.get("x-kubernetes-embedded-resource") and kind != "object":
        rule = "must be object if x-kubernetes-embedded-resource is true"
        yield bad_value(f"{field}.type", kind, rule) if kind else required(f"{field}.type", rule)
    elif not kind and not _open(schema):
        yield required(f"{field}.type", f"must not be empty {_LEVELS[level]}")
    if level == "root" and kind and kind != "object":
        yield bad_value(f"{field}.type", kind, "must be object at the root")


def _open(schema: Json) -> bool:
    return bool(
        schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    )


def _identity_errors(schema: Json, field: str, level: str) -> Iterator[FieldError]:
    """Of a resource, apiVersion, kind and metadata are what they are everywhere."""
    properties = schema.get("properties") or {}
    resource = level == "root" or bool(schema.get("x-kubernetes-embedded-resource"))
    for name in ("kind", "apiVersion"):
        kind = properties.get(name, {}).get("type", "")
        if resource and name in properties and kind != "string":
            yield bad_value(f"{field}.properties[{name}].type", kind, "must be string")
    if "metadata" not in properties:
        return
    metadata, path = properties["metadata"], f"{field}.properties[metadata]"
    if resource and metadata.get("type", "") != "object":
        yield bad_value(f"{path}.type", metadata.get("type", ""), "must be object")
    names = set(metadata.get("properties") or {})
    known = (
        {"type", "properties", "default", "description"} if not names else {"type", "properties", "default"}
    )
    extra = {key for key, value in metadata.items() if value and key not in known}
    if level == "root" and (not names <= {"name", "generateName"} or extra - {"description"}):
        rule = (
            "must not specify anything other than name and generateName, but metadata is implicitly specified"
        )
        yield forbidden_field(path, rule)


def _int_or_string_shapes(schema: Json) -> tuple[bool, bool]:
    """Whether `anyOf` here, or in the first of `allOf`, is the way controller-gen writes int-or-string."""
    first = (schema.get("allOf") or [{}])[0]
    return schema.get("anyOf") == _INT_OR_STRING, first.get("anyOf") == _INT_OR_STRING


def _logic_errors(schema: Json, field: str, skip_any: bool, skip_first_all: bool) -> Iterator[FieldError]:
    for keyword in _NESTED:
        for index, child in enumerate(schema.get(keyword) or ()):
            if not (keyword == "anyOf" and skip_any):
                skip = keyword == "allOf" and index == 0 and skip_first_all
                yield from _nested_errors(child, f"{field}.{keyword}[{index}]", skip)
    if schema.get("not") is not None:
        yield from _nested_errors(schema["not"], f"{field}.not")
    if schema.get("pattern"):
        try:
            regex.compile(schema["pattern"])
        except regex.PatternError as error:
            rule = f"must be a valid regular expression, but isn't: {error}"
            yield bad_value(f"{field}.pattern", schema["pattern"], rule)


_FORBIDDEN_BELOW = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}


def _nested_errors(schema: Json, field: str, skip_any: bool = False) -> Iterator[FieldError]:
    """A node below logic: it may add rules, but say nothing of what a value is."""
    yield from _logic_errors(schema, field, skip_any, False)
    if schema.get("items") is not None:
        yield from _nested_errors(schema["items"], f"{field}.items")
    for name, child in (schema.get("properties") or {}).items():
        yield from _nested_errors(child, f"{field}.properties[{name}]")
    for keyword, rule in _FORBIDDEN_BELOW.items():
        value = schema.get(keyword)
        if value or (value is not None and keyword in ("default", "additionalProperties")):
            yield forbidden_field(f"{field}.{keyword}", rule)
    if "metadata" in (schema.get("properties") or {}):
        yield forbidden_field(f"{field}.properties[metadata]", "must not be specified in a nested context")


def _completeness_errors(rules: Json, spine: Json | None, at: str, where: str) -> Iterator[FieldError]:
    """Whatever logic speaks of must exist on the spine."""
    if rules.get("not") is not None:
        yield from _counterpart_errors(rules["not"], spine, at, f"{where}.not")
    for keyword in ("allOf", "anyOf", "oneOf"):
        for index, child in enumerate(rules.get(keyword) or ()):
            yield from _counterpart_errors(child, spine, at, f"{where}.{keyword}[{index}]")


def _counterpart_errors(rules: Json, spine: Json | None, at: str, where: str) -> Iterator[FieldError]:
    if spine is None:
        yield required(at, f"because it is defined in {where}")
        return
    yield from _completeness_errors(rules, spine, at, where)
    if rules.get("items") is not None:
        yield from _counterpart_errors(rules["items"], spine.get("items"), f"{at}.items", f"{where}.items")
    declared = spine.get("properties") or {}
    for name, child in (rules.get("properties") or {}).items():
        step = f".properties[{name}]"
        yield from _counterpart_errors(child, declared.get(name), at + step, where + step)


# Keywords: what a decoder with types would refuse.


def keyword_errors(schema: Any, field: str, depth: int = 0) -> Iterator[FieldError]:
    """Keywords with values of the wrong JSON type, at every depth."""
    if not isinstance(schema, dict):
        yield bad_value(field, schema, "must be a schema: an object with type, properties, items …")
        return
    if depth > DEEPEST:
        yield bad_value(field, "…", f"schemas may be nested {DEEPEST} deep")
        return
    for keyword, value in schema.items():
        allows, rule = _KEYWORDS.get(keyword, _ANYTHING)
        if value is not None and not allows(value):
            yield bad_value(f"{field}.{keyword}", value, rule)
    for path, child in _children(schema, field):
        yield from keyword_errors(child, path, depth + 1)


def _children(schema: dict[str, Any], field: str) -> Iterator[tuple[str, Any]]:
    if isinstance(schema.get("properties"), dict):
        for name, child in schema["properties"].items():
            yield f"{field}.properties[{name}]", child
    for keyword in ("items", "not"):
        if schema.get(keyword) is not None:
            yield f"{field}.{keyword}", schema[keyword]
    if not isinstance(schema.get("additionalProperties"), bool | None):
        yield f"{field}.additionalProperties", schema["additionalProperties"]
    for keyword in _NESTED:
        if isinstance(schema.get(keyword), list):
            for index, child in enumerate(schema[keyword]):
                yield f"{field}.{keyword}[{index}]", child


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_rules(value: Any) -> bool:
    return isinstance(value, list) and all(_is_rule(one) for one in value)


def _is_rule(rule: Any) -> bool:
    if not isinstance(rule, dict) or not isinstance(rule.get("optionalOldSelf"), bool | None):
        return False
    texts = ("rule", "message", "messageExpression", "reason", "fieldPath")
    return all(isinstance(rule.get(key), str | None) for key in texts)


_Rule = tuple[Callable[[Any], bool], str]
_ANYTHING: _Rule = (lambda _: True, "")
_NUMBER: _Rule = (_is_number, "must be a number")
_WHOLE: _Rule = (_is_whole, "must be a whole number")
_FLAG: _Rule = (_is_flag, "must be true or false")
_TEXT: _Rule = (_is_text, "must be text")
_TEXTS: _Rule = (_is_texts, "must be a list of names")
_LIST: _Rule = (lambda value: isinstance(value, list), "must be a list")
_OBJECT: _Rule = (lambda value: isinstance(value, dict), "must be an object of schemas")
_KEYWORDS: dict[str, _Rule] = {
    **dict.fromkeys(("type", "pattern", "format", "title", "description"), _TEXT),
    **dict.fromkeys(("x-kubernetes-list-type", "x-kubernetes-map-type", "$ref", "id"), _TEXT),
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), _NUMBER),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum", "uniqueItems", "nullable"), _FLAG),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _WHOLE
    ),
    **dict.fromkeys(("enum", "allOf", "anyOf", "oneOf"), _LIST),
    **dict.fromkeys(("properties", "patternProperties", "definitions", "dependencies"), _OBJECT),
    **dict.fromkeys(("required", "x-kubernetes-list-map-keys"), _TEXTS),
    **dict.fromkeys(
        (
            "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-int-or-string",
            "x-kubernetes-embedded-resource",
        ),
        _FLAG,
    ),
    "x-kubernetes-validations": (_is_rules, "must be a list of rules"),
}
