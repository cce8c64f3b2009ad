"""What the server says it serves, and objects made from its schemas: valid ones, and damaged ones.

Called by `fuzz_requests`.
"""

from __future__ import annotations

import copy
import json
import random
from dataclasses import dataclass, field
from typing import Any

from tests.endurance.fuzz_victim import Victim
from tests.endurance.fuzz_wire import Sent

Json = dict[str, Any]

TEXTS = ["", "a", "x", "a-b", "A_B", "web", "main", "default", "1", "0", "-1", "10%", "8080", "TCP", "Always"]
TEXTS += [
    "100m",
    "1Gi",
    "1e3",
    "2024-01-01T00:00:00Z",
    "10.0.0.1",
    "::1",
    "10.0.0.0/8",
    "example.dev/a",
    "*",
    "/",
    "a.b.c",
]
TEXTS += [
    "é",
    "日本",
    "\U0001f600",
    "\u202e",
    "\u0000",
    "\ud800",
    "\n",
    " ",
    "%00",
    "../..",
    "$(A)",
    "{{",
    "a" * 64,
    "a" * 300,
]
_DEEPEST = 100
ODD: list[Any] = [
    None,
    0,
    -1,
    1,
    2**31,
    2**63,
    2**64,
    -(2**63) - 1,
    1.5,
    1e300,
    -0.0,
    True,
    False,
    "",
    [],
    {},
    [None],
    [[]],
]
ODD += [
    [{}],
    {"": ""},
    {"x": None},
    {"$patch": "delete"},
    {"$patch": "replace"},
    {"a": {"b": {"c": []}}},
    *TEXTS,
]


@dataclass(frozen=True)
class Kind:
    """One resource, as discovery tells of it."""

    group_version: str
    plural: str
    kind: str
    namespaced: bool
    verbs: frozenset[str]
    subresources: tuple[str, ...] = ()

    @property
    def root(self) -> str:
        return f"/apis/{self.group_version}" if "/" in self.group_version else f"/api/{self.group_version}"

    def collection(self, namespace: str) -> str:
        return (
            f"{self.root}/namespaces/{namespace}/{self.plural}"
            if self.namespaced
            else f"{self.root}/{self.plural}"
        )


