"""JSON Patch after the examples of RFC 6902, appendix A, and what its text forbids."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.server.json_patch import PatchError, apply_json_patch, json_equal

OBJECTS: dict[str, tuple[Any, list[dict[str, Any]], Any]] = {
    "A1 add a member": ({"foo": 1}, [{"op": "add", "path": "/baz", "value": "q"}], {"foo": 1, "baz": "q"}),
    "A2 add an element": (
        {"foo": ["bar", "baz"]},
        [{"op": "add", "path": "/foo/1", "value": "qux"}],
        {"foo": ["bar", "qux", "baz"]},
    ),
    "A3 remove a member": ({"baz": 1, "foo": 2}, [{"op": "remove", "path": "/baz"}], {"foo": 2}),
    "A4 remove an element": ({"foo": [1, 2, 3]}, [{"op": "remove", "path": "/foo/1"}], {"foo": [1, 3]}),
    "A5 replace a value": ({"baz": 1}, [{"op": "replace", "path": "/baz", "value": 2}], {"baz": 2}),
    "A6 move a value": (
        {"foo": {"bar": 1, "waldo": 2}, "qux": {}},
        [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
        {"foo": {"bar": 1}, "qux": {"thud": 2}},
    ),
    "A7 move an element": (
        {"foo": ["all", "grass", "cows", "eat"]},
        [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
        {"foo": ["all", "cows", "eat", "grass"]},
    ),
    "A8 test a value": (
        {"baz": "qux", "foo": ["a", 2, "c"]},
        [{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}],
        {"baz": "qux", "foo": ["a", 2, "c"]},
    ),
    "A10 add a nested object": (
        {"foo": "bar"},
        [{"op": "add", "path": "/child", "value": {"grandchild": {}}}],
        {"foo": "bar", "child": {"grandchild": {}}},
    ),
    "A11 unknown members are ignored": (
        {"foo": 1},
        [{"op": "add", "path": "/baz", "value": 2, "xyz": 123}],
        {"foo": 1, "baz": 2},
    ),
    "A14 escapes": ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
    "A16 add an array at the end": (
        {"foo": ["bar"]},
        [{"op": "add", "path": "/foo/-", "value": ["abc"]}],
        {"foo": ["bar", ["abc"]]},
    ),
    "copy": ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": 1}, "c": {"b": 1}}),
    "add replaces an existing member": ({"a": 1}, [{"op": "add", "path": "/a", "value": 2}], {"a": 2}),
    "replace the whole document": ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
    "an annotation with a slash": (
        {"metadata": {"annotations": {}}},
        [{"op": "add", "path": "/metadata/annotations/example.com~1a", "value": "x"}],
        {"metadata": {"annotations": {"example.com/a": "x"}}},
    ),
    "a copy is changed apart": (
        {"a": {"b": {"c": 1}}},
        [
            {"op": "replace", "path": "/a/b/c", "value": 2},
            {"op": "copy", "from": "/a", "path": "/d"},
            {"op": "replace", "path": "/d/b/c", "value": 3},
            {"op": "replace", "path": "/a/b/c", "value": 4},
        ],
        {"a": {"b": {"c": 4}}, "d": {"b": {"c": 3}}},
    ),
    "what was moved is changed where it is": (
        {"a": [{"b": 1}], "c": []},
        [
            {"op": "replace", "path": "/a/0/b", "value": 2},
            {"op": "move", "from": "/a/0", "path": "/c/-"},
            {"op": "add", "path": "/c/0/b", "value": 3},
        ],
        {"a": [], "c": [{"b": 3}]},
    ),
    "move onto itself": ({"a": 1}, [{"op": "move", "from": "/a", "path": "/a"}], {"a": 1}),
}


@pytest.mark.parametrize(("doc", "patch", "expected"), OBJECTS.values(), ids=OBJECTS)
def test_a_patch_gives_what_the_rfc_says(doc: Any, patch: list[dict[str, Any]], expected: Any) -> None:
    before = copy.deepcopy(doc)
    assert apply_json_patch(doc, patch) == expected
    assert doc == before, "the document handed in is never changed"


def test_what_is_moved_is_not_shared_with_the_document() -> None:
    """Whoever looks at the result may prune it in place, by the rules of where a value came to."""
    doc = {"a": {"b": {"c": {"d": 1}}, "x": 1}}
    edit = {"op": "replace", "path": "/a/x", "value": 2}
    moves = [edit, {"op": "move", "from": "/a", "path": "/e"}, {"op": "move", "from": "/e/b", "path": "/f"}]
    made = apply_json_patch(doc, moves)
    made["f"]["c"].clear()
    made["e"].clear()
    assert doc == {"a": {"b": {"c": {"d": 1}}, "x": 1}}


REFUSED: dict[str, tuple[Any, Any, str, bool]] = {
    "A9 a test that fails": (
        {"a": "x"},
        [{"op": "test", "path": "/a", "value": "y"}],
        "[0].value: test failed: /a is 'x', not 'y'",
        False,
    ),
    "A12 add to a parent that is not there": (
        {"foo": 1},
        [{"op": "add", "path": "/baz/bat", "value": 1}],
        "[0].path: /baz does not exist in the object",
        False,
    ),
    "A15 strings are not numbers": (
        {"a": 10},
        [{"op": "test", "path": "/a", "value": "10"}],
        "[0].value: test failed: /a is 10, not '10'",
        False,
    ),
    "remove what is not there": ({}, [{"op": "remove", "path": "/a"}], "[0].path: /a does not exist", False),
    "replace below what is not there": (
        {},
        [{"op": "replace", "path": "/a/b", "value": 1}],
        "[0].path: /a",
        False,
    ),
    "index beyond the end": (
        {"a": [1]},
        [{"op": "add", "path": "/a/2", "value": 1}],
        "beyond the end",
        False,
    ),
    "index with a leading zero": ({"a": [1]}, [{"op": "remove", "path": "/a/00"}], "no list index", False),
    "dash where something must be": ({"a": [1]}, [{"op": "remove", "path": "/a/-"}], "no list index", False),
    "into a scalar": ({"a": 1}, [{"op": "add", "path": "/a/b", "value": 1}], "/a/b does not exist", False),
    "second operation is the wrong one": (
        {"a": 1},
        [{"op": "remove", "path": "/a"}, {"op": "remove", "path": "/a"}],
        "[1].path: /a",
        False,
    ),
    "unknown operation": ({}, [{"op": "merge", "path": "/a"}], "[0].op: unknown operation 'merge'", True),
    "no operation": ({}, [{"path": "/a"}], "[0].op: unknown operation None", True),
    "no value": ({}, [{"op": "add", "path": "/a"}], "[0].value: add needs a value", True),
    "no path": ({}, [{"op": "remove"}], "[0].path: required", True),
    "no pointer": ({}, [{"op": "remove", "path": "a"}], "start it with /", True),
    "into itself": ({"a": {}}, [{"op": "move", "from": "/a", "path": "/a/b"}], "moved into itself", True),
    "not a list": ({}, {"op": "add"}, "must be a list", True),
    "not an object": ({}, ["add"], "must be an object", True),
    "too many": ({}, [{"op": "test", "path": "", "value": {}}] * 10_001, "at most 10000", False),
}


@pytest.mark.parametrize(("doc", "patch", "text", "malformed"), REFUSED.values(), ids=REFUSED)
def test_a_refused_patch_says_which_operation_and_why(
    doc: Any, patch: Any, text: str, malformed: bool
) -> None:
    before = copy.deepcopy(doc)
    with pytest.raises(PatchError) as caught:
        apply_json_patch(doc, patch)
    assert text in str(caught.value)
    assert caught.value.malformed is malformed
    assert doc == before


def test_true_is_not_one_and_one_is_one_point_zero() -> None:
    assert not json_equal({"a": True}, {"a": 1})
    assert not json_equal([0], [False])
    assert json_equal({"a": [1, {"b": None}]}, {"a": [1.0, {"b": None}]})


leaves = st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab/~", max_size=2)
documents = st.dictionaries(
    st.text("ab/~", max_size=2),
    st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=3,
)


def _pointers(value: Any, prefix: str = "") -> list[str]:
    found = [prefix]
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in pairs:
        found += _pointers(child, f"{prefix}/{str(key).replace('~', '~0').replace('/', '~1')}")
    return found


@given(documents, st.data())
def test_removing_and_adding_back_is_nothing(doc: dict[str, Any], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(_pointers(doc)))
    copied = apply_json_patch(doc, [{"op": "copy", "from": path, "path": "/kept"}])
    value = copied["kept"] if path else doc
    if path:
        patch = [{"op": "remove", "path": path}, {"op": "add", "path": path, "value": value}]
        assert apply_json_patch(doc, patch) == doc
    assert apply_json_patch(doc, [{"op": "test", "path": path, "value": value}]) == doc


def test_copies_that_would_double_an_object_over_and_over_are_refused() -> None:
    doc = {"a": {"text": "x" * 1024}}
    bomb = [{"op": "copy", "from": "/a", "path": f"/a/{number}"} for number in range(40)]
    with pytest.raises(PatchError, match="copies more than") as caught:
        apply_json_patch(doc, bomb)
    assert caught.value.too_large
