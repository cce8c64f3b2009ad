"""CEL's functions on lists, sets and optional values.

One of the libraries of `cel_functions`. Sources: Kubernetes' list library, cel-go's lists (version 3), sets
and optional types.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from itertools import pairwise
from typing import Any

from springtide.server.cel_functions import Function, function
from springtide.server.cel_operators import plus
from springtide.server.cel_values import (
    LISTS,
    MAPS,
    CelError,
    Duration,
    Optional,
    Timestamp,
    UInt,
    compare,
    contains,
    equal,
    size_of,
)

_COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_LONGEST = 1_000_000


def _is_sorted(items: Any) -> bool:
    values = list(items)
    return all(compare(one, other) <= 0 for one, other in pairwise(values))


def _sum(zero: Any) -> Callable[[Any], Any]:
    def run(items: Any) -> Any:
        total = None
        for item in items:
            total = item if total is None else plus(total, item)
        return zero if total is None else total

    return run


def _extreme(name: str, sign: int) -> Callable[[Any], Any]:
    def run(items: Any) -> Any:
        best, found = None, False
        for item in items:
            if not found or compare(item, best) * sign > 0:
                best, found = item, True
        if not found:
            raise CelError(f"{name} called on empty list")
        return best

    return run


def _index_of(items: Any, wanted: Any) -> int:
    return next((at for at, item in enumerate(items) if equal(item, wanted)), -1)


def _last_index_of(items: Any, wanted: Any) -> int:
    return max((at for at, item in enumerate(items) if equal(item, wanted)), default=-1)


def _slice(items: Any, start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise CelError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise CelError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if end > len(items):
        raise CelError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return list(items)[start:end]


def _flatten(items: Any, depth: int = 1) -> list[Any]:
    if depth < 0:
        raise CelError("level must be non-negative")
    flat: list[Any] = []
    for item in items:
        if depth and isinstance(item, LISTS):
            flat.extend(_flatten(item, min(depth, 64) - 1))
        else:
            flat.append(item)
    return flat


def _sort(items: Any) -> list[Any]:
    return sorted(items, key=cmp_to_key(compare))


def _sort_by(items: Any, keys: Any) -> list[Any]:
    order = cmp_to_key(compare)
    pairs: list[tuple[Any, Any]] = list(zip(keys, items, strict=True))
    return [item for _, item in sorted(pairs, key=lambda pair: order(pair[0]))]


def _range(count: int) -> list[int]:
    if count > _LONGEST:
        raise CelError(f"lists.range({count}): at most {_LONGEST} numbers are made")
    return list(range(count))


def _distinct(items: Any) -> list[Any]:
    kept: list[Any] = []
    seen: set[Any] = set()
    for item in items:
        if isinstance(item, str):
            if item not in seen:
                seen.add(item)
                kept.append(item)
        elif not contains(kept, item):
            kept.append(item)
    return kept


def _has_all(items: Any, wanted: Any) -> bool:
    return all(contains(items, item) for item in wanted)


def _of_non_zero(value: Any) -> Optional:
    """An optional that is empty for what counts as nothing: null, false, 0, "", [], {}."""
    if isinstance(value, Duration | Timestamp):
        empty = isinstance(value, Duration) and value.ns == 0
    elif isinstance(value, (str, bytes, *LISTS, *MAPS)):
        empty = size_of(value) == 0
    else:
        empty = value is None or (isinstance(value, int | float) and not value)
    return Optional() if empty else Optional(value, True)


def _value(optional: Optional) -> Any:
    if not optional.present:
        raise CelError("optional.none() dereference")
    return optional.value


def _end(items: Any, at: int) -> Optional:
    return Optional(items[at], True) if len(items) else Optional()


def _unwrap(items: Any) -> list[Any]:
    return [item.value for item in items if item.present]


FUNCTIONS: list[Function] = [
    function(
        "isSorted",
        _is_sorted,
        **{f"list_{kind}_is_sorted_bool": f"list({kind}).() -> bool" for kind in _COMPARABLE},
    ),
    *(
        function("sum", _sum(zero), **{f"list_{kind}_sum_{kind}": f"list({kind}).() -> {kind}"})
        for kind, zero in (("int", 0), ("uint", UInt(0)), ("double", 0.0), ("duration", Duration(0)))
    ),
    *(
        function(
            name,
            _extreme(name, sign),
            **{f"list_{kind}_{name}_{kind}": f"list({kind}).() -> {kind}" for kind in _COMPARABLE},
        )
        for name, sign in (("min", -1), ("max", 1))
    ),
    function("indexOf", _index_of, list_a_index_of_int="list(A).(A) -> int"),
    function("lastIndexOf", _last_index_of, list_a_last_index_of_int="list(A).(A) -> int"),
    function("slice", _slice, list_slice="list(T).(int, int) -> list(T)"),
    function(
        "flatten",
        _flatten,
        list_flatten="list(list(T)).() -> list(T)",
        list_flatten_int="list(dyn).(int) -> list(dyn)",
    ),
    function(
        "sort", _sort, **{f"list_{kind}_sort": f"list({kind}).() -> list({kind})" for kind in _COMPARABLE}
    ),
    function(
        "@sortByAssociatedKeys",
        _sort_by,
        **{f"list_{kind}_sortByAssociatedKeys": f"list(T).(list({kind})) -> list(T)" for kind in _COMPARABLE},
    ),
    function("lists.range", _range, lists_range="(int) -> list(int)"),
    function(
        "reverse",
        lambda items: list(items)[::-1],
        list_reverse="list(T).() -> list(T)",
    ),
    function("distinct", _distinct, list_distinct="list(T).() -> list(T)"),
    function("sets.contains", _has_all, list_sets_contains_list="(list(T), list(T)) -> bool"),
    function(
        "sets.equivalent",
        lambda one, other: _has_all(one, other) and _has_all(other, one),
        list_sets_equivalent_list="(list(T), list(T)) -> bool",
    ),
    function(
        "sets.intersects",
        lambda one, other: any(contains(one, item) for item in other),
        list_sets_intersects_list="(list(T), list(T)) -> bool",
    ),
    function("optional.of", lambda value: Optional(value, True), optional_of="(V) -> optional_type(V)"),
    function("optional.ofNonZeroValue", _of_non_zero, optional_ofNonZeroValue="(V) -> optional_type(V)"),
    function("optional.none", Optional, optional_none="() -> optional_type(V)"),
    function("value", _value, optional_value="optional_type(V).() -> V"),
    function("hasValue", lambda optional: optional.present, optional_hasValue="optional_type(V).() -> bool"),
    function(
        "or",
        lambda one, other: one if one.present else other,
        optional_or_optional="optional_type(V).(optional_type(V)) -> optional_type(V)",
    ),
    function(
        "orValue",
        lambda one, other: one.value if one.present else other,
        optional_orValue_value="optional_type(V).(V) -> V",
    ),
    function("first", lambda items: _end(items, 0), list_first="list(V).() -> optional_type(V)"),
    function("last", lambda items: _end(items, -1), list_last="list(V).() -> optional_type(V)"),
    function("optional.unwrap", _unwrap, optional_unwrap="(list(optional_type(V))) -> list(V)"),
    function("unwrapOpt", _unwrap, optional_unwrapOpt="list(optional_type(V)).() -> list(V)"),
]
