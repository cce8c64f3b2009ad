"""JSON Merge Patch after the table of RFC 7386, appendix A, and its inverse."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.server.merge_patch import PatchError, apply_merge_patch, diff

CASES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], {"a": "b"}, {"a": "b"}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("doc", "patch", "expected"), CASES)
def test_a_merge_patch_gives_what_the_rfc_says(doc: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy(doc)
    assert apply_merge_patch(doc, patch) == expected
    assert doc == before


@pytest.mark.parametrize("patch", [None, "bar", ["c"], 1])
def test_a_patch_of_an_object_must_be_an_object(patch: Any) -> None:
    with pytest.raises(PatchError, match="must be an object") as caught:
        apply_merge_patch({"a": 1}, patch)
    assert caught.value.malformed


keys = st.text("abc", min_size=1, max_size=2)
scalars = st.booleans() | st.integers(-3, 3) | st.text("xy", max_size=2)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(keys, values, max_size=4)


@given(objects, objects)
def test_the_difference_of_two_objects_leads_from_one_to_the_other(old: Any, new: Any) -> None:
    assert apply_merge_patch(old, diff(old, new)) == new


@given(objects)
def test_an_object_does_not_differ_from_itself(obj: Any) -> None:
    assert diff(obj, obj) == {}


@given(objects, objects)
def test_a_second_application_changes_nothing(doc: Any, patch: Any) -> None:
    once = apply_merge_patch(doc, patch)
    assert apply_merge_patch(once, patch) == once
