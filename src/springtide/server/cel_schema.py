"""A structural schema as CEL sees it: which fields there are, of what type, and how big they may get.

Called by `cel_rules` for every node that has rules or lies below one. Sizes and the escaping of names are
Kubernetes' (apiserver `cel/common/schemas.go`, `cel/escaping.go`), because estimated costs rest on them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from springtide.server import cel_types as types
from springtide.server.cel_times import duration_of, timestamp_of
from springtide.server.cel_types import Type
from springtide.server.cel_values import CelError, Convert, ListView, MapView, ObjectView

REQUEST_BYTES = 3 * 1024 * 1024
"""The largest request that estimates assume; fixed in Kubernetes, whatever a server takes."""


@dataclass(slots=True)
class DeclaredField:
    """A field under its escaped name."""

    name: str
    declared: Declared


@dataclass(slots=True)
class Declared:
    """The type of one schema node, its children, its largest size and its smallest JSON."""

    type: Type
    smallest: int
    largest: int = 0
    fields: dict[str, DeclaredField] = field(default_factory=dict)
    element: Declared | None = None
    list_type: str = "atomic"
    keys: tuple[str, ...] = ()
    view: Any = None
    convert: Convert | None = None
    exact: Any = None
    """The Python class of values that are CEL values as they are."""

    def field(self, name: str) -> DeclaredField | None:
        """A field by the name an expression uses; words of the language need no escape after a dot."""
        found = self.fields.get(name)
        return self.fields.get(f"__{name}__") if found is None and name in _RESERVED else found

    def named(self, name: str, found: dict[str, Declared]) -> None:
        """Give every object type below a name of its own, and collect them by name."""
        if self.type.kind == "object":
            self.type = Type("object", name)
            found[name] = self
            for key, child in self.fields.items():
                child.declared.named(f"{name}.{key}", found)
        elif self.element is not None:
            self.element.named(f"{name}.@{'idx' if self.type.kind == 'list' else 'elem'}", found)
            params = (self.element.type,) if self.type.kind == "list" else (types.STRING, self.element.type)
            self.type = Type(self.type.kind, "", params)


def declare(schema: Mapping[str, Any], *, root: bool = False) -> Declared | None:
    """The CEL type of a schema node; None for what expressions cannot see. `root`: of a resource."""
    if schema.get("x-kubernetes-int-or-string"):
        return Declared(types.DYN, 1, _string_size(schema))
    if root:
        schema = _with_identity(schema)
    declare_kind = _KINDS.get(schema.get("type", ""))
    return declare_kind(schema) if declare_kind is not None else None


def _list(schema: Mapping[str, Any]) -> Declared | None:
    items = schema.get("items")
    element = declare(items, root=bool(items.get("x-kubernetes-embedded-resource"))) if items else None
    if element is None:
        return None
    most = schema.get("maxItems", (REQUEST_BYTES - 2) // (element.smallest + 1))
    return Declared(
        types.list_of(element.type),
        2,
        max(0, most),
        element=element,
        list_type=schema.get("x-kubernetes-list-type", "atomic"),
        keys=tuple(schema.get("x-kubernetes-list-map-keys", ())),
        view=ListView,
    )


def _object(schema: Mapping[str, Any]) -> Declared | None:
    values = schema.get("additionalProperties")
    if isinstance(values, Mapping):
        element = declare(values, root=bool(values.get("x-kubernetes-embedded-resource")))
        if element is None:
            return None
        most = schema.get("maxProperties", (REQUEST_BYTES - 2) // (element.smallest + 6))
        kind = types.map_of(types.STRING, element.type)
        return Declared(kind, 2, max(0, most), element=element, view=MapView)
    required = set(schema.get("required") or ())
    fields, smallest = {}, 2
    for name, child in (schema.get("properties") or {}).items():
        declared = declare(child, root=bool(child.get("x-kubernetes-embedded-resource")))
        if declared is None:
            continue
        escaped = escape(name)
        if escaped:
            fields[escaped] = DeclaredField(name, declared)
        if name in required and "default" not in child:
            smallest += len(name.encode()) + declared.smallest + 4
    return Declared(Type("object", "object"), smallest, fields=fields, view=ObjectView)


def _string(schema: Mapping[str, Any]) -> Declared:
    kind = schema.get("format")
    if kind == "byte":
        most = schema.get("maxLength", REQUEST_BYTES - 2)
        return Declared(types.BYTES, 2, max(0, most), convert=_decoded)
    if kind == "duration":
        return Declared(types.DURATION, 3, _string_size(schema, bounded=False), convert=_duration)
    if kind in ("date", "date-time"):
        smallest = 12 if kind == "date" else 21
        return Declared(types.TIMESTAMP, smallest, _string_size(schema, bounded=False), convert=_timestamp)
    if "maxLength" not in schema and schema.get("enum"):
        longest = max((len(one.encode()) for one in schema["enum"] if isinstance(one, str)), default=0)
        return Declared(types.STRING, 2, longest, exact=str)
    return Declared(types.STRING, 2, _string_size(schema), exact=str)


def _string_size(schema: Mapping[str, Any], *, bounded: bool = True) -> int:
    if bounded and "maxLength" in schema:
        return int(max(0, schema["maxLength"])) * 4
    if schema.get("x-kubernetes-int-or-string"):
        return REQUEST_BYTES - 2
    return {"duration": 32, "date": 12, "date-time": 32}.get(schema.get("format", ""), REQUEST_BYTES - 2)


_KINDS: dict[str, Callable[[Mapping[str, Any]], Declared | None]] = {
    "array": _list,
    "object": _object,
    "string": _string,
    "boolean": lambda _: Declared(types.BOOL, 4, exact=bool),
    "integer": lambda _: Declared(types.INT, 1, convert=_integer, exact=int),
    "number": lambda _: Declared(types.DOUBLE, 1, convert=_double, exact=float),
}


def _with_identity(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Rules at the root of a resource may read apiVersion, kind, metadata.name and metadata.generateName."""
    text = {"type": "string"}
    metadata = {"type": "object", "properties": {"name": text, "generateName": text}}
    own = schema.get("properties") or {}
    return {**schema, "properties": {**own, "apiVersion": text, "kind": text, "metadata": metadata}}


def _integer(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() else value


def _double(value: Any) -> Any:
    return float(value) if type(value) is int else value


def _decoded(value: Any) -> Any:
    import base64
    import binascii

    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else value
    except binascii.Error:
        raise CelError("the value is no base64") from None


def _duration(value: Any) -> Any:
    return duration_of(value) if isinstance(value, str) else value


def _timestamp(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return timestamp_of(value if len(value) > 10 else f"{value}T00:00:00Z")


_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_SPECIAL = re.compile(r"__|[-./]")


def escape(name: str) -> str:
    """A property's name as an expression writes it; empty if it cannot be written."""
    if name in _RESERVED:
        return f"__{name}__"
    if not re.fullmatch(r"[a-zA-Z_./-][a-zA-Z0-9_./-]*", name):
        return ""
    return _SPECIAL.sub(lambda found: _ESCAPES[found.group()], name)
