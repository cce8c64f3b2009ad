"""Defaulting, pruning and validation after the rules of Kubernetes' structural schemas."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from springtide.server.schema import Schema
from tests.machinery.schemas import DEPLOYMENT, deployment


def spec(**properties: Any) -> Schema:
    """A CRD-like schema whose spec has these properties."""
    return Schema({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}})


def faults(schema: Schema, obj: Any, old: Any = None) -> list[str]:
    return [str(error) for error in schema.validate(obj, old)]


RULES: dict[str, tuple[dict[str, Any], Any, str | None]] = {
    "string": ({"type": "string"}, "x", None),
    "a number where a string must be": (
        {"type": "string"},
        5,
        'Invalid value: "integer": spec.a in body must be of type string: "integer"',
    ),
    "null where a string must be": (
        {"type": "string"},
        None,
        'Invalid value: "null": spec.a in body must be of type string: "null"',
    ),
    "nullable": ({"type": "string", "nullable": True}, None, None),
    "true is no integer": (
        {"type": "integer"},
        True,
        'Invalid value: "boolean": spec.a in body must be of type integer: "boolean"',
    ),
    "a whole float is an integer": ({"type": "integer"}, 2.0, None),
    "int32 fits": ({"type": "integer", "format": "int32"}, 2**31 - 1, None),
    "minimum": (
        {"type": "integer", "minimum": 1},
        0,
        "Invalid value: 0: spec.a in body should be greater than or equal to 1",
    ),
    "exclusive maximum": (
        {"type": "number", "maximum": 1, "exclusiveMaximum": True},
        1,
        "Invalid value: 1: spec.a in body should be less than 1",
    ),
    "multiple": (
        {"type": "integer", "multipleOf": 8},
        12,
        "Invalid value: 12: spec.a in body should be a multiple of 8",
    ),
    "enum": (
        {"type": "string", "enum": ["A", "B"]},
        "C",
        'Unsupported value: "C": supported values: "A", "B"',
    ),
    "pattern": (
        {"type": "string", "pattern": "^[a-z]+$"},
        "a1",
        "Invalid value: \"a1\": spec.a in body should match '^[a-z]+$'",
    ),
    "a pattern's end is the end": (
        {"type": "string", "pattern": "^[a-z]+$"},
        "a\n",
        "Invalid value: \"a\\n\": spec.a in body should match '^[a-z]+$'",
    ),
    "too long": ({"type": "string", "maxLength": 2}, "abc", "Too long: may not be more than 2 bytes"),
    "too short": (
        {"type": "string", "minLength": 2},
        "a",
        'Invalid value: "a": spec.a in body should be at least 2 chars long',
    ),
    "too many": (
        {"type": "array", "maxItems": 1, "items": {"type": "string"}},
        ["a", "b"],
        "Too many: 2: must have at most 1 item",
    ),
    "too few properties": (
        {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}},
        {},
        "Invalid value: 0: spec.a in body should have at least 1 properties",
    ),
    "date-time": ({"type": "string", "format": "date-time"}, "2026-01-01T00:00:00.5+01:00", None),
    "not a date-time": (
        {"type": "string", "format": "date-time"},
        "noon",
        'Invalid value: "noon": spec.a in body must be of type date-time: "noon"',
    ),
    "duration": ({"type": "string", "format": "duration"}, "1h30m", None),
    "unknown formats say nothing": ({"type": "string", "format": "quantity-ish"}, "x", None),
    "int-or-string takes a string": ({"x-kubernetes-int-or-string": True}, "50%", None),
    "int-or-string takes no float": (
        {"x-kubernetes-int-or-string": True},
        1.5,
        'Invalid value: "number": spec.a in body must be of type integer,string: "number"',
    ),
    "oneOf holds": (
        {
            "type": "object",
            "properties": {"x": {"type": "string"}, "y": {"type": "string"}},
            "oneOf": [{"required": ["x"]}, {"required": ["y"]}],
        },
        {"x": "1"},
        None,
    ),
    "oneOf does not hold": (
        {
            "type": "object",
            "properties": {"x": {"type": "string"}, "y": {"type": "string"}},
            "oneOf": [{"required": ["x"]}, {"required": ["y"]}],
        },
        {"x": "1", "y": "2"},
        'Invalid value: {"x":"1","y":"2"}: spec.a in body must validate one and only one schema (oneOf)',
    ),
    "anyOf": (
        {"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 1}]},
        3,
        "Invalid value: 3: spec.a in body must validate at least one schema (anyOf)",
    ),
    "allOf": (
        {"type": "integer", "allOf": [{"minimum": 5}]},
        3,
        "Invalid value: 3: spec.a in body should be greater than or equal to 5",
    ),
    "not": (
        {"type": "string", "not": {"enum": ["x"]}},
        "x",
        'Invalid value: "x": spec.a in body must not validate the schema (not)',
    ),
}


@pytest.mark.parametrize(("rule", "value", "fault"), RULES.values(), ids=RULES)
def test_a_value_is_held_against_its_rule(rule: dict[str, Any], value: Any, fault: str | None) -> None:
    expected = [] if fault is None else [f"spec.a: {fault}"]
    assert faults(spec(a=rule), {"spec": {"a": value}}) == expected


def test_a_number_too_large_for_its_format_is_refused_in_kubernetes_words() -> None:
    schema = spec(a={"type": "integer", "format": "int32"})
    text = '<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.a'
    assert faults(schema, {"spec": {"a": 2**31}}) == [text]
    assert faults(schema, {"spec": {"a": 2**31 - 1}}) == []


def test_errors_carry_reason_and_place() -> None:
    obj = deployment(replicas="two", containers=[{"image": "x"}, {"name": "a"}, {"name": "a"}])
    found = [(error.reason, error.field) for error in DEPLOYMENT.validate(obj)]
    assert found == [
        ("FieldValueRequired", "spec.selector"),
        ("FieldValueTypeInvalid", "spec.replicas"),
        ("FieldValueRequired", "spec.template.spec.containers[0].name"),
    ]


def test_list_map_keys_are_unique_with_their_defaults() -> None:
    ports = [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]
    obj = deployment(selector={}, containers=[{"name": "a", "ports": ports}])
    place = "spec.template.spec.containers[0].ports[1]"
    assert faults(DEPLOYMENT, obj) == [f'{place}: Duplicate value: {{"containerPort":80,"protocol":"TCP"}}']


def test_sets_have_each_member_once() -> None:
    assert faults(DEPLOYMENT, deployment(selector={}, zones=["a", "a"])) == [
        'spec.zones[1]: Duplicate value: "a"'
    ]


def test_faults_in_unchanged_parts_do_not_freeze_an_object() -> None:
    old = deployment(selector={}, replicas=-1, zones=["a"])
    assert faults(DEPLOYMENT, deployment(selector={}, replicas=-1, zones=["b"]), old) == []
    assert faults(DEPLOYMENT, deployment(selector={}, replicas=-2), old) != []
    assert faults(DEPLOYMENT, {"spec": {"replicas": 1}}, {"spec": {"replicas": 1}}) == []
    assert faults(DEPLOYMENT, {"spec": {"replicas": 2}}, {"spec": {"replicas": 1}}) != []


def test_metadata_is_known_even_where_a_schema_is_silent_about_it() -> None:
    schema = spec(a={"type": "string"})
    obj = {"apiVersion": "x/v1", "kind": "X", "metadata": {"name": "n", "labels": {"a": 1}, "nmae": "n"}}
    assert schema.unknown_fields(obj) == ["metadata.nmae"]
    assert [error.field for error in schema.validate(obj)] == ["metadata.labels.a"]


def test_defaults_fill_what_is_missing_at_every_depth_that_exists() -> None:
    obj = deployment(containers=[{"name": "a", "ports": [{"containerPort": 80}]}])
    DEPLOYMENT.default(obj)
    assert obj["spec"]["replicas"] == 1
    assert obj["spec"]["template"]["spec"]["containers"][0]["ports"] == [
        {"containerPort": 80, "protocol": "TCP"}
    ]
    assert DEPLOYMENT.default({"metadata": {}}) == {"metadata": {}}


def test_a_default_is_nobody_elses() -> None:
    schema = spec(a={"type": "object", "default": {"x": []}, "x-kubernetes-preserve-unknown-fields": True})
    first, second = schema.default({"spec": {}}), schema.default({"spec": {}})
    first["spec"]["a"]["x"].append(1)
    assert second == {"spec": {"a": {"x": []}}}


def test_null_gives_way_to_a_default_unless_it_is_allowed() -> None:
    schema = spec(
        a={"type": "string", "default": "x"},
        b={"type": "string", "default": "x", "nullable": True},
    )
    assert schema.default({"spec": {"a": None, "b": None}}) == {"spec": {"a": "x", "b": None}}


def test_built_in_kinds_read_null_as_absent() -> None:
    source = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}},
    }
    assert Schema(source, null_is_absent=True).default({"spec": {"a": None}}) == {"spec": {}}


UNKNOWN: dict[str, tuple[Any, list[str]]] = {
    "nothing": (deployment(replicas=1), []),
    "a typing error": (deployment(replcas=1), ["spec.replcas"]),
    "in a list": (
        deployment(containers=[{"name": "a", "imgae": "x"}]),
        ["spec.template.spec.containers[0].imgae"],
    ),
    "at the top": ({"spce": {}}, ["spce"]),
    "anything where it is preserved": (deployment(extra={"any": {"thing": 1}}), []),
    "keys of a map": (deployment(selector={"matchLabels": {"any": "x"}}), []),
}


@pytest.mark.parametrize(("obj", "unknown"), UNKNOWN.values(), ids=UNKNOWN)
def test_undeclared_fields_are_found_and_pruned(obj: Any, unknown: list[str]) -> None:
    before = copy.deepcopy(obj)
    assert DEPLOYMENT.unknown_fields(obj) == unknown
    assert obj == before
    assert DEPLOYMENT.prune(obj) == unknown
    assert DEPLOYMENT.unknown_fields(obj) == []


def test_an_object_where_a_string_must_be_is_a_type_error_not_an_unknown_field() -> None:
    schema = spec(a={"type": "string"})
    assert schema.unknown_fields({"spec": {"a": {"b": 1}}}) == []


def test_declared_fields_are_pruned_below_an_open_object() -> None:
    schema = spec(
        a={
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {"known": {"type": "object", "properties": {"x": {"type": "string"}}}},
        }
    )
    assert schema.prune({"spec": {"a": {"other": {"y": 1}, "known": {"y": 1}}}}) == ["spec.a.known.y"]


def test_embedded_resources_have_metadata() -> None:
    schema = spec(a={"type": "object", "x-kubernetes-embedded-resource": True})
    obj = {"spec": {"a": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}}}}
    assert schema.unknown_fields(obj) == ["spec.a.spec"]


def test_recursive_types_end() -> None:
    node = {
        "type": "object",
        "properties": {
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
            "size": {"type": "integer", "default": 1, "maximum": 3},
        },
    }
    schema = Schema(
        {"type": "object", "properties": {"spec": {"$ref": "#/definitions/Node"}}}, {"Node": node}
    )
    obj: dict[str, Any] = {"spec": {"children": [{"children": [{"size": 9, "colour": "red"}]}]}}
    schema.default(obj)
    assert obj["spec"]["children"][0] == {"children": [{"size": 9, "colour": "red"}], "size": 1}
    assert schema.unknown_fields(obj) == ["spec.children[0].children[0].colour"]
    assert [error.field for error in schema.validate(obj)] == ["spec.children[0].children[0].size"]


def test_a_missing_definition_is_named() -> None:
    with pytest.raises(KeyError, match="Gone"):
        Schema({"$ref": "#/definitions/Gone"})


IMMUTABLE = {"x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "field is immutable"}]}
FROZEN = spec(
    name={"type": "string", **IMMUTABLE},
    ref={"type": "object", "properties": {"to": {"type": "string"}}, **IMMUTABLE},
    parts={
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["id"],
        "items": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "size": {"type": "integer", **IMMUTABLE}},
        },
    },
    free={"type": "string"},
)
TRANSITIONS: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "nothing changed": ({"name": "a"}, {"name": "a", "free": "x"}, []),
    "changed": ({"name": "a"}, {"name": "b"}, ['spec.name: Invalid value: "b": field is immutable']),
    "set for the first time": ({}, {"name": "b"}, []),
    "removed": ({"name": "a"}, {}, []),
    "an object": (
        {"ref": {"to": "a"}},
        {"ref": {"to": "b"}},
        ["spec.ref: Invalid value: field is immutable"],
    ),
    "an item found by its key": (
        {"parts": [{"id": "x", "size": 1}, {"id": "y", "size": 2}]},
        {"parts": [{"id": "new", "size": 9}, {"id": "y", "size": 3}]},
        ["spec.parts[1].size: Invalid value: 3: field is immutable"],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), TRANSITIONS.values(), ids=TRANSITIONS)
def test_immutable_fields_stay_as_they_are(old: Any, new: Any, expected: list[str]) -> None:
    assert faults(FROZEN, {"spec": new}, {"spec": old}) == expected
    assert faults(FROZEN, {"spec": new}) == []
