"""CRDs with schemas, patterns and rules made to run for ever, and objects of them. Called by `hostile`."""

from __future__ import annotations

from typing import Any

from tests.endurance.fuzz_wire import Sent
from tests.endurance.hostile_bodies import CRDS, send

Json = dict[str, Any]
_TEXT: Json = {"type": "string", "maxLength": 100_000}
_LIST: Json = {"type": "array", "items": {"type": "string", "maxLength": 50}, "maxItems": 2_000}
_WORST: list[tuple[str, Json]] = [
    ("self.l.all(a, self.l.all(b, self.l.all(c, self.l.all(d, a == b && c == d))))", {}),
    ("self.l.map(a, self.l.map(b, a + b)).size() > 0", {}),
    ("self.l.exists(a, a.matches('(a+)+$'))", {}),
    ("self.t.matches('(a*)*(a*)*(a*)*b')", {}),
    ("self.t.matches('((((a{30}){30}){30}){30})')", {}),
    ("(self.t + self.t + self.t + self.t).size() > 0", {}),
    ("self.t.split('').size() > 0", {}),
    ("self.t.replace('a', self.t).size() > 0", {}),
    ("self.l.map(x, self.t.replace('a', 'bbbbbbbb')).size() > 0", {}),
    ("self.l.join(self.t).size() > 0", {}),
    ("[1,2,3].all(a, [1,2,3].all(b, [1,2,3].all(c, true)))", {}),
    ("1/0 == 1", {}),
    ("9223372036854775807 + 1 > 0", {}),
    ("self.t.lowerAscii().upperAscii().find('b') == ''", {}),
    ("self.t.format([1])", {}),
    ("'%s'.format([self.l]) == ''", {}),
    ("duration(self.t) > duration('1s')", {}),
    ("quantity(self.t).isGreaterThan(quantity('1'))", {}),
    ("url(self.t).getHost() == ''", {}),
    ("(" * 400 + "true" + ")" * 400, {}),
    ("!" * 2_000 + "true", {}),
    ("true" + " && true" * 3_000, {}),
    ("self.l" + ".map(x, x)" * 60 + ".size() > 0", {}),
    ("[" * 300 + "]" * 300 + " == []", {}),
    ("'" + "a" * 100_000 + "' == self.t", {}),
    ("\x00", {}),
    ("self.é == 1", {}),
    ("self.t ? 1 : ", {}),
]


def _crd(name: str, schema: Json, **more: Any) -> Json:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": schema}}},
        **more,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{name}s.hostile.dev"},
        "spec": {
            "group": "hostile.dev",
            "scope": "Namespaced",
            "names": {"plural": f"{name}s", "singular": name, "kind": name.capitalize()},
            "versions": [version],
        },
    }


def _object(name: str, spec: Any) -> Json:
    return {
        "apiVersion": "hostile.dev/v1",
        "kind": name.capitalize(),
        "metadata": {"name": "x"},
        "spec": spec,
    }


def definitions() -> list[Sent]:
    found: list[Sent] = []
    worst = {"t": "a" * 100_000, "l": [f"{number:030}" for number in range(2_000)]}
    for number, (rule, more) in enumerate(_WORST):
        for bounded in (True, False):
            name = f"bomb{number}{'b' if bounded else 'u'}"
            fields = (
                {"t": _TEXT, "l": _LIST}
                if bounded
                else {"t": {"type": "string"}, "l": {**_LIST, "maxItems": None}}
            )
            fields["l"] = {key: value for key, value in fields["l"].items() if value is not None}
            schema = {
                "type": "object",
                "properties": fields,
                "x-kubernetes-validations": [{"rule": rule, **more}],
            }
            objects = f"/apis/hostile.dev/v1/namespaces/hostile/{name}s"
            found += [
                send("POST", CRDS, _crd(name, schema)),
                send("POST", objects, _object(name, worst)),
                send("POST", objects, _object(name, worst)),
                send("DELETE", f"{CRDS}/{name}s.hostile.dev"),
            ]
    return found + _schemas()


def _schemas() -> list[Sent]:
    nested: Json = {"type": "string"}
    for _ in range(150):
        nested = {"type": "object", "properties": {"a": nested}}
    deepest: Json = {"type": "string"}
    for _ in range(900):
        deepest = {"type": "array", "items": deepest}
    anyof: Json = {"type": "string"}
    for _ in range(12):
        anyof = {"anyOf": [anyof, anyof]}
    patterns = ["(a{1000}){1000}", "(", "a" * 50_000, "(?=a)", "[[:alpha:]]{1000}" * 20, "\\p{Greek}*" * 500]
    schemas = [
        nested,
        deepest,
        {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(40_000)}},
        {"type": "string", "enum": [str(number) for number in range(100_000)]},
        {"type": "object", "required": [f"p{number}" for number in range(60_000)]},
        {"type": "object", **anyof},
        {"type": "object", "properties": {"a": {"type": "string", "default": "x" * 1_000_000}}},
        *({"type": "object", "properties": {"a": {"type": "string", "pattern": one}}} for one in patterns),
        {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        {
            "x-kubernetes-preserve-unknown-fields": True,
            "x-kubernetes-embedded-resource": True,
            "type": "object",
        },
        {"x-kubernetes-int-or-string": True, "pattern": "(a+)+$"},
    ]
    objects: list[Any] = [
        [str(number) for number in range(150_000)],
        ["x"] * 150_000,
        {"a": "a" * 1_000_000 + "!"},
        "a" * 1_000_000 + "!",
        [{"a": number} for number in range(60_000)],
        {f"k{number}": number for number in range(100_000)},
    ]
    columns = [
        *(
            "." * 20_000,
            ".spec" + "[*]" * 5_000,
            "..",
            ".spec[?(@.a==",
            ".spec..a..a..a..a..a",
            "{.spec[0:99999999]}",
        ),
    ]
    found: list[Sent] = []
    for number, schema in enumerate(schemas):
        name = f"schema{number}"
        found.append(send("POST", CRDS, _crd(name, schema)))
        where = f"/apis/hostile.dev/v1/namespaces/hostile/{name}s"
        found += [send("POST", where, _object(name, one)) for one in objects]
        found += [
            Sent(b"GET", b"/openapi/v3/apis/hostile.dev/v1"),
            send("DELETE", f"{CRDS}/{name}s.hostile.dev"),
        ]
    for number, path in enumerate(columns):
        name = f"column{number}"
        shown = [{"name": "X", "type": "string", "jsonPath": path}]
        free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        found.append(send("POST", CRDS, _crd(name, free, additionalPrinterColumns=shown)))
        where = f"/apis/hostile.dev/v1/namespaces/hostile/{name}s"
        found.append(send("POST", where, _object(name, objects[4])))
        found.append(
            Sent(b"GET", where.encode(), b"", ((b"accept", b"application/json;as=Table;v=v1;g=meta.k8s.io"),))
        )
        found.append(send("DELETE", f"{CRDS}/{name}s.hostile.dev"))
    return found
