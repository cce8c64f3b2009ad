"""CEL without a server around it: what stops an expression that costs too much, and what never raises."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.server import cel_rules, cel_run
from springtide.server.cel import CompileError, Expression, compile_expression
from springtide.server.cel_rules import CALL_LIMIT, RuleTree
from springtide.server.cel_run import CostExceeded
from springtide.server.cel_schema import declare, escape
from springtide.server.cel_syntax import LONGEST
from springtide.server.cel_values import CelError, read
from springtide.server.schema_rules import FieldError

Json = dict[str, Any]

_SCHEMA: Json = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "number": {"type": "integer"},
        "ratio": {"type": "number"},
        "list": {"type": "array", "items": {"type": "integer"}},
        "texts": {"type": "array", "items": {"type": "string"}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "any": {"x-kubernetes-int-or-string": True},
        "when": {"type": "string", "format": "date-time"},
        "span": {"type": "string", "format": "duration"},
        "object": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}


def _compiled(text: str) -> Expression:
    declared = declare(_SCHEMA, root=True)
    assert declared is not None
    return compile_expression(text, declared)


def _run(text: str, obj: Json, limit: int = CALL_LIMIT) -> Any:
    declared = declare(_SCHEMA, root=True)
    assert declared is not None
    value = read(obj, declared)
    return compile_expression(text, declared).program.run((value, value), limit)[0]


@pytest.mark.parametrize(
    "bomb",
    [
        "self.list.all(a, self.list.all(b, self.list.all(c, self.list.all(d, a + b + c + d >= 0))))",
        "self.list.map(a, self.list.map(b, self.list.map(c, self.list))).size() == 1",
        "self.texts.exists(a, self.texts.exists(b, (a + b + a + b).matches('(a*)*(b*)*x')))",
        "self.texts.map(a, self.texts.map(b, a.replace('', b))).size() == 1",
        "lists.range(900000).distinct().size() == 1",
        "lists.range(100000000).size() == 1",
        "self.list.all(a, self.list.all(b, lists.range(9000).map(x, x) != []))",
    ],
)
def test_a_bomb_is_stopped_by_its_budget(bomb: str) -> None:
    obj = {"list": list(range(300)), "texts": ["a" * 300] * 300}
    limit = CALL_LIMIT // 4
    began = time.process_time()
    with pytest.raises(CostExceeded):
        _run(bomb, obj, limit)
    assert time.process_time() - began < 20  # a bomb that is not stopped takes hours


def test_lists_do_not_double_without_end() -> None:
    doubling = "[self.list]" + ".map(x, x + x)" * 15 + ".size() == 1"
    with pytest.raises(CelError, match="at most 1000000 are made"):
        _run(doubling, {"list": list(range(100))})


def test_processor_time_is_bounded_where_costs_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel_run, "SECONDS", 0.05)
    with pytest.raises(CostExceeded):
        _run("self.list.all(a, self.list.all(b, string(a) != 'x'))", {"list": list(range(2000))}, 10**12)


def test_nothing_in_an_expression_catches_the_budget() -> None:
    with pytest.raises(CostExceeded):
        _run("self.list.all(a, self.list.all(b, a + b >= 0)) || true", {"list": list(range(100))}, limit=100)


def test_an_object_has_one_budget_for_all_its_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel_rules, "REQUEST_BUDGET", 100_000)
    rule = {"rule": "self.all(a, self.all(b, a >= 0 || b < 0))"}
    schema = {"type": "array", "items": {"type": "integer"}, "x-kubernetes-validations": [rule] * 40}
    tree = RuleTree({"type": "object", "properties": {"spec": schema}})
    errors: list[FieldError] = []
    tree.check({"spec": list(range(60))}, None, errors)
    assert [error.field for error in errors] == ["spec"]
    assert "running out of cost budget, no further validation rules will be run" in errors[0].message


@pytest.mark.parametrize(
    "text",
    [
        "(" * 1000 + "1" + ")" * 1000,
        "1" + "+1" * 5000,
        "a" + ".a" * 5000,
        "'" + "a" * LONGEST,
    ],
)
def test_deep_and_long_expressions_are_refused(text: str) -> None:
    with pytest.raises(CompileError):
        _compiled(text)


def test_a_long_chain_of_ors_is_balanced_and_fine() -> None:
    text = " || ".join(f"self.number == {number}" for number in range(500))
    assert _run(text, {"number": 499}) is True


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a", "a"),
        ("a-b", "a__dash__b"),
        ("a.b/c", "a__dot__b__slash__c"),
        ("a__b", "a__underscores__b"),
        ("namespace", "__namespace__"),
        ("1a", ""),
        ("a b", ""),
        ("é", ""),
        ("", ""),
    ],
)
def test_names_are_escaped(name: str, escaped: str) -> None:
    assert escape(name) == escaped


_FIELDS = [f"self.{name}" for name in _SCHEMA["properties"]]
_LEAVES = [
    *_FIELDS,
    "self.object.a",
    "self.?text",
    "1",
    "2.5",
    "'a'",
    "true",
    "null",
    "[]",
    "{}",
    "b'a'",
    "1u",
]
_CALLS = [
    *("{} + {}", "{} - {}", "{} * {}", "{} / {}", "{} % {}", "{} == {}", "{} != {}", "{} < {}", "{} >= {}"),
    *("{} in {}", "{} && {}", "{} || {}", "!{}", "-{}", "{} ? {} : {}", "{}[{}]", "{}[?{}]", "[{}, {}]"),
    *("size({})", "string({})", "int({})", "double({})", "uint({})", "bytes({})", "dyn({})", "type({})"),
    *("{}.matches({})", "{}.contains({})", "{}.split({})", "{}.replace({}, {})", "{}.substring({})"),
    *("{}.all(x, {})", "{}.exists(x, x == {})", "{}.map(x, {})", "{}.filter(x, {})", "{}.all(i, x, {})"),
    *(
        "{}.sum()",
        "{}.max()",
        "{}.indexOf({})",
        "{}.sort()",
        "{}.distinct()",
        "{}.slice({}, {})",
        "{}.join({})",
    ),
    *("quantity({})", "url({})", "ip({})", "cidr({})", "semver({})", "duration({})", "timestamp({})"),
    *(
        "{}.orValue({})",
        "{}.value()",
        "optional.of({})",
        "{}.getFullYear()",
        "{}.getHours({})",
        "{}.format([{}])",
    ),
    *("dyn({}) + dyn({})", "dyn({}).foo", "dyn({})[{}]", "dyn({}).all(x, x > dyn({}))", "dyn({}) < dyn({})"),
    *("dyn({}).size()", "dyn({}).startsWith(dyn({}))", "-dyn({})", "dyn({}) ? 1 : 2", "dyn({}) && dyn({})"),
]
_EXPRESSIONS = st.recursive(
    st.sampled_from(_LEAVES),
    lambda inner: st.builds(
        lambda shape, parts: shape.format(*[f"({part})" for part in parts]),
        st.sampled_from(_CALLS),
        st.lists(inner, min_size=3, max_size=3),
    ),
    max_leaves=6,
)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "1"]), inner, max_size=2)
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(_EXPRESSIONS, st.dictionaries(st.sampled_from(sorted(_SCHEMA["properties"])), _VALUES, max_size=4))
def test_expressions_give_a_value_or_a_cel_error(text: str, obj: Json) -> None:
    """Whatever the expression, and however little the object is like its schema: no other exception."""
    try:
        expression = _compiled(text)
    except CompileError:
        return
    declared = declare(_SCHEMA, root=True)
    value = read(obj, declared)
    with contextlib.suppress(CelError, CostExceeded):
        _, cost = expression.program.run((value, value), 10_000)
        assert 0 <= cost <= 10_000


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="abself.()[]{}?:!&|<>=+-*/%'\"\\,0123456789 \n_é\x00", max_size=40))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    with contextlib.suppress(CompileError):
        assert _compiled(text).cost >= 0


def test_a_comparison_looks_at_each_side_once() -> None:
    """Nested comparisons of values of several types once took twice the time, and cost, for each level."""
    rule = "dyn(1) == 1.0"
    for _ in range(10):
        rule = f"dyn({rule}) == dyn(1.5)"
    program = _compiled(rule).program
    result, cost = program.run(({}, {}), CALL_LIMIT)
    assert (result, cost < 100) == (False, True), cost


def test_a_search_counts_what_it_may_take() -> None:
    """A short pattern of many steps was once cheap by its length."""
    text = "".join("ab"[number * number % 7 % 2] for number in range(40_000))
    began = time.process_time()
    with pytest.raises(CostExceeded):
        _run(
            "self.texts.exists(a, self.text.matches('[ab]*a[ab]{900}c'))",
            {"text": text, "texts": ["a"] * 500},
        )
    assert time.process_time() - began < 6
