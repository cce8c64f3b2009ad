"""CEL rules of CRDs at work: what each part of the language lets through and refuses, with message and place.

One kind carries all rules, each on a property of its own; a case sends objects that set that property only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.conformance.case import Case, Json, crd, each, patch, post, table
from tests.conformance.play import Player

GROUP = "rules.conformance.dev"
PROBES = f"/apis/{GROUP}/v1/namespaces/{{ns}}/probes"

_TEXT: Json = {"type": "string", "maxLength": 40}
_INT: Json = {"type": "integer"}
_TEXTS: Json = {"type": "array", "maxItems": 8, "items": _TEXT}
_INTS: Json = {"type": "array", "maxItems": 8, "items": _INT}
_PAIRS: Json = {
    "type": "array",
    "maxItems": 8,
    "items": {"type": "object", "properties": {"name": _TEXT, "size": _INT}},
}
_MAP: Json = {"type": "object", "maxProperties": 8, "additionalProperties": _TEXT}


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties}


@dataclass(frozen=True)
class Probe:
    """One rule on one property: a value it lets through, one it refuses, and what it says then."""

    name: str
    schema: Json
    rule: str
    good: Any
    bad: Any
    says: str = "failed rule"
    more: Json = field(default_factory=dict)
    """Further fields of the rule."""
    at: str = ""
    """Where the error is, below the property."""


PROBES_TABLE = [
    Probe("a number is compared", _INT, "self > 5", 6, 5),
    Probe(
        "two fields are compared",
        _object(a=_INT, b=_INT),
        "self.a <= self.b",
        {"a": 1, "b": 1},
        {"a": 2, "b": 1},
    ),
    Probe(
        "a field that is missing is an error",
        _object(a=_INT, b=_INT),
        "self.a <= self.b",
        {"a": 1, "b": 1},
        {"a": 2},
        "no such key: b evaluating rule",
    ),
    Probe("has guards a field", _object(a=_INT), "!has(self.a) || self.a > 1", {}, {"a": 1}),
    Probe("all holds for every item", _INTS, "self.all(x, x > 0)", [1, 2], [1, 0]),
    Probe("exists holds for one item", _INTS, "self.exists(x, x > 5)", [1, 6], [1, 2]),
    Probe("exists_one holds for one and no more", _INTS, "self.exists_one(x, x > 5)", [1, 6], [6, 7]),
    Probe("filter and size", _INTS, "self.filter(x, x > 5).size() < 2", [6, 1], [6, 7]),
    Probe("map and sum", _INTS, "self.map(x, x * 2).sum() == 12", [1, 5], [1, 4]),
    Probe("map with a condition", _INTS, "self.map(x, x > 1, x).size() == 1", [1, 2], [2, 2]),
    Probe(
        "names in a list are unique",
        _PAIRS,
        "self.all(x, self.exists_one(y, x.name == y.name))",
        [{"name": "a"}, {"name": "b"}],
        [{"name": "a"}, {"name": "a"}],
    ),
    Probe("a loop over a map sees its keys", _MAP, "self.all(k, k.startsWith('x'))", {"xa": ""}, {"a": ""}),
    Probe("a map is indexed", _MAP, "'a' in self && self['a'] == 'b'", {"a": "b"}, {"a": "c"}),
    Probe("two variables: index and item", _INTS, "self.all(i, x, i < x)", [1, 2], [1, 1]),
    Probe("two variables: key and value", _MAP, "self.exists(k, v, k == v)", {"a": "a"}, {"a": "b"}),
    Probe("transformList", _INTS, "self.transformList(i, x, i + x).max() < 5", [3, 3], [3, 4]),
    Probe(
        "transformMap", _MAP, "self.transformMap(k, v, k + v).all(k, v, v != 'ab')", {"a": "c"}, {"a": "b"}
    ),
    Probe(
        "an error counts only if nothing else decides",
        _object(a=_INT, b=_INT),
        "self.a == 1 || self.b == 1",
        {"a": 1},
        {"a": 2},
        "no such key: b",
    ),
    Probe(
        "and is false whatever else fails",
        _object(a=_INT, b=_INT),
        "!(self.b == 1 && self.a == 1)",
        {"a": 2},
        {"a": 1},
        "no such key: b",
    ),
    Probe("conditional", _INT, "self > 5 ? self < 10 : self == 0", 7, 3),
    Probe("matches is RE2", _TEXT, "self.matches('^[a-z]+$')", "abc", "aBc"),
    Probe(
        "startsWith, endsWith, contains",
        _TEXT,
        "self.startsWith('a') && self.endsWith('z') && self.contains('-')",
        "a-z",
        "az",
    ),
    Probe("size of a text counts characters", _TEXT, "size(self) == 2", "éé", "é"),
    Probe(
        "lowerAscii and upperAscii",
        _TEXT,
        "self.lowerAscii() == 'ab' && self.upperAscii() == 'AB'",
        "aB",
        "ac",
    ),
    Probe("split", _TEXT, "self.split(',').size() == 2 && self.split(',')[1] == 'b'", "a,b", "a-c"),
    Probe("join", _TEXTS, "self.join('-') == 'a-b'", ["a", "b"], ["a", "c"]),
    Probe("replace", _TEXT, "self.replace('a', 'b') == 'bb'", "ab", "cb"),
    Probe(
        "substring and indexOf",
        _TEXT,
        "self.substring(1, 3) == 'bc' && self.indexOf('c') == 2",
        "abcd",
        "abdc",
    ),
    Probe(
        "a substring out of range is an error",
        _TEXT,
        "self.substring(2) == 'c'",
        "abc",
        "a",
        "index out of range",
    ),
    Probe("trim", _TEXT, "self.trim() == 'a'", " a ", "b"),
    Probe(
        "find and findAll",
        _TEXT,
        "self.find('[0-9]+') == '12' && self.findAll('[0-9]+').size() == 2",
        "a12b3",
        "a12",
    ),
    Probe("format", _TEXT, "'%s!'.format([self]) == 'a!'", "a", "b"),
    Probe("quote", _TEXT, "strings.quote(self) == '\"a\"'", "a", "b"),
    Probe(
        "lists: isSorted, min, max",
        _INTS,
        "self.isSorted() && self.min() == 1 && self.max() == 3",
        [1, 3],
        [3, 1],
    ),
    Probe("lists: indexOf", _INTS, "self.indexOf(2) == 1", [1, 2], [2, 1]),
    Probe(
        "lists: slice, flatten, distinct, reverse",
        _INTS,
        "[self.slice(0, 1)].flatten() == [1] && self.distinct().reverse() == [2, 1]",
        [1, 2, 2],
        [2, 1],
    ),
    Probe("lists: sort", _INTS, "self.sort() == [1, 2]", [2, 1], [2, 2]),
    Probe("sets", _INTS, "sets.contains(self, [1]) && sets.intersects(self, [2, 3])", [1, 2], [1]),
    Probe("quantities", _TEXT, "quantity(self).isGreaterThan(quantity('1Gi'))", "2Gi", "1G"),
    Probe(
        "quantity arithmetic",
        _TEXT,
        "quantity(self).add(quantity('1')).compareTo(quantity('3')) == 0",
        "2",
        "3",
    ),
    Probe("a wrong quantity is an error", _TEXT, "quantity(self).isInteger()", "1", "x", "evaluating rule"),
    Probe("isQuantity", _TEXT, "isQuantity(self)", "1Mi", "1Mib"),
    Probe(
        "urls",
        _TEXT,
        "url(self).getHostname() == 'a.b' && url(self).getPort() == '80'",
        "https://a.b:80/c",
        "https://a.c:80/",
    ),
    Probe(
        "url queries and paths",
        _TEXT,
        "url(self).getQuery()['q'] == ['1'] && url(self).getEscapedPath() == '/p'",
        "http://h/p?q=1",
        "http://h/p?q=2",
    ),
    Probe("isURL", _TEXT, "isURL(self)", "https://a/b", "a b"),
    Probe(
        "ip addresses",
        _TEXT,
        "isIP(self) && ip(self).family() == 4 && !ip(self).isLoopback()",
        "10.0.0.1",
        "::1",
    ),
    Probe("ip canonical form", _TEXT, "ip.isCanonical(self)", "2001:db8::1", "2001:DB8::1"),
    Probe("cidr", _TEXT, "cidr('10.0.0.0/8').containsCIDR(self)", "10.1.0.0/16", "11.0.0.0/8"),
    Probe(
        "cidr parts",
        _TEXT,
        "cidr(self).prefixLength() == 24 && cidr(self).masked() == cidr(self)",
        "10.0.0.0/24",
        "10.0.0.1/24",
    ),
    Probe("named formats", _TEXT, "!format.dns1123Label().validate(self).hasValue()", "a-b", "A"),
    Probe(
        "semantic versions",
        _TEXT,
        "isSemver(self) && semver(self).isLessThan(semver('1.10.0'))",
        "1.9.3",
        "1.11.0",
    ),
    Probe(
        "dates",
        {"type": "string", "format": "date-time"},
        "self < timestamp('2030-01-01T00:00:00Z') && self.getFullYear() == 2024",
        "2024-05-06T07:08:09Z",
        "2025-01-01T00:00:00Z",
    ),
    Probe(
        "durations",
        {"type": "string", "format": "duration"},
        "self <= duration('1h') && self.getMinutes() == 30",
        "30m",
        "90m",
    ),
    Probe("bytes", {"type": "string", "format": "byte", "maxLength": 40}, "self == b'ab'", "YWI=", "YWM="),
    Probe("a number field is a double", {"type": "number"}, "self == 2.0 || self > 2.5", 2, 2.1),
    Probe(
        "integers and doubles are ordered together",
        _object(a=_INT, b={"type": "number"}),
        "self.a < self.b",
        {"a": 1, "b": 1.5},
        {"a": 2, "b": 1.5},
    ),
    Probe("integer division and overflow", _INT, "self / 2 == 1 && self % 2 == 1", 3, 4),
    Probe("division by zero is an error", _INT, "10 / self > 0", 1, 0, "division by zero evaluating rule"),
    Probe(
        "int-or-string by its type",
        {"x-kubernetes-int-or-string": True, "maxLength": 10},
        "type(self) == int ? self < 5 : self == 'x'",
        4,
        "y",
    ),
    Probe(
        "int-or-string of the wrong type is an error",
        {"x-kubernetes-int-or-string": True},
        "self < 5",
        4,
        "y",
        "call arguments did not match a supported operator",
    ),
    Probe(
        "a name with a dash is escaped",
        _object(**{"a-b": _INT}),
        "self.a__dash__b > 1",
        {"a-b": 2},
        {"a-b": 1},
    ),
    Probe(
        "reserved words and dots are escaped",
        _object(**{"namespace": _TEXT, "a.b": _TEXT, "x__y": _TEXT}),
        "self.__namespace__ == 'a' && self.a__dot__b == 'b' && self.x__underscores__y == 'c'",
        {"namespace": "a", "a.b": "b", "x__y": "c"},
        {"namespace": "a", "a.b": "b", "x__y": "d"},
    ),
    Probe(
        "a set compares without order",
        {"type": "array", "x-kubernetes-list-type": "set", "maxItems": 5, "items": _TEXT},
        "self == ['a', 'b']",
        ["b", "a"],
        ["a"],
    ),
    Probe("optional field selection", _object(a=_INT), "self.?a.orValue(5) == 5", {}, {"a": 4}),
    Probe(
        "optional map index and optMap",
        _MAP,
        "self[?'a'].optMap(v, v.size()).orValue(0) == 1",
        {"a": "b"},
        {},
    ),
    Probe(
        "optional.none and hasValue",
        _object(a=_object(b=_INT)),
        "!self.?a.?b.hasValue()",
        {"a": {}},
        {"a": {"b": 1}},
    ),
    Probe(
        "an embedded loop inside a loop",
        _PAIRS,
        "self.all(x, self.filter(y, y.name == x.name).size() < 3)",
        [{"name": "a"}, {"name": "a"}],
        [{"name": "a"}, {"name": "a"}, {"name": "a"}],
    ),
    Probe(
        "a rule's own message",
        _INT,
        "self > 5",
        6,
        5,
        "must be more than five",
        {"message": "must be more than five"},
    ),
    Probe(
        "a message of an expression",
        _TEXT,
        "self != 'a'",
        "b",
        "a",
        "a is not allowed",
        {"messageExpression": "self + ' is not allowed'"},
    ),
    Probe(
        "a message expression that fails falls back",
        _INT,
        "self > 5",
        6,
        0,
        "little",
        {"messageExpression": "string(1 / self)", "message": "little"},
    ),
    Probe(
        "reason Forbidden",
        _INT,
        "self > 5",
        6,
        5,
        "Forbidden: no",
        {"reason": "FieldValueForbidden", "message": "no"},
    ),
    Probe(
        "reason Required",
        _object(a=_INT),
        "has(self.a)",
        {"a": 1},
        {},
        "Required value: a is needed",
        {"reason": "FieldValueRequired", "message": "a is needed", "fieldPath": ".a"},
        ".a",
    ),
    Probe(
        "reason Duplicate",
        _object(a=_INT),
        "self.a != 1",
        {"a": 2},
        {"a": 1},
        "Duplicate value",
        {"reason": "FieldValueDuplicate"},
    ),
    Probe(
        "a path below the property",
        _object(a=_object(b=_INT)),
        "self.a.b > 5",
        {"a": {"b": 6}},
        {"a": {"b": 5}},
        "more",
        {"message": "more", "fieldPath": ".a.b"},
        ".a.b",
    ),
]


def _probe_schema() -> Json:
    properties = {}
    for number, probe in enumerate(PROBES_TABLE):
        rule = {"rule": probe.rule, **probe.more}
        properties[f"p{number}"] = {**probe.schema, "x-kubernetes-validations": [rule]}
    transitions = {
        "fixed": {
            **_INT,
            "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "never changes"}],
        },
        "grows": {**_INT, "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]},
        "keyed": {
            "type": "array",
            "maxItems": 5,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": _TEXT,
                    "size": {**_INT, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]},
                },
            },
        },
        "labels": {
            "type": "object",
            "maxProperties": 5,
            "additionalProperties": {**_TEXT, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]},
        },
        "first": {
            **_INT,
            "x-kubernetes-validations": [
                {"rule": "oldSelf.hasValue() || self == 1", "optionalOldSelf": True}
            ],
        },
        "steady": _object(a={**_INT, "x-kubernetes-validations": [{"rule": "self < 10"}]}, b=_INT),
    }
    return {"type": "object", "properties": {"spec": _object(**properties, **transitions)}}


PROBE_CRD = crd("probes", GROUP, _probe_schema())


def probe(name: str, **spec: Any) -> Json:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Probe", "metadata": {"name": name}, "spec": spec}


def _refused(name: str, field_: str, *fragments: str, **spec: Any) -> Any:
    return post(PROBES, probe(name, **spec), status=422, reason="Invalid", causes=[field_], message=fragments)


def _case(number: int, one: Probe) -> Case:
    key = f"p{number}"
    steps = [
        post(PROBES, probe("good", **{key: one.good})),
        _refused("bad", f"spec.{key}{one.at}", one.says, **{key: one.bad}),
    ]
    return Case(one.name, steps, given=[PROBE_CRD])


def _changes(name: str, before: Json, good: Json, bad: Json, field_: str, says: str = "failed rule") -> Case:
    """A transition: what may follow `before` and what may not."""
    path = f"{PROBES}/a"
    return Case(
        name,
        [
            post(PROBES, probe("a", **before)),
            patch(path, {"spec": bad}, status=422, causes=[field_], message=says),
            patch(path, {"spec": good}),
        ],
        given=[PROBE_CRD],
    )


TABLE = table(
    "crd rules",
    [
        *(_case(number, one) for number, one in enumerate(PROBES_TABLE)),
        _changes("an immutable field", {"fixed": 1}, {"p0": 6}, {"fixed": 2}, "spec.fixed", "never changes"),
        _changes(
            "an immutable field may be removed",
            {"fixed": 1},
            {"fixed": None},
            {"fixed": 3},
            "spec.fixed"[:10],
            "never changes",
        ),
        _changes("a field that only grows", {"grows": 2}, {"grows": 3}, {"grows": 1}, "spec.grows"),
        _changes(
            "items of a list-map are compared by key",
            {"keyed": [{"name": "a", "size": 1}, {"name": "b", "size": 2}]},
            {"keyed": [{"name": "c", "size": 9}, {"name": "b", "size": 2}, {"name": "a", "size": 1}]},
            {"keyed": [{"name": "b", "size": 1}, {"name": "a", "size": 1}]},
            "spec.keyed[0].size",
        ),
        _changes(
            "values of a map are compared by key",
            {"labels": {"a": "1"}},
            {"labels": {"b": "2"}},
            {"labels": {"a": "2"}},
            "spec.labels[a]",
        ),
        Case(
            "a transition rule with an optional old value runs on creation",
            [
                _refused("a", "spec.first", "failed rule", first=2),
                post(PROBES, probe("a", first=1)),
                patch(f"{PROBES}/a", {"spec": {"first": 7}}),
            ],
            given=[PROBE_CRD],
        ),
        Case(
            "transition rules do not run on creation",
            [post(PROBES, probe("a", fixed=1, grows=1)), patch(f"{PROBES}/a", {"spec": {"grows": 1}})],
            given=[PROBE_CRD],
        ),
        Case(
            "rules wait until types and sizes are right",
            [
                post(
                    PROBES,
                    probe("a", p0="x", p1={"a": 2, "b": 1}),
                    status=422,
                    causes=["spec.p0", "<nil>"],
                    message="some validation rules were not checked because the object was invalid",
                )
            ],
            given=[PROBE_CRD],
        ),
        Case(
            "several broken rules are all named",
            [post(PROBES, probe("a", p0=1, p1={"a": 2, "b": 1}), status=422, causes=["spec.p0", "spec.p1"])],
            given=[PROBE_CRD],
        ),
    ],
)


@each(TABLE)
def test_rules(case: Case, player: Player) -> None:
    player.play(case)
    assert case.steps
