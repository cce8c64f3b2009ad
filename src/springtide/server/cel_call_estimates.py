"""What a call in a CEL expression can cost at most, by the sizes of its arguments, and how big its result
can be.

Called by `cel_cost`. Figures: cel-go `checker/cost.go` and Kubernetes' `cel/library/cost.go`. Changing one
changes which CRDs are accepted, so they stay what they are upstream.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from springtide.server.cel_ranges import LARGEST, NOTHING, ONE, Range, fixed
from springtide.server.cel_types import Type

TEXT, PATTERN = 0.1, 0.25
_LONGEST_NAME_PATTERN = 128


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument: its type, its size, and for collections what their elements are."""

    type: Type
    size: Range
    element: Argument | None = None
    literal: Any = None
    known: bool = True
    """Whether the size is known at all."""


Result = tuple[Range, Range | None]
"""A cost, and the size of what comes out."""
_Estimate = Callable[[str, "Argument | None", list[Argument]], "Result | None"]


def estimate_call(function: str, overload: str, target: Argument | None, args: list[Argument]) -> Result:
    rule = _RULES.get(function)
    found = rule(overload, target, args) if rule is not None else None
    return found if found is not None else (ONE, None)


def _text(size: Range, factor: float = TEXT) -> Range:
    return size.scaled(factor)


