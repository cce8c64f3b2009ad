"""What a call in a CEL expression costs when it runs, in the CEL project's units.

Called by `cel_run` when it compiles a call. Figures: cel-go `runtimecost.go` and Kubernetes'
`cel/library/cost.go`; `cel_cost` has their counterparts for estimates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from springtide.server.cel_kubernetes import Cidr, Format, Ip, Quantity, Semver, Url
from springtide.server.cel_values import LISTS, MAPS, get_key, size_of

TEXT = 0.1
"""Of a text's length: to go through it once."""
PATTERN = 0.25
"""Of a pattern's length: per unit of text."""

Args = tuple[Any, ...]
Cost = Callable[[Args, Any], int]


def of_text(length: float, factor: float = TEXT) -> int:
    return math.ceil(length * factor)


def traversal(value: Any) -> int:
    """Going through all of a value, however deep."""
    if isinstance(value, str | bytes):
        return int(len(value) * TEXT)
    if isinstance(value, LISTS):
        return sum(map(traversal, value))
    if isinstance(value, MAPS):
        return sum(traversal(key) + traversal(get_key(value, key)) for key in value)
    return 1


def _first(factor: float) -> Cost:
    return lambda args, _result: of_text(size_of(args[0]), factor)


def _matching(text: int, pattern: int) -> int:
    return of_text(1.0 + text) * of_text(pattern, PATTERN)


def _cidr(address: Any) -> int:
    return len(address.address.packed) if isinstance(address, Cidr | Ip) else size_of(address)


def _contains_ip(args: Args, result: Any) -> int:
    parse = of_text(size_of(args[1])) if isinstance(args[1], str) else 0
    return of_text(2 * _cidr(args[0])) + parse


def _contains_cidr(args: Args, result: Any) -> int:
    return _contains_ip(args, result) + of_text(_cidr(args[0])) + 1


def _validate(args: Args, result: Any) -> int:
    return _matching(size_of(args[1]), args[0].regex_size)


def _equality(args: Args, result: Any) -> int:
    if isinstance(args[0], Quantity | Url | Ip | Cidr | Format | Semver):
        return 1
    return of_text(min(size_of(args[0]), size_of(args[1])))


def _contains_text(args: Args, result: Any) -> int:
    return of_text(size_of(args[0])) * of_text(size_of(args[1]))


def _order(args: Args, result: Any) -> int:
    one, other = args
    if isinstance(one, str | bytes) and isinstance(other, str | bytes):
        return of_text(min(len(one), len(other)))
    return 1


def _plus(args: Args, result: Any) -> int:
    if isinstance(result, str | bytes):
        return of_text(len(result))
    return 1


def _traverses(args: Args, result: Any) -> int:
    return traversal(args[0])


def _matches(args: Args, result: Any) -> int:
    return _matching(size_of(args[0]), size_of(args[1]))


def _compared(items: Any) -> int:
    """Every item with every other; texts by their letters too."""
    text = any(isinstance(item, str | bytes) for item in items)
    return 11 + int(size_of(items) ** 2 * (2 + TEXT if text else 2))


_COSTS: dict[str, Cost] = {
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _traverses),
    **dict.fromkeys(("sort", "distinct"), lambda args, _result: _compared(args[0])),
    "@sortByAssociatedKeys": lambda args, _result: _compared(args[1]),
    "flatten": lambda args, _result: 11 + size_of(args[0]) * (args[1] if len(args) > 1 else 1),
    **dict.fromkeys(("url", "lowerAscii", "upperAscii", "substring", "trim"), _first(TEXT)),
    **dict.fromkeys(("replace", "split", "ip.isCanonical"), _first(2 * TEXT)),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"), _first(TEXT)),
    **dict.fromkeys(("startsWith", "endsWith", "strings.quote", "format"), _first(TEXT)),
    "join": lambda _args, result: of_text(len(result), 2 * TEXT),
    **dict.fromkeys(("find", "findAll", "matches"), _matches),
    "ip": lambda args, _result: 1 if isinstance(args[0], Cidr) else of_text(size_of(args[0])),
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "validate": _validate,
    "_==_": _equality,
    "_!=_": _equality,
    "@in": lambda args, _result: size_of(args[1]) if isinstance(args[1], LISTS) else 1,
    "contains": _contains_text,
    "_+_": _plus,
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_"), _order),
    **dict.fromkeys(("bytes", "string"), _first(TEXT)),
    **dict.fromkeys(
        ("sets.contains", "sets.equivalent", "sets.intersects"),
        lambda args, _result: 1 + size_of(args[0]) * size_of(args[1]),
    ),
    **dict.fromkeys(("slice", "reverse"), lambda _args, result: 11 + size_of(result)),
    "lists.range": lambda args, _result: 11 + max(0, args[0]),
}


SEARCHES = frozenset({"matches", "find", "findAll"})
"""Functions that take a text and a regular expression."""
PAID_BEFORE = SEARCHES | frozenset(
    {
        *("sort", "distinct", "@sortByAssociatedKeys", "flatten", "lists.range"),
        *("sets.contains", "sets.equivalent", "sets.intersects"),
    }
)
"""Functions that can take long: they are paid before they run, not after."""


def call_cost(function: str, overloads: tuple[str, ...]) -> Cost | int:
    """How to reckon a call of a function whose overloads may be these; a plain 1 for most."""
    if function == "_+_" and set(overloads) <= {"add_int64", "add_uint64", "add_double", "add_list"}:
        return 1
    return _COSTS.get(function, 1)
