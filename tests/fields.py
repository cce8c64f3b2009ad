"""Every field of a kind as a dotted path with a document that sets it: proof that none is forgotten.

Used by tests that say of each field whether it takes effect or is reported as having none, so that a
field added to the API fails a test until somebody decides.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from springtide.api.struct import Struct


@dataclass(frozen=True)
class Field:
    """One field, and the JSON of an object in which it is set and little else."""

    path: str
    document: dict[str, Any]

    def __str__(self) -> str:
        return self.path


def walk(kind: type[Struct], whole: frozenset[str] = frozenset()) -> Iterator[Field]:
    """All leaves below `kind`; paths in `whole` are not looked into. Lists add `[]` to a path."""
    for path, value in _leaves(kind, "", whole):
        yield Field(path, value)


def _leaves(kind: type[Struct], prefix: str, whole: frozenset[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    required = _required(kind)
    for name, annotation in _annotations(kind):
        path = f"{prefix}.{name}" if prefix else name
        for below, value in _values(annotation, path, whole):
            yield below, {**required, name: value}


def _values(annotation: Any, path: str, whole: frozenset[str]) -> Iterator[tuple[str, Any]]:
    bare = _bare(annotation)
    origin = get_origin(bare)
    if origin is list:
        for below, value in _values(get_args(bare)[0], f"{path}[]", whole):
            yield below.removesuffix("[]") if below == f"{path}[]" else below, [value]
    elif _is_struct(bare) and path.removesuffix("[]") not in whole and _annotations(bare):
        yield from _leaves(bare, path, whole)
    else:
        yield path, _sample(annotation)


def _sample(annotation: Any) -> Any:
    """Some value of the type that is not its default."""
    bare = _bare(annotation)
    origin = get_origin(bare)
    if origin is list:
        return [_sample(get_args(bare)[0])]
    if origin is dict:
        return {"sample": _sample(get_args(bare)[1])}
    if _is_struct(bare):
        return _required(bare)
    known = {bool: True, int: 7, float: 7.0, str: "7"}
    if bare in known:
        return known[bare]
    return "2026-01-01T00:00:00Z" if getattr(bare, "__name__", "") == "datetime" else "7"


def _required(kind: type[Struct]) -> dict[str, Any]:
    """The JSON of the fields without which an object of the kind is none."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        info.encode_name: _sample(hints[info.name])
        for info in msgspec.structs.fields(kind)
        if info.default is msgspec.NODEFAULT and info.default_factory is msgspec.NODEFAULT
    }


def _annotations(kind: type[Struct]) -> list[tuple[str, Any]]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        (info.encode_name, hints[info.name])
        for info in msgspec.structs.fields(kind)
        if info.name != "unknown"
    ]


def _bare(annotation: Any) -> Any:
    """The type without its constraints and without None."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return _bare(next(one for one in get_args(annotation) if one is not types.NoneType))
    return annotation


def _is_struct(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Struct)
