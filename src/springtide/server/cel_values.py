"""What CEL expressions compute with: JSON seen through a schema, and the types JSON does not have.

JSON values are not converted ahead of time: `View`s read a field when an expression does, so a rule that
looks at one field of a big object costs one field. Used by `cel_run`, the function libraries and
`cel_rules`. Semantics: CEL language definition; the views follow Kubernetes' (sets and list-maps compare
without order).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from springtide.server.cel_schema import Declared

SMALLEST, LARGEST = -(2**63), 2**63 - 1
LARGEST_UINT = 2**64 - 1


class CelError(Exception):
    """An expression could not be evaluated: no such key, overflow, wrong type …"""


class UInt(int):
    """CEL's unsigned integer."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """Nanoseconds since 1970, UTC."""

    ns: int


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """Nanoseconds."""

    ns: int


@dataclass(frozen=True, slots=True)
class Optional:
    """A value that may be missing."""

    value: Any = None
    present: bool = False


NONE = Optional()


class ObjectView:
    """An object with declared fields; undeclared ones cannot be seen."""

    __slots__ = ("data", "declared")

    def __init__(self, data: dict[str, Any], declared: Declared) -> None:
        self.data = data
        self.declared = declared

    def has(self, name: Any) -> bool:
        field = self.declared.fields.get(name) or self.declared.field(name)
        return field is not None and field.name in self.data

    def get(self, name: Any) -> Any:
        field = self.declared.fields.get(name) or self.declared.field(name)
        if field is None or field.name not in self.data:
            raise CelError(f"no such key: {name}")
        return read(self.data[field.name], field.declared)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.declared.fields if self.has(name))


class MapView:
    """An object whose keys are data (`additionalProperties`)."""

    __slots__ = ("data", "declared")

    def __init__(self, data: dict[str, Any], declared: Declared) -> None:
        self.data = data
        self.declared = declared

    def has(self, key: Any) -> bool:
        return type(key) is str and key in self.data

    def get(self, key: Any) -> Any:
        if not self.has(key):
            raise CelError(f"no such key: {key}")
        return read(self.data[key], self.declared.element)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)


class ListView:
    """A list, which may mean a set or a map by keys."""

    __slots__ = ("data", "declared")

    def __init__(self, data: list[Any], declared: Declared) -> None:
        self.data = data
        self.declared = declared

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Any]:
        element = self.declared.element
        return (read(item, element) for item in self.data)

    def __getitem__(self, index: int) -> Any:
        return read(self.data[index], self.declared.element)

    def identity(self, item: Any) -> Any:
        """By what an item of a list-map is the same item: its keys, as text."""
        if isinstance(item, dict):
            return tuple(repr(item.get(key)) for key in self.declared.keys)
        return repr(item)

    def joined(self, other: Any) -> list[Any]:
        """`self + other`: appended; a set takes in what is new, a list-map replaces items by key."""
        if self.declared.list_type == "set":
            mine = list(self)
            return [*mine, *(item for item in other if not contains(mine, item))]
        if self.declared.list_type == "map" and isinstance(other, ListView):
            merged = {self.identity(item): item for item in self.data}
            merged.update((self.identity(item), item) for item in other.data)
            return [read(item, self.declared.element) for item in merged.values()]
        return [*self, *other]


View = ObjectView | MapView | ListView
LISTS = (list, ListView)
MAPS = (dict, MapView, ObjectView)


def read(value: Any, declared: Declared | None) -> Any:
    """A JSON value as its schema says it is to be understood. Raises CelError if it is something else."""
    if declared is None or value is None or type(value) is declared.exact:
        return value
    view = declared.view
    if view is not None:
        if type(value) is not (list if view is ListView else dict):
            wanted = "an array" if view is ListView else "a map"
            raise CelError(f"invalid data, expected {wanted}: the schema was another when this was written")
        return view(value, declared)
    convert = declared.convert
    return value if convert is None else convert(value)


# Equality and order


