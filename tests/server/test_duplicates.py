"""Fields that a body names twice: found wherever they stand, and never where they do not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.server import duplicates


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        (b'{"a":1,"a":2}', ["a"]),
        (b'{"a":{"b":1,"b":1,"b":1}}', ["a.b"]),
        (b'{"a":[{"b":1},{"c":1,"c":2}]}', ["a[1].c"]),
        (b'{ "a": 1, "b": {"c": 1} }', []),
        (b'{"a":{"x":1},"b":{"x":1}}', []),
        (b'{"a":1,"A":2}', []),
        (b'{"\\u0061":1,"a":2}', ["a"]),
        (b"[]", []),
    ],
)
def test_json_names_the_path_of_each(body: bytes, paths: list[str]) -> None:
    assert duplicates.in_json(body, json.loads(body)) == paths


def test_yaml_names_the_path_of_each() -> None:
    body = b"a: 1\nb:\n  - c: 1\n    c: 2\na: 3\n"
    assert duplicates.in_yaml(body) == ["a", "b[0].c"]


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(_values, st.sampled_from([None, 2]))
def test_a_body_without_any_is_clear_however_it_is_written(value: Any, indent: int | None) -> None:
    assert duplicates.in_json(json.dumps(value, indent=indent).encode(), value) == []
    assert duplicates.in_json(msgspec.json.encode(value), value) == []