@dataclass
class Shapes:
    """All kinds and their schemas."""

    kinds: list[Kind] = field(default_factory=list)
    schemas: dict[str, Json] = field(default_factory=dict)
    of_kind: dict[tuple[str, str], Json] = field(default_factory=dict)

    @staticmethod
    async def learned(victim: Victim) -> Shapes:
        """From discovery and the OpenAPI v3 documents."""
        shapes, wire = Shapes(), victim.wire()

        async def get(path: str) -> Json:
            found: Json = json.loads((await wire.ask(Sent(b"GET", path.encode()))).body)
            return found

        groups = (await get("/apis"))["groups"]
        for version in ["v1", *(one["groupVersion"] for group in groups for one in group["versions"])]:
            listed = await get(f"/apis/{version}" if "/" in version else f"/api/{version}")
            shapes._add_kinds(version, listed["resources"])
        for place in (await get("/openapi/v3"))["paths"].values():
            for name, schema in (
                (await get(place["serverRelativeURL"])).get("components", {}).get("schemas", {}).items()
            ):
                shapes.schemas[name] = schema
                for one in schema.get("x-kubernetes-group-version-kind", []):
                    version = f"{one['group']}/{one['version']}".removeprefix("/")
                    shapes.of_kind[version, one["kind"]] = schema
        wire.close()
        return shapes

    def _add_kinds(self, version: str, resources: list[Json]) -> None:
        for one in resources:
            if "/" in one["name"]:
                continue
            below = tuple(
                other["name"].partition("/")[2]
                for other in resources
                if other["name"].startswith(f"{one['name']}/")
            )
            self.kinds.append(
                Kind(version, one["name"], one["kind"], one["namespaced"], frozenset(one["verbs"]), below)
            )

    def sample(self, chances: random.Random, kind: Kind, name: str) -> Json:
        """An object of the kind: its required fields, and some others."""
        made = self._value(chances, self.of_kind.get((kind.group_version, kind.kind), {}), "", 0)
        body: Json = made if isinstance(made, dict) else {}
        body.update(apiVersion=kind.group_version, kind=kind.kind)
        meta: Json = {"name": name}
        if chances.random() < 0.4:
            meta["labels"] = {"a": chances.choice(["b", "c"])}
        if chances.random() < 0.2:
            meta["annotations"] = {"note": chances.choice(TEXTS[:-2])}
        body["metadata"] = meta
        return body

    def decorated(self, chances: random.Random, kind: Kind, good: Json) -> Json:
        """A good object with fields of its schema put into it."""
        body = copy.deepcopy(good)
        schema = self.of_kind.get((kind.group_version, kind.kind), {})
        for _ in range(chances.randrange(3)):
            self._add_field(chances, body, schema)
        return body

    def _add_field(self, chances: random.Random, value: Any, schema: Json) -> None:
        for _ in range(chances.randrange(1, 5)):
            schema = self._resolved(schema)
            if isinstance(value, list) and value:
                value, schema = chances.choice(value), schema.get("items", {})
                continue
            if not isinstance(value, dict) or not schema.get("properties"):
                return
            name = chances.choice(list(schema["properties"]))
            if isinstance(value.get(name), dict | list) and chances.random() < 0.8:
                value, schema = value[name], schema["properties"][name]
            else:
                value[name] = self._value(chances, schema["properties"][name], name, 3)
                return

    def _resolved(self, schema: Json) -> Json:
        for _ in range(5):
            if "$ref" in schema:
                schema = self.schemas.get(schema["$ref"].rpartition("/")[2], {})
            elif "allOf" in schema:
                schema = {**schema, **schema["allOf"][0]}
                del schema["allOf"]
            else:
                break
        return schema

    def _value(self, chances: random.Random, schema: Json, name: str, depth: int) -> Any:
        schema = self._resolved(schema)
        if "enum" in schema:
            return chances.choice(schema["enum"])
        type_ = schema.get("type")
        if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
            return chances.choice([1, 80, "50%", "http", 0])
        if type_ == "object":
            return self._object(chances, schema, depth)
        if type_ == "array":
            count = chances.choice([0, 1, 1, 2]) if depth < 7 else 0
            return [self._value(chances, schema.get("items", {}), name, depth + 1) for _ in range(count)]
        if type_ == "boolean":
            return chances.random() < 0.5
        if type_ in ("integer", "number"):
            return chances.choice([0, 1, 1, 2, 5, 30, 80, 1000, -1])
        if schema.get("format") == "date-time":
            return "2024-01-01T00:00:00Z"
        if type_ == "string":
            return self._text(chances, name)
        return chances.choice([None, "a", 1, {}, []])

    def _object(self, chances: random.Random, schema: Json, depth: int) -> Json:
        required = set(schema.get("required", ()))
        share = (0.9, 0.5, 0.25, 0.15, 0.1, 0.05, 0.02)[min(depth, 6)]
        made = {
            key: self._value(chances, child, key, depth + 1)
            for key, child in schema.get("properties", {}).items()
            if key not in ("metadata", "status") and (key in required or chances.random() < share)
        }
        if "properties" not in schema and isinstance(schema.get("additionalProperties"), dict):
            made = {
                key: self._value(chances, schema["additionalProperties"], key, depth + 1)
                for key in chances.sample(["a", "b", "cpu", "memory"], chances.randrange(3))
            }
        return made

    def _text(self, chances: random.Random, name: str) -> str:
        lower = name.lower()
        if lower.endswith("name") and chances.random() < 0.8:
            return chances.choice(["a", "main", "web", "default", "v"])
        if lower in ("cpu", "memory", "storage"):
            return chances.choice(["1", "100m", "1Gi"])
        if lower == "image":
            return "x"
        if "path" in lower:
            return chances.choice(["/a", "/data", "a/b"])
        return chances.choice(TEXTS)


def damaged(chances: random.Random, body: Any, times: int) -> Any:
    """The body with values replaced, dropped, repeated or moved."""
    body = copy.deepcopy(body)
    for _ in range(times):
        places = list(_places(body))
        if not places:
            return copy.deepcopy(chances.choice(ODD))
        parent, key = chances.choice(places)
        match chances.randrange(6):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, list):
                parent.append(copy.deepcopy(parent[key]))
            case 2:
                other, other_key = chances.choice(places)
                try:
                    parent[key] = copy.deepcopy(other[other_key])
                except (KeyError, IndexError):
                    continue
            case 3 if isinstance(parent, dict):
                parent[chances.choice(TEXTS)] = copy.deepcopy(chances.choice(ODD))
            case _:
                parent[key] = copy.deepcopy(chances.choice(ODD))
    return body


def is_deep(value: Any) -> bool:
    """Whether it is nested so deep that the fuzzer itself would stumble over it."""
    level = [value]
    for _ in range(_DEEPEST):
        if not level:
            return False
        inner = [
            one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)
        ]
        level = [member for members in inner for member in members]
    return True


def _places(value: Any) -> Any:
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, member in list(members):
        yield value, key
        yield from _places(member)


def garbled(chances: random.Random, data: bytes) -> bytes:
    """Bytes that are nearly JSON."""
    at = chances.randrange(len(data) + 1)
    odd = [
        b"\xff",
        b"\x00",
        b"\xed\xa0\x80",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"9" * 400,
        b'"a":1,',
        b"{",
        b"]",
        b"\\u0000",
    ]
    odd += [b"\xef\xbb\xbf", b"//", b",", b"\xc3", b"[" * 2000, b'{"a":' * 1200]
    match chances.randrange(4):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[at + chances.randrange(1, 9) :]
        case 2:
            return data.replace(b":", b":" + chances.choice(odd), 1)
        case _:
            return data[:at] + chances.choice(odd) + data[at:]