def equal(one: Any, other: Any) -> bool:
    """CEL's `==`: numbers by value whatever their type, all else only within its type."""
    if type(one) is type(other) and type(one) in _PLAIN:
        return bool(one == other)
    if type(one) in _NUMBERS:
        return type(other) in _NUMBERS and bool(one == other)
    if isinstance(one, LISTS):
        return isinstance(other, LISTS) and _equal_lists(one, other)
    if isinstance(one, MAPS):
        return isinstance(other, MAPS) and _equal_maps(one, other)
    if isinstance(one, Optional) and isinstance(other, Optional):
        return one.present == other.present and equal(one.value, other.value)
    return type(one) is type(other) and bool(one == other)


_PLAIN = frozenset({str, bool, int, bytes, type(None), Timestamp, Duration})
_NUMBERS = frozenset({int, float, UInt})


def contains(items: Any, wanted: Any) -> bool:
    return any(equal(item, wanted) for item in items)


def _equal_lists(one: Any, other: Any) -> bool:
    if len(one) != len(other):
        return False
    kind = one.declared.list_type if isinstance(one, ListView) else "atomic"
    if kind == "set":
        return all(contains(other, item) for item in one)
    if kind == "map" and isinstance(other, ListView):
        mine = {one.identity(raw): item for raw, item in zip(one.data, one, strict=True)}
        theirs = ((one.identity(raw), item) for raw, item in zip(other.data, other, strict=True))
        return all(name in mine and equal(mine[name], item) for name, item in theirs)
    return all(map(equal, one, other))


def _equal_maps(one: Any, other: Any) -> bool:
    same_type = isinstance(one, View) and isinstance(other, View) and one.declared is other.declared
    if same_type and one.data == other.data:
        return True
    if len(one) != len(other):
        return False
    return all(has_key(other, key) and equal(get_key(one, key), get_key(other, key)) for key in one)


def has_key(holder: Any, key: Any) -> bool:
    if type(holder) is dict:
        return _hashable(key) and key in holder
    if isinstance(holder, ObjectView | MapView):
        return holder.has(key)
    raise CelError(f"no such overload: {type_name(holder)} has no keys")


def get_key(holder: Any, key: Any) -> Any:
    if type(holder) is dict:
        if _hashable(key) and key in holder:
            return holder[key]
        raise CelError(f"no such key: {key}")
    if isinstance(holder, ObjectView | MapView):
        return holder.get(key)
    raise CelError(f"no such overload: {type_name(holder)} does not support field selection")


def _hashable(key: Any) -> bool:
    return isinstance(key, str | int | float)


def compare(one: Any, other: Any) -> int:
    """-1, 0 or 1. Raises CelError if the two have no order."""
    kind, against = type(one), type(other)
    comparable = (kind in _NUMBERS and against in _NUMBERS) or (kind is against and kind in _ORDERED)
    if not comparable:
        raise CelError(f"no such overload: cannot order {type_name(one)} and {type_name(other)}")
    return int(one > other) - int(one < other)


_ORDERED = frozenset({str, bytes, bool, Timestamp, Duration})


def size_of(value: Any) -> int:
    """What something counts for where cost goes by size."""
    if isinstance(value, str | bytes | list | dict | ListView | MapView | ObjectView):
        return len(value)
    if isinstance(value, Optional) and value.present:
        return size_of(value.value)
    return 1


_TYPE_NAMES: list[tuple[type | tuple[type, ...], str]] = [
    (bool, "bool"),
    (UInt, "uint"),
    (int, "int"),
    (float, "double"),
    (str, "string"),
    (bytes, "bytes"),
    (Timestamp, "google.protobuf.Timestamp"),
    (Duration, "google.protobuf.Duration"),
    (Optional, "optional_type"),
    (LISTS, "list"),
    ((dict, MapView), "map"),
    (ObjectView, "object"),
]


def type_name(value: Any) -> str:
    """The name of a value's type, as `type(value)` compares it."""
    if value is None:
        return "null_type"
    for classes, name in _TYPE_NAMES:
        if isinstance(value, classes):
            return name
    return str(getattr(value, "type_name", type(value).__name__))


Convert = Callable[[Any], Any]
