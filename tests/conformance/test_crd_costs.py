"""What rules may cost: the estimate of every operator and function, to the digit that refusals print.

Each rule stands at the items of a list without a limit, where even cheap ones exceed the budget; the factor
by which they do is the estimate. Accepting what upstream refuses, or the reverse, begins with a wrong one.
"""

from __future__ import annotations

from tests.conformance.case import CRDS, Case, Json, crd, each, post, table
from tests.conformance.play import Player

_TEXT: Json = {"type": "string", "maxLength": 40}
_INT: Json = {"type": "integer"}
_FIELDS: Json = {
    **dict.fromkeys(("t", "u"), _TEXT),
    "n": _INT,
    "d": {"type": "number"},
    "e": {"type": "string", "enum": ["aa", "bbb"]},
    "ts": {"type": "string", "format": "date-time"},
    "du": {"type": "string", "format": "duration"},
    "by": {"type": "string", "format": "byte", "maxLength": 40},
    "l": {"type": "array", "maxItems": 8, "items": _INT},
    "s": {"type": "array", "maxItems": 8, "items": _TEXT},
    "m": {"type": "object", "maxProperties": 8, "additionalProperties": _TEXT},
    "p": {
        "type": "array",
        "maxItems": 8,
        "items": {
            "type": "object",
            "properties": {
                "name": _TEXT,
                "size": _INT,
                "s": {"type": "array", "maxItems": 4, "items": _TEXT},
            },
        },
    },
    "x": {"x-kubernetes-int-or-string": True, "maxLength": 10},
    "o": {"type": "object", "properties": {"a": _INT, "namespace": _TEXT}},
}
_MORE = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].all(q, q >= 0)"
"""Added to each rule, so that the cheapest exceed the budget too."""

