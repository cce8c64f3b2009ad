"""The base of every API type, and the one codec between JSON and typed objects.

Objects are frozen msgspec Structs: shared freely between caches, changed only with `replace`.
A field nobody here knows is never lost: decoding lifts it into `unknown` of the struct it stood in,
and encoding puts it back, so a read-modify-write by this program keeps what newer clients wrote.
Called by every room that turns bytes into objects or back.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from copy import copy
from functools import cache
from typing import Any, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

import msgspec

_UNKNOWN = "-unknown"
_MARK = b'"-unknown"'

T = TypeVar("T", bound="Struct")
V = TypeVar("V")


class _KeywordOnly(msgspec.StructMeta):
    """Makes every subclass keyword-only, so that required fields may follow optional ones.

    msgspec lets subclasses inherit its other settings but not this one.
    """

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **config: Any) -> Any:
        return super().__new__(mcls, name, bases, namespace, **{"kw_only": True, **config})


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class Struct(
    msgspec.Struct,
    metaclass=_KeywordOnly,
    frozen=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    rename="camel",
    gc=False,  # no cycles are possible among frozen objects decoded from JSON
):
    """A typed JSON object: snake_case in Python, camelCase on the wire."""

    unknown: dict[str, Any] | None = msgspec.field(name=_UNKNOWN, default=None)


replace = msgspec.structs.replace


def always(zero: V, *, required: bool = True) -> V:
    """The default of a field that is written even at its zero value, as Go does without `omitempty`.

    `required` says whether the schema demands it, too.
    """
    default: V = msgspec.field(default_factory=Always(zero, required=required))
    return default


class Always:
    """The default factory behind `always`; the schema lists its fields as required."""

    def __init__(self, zero: Any, *, required: bool = True) -> None:
        self.zero = zero
        self.required = required

    def __call__(self) -> Any:
        return copy(self.zero)


def decode(kind: type[T], data: bytes | Mapping[str, Any]) -> T:
    """Decode JSON bytes (or an already parsed object) into `kind`, keeping unknown fields.

    Raises `msgspec.ValidationError` naming the JSON path of a value of the wrong type.
    """
    try:
        if isinstance(data, bytes):
            decoded: T = _decoder(kind).decode(data)
            return decoded
        return msgspec.convert(data, kind)
    except msgspec.ValidationError:
        # An unknown field, a null where Go would write a zero value, or truly a wrong type: the slow
        # path below accepts the first two and raises for the third.
        pass
    raw = msgspec.json.decode(data) if isinstance(data, bytes) else data
    return msgspec.convert(_lift_struct(kind)(raw), kind)


def encode(value: Struct) -> dict[str, Any]:
    """The JSON object of a struct, unknown fields in their places; API objects get apiVersion and kind."""
    builtins: dict[str, Any] = msgspec.to_builtins(value)
    return _with_type(value, _restore(builtins) if _may_have_unknown(value) else builtins)


def encode_json(value: Struct) -> bytes:
    """`encode` as JSON bytes; the quick path for objects without unknown fields."""
    data = msgspec.json.encode(value)
    if _MARK in data:
        return msgspec.json.encode(encode(value))
    kind = getattr(value, "kind", None)
    api_version = getattr(value, "api_version", None)
    if not _is_object(value) or not kind or not api_version:
        return data
    head = msgspec.json.encode({"apiVersion": api_version, "kind": kind})
    return head[:-1] + (b"," if len(data) > 2 else b"") + data[1:]


def unknown_paths(value: Struct, prefix: str = "") -> list[str]:
    """Dotted paths of all fields that no type here declares, for warnings."""
    found: list[str] = []
    if _may_have_unknown(value):
        _collect_unknown(msgspec.to_builtins(value), prefix, found)
    return found


def _is_object(value: Struct) -> bool:
    return "metadata" in value.__struct_fields__ and "api_version" in value.__struct_fields__


def _with_type(value: Struct, builtins: dict[str, Any]) -> dict[str, Any]:
    if not _is_object(value):
        return builtins
    head = {"apiVersion": value.api_version, "kind": value.kind}  # type: ignore[attr-defined]
    return {**head, **builtins, **head}


@cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)


@cache
def _lift_struct(kind: type[Struct]) -> Callable[[Any], Any]:
    """A function that moves undeclared keys of a raw object, at any depth, into their struct's `unknown`."""
    hints = get_type_hints(kind)
    children: dict[str, Callable[[Any], Any] | None] = {}

    def lift(raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        if not children:
            for info in msgspec.structs.fields(kind):
                children[info.encode_name] = None if info.name == "unknown" else _lift_type(hints[info.name])
        lifted: dict[str, Any] = {}
        unknown: dict[str, Any] = {}
        for key, value in raw.items():
            if key not in children or key == _UNKNOWN:
                unknown[key] = value
                continue
            if value is None:
                continue
            child = children[key]
            lifted[key] = child(value) if child is not None else value
        if unknown:
            lifted[_UNKNOWN] = unknown
        return lifted

    return lift


def _lift_type(annotation: Any) -> Callable[[Any], Any] | None:
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return _lift_struct(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        candidates = [found for found in map(_lift_type, arguments) if found is not None]
        return candidates[0] if candidates else None
    if origin is list or origin is tuple:
        item = _lift_type(arguments[0])
        return None if item is None else lambda raw: [item(v) for v in raw] if isinstance(raw, list) else raw
    if origin is dict:
        member = _lift_type(arguments[1])
        if member is None:
            return None
        return lambda raw: {k: member(v) for k, v in raw.items()} if isinstance(raw, Mapping) else raw
    return None


def _may_have_unknown(value: Struct) -> bool:
    """Whether there are unknown fields anywhere inside; True, too, for one who only speaks of them."""
    return _MARK in msgspec.json.encode(value)


def _restore(value: Any) -> Any:
    if isinstance(value, dict):
        unknown = value.get(_UNKNOWN, {})
        restored = {key: _restore(child) for key, child in value.items() if key != _UNKNOWN}
        return {**restored, **unknown}
    if isinstance(value, list):
        return [_restore(child) for child in value]
    return value


def _collect_unknown(value: Any, prefix: str, found: list[str]) -> None:
    if isinstance(value, dict):
        found.extend(f"{prefix}.{key}" if prefix else key for key in value.get(_UNKNOWN, {}))
        for key, child in value.items():
            if key != _UNKNOWN:
                _collect_unknown(child, f"{prefix}.{key}" if prefix else key, found)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _collect_unknown(child, f"{prefix}[{index}]", found)
