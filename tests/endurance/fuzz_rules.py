"""Rules in CEL that are typed well, nearly always, over schemas made at random, and objects of these.

What is damaged at random hardly ever compiles; these come as far as being run. Called by `fuzz_requests`.
"""

from __future__ import annotations

import random
from typing import Any

Json = dict[str, Any]

_SCHEMAS: dict[str, Json] = {
    "int": {"type": "integer"},
    "double": {"type": "number"},
    "bool": {"type": "boolean"},
    "string": {"type": "string", "maxLength": 20},
    "list(int)": {"type": "array", "maxItems": 4, "items": {"type": "integer"}},
    "list(string)": {"type": "array", "maxItems": 4, "items": {"type": "string", "maxLength": 20}},
    "map(string)": {
        "type": "object",
        "maxProperties": 4,
        "additionalProperties": {"type": "string", "maxLength": 20},
    },
    "timestamp": {"type": "string", "format": "date-time"},
    "duration": {"type": "string", "format": "duration"},
}
_LITERALS: dict[str, list[str]] = {
    "int": ["0", "1", "-1", "7", "9223372036854775807", "-9223372036854775808", "int('12')", "int(2.9)"],
    "double": ["0.0", "-1.5", "1e300", "double('nan')", "double(3)", "-0.0", "double('inf')"],
    "bool": ["true", "false"],
    "string": [
        "''",
        "'a'",
        "'é'",
        "'a,b,c'",
        "'10.0.0.1'",
        "'1.2.3'",
        "'\\u0000'",
        "'\\U0001f600'",
        "'%s %d'",
    ],
    "list(int)": ["[]", "[1, 2, 3]", "[-1]", "lists.range(5)"],
    "list(string)": ["[]", "['a', 'b', 'a']", "'a b c'.split(' ')"],
    "map(string)": ["{'a': 'b'}", "{'': ''}"],
    "timestamp": ["timestamp('2024-02-29T23:59:59Z')", "timestamp('0001-01-01T00:00:00Z')", "timestamp(0)"],
    "duration": ["duration('1h30m')", "duration('-1ns')", "duration('0s')", "duration('2562047h')"],
}
_MADE_OF: dict[str, list[str]] = {
    "int": [
        *("<int> + <int>", "<int> - <int>", "<int> * <int>", "<int> / <int>", "<int> % <int>", "-<int>"),
        *(
            "size(<string>)",
            "<list(string)>.size()",
            "<string>.indexOf(<string>)",
            "<string>.indexOf('a', <int>)",
        ),
        *(
            "<string>.lastIndexOf(<string>)",
            "<bool> ? <int> : <int>",
            "<list(int)>[<int>]",
            "<list(int)>.sum()",
        ),
        *(
            "<list(int)>.max()",
            "<list(int)>.min()",
            "<list(int)>.indexOf(<int>)",
            "int(<double>)",
            "int(<string>)",
        ),
        *("<timestamp>.getFullYear()", "<timestamp>.getHours(<string>)", "<timestamp>.getDayOfWeek()"),
        *("<duration>.getSeconds()", "int(<timestamp>)", "<list(int)>[?<int>].orValue(<int>)"),
        *("semver(<string>).major()", "quantity(<string>).asInteger()", "ip(<string>).family()"),
    ],
    "double": [
        *(
            "<double> + <double>",
            "<double> * <double>",
            "<double> / <double>",
            "double(<int>)",
            "double(<string>)",
        ),
        *("<bool> ? <double> : <double>", "quantity(<string>).asApproximateFloat()"),
    ],
    "bool": [
        *("<int> < <int>", "<int> >= <int>", "<int> == <int>", "<string> == <string>", "<string> < <string>"),
        *("<double> <= <double>", "<double> == <double>", "<bool> && <bool>", "<bool> || <bool>", "!<bool>"),
        *(
            "<int> in <list(int)>",
            "<string> in <map(string)>",
            "<string>.contains(<string>)",
            "<bool> != <bool>",
        ),
        *("<string>.startsWith(<string>)", "<string>.matches(<string>)", "<string>.matches('^[a-z]*$')"),
        *(
            "<list(int)>.all(V, <bool>)",
            "<list(string)>.exists(W, <bool>)",
            "<list(int)>.exists_one(V, <bool>)",
        ),
        *("<map(string)>.all(W, <bool>)", "<list(int)>.isSorted()", "<list(int)> == <list(int)>"),
        *("<timestamp> > <timestamp>", "<duration> < <duration>", "isQuantity(<string>)", "isIP(<string>)"),
        *(
            "isURL(<string>)",
            "sets.contains(<list(int)>, <list(int)>)",
            "<list(int)>.all(i, V, <bool> || i > V)",
        ),
        *("sets.intersects(<list(string)>, <list(string)>)", "<map(string)> == <map(string)>", "has(F)"),
        *("cidr(<string>).containsIP(<string>)", "format.dns1123Label().validate(<string>).hasValue()"),
        *("quantity(<string>).isGreaterThan(quantity(<string>))", "isSemver(<string>)", "type(<int>) == int"),
        *(
            "dyn(<int>) == dyn(<double>)",
            "dyn(<string>) == dyn(<int>)",
            "url(<string>).getHost() == <string>",
        ),
    ],
    "string": [
        *(
            "<string> + <string>",
            "string(<int>)",
            "string(<double>)",
            "string(<bool>)",
            "<string>.lowerAscii()",
        ),
        *(
            "<string>.upperAscii()",
            "<string>.replace(<string>, <string>)",
            "<string>.replace('a', <string>, <int>)",
        ),
        *(
            "<string>.substring(<int>)",
            "<string>.substring(<int>, <int>)",
            "<string>.charAt(<int>)",
            "<string>.trim()",
        ),
        *(
            "<list(string)>.join(<string>)",
            "<list(string)>[<int>]",
            "<map(string)>[<string>]",
            "<string>.find(<string>)",
        ),
        *(
            "'%s %d %f'.format([<string>, <int>, <double>])",
            "<string>.format([<int>])",
            "strings.quote(<string>)",
        ),
        *("<bool> ? <string> : <string>", "string(<timestamp>)", "string(<duration>)"),
        *(
            "<map(string)>[?<string>].orValue(<string>)",
            "url(<string>).getEscapedPath()",
        ),
    ],
    "list(int)": [
        *(
            "<list(int)> + <list(int)>",
            "<list(int)>.map(V, <int>)",
            "<list(int)>.filter(V, <bool>)",
            "[<int>, <int>]",
        ),
        *(
            "<list(int)>.map(V, <bool>, <int>)",
            "<list(int)>.sort()",
            "<list(int)>.distinct()",
            "<list(int)>.reverse()",
        ),
        *(
            "<list(int)>.slice(<int>, <int>)",
            "[<list(int)>, <list(int)>].flatten()",
            "<bool> ? <list(int)> : []",
        ),
        *("<list(int)>.sortBy(V, <int>)", "lists.range(<int>)", "<list(int)>.transformList(i, V, i + V)"),
    ],
    "list(string)": [
        *(
            "<list(string)> + <list(string)>",
            "<list(string)>.map(W, <string>)",
            "<list(string)>.filter(W, <bool>)",
        ),
        *(
            "<string>.split(<string>)",
            "<string>.split(<string>, <int>)",
            "<string>.findAll(<string>)",
            "[<string>]",
        ),
        *("<map(string)>.map(W, <string>)", "<list(string)>.distinct()", "<list(string)>.sort()"),
    ],
    "map(string)": ["{<string>: <string>}", "<map(string)>.transformMap(k, v, <string>)"],
    "timestamp": [
        "<timestamp> + <duration>",
        "<timestamp> - <duration>",
        "timestamp(<string>)",
        "timestamp(<int>)",
    ],
    "duration": ["<duration> + <duration>", "<timestamp> - <timestamp>", "duration(<string>)"],
}
_TEXTS = [
    "",
    "a",
    "b",
    "a,b,c",
    "é",
    "1",
    "10.0.0.1",
    "::1",
    "1.2.3",
    "100m",
    "https://a/b?c=d",
    "UTC",
    "(",
    "[a-",
]
_VALUES: dict[str, list[Any]] = {
    "int": [0, 1, -1, 7, 2**53, 2**63 - 1, -(2**63)],
    "double": [0.5, -1.5, 1e300, 3, 0, -0.0],
    "bool": [True, False],
    "string": _TEXTS,
    "list(int)": [[], [1, 2, 3], [3, 3], [2**63 - 1, 1]],
    "list(string)": [[], ["a", "b"], _TEXTS[:4]],
    "map(string)": [{}, {"a": "b"}, {"": "x", "é": ""}],
    "timestamp": ["2024-02-29T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"],
    "duration": ["1h", "-3s", "0s", "1ns"],
}