def _each_item(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    """One comparison for every item; of texts, their lengths too."""
    if target is None:
        return None
    if target.element is None:
        return _text(target.size), None
    cost = ONE
    if target.element.type.kind in ("string", "bytes"):
        cost = cost.plus(_text(target.element.size))
    return target.size.times(cost), None


def _argument_text(factor: float = TEXT, *, sized: bool = False) -> _Estimate:
    def rule(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
        return (_text(args[0].size, factor), args[0].size if sized else None) if args else None

    return rule


def _same_text(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    return (_text(target.size), target.size) if target is not None else None


def _replace(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    if target is None or len(args) < 2:
        return None
    size, old, new = target.size, args[0].size, args[1].size
    most = _replaced_most(size.most, old.least, new.most)
    least = _replaced_least(size.least, old.most, new.least)
    result = Range(least[0], most[0]).times(new).plus(Range(least[1], most[1]))
    return _text(size, 2 * TEXT), result


def _replaced_most(size: int, old: int, new: int) -> tuple[int, int]:
    """How often a text may be replaced at most, and what stays besides."""
    if old == 0:
        return size + 1, size
    if new <= old:
        return 0, size
    return math.ceil(size / old), 0


def _replaced_least(size: int, old: int, new: int) -> tuple[int, int]:
    if old == 0:
        return size + 1, size
    if old <= new:
        return 0, size
    return math.ceil(size / old), 0


def _split(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    if target is None:
        return None
    most = target.size.most
    if len(args) > 1 and isinstance(args[1].literal, int) and args[1].literal >= 0:
        most = args[1].literal
    return _text(target.size, 2 * TEXT), Range(0, most)


def _join(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    if target is None:
        return None
    size = target.size.times(target.element.size) if target.element is not None else NOTHING
    if args:
        gaps = Range(max(0, target.size.least - 1), max(0, target.size.most - 1))
        size = size.plus(args[0].size.times(gaps))
    return _text(size), size


def _matching(text: Range, pattern: Range) -> Range:
    return _text(text.plus(ONE)).times(_text(pattern, PATTERN))


def _find(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    if target is None or not args:
        return None
    return _matching(target.size, args[0].size), Range(0, target.size.most)


def _matches(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    if target is None or len(args) != 1:
        return None
    return _matching(target.size, args[0].size), None


def _ip(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    return (_text(args[0].size), None) if overload == "string_to_ip" and args else None


def _contains_address(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    address = Range(4, 16)
    cost = _text(address.plus(address))
    if overload.startswith("cidr_contains_cidr"):
        cost = cost.plus(_text(address)).plus(ONE)
    if overload.endswith("_string"):
        cost = cost.plus(_text(args[0].size))
    return cost, None


def _validate(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    return _text(args[0].size).scaled(_LONGEST_NAME_PATTERN * PATTERN), None


def _equality(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    one, other = args
    if one.type == other.type and one.type.name in _CHEAP:
        return ONE, None
    if one.type == other.type and one.type.name == "kubernetes.NamedFormat":
        return _text(Range(1, 64)), None
    if one.type == other.type and one.type.name == "kubernetes.URL":
        return _text(Range(1, other.size.most if other.known else 1)), None
    return _shorter(overload, target, args)


_CHEAP = frozenset({"net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver"})


def _shorter(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    """Comparisons stop with the shorter side."""
    most = min(args[0].size.most, args[1].size.most)
    return _text(Range(1 if most else 0, most)), None


def _order(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    return _shorter(overload, target, args) if overload.endswith(("_string", "_bytes")) else None


def _plus(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    if overload not in ("add_string", "add_bytes", "add_list"):
        return None
    size = args[0].size.plus(args[1].size)
    return (ONE if overload == "add_list" else _text(size)), size


def _within(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    return (args[1].size, None) if overload == "in_list" else None


def _contains(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    if target is None or len(args) != 1:
        return None
    return _text(target.size).times(_text(args[0].size)), None


def _format(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    return (_text(target.size), None) if target is not None else None


def _to_bytes(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    size = args[0].size
    return (_text(size), size.times(Range(1, 4))) if overload == "string_to_bytes" else None


def _to_string(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    size = args[0].size
    return (_text(size), Range(size.least // 4, size.most)) if overload == "bytes_to_string" else None


def _quote(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    size = args[0].size
    return _text(size), Range(size.least + 2, size.most).times(Range(1, 2)).plus(Range(0, 2))


def _pairs(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    """Sets: every element with every element; sets.equivalent both ways."""
    cost = args[0].size.times(args[1].size)
    return cost.times(fixed(2 if "equivalent" in overload else 1)).plus(ONE), None


def _new_list(size: Range, factor: float = 1) -> Result:
    """Making a list of this many items, with so much work for each."""
    return size.scaled(factor).plus(fixed(1 + 10)), size


def _literal(argument: Argument, otherwise: int) -> int:
    value = argument.literal
    return max(0, value) if type(value) is int else otherwise


def _slice(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    if target is None or len(args) != 2:
        return None
    start, end = _literal(args[0], 0), _literal(args[1], target.size.most)
    return _new_list(fixed(max(0, end - start)))


def _numbers(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    return _new_list(fixed(_literal(args[0], LARGEST)))


def _reverse(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    return _new_list(target.size) if target is not None and overload == "list_reverse" else None


def _flatten(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    return _new_list(target.size, _literal(args[0], LARGEST) if args else 1) if target is not None else None


def _distinct(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    return _new_list(target.size.times(target.size), 2) if target is not None else None


def _sort(overload: str, target: Argument | None, args: list[Argument]) -> Result | None:
    """Every item with every other; texts by their letters too."""
    keys = args[0] if args else target
    if keys is None:
        return None
    factor = 2 + TEXT if overload.startswith(("list_string", "list_bytes")) else 2
    return _new_list(keys.size.times(keys.size), factor)


_RULES: dict[str, _Estimate] = {
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _each_item),
    "url": _argument_text(sized=True),
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _same_text),
    "replace": _replace,
    "split": _split,
    "join": _join,
    **dict.fromkeys(("find", "findAll"), _find),
    "matches": _matches,
    **dict.fromkeys(
        ("cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"), _argument_text()
    ),
    "ip": _ip,
    "ip.isCanonical": _argument_text(2 * TEXT),
    **dict.fromkeys(("containsIP", "containsCIDR"), _contains_address),
    "validate": _validate,
    "_==_": _equality,
    "_!=_": _shorter,
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_"), _order),
    "_+_": _plus,
    "@in": _within,
    "contains": _contains,
    **dict.fromkeys(("startsWith", "endsWith"), _argument_text()),
    "format": _format,
    "bytes": _to_bytes,
    "string": _to_string,
    "strings.quote": _quote,
    **dict.fromkeys(("sets.contains", "sets.equivalent", "sets.intersects"), _pairs),
    "slice": _slice,
    "lists.range": _numbers,
    "reverse": _reverse,
    "flatten": _flatten,
    "distinct": _distinct,
    **dict.fromkeys(("sort", "@sortByAssociatedKeys"), _sort),
}
