"""Schemas and objects nobody thought of: answered with 2xx or 4xx, judged as an obvious model judges them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.server.definition_schema import schema_errors
from springtide.server.schema import Schema
from tests.server.serving import CRDS, serving

Json = dict[str, Any]

_NAMES = st.sampled_from(["a", "b", "c"])
_SCALARS: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 2.0, "", "a", "bb", "2024-01-01"])
)
_JSON: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)

# Schemas that may be anything at all.
_KEYWORDS = st.sampled_from(
    [
        *("type", "properties", "items", "additionalProperties", "required", "enum", "default", "nullable"),
        *(
            "format",
            "pattern",
            "minimum",
            "maxLength",
            "maxItems",
            "multipleOf",
            "allOf",
            "anyOf",
            "oneOf",
            "not",
        ),
        *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"),
        *("x-kubernetes-int-or-string", "x-kubernetes-embedded-resource", "x-kubernetes-validations"),
        *("x-kubernetes-preserve-unknown-fields", "uniqueItems", "$ref", "metadata"),
    ]
)
_WORDS = st.sampled_from(
    ["object", "array", "string", "integer", "map", "set", "atomic", "self == oldSelf", "("]
)
_WILD: st.SearchStrategy[Any] = st.recursive(
    _SCALARS | _WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_KEYWORDS | _NAMES, inner, max_size=4)
        | st.builds(lambda rule: [{"rule": rule}], inner)
    ),
    max_leaves=12,
)

# Structural schemas, which the model below understands.
_LEAVES: st.SearchStrategy[Json] = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("string")}, optional={"minLength": st.integers(0, 2), "maxLength": st.integers(0, 2)}
    ),
    st.fixed_dictionaries(
        {"type": st.just("integer")}, optional={"minimum": st.integers(-2, 2), "maximum": st.integers(-2, 2)}
    ),
    st.fixed_dictionaries({"type": st.just("number")}, optional={"minimum": st.integers(-2, 2)}),
    st.fixed_dictionaries({"type": st.just("boolean")}),
    st.fixed_dictionaries(
        {"type": st.just("string"), "enum": st.lists(st.sampled_from(["", "a", "bb"]), min_size=1)}
    ),
)
_SOUND: st.SearchStrategy[Json] = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(_NAMES, inner, min_size=1, max_size=3)},
            optional={"required": st.lists(_NAMES, max_size=2, unique=True)},
        ),
        st.fixed_dictionaries(
            {"type": st.just("object"), "additionalProperties": inner},
            optional={"maxProperties": st.integers(0, 2)},
        ),
        st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner},
            optional={"maxItems": st.integers(0, 2), "minItems": st.integers(0, 1)},
        ),
    ),
    max_leaves=6,
)


def _holds(schema: Json, value: Any) -> bool:
    """Whether a value is one of the schema's: slow and obvious."""
    classes: dict[str, Any] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "object": dict,
        "array": list,
    }
    kind = schema["type"]
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, classes[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if kind in ("integer", "number"):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    if kind == "string":
        return bool(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)))
    if kind == "array":
        sized = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return bool(sized and all(_holds(schema["items"], item) for item in value))
    if kind == "object":
        if any(name not in value for name in schema.get("required", ())) or len(value) > schema.get(
            "maxProperties", 99
        ):
            return False
        known = schema.get("properties", {})
        other = schema.get("additionalProperties")
        return all(
            _holds(known.get(name, other), member)
            for name, member in value.items()
            if name in known or other is not None
        )
    return True


@settings(max_examples=120, deadline=None)
@given(_SOUND, _JSON)
def test_values_are_judged_as_the_model_does(schema: Json, value: Any) -> None:
    found = Schema({"type": "object", "properties": {"spec": schema}}).validate({"spec": value})
    assert (not found) == _holds(schema, value), (schema, value, found)


@settings(max_examples=120, deadline=None)
@given(_SOUND, _JSON, _JSON)
def test_what_did_not_change_is_let_through(schema: Json, value: Any, other: Any) -> None:
    judged = Schema({"type": "object", "properties": {"spec": schema, "other": {"type": "string"}}})
    before = {"spec": value, "other": "a"}
    assert judged.validate({"spec": value, "other": "b"}, before) == []
    assert bool(judged.validate({"spec": other}, {"spec": value})) <= (other != value)


@settings(max_examples=120, deadline=None)
@given(_SOUND, _JSON)
def test_defaulting_and_pruning_come_to_rest(schema: Json, value: Any) -> None:
    judged = Schema({"type": "object", "properties": {"spec": schema}})
    obj = {"spec": value}
    judged.prune(obj)
    once = msgspec.json.encode(judged.default(obj))
    again = msgspec.json.decode(once)
    assert judged.prune(again) == []
    assert msgspec.json.encode(judged.default(again)) == once


@settings(max_examples=120, deadline=None)
@given(_WILD)
def test_a_schema_is_sound_or_refused(schema: Any) -> None:
    for error in schema_errors({"type": "object", "properties": {"spec": schema}}, "s", status=False):
        assert error.field
        assert error.message


@settings(max_examples=6, deadline=None)
@given(st.lists(st.tuples(_WILD | _SOUND, st.lists(_JSON, min_size=2, max_size=3)), min_size=8, max_size=8))
def test_a_server_answers_any_definition_and_any_object(tries: list[tuple[Any, list[Any]]]) -> None:
    async def play() -> list[int]:
        seen: list[int] = []
        async with serving() as api:
            for number, (schema, values) in enumerate(tries):
                group = f"g{number}.fuzz.dev"
                version = {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": schema}}},
                }
                definition = {
                    "apiVersion": "apiextensions.k8s.io/v1",
                    "kind": "CustomResourceDefinition",
                    "metadata": {"name": f"things.{group}"},
                    "spec": {
                        "group": group,
                        "scope": "Cluster",
                        "names": {"plural": "things", "kind": "Thing"},
                        "versions": [version],
                    },
                }
                seen.append((await api.ask("POST", CRDS, definition)).status)
                for value in values:
                    thing = {
                        "apiVersion": f"{group}/v1",
                        "kind": "Thing",
                        "metadata": {"name": "a"},
                        "spec": value,
                    }
                    seen.append((await api.ask("POST", f"/apis/{group}/v1/things", thing)).status)
                    changed = await api.patch(f"/apis/{group}/v1/things/a", {"spec": value})
                    seen.append(changed.status)
        return seen

    statuses = asyncio.run(play())
    assert all(status < 500 for status in statuses), statuses
