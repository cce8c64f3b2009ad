"""Decodes objects for caches: equal parts are kept once, and managedFields are left out.

Sixteen thousand pods of a training cluster are a few hundred different pods: the same containers, labels,
phases and times, again and again. Objects are frozen, so a cache may share such parts between them, which
takes a fourth of the memory; and a part met before is found by its bytes, not decoded again. Used by
informers. What is decoded here must not be sent back with `update`, as its managedFields are gone;
controllers do not, they apply the fields they own.

An object that our types do not declare completely, or with a null in an unusual place, is decoded the plain
way and shares nothing.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from springtide.api.meta import Object, ObjectMeta
from springtide.api.resources import resource_of
from springtide.api.struct import Struct, decode, encode_json, replace
from springtide.client.forms import Form, Listing, decode_raw_list, listing_of, name_of

K = TypeVar("K", bound=Object)

Read = Callable[[msgspec.Raw], Any]

_NEW = object()
_DROPPED: dict[type[Struct], frozenset[str]] = {ObjectMeta: frozenset(("managed_fields",))}
_ALONE: dict[type[Struct], frozenset[str]] = {ObjectMeta: frozenset(("name", "uid", "resource_version"))}
"""Fields that hardly two objects have in common."""
_raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_raw_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Pool:
    """The parts of objects, down to strings, by their type and bytes.

    Two generations bound it: what was not met for a while is forgotten here, though objects keep it.
    """

    def __init__(self, limit: int = 8192) -> None:
        self._limit = limit
        self._young: dict[Any, Any] = {}
        self._old: dict[Any, Any] = {}
        self._readers: dict[type[Struct], _StructReader] = {}

    def part(self, read: Read, raw: msgspec.Raw) -> Any:
        """What `read` makes of `raw`; the same object for the same bytes."""
        key = (read, bytes(raw))
        found = self._young.get(key, _NEW)
        if found is _NEW:
            found = self._old.get(key, _NEW)
            found = self._keep(key, read(raw) if found is _NEW else found)
        return found

    def struct(self, kind: type[Struct]) -> _StructReader:
        """The reader of a struct, made on first use, as types may contain themselves."""
        found = self._readers.get(kind)
        if found is None:
            found = self._readers[kind] = _StructReader(kind, self)
        return found

    def _keep(self, key: Any, value: Any) -> Any:
        if len(self._young) >= self._limit:
            self._old, self._young = self._young, {}
        self._young[key] = value
        return value


def sharing(kind: type[K], pool: Pool, unreadable: Callable[[str], None]) -> Form[K]:
    """The form of a declared kind whose objects share equal parts with all others read through this pool.

    One object that does not fit its kind must not keep a controller from all others: it is left out, and
    `unreadable` is told.
    """
    reader = pool.struct(kind)

    def read(body: bytes | msgspec.Raw) -> K:
        try:
            obj: K = reader.read(body)
        except msgspec.ValidationError:
            obj = decode(kind, bytes(body))
            msgspec.structs.force_setattr(obj.metadata, "managed_fields", [])
        return obj

    def read_list(body: bytes) -> Listing[K]:
        raw = decode_raw_list(body)
        items: list[K] = []
        for item in raw.items or ():
            try:
                items.append(read(item))
            except msgspec.ValidationError as error:
                unreadable(f"{name_of(item)}: {error}")
        return listing_of(raw.metadata, items)

    return Form(
        resource=resource_of(kind),
        decode=read,
        decode_list=read_list,
        encode=encode_json,
        address=lambda obj: (obj.metadata.namespace, obj.metadata.name),
        version=lambda obj: obj.metadata.resource_version,
        unreadable=unreadable,
    )


class _StructReader:
    """Reads one struct type, field by field as they come; absent fields cost nothing and are shared too."""

    def __init__(self, kind: type[Struct], pool: Pool) -> None:
        self._pool = pool
        self._kind = _declared(kind)
        self._fields: dict[str, tuple[str, Read, bool]] = {}
        """Met so far, by name on the wire: name, reader, and whether equal values are worth keeping once."""

    def read(self, raw: bytes | msgspec.Raw) -> Any:
        pool, fields, kind = self._pool, self._fields, self._kind
        values: dict[str, Any] = {}
        for wire_name, part in _raw_fields(raw).items():
            name, read, shared = fields.get(wire_name) or self._meet(wire_name)
            if name not in kind.dropped:
                values[name] = pool.part(read, part) if shared else read(part)
        if not kind.required <= values.keys():
            raise msgspec.ValidationError("a required field is missing")
        return replace(kind.absent, **values)

    def _meet(self, wire_name: str) -> tuple[str, Read, bool]:
        """Readers are made for what objects have: most have a few of their hundreds of fields."""
        declared = self._kind.fields.get(wire_name)
        if declared is None:
            raise msgspec.ValidationError(f"unknown field {wire_name}")
        name, annotation, shared = declared
        found = self._fields[wire_name] = name, _reader(annotation, self._pool), shared
        return found


@dataclass(frozen=True)
class _Declared:
    """What a struct type says of itself; the same for every pool."""

    fields: dict[str, tuple[str, Any, bool]]
    """By name on the wire: name, type, and whether equal values are worth keeping once."""
    required: frozenset[str]
    dropped: frozenset[str]
    absent: Any
    """One without any field."""


@cache
def _declared(kind: type[Struct]) -> _Declared:
    """Types written as text are evaluated once, not once a pool."""
    hints, alone = get_type_hints(kind), _ALONE.get(kind, frozenset())
    known = [field for field in msgspec.structs.fields(kind) if field.name != "unknown"]
    fields = {}
    for field in known:
        annotation = hints[field.name]
        shared = field.name not in alone and not (issubclass(kind, Object) and _is_struct(annotation))
        fields[field.encode_name] = field.name, annotation, shared
    absent = {field.name: _absent(field) for field in known}
    required = frozenset(name for name, value in absent.items() if value is msgspec.NODEFAULT)
    return _Declared(fields, required, _DROPPED.get(kind, frozenset()), kind(**absent))


def _absent(field: msgspec.structs.FieldInfo) -> Any:
    """The value of an absent field: one for all, as nobody changes it."""
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _reader(annotation: Any, pool: Pool) -> Read:
    """How to read a value of this type: structs and lists of them share further down, the rest is plain."""
    inner = _without_none(annotation)
    if _is_struct(inner):
        optional = inner is not annotation
        return lambda raw: None if optional and bytes(raw) == b"null" else pool.struct(inner).read(raw)
    if get_origin(inner) is list:
        read_item = _reader(get_args(inner)[0], pool)
        return lambda raw: [pool.part(read_item, part) for part in _raw_items(raw)]
    return msgspec.json.Decoder(annotation).decode


def _is_struct(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Struct)


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        left = [argument for argument in get_args(annotation) if argument is not type(None)]
        return left[0] if len(left) == 1 else annotation
    return annotation