_FACTORS = {
    "self.t == self.u": "8.5x",
    "self.t < self.u": "8.5x",
    "self.t + self.u == 'abc'": "10.3x",
    "self.t.startsWith('abc')": "6.7x",
    "self.t.startsWith(self.u)": "8.5x",
    "self.t.matches('^[a-z]+$')": "10.2x",
    "self.t.matches(self.u)": "78.1x",
    "self.t.contains(self.u)": "33.7x",
    "self.t.size() > 2": "6.8x",
    "self.t in ['a','b','c']": "8.0x",
    "self.t in self.s": "7.7x",
    "self.l.all(x, x > 0)": "10.9x",
    "self.s.all(x, x.startsWith('a'))": "10.9x",
    "self.s.all(x, x.contains('abcdefg'))": "23.5x",
    "self.p.all(x, x.name == 'a')": "11.7x",
    "self.p.all(x, self.p.exists_one(y, y.name == x.name))": "more than 100x",
    "self.p.map(x, x.name).size() == 2": "19.7x",
    "self.p.filter(x, x.size > 1).size() == 2": "21.4x",
    "self.p.filter(x, x.size > 1).all(y, y.name == 'a')": "26.3x",
    "self.m.all(k, k == 'a')": "10.1x",
    "self.m.all(k, self.m[k] == 'a')": "13.4x",
    "self.m['a'] == 'b'": "6.8x",
    "self.m.all(k, v, v == 'a')": "10.9x",
    "self.l.all(i, v, v == i)": "10.9x",
    "self.l[0] == 1": "6.7x",
    "self.s[0] == 'a'": "6.8x",
    "self.t.split(',').size() == 2": "10.2x",
    "self.t.lowerAscii() == 'a'": "8.4x",
    "self.t.upperAscii().trim() == 'a'": "10.1x",
    "self.t.substring(1) == 'a'": "8.4x",
    "self.t.replace('a','b') == 'a'": "10.1x",
    "self.t.replace('a','bbbb') == self.u": "11.8x",
    "self.t.find('[0-9]+') == '1'": "10.3x",
    "self.t.findAll('[0-9]+').size() == 1": "10.4x",
    "self.t.indexOf('a') == 1": "8.4x",
    "self.t.lastIndexOf('a') == 1": "8.4x",
    "self.t.charAt(1) == 'a'": "6.8x",
    "self.s.join(',') == 'a'": "20.2x",
    "self.s.isSorted()": "20.9x",
    "self.l.sum() == 3": "7.5x",
    "self.l.max() == 3": "7.5x",
    "self.s.max() == 'a'": "21.0x",
    "self.l.indexOf(3) == 1": "7.5x",
    "quantity(self.t).isGreaterThan(quantity('1'))": "8.5x",
    "isQuantity(self.t)": "8.3x",
    "quantity(self.t).add(quantity(self.u)).sub(1).compareTo(quantity('3')) == 0": "10.7x",
    "quantity(self.t) == quantity(self.u)": "10.3x",
    "url(self.t).getHost() == 'a'": "8.5x",
    "isURL(self.t)": "6.7x",
    "isIP(self.t)": "8.3x",
    "ip(self.t).family() == 4": "8.5x",
    "ip(self.t) == ip(self.u)": "10.3x",
    "ip.isCanonical(self.t)": "10.0x",
    "cidr(self.t).containsIP(self.u)": "10.6x",
    "cidr(self.t).containsCIDR(self.u)": "10.9x",
    "cidr(self.t).containsIP(ip(self.u))": "10.6x",
    "cidr(self.t).masked().prefixLength() == 3": "8.6x",
    "!format.dns1123Label().validate(self.t).hasValue()": "60.6x",
    "format.named('dns1123Label').hasValue()": "6.6x",
    "isSemver(self.t)": "8.3x",
    "semver(self.t).isLessThan(semver(self.u))": "10.3x",
    "self.ts < timestamp('2020-01-01T00:00:00Z')": "6.8x",
    "self.du < duration('1h')": "6.8x",
    "self.by == b'abc'": "6.7x",
    "self.ts.getFullYear() == 2020": "6.8x",
    "type(self.x) == string ? self.x.matches('^[0-9]+$') : self.x > 3": "8.1x",
    "has(self.t) && self.t == 'a'": "6.8x",
    "self.?t.orValue('x') == 'a'": "6.8x",
    "self.?t.hasValue()": "6.7x",
    "self.?o.?a.orValue(3) == 3": "6.9x",
    "self.m[?'a'].orValue('b') == 'c'": "6.9x",
    "self.s[?0].orValue('b') == 'c'": "6.9x",
    "self.?t.optMap(v, v.size()).orValue(0) == 1": "8.6x",
    "self.?o.optFlatMap(v, v.?a).orValue(0) == 1": "8.5x",
    "self.l == [1,2,3]": "7.8x",
    "self.s == self.s": "6.9x",
    "self.m == {'a': 'b'}": "9.9x",
    "self.o == self.o": "6.8x",
    "self.n + 1 == 2 && self.n * 3 > 2": "7.2x",
    "string(self.n) == 'a'": "6.8x",
    "int(self.t) == 3": "6.8x",
    "double(self.t) > 1.0": "6.8x",
    "bytes(self.t) == b'a'": "8.4x",
    "dyn(self.t) == 'a'": "6.8x",
    "self.n == 1 ? self.t == 'a' : self.u == 'b'": "6.9x",
    "self.n == 1 || self.t == 'a' || self.u == 'b'": "7.2x",
    "'%s'.format([self.t]) == 'abc'": "7.9x",
    "self.t.format([self.u]) == 'abc'": "9.6x",
    "strings.quote(self.t) == 'a'": "8.4x",
    "sets.contains(self.s, ['a'])": "8.6x",
    "sets.equivalent(self.s, self.s)": "20.3x",
    "sets.intersects(self.l, [1,2])": "9.4x",
    "self.l.sort() == [1]": "22.3x",
    "self.l.slice(0, 2) == [1]": "9.1x",
    "self.s.distinct().size() == 2": "21.4x",
    "self.l.reverse() == [1]": "9.8x",
    "lists.range(5).size() == 3": "8.3x",
    "[self.l, self.l].flatten().size() == 3": "9.4x",
    "self.p.sortBy(x, x.name).size() == 2": "36.3x",
    "self.p.transformList(i, v, v.name).size() == 2": "19.7x",
    "self.p.transformMap(i, v, v.name).size() == 2": "14.3x",
    "self.m.transformMapEntry(k, v, {v: k}).size() == 2": "38.6x",
    "self.p.all(x, x.s.all(y, y == 'a'))": "28.5x",
    "self.s.map(x, x + 'a').all(y, y.contains('b'))": "36.4x",
    "[self.t, self.u].all(x, x.contains('a'))": "8.8x",
    "{'a': self.t}.all(k, k == 'a')": "10.3x",
    "(self.l + self.l).all(x, x > 1)": "15.4x",
    "(self.s + self.s).all(x, x == 'a')": "13.7x",
    "(self.n > 1 ? self.s : self.s).all(x, x == 'abcdefghijk')": "10.4x",
    "self.o.namespace == 'a'": "6.8x",
    "self.e == 'aa'": "6.7x",
    "self.e.contains('abcdef')": "6.7x",
    "self.s.exists(x, x in ['a', 'b'])": "21.0x",
    "self.t.endsWith(self.u) != true": "8.6x",
    "!(self.t != self.u)": "8.6x",
    "-self.n < 3": "6.8x",
    "self.n in [1,2,3]": "8.0x",
    "size(self.m) == 2": "6.8x",
    "'a' in self.m": "6.7x",
    "self.s.filter(x, x != 'a').map(y, y.size()).sum() < 100": "34.2x",
    "self.p.map(x, x.size).sum() < 3": "20.4x",
    "self.d < 3.0": "6.7x",
    "self.n % 2 == 0": "6.8x",
    "[?self.?t].size() == 1": "7.9x",
    "{?'a': self.?t}.size() == 1": "10.0x",
}


def _case(rule: str, factor: str) -> Case:
    item = {
        "type": "object",
        "properties": _FIELDS,
        "x-kubernetes-validations": [{"rule": f"({rule}) || {_MORE}"}],
    }
    schema = {"type": "object", "properties": {"spec": {"type": "array", "items": item}}}
    said = f"estimated rule cost exceeds budget by factor of {factor} ("
    definition = crd("things", "{id}.costs.conformance.dev", schema)
    return Case(rule, [post(CRDS, definition, query={"dryRun": "All"}, status=422, message=said)])


TABLE = table("crd rule costs", [_case(rule, factor) for rule, factor in _FACTORS.items()])


@each(TABLE)
def test_costs(case: Case, player: Player) -> None:
    player.play(case)
    assert case.steps
