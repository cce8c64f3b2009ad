"""The JSONPath of printer columns, compiled once: fields, indices, slices, wildcards and filters.

Called by `table` for `additionalPrinterColumns`. Source of the dialect: Kubernetes' JSONPath support page.
Example: `.status.conditions[?(@.type=="Complete")].status`.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

Find = Callable[[Any], list[Any]]
_Step = Callable[[Any], Iterable[Any]]

_FIELD = re.compile(r"\.((?:\\.|[^.\[\]\\])+)")
_QUOTED = re.compile(r"\[(['\"])((?:\\.|(?!\1).)*)\1\]")
_SLICE = re.compile(r"\[(-?\d*):(-?\d*)\]")
_INDEX = re.compile(r"\[(-?\d+)\]")
_FILTER = re.compile(
    r"\[\?\(\s*@(?P<path>[^=!<>\s)]*)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<value>.+?)\s*)?\)\]"
)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@lru_cache(maxsize=1024)
def compile_path(path: str) -> Find:
    """A function that gives all values at `path`. Raises ValueError for an expression it cannot read."""
    steps = list(_steps(path))

    def find(value: Any) -> list[Any]:
        found = [value]
        for step in steps:
            found = [child for each in found for child in step(each)]
        return found

    return find


def _steps(path: str) -> Iterator[_Step]:
    rest = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    if rest and rest[0] not in ".[":
        rest = "." + rest
    while rest and rest != ".":
        step, length = _next_step(rest, path)
        rest = rest[length:]
        yield step


def _next_step(rest: str, path: str) -> tuple[_Step, int]:
    if rest.startswith(("[*]", ".*")):
        return _every, 3 if rest[0] == "[" else 2
    if match := _FILTER.match(rest):
        return _filter(match), match.end()
    if match := _FIELD.match(rest):
        return _field(re.sub(r"\\(.)", r"\1", match[1])), match.end()
    if match := _QUOTED.match(rest):
        return _field(re.sub(r"\\(.)", r"\1", match[2])), match.end()
    if match := _INDEX.match(rest):
        return _index(int(match[1])), match.end()
    if match := _SLICE.match(rest):
        return _slice(match[1], match[2]), match.end()
    raise ValueError(f"cannot read JSONPath {path!r} at {rest!r}")


def _field(name: str) -> _Step:
    return lambda value: (value[name],) if isinstance(value, dict) and name in value else ()


def _every(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _index(index: int) -> _Step:
    def step(value: Any) -> Iterable[Any]:
        return (value[index],) if isinstance(value, list) and -len(value) <= index < len(value) else ()

    return step


def _slice(start: str, stop: str) -> _Step:
    bounds = slice(int(start) if start else None, int(stop) if stop else None)
    return lambda value: value[bounds] if isinstance(value, list) else ()


def _filter(match: re.Match[str]) -> _Step:
    inner = compile_path(match["path"] or ".")
    if match["op"] is None:
        return lambda value: [item for item in _every(value) if inner(item)]
    compare, wanted = _OPERATORS[match["op"]], _literal(match["value"])

    def fits(item: Any) -> bool:
        found = inner(item)
        try:
            return bool(found) and compare(found[0], wanted)
        except TypeError:
            return False

    return lambda value: [item for item in _every(value) if fits(item)]


def _literal(text: str) -> Any:
    if text[0] in "'\"":
        return text[1:-1]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