class Rules:
    """One schema with rules, and objects for it."""

    def __init__(self, chances: random.Random) -> None:
        self._chances = chances
        kinds = list(_SCHEMAS)
        self._fields = {f"f{number}": chances.choice(kinds) for number in range(chances.randrange(2, 7))}

    def schema(self) -> Json:
        """Of `spec`: typed fields, some of them in a list of objects, and rules at both places."""
        chances = self._chances
        fields: Json = {name: self._field(kind) for name, kind in self._fields.items()}
        item: Json = {"type": "object", "properties": {name: dict(one) for name, one in fields.items()}}
        item["x-kubernetes-validations"] = self._rules(chances.randrange(2))
        return {
            "type": "object",
            "properties": {**fields, "items": {"type": "array", "maxItems": 3, "items": item}},
            "x-kubernetes-validations": self._rules(chances.randrange(1, 4)),
        }

    def spec(self) -> Json:
        """An object that fits the schema, but perhaps not its rules."""
        found = self._some()
        found["items"] = [self._some() for _ in range(self._chances.randrange(3))]
        return found

    def _some(self) -> Json:
        chances = self._chances
        return {
            name: chances.choice(_VALUES[kind])
            for name, kind in self._fields.items()
            if chances.random() < 0.8
        }

    def _field(self, kind: str) -> Json:
        found = dict(_SCHEMAS[kind])
        if self._chances.random() < 0.15:
            found["default"] = self._chances.choice(_VALUES[kind])
        if self._chances.random() < 0.1:
            found["nullable"] = True
        return found

    def _rules(self, count: int) -> list[Json]:
        chances = self._chances
        made = []
        for _ in range(count):
            rule: Json = {"rule": self.expression("bool", chances.choice([1, 1, 2, 2, 3]), {})}
            if chances.random() < 0.2:
                rule["messageExpression"] = self.expression("string", 2, {})
            if chances.random() < 0.2:
                rule["rule"] += f" || {self._old()}"
                rule["optionalOldSelf"] = chances.random() < 0.1
            made.append(rule)
        return made

    def _old(self) -> str:
        name = self._chances.choice(list(self._fields))
        return f"self.{name} == oldSelf.{name}"

    def expression(self, kind: str, depth: int, scope: dict[str, str]) -> str:
        """An expression of a type; `scope`: variables and their types."""
        chances = self._chances
        if depth == 0 or chances.random() < 0.1:
            return self._leaf(kind, scope)
        shape = chances.choice(_MADE_OF[kind])
        inner = dict(scope)
        for mark, type_, letter in (("V", "int", "v"), ("W", "string", "w")):
            if f"({mark}," in shape or f", {mark}," in shape:
                variable = f"{letter}{len(scope)}"
                inner[variable] = type_
                shape = shape.replace(f"({mark},", f"({variable},").replace(f", {mark},", f", {variable},")
                shape = shape.replace(f" {mark})", f" {variable})")
        shape = shape.replace("has(F)", f"has(self.{chances.choice(list(self._fields))})")
        return self._filled(shape, depth, scope, inner)

    def _filled(self, shape: str, depth: int, scope: dict[str, str], inner: dict[str, str]) -> str:
        """The shape with an expression in each of its gaps; those behind a variable's name may use it."""
        made, rest = "", shape
        while "<" in rest:
            before, _, after = rest.partition("<")
            kind, _, tail = after.partition(">")
            if kind not in _SCHEMAS:  # a comparison, no gap
                made, rest = f"{made}{before}<", after
                continue
            seen = (
                inner if any(f"{name}," in made + before for name in inner.keys() - scope.keys()) else scope
            )
            made, rest = f"{made}{before}({self.expression(kind, depth - 1, seen)})", tail
        return made + rest

    def _leaf(self, kind: str, scope: dict[str, str]) -> str:
        chances = self._chances
        known = [name for name, type_ in scope.items() if type_ == kind]
        known += [f"self.{name}" for name, type_ in self._fields.items() if type_ == kind]
        if known and chances.random() < 0.7:
            return chances.choice(known)
        return chances.choice(_LITERALS[kind])
