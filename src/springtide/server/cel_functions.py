"""The functions a CEL expression may call: their signatures, and what they do.

`FUNCTIONS` gathers the libraries (`cel_operators`, `cel_strings`, `cel_collections`, `cel_kubernetes`);
`cel_check` reads the signatures, `cel_run` the code, `cel_cost` the overloads' names. A signature is
written as text, `string.(int) -> string` for a method, `(string) -> int` for a function; single capitals
are type variables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from springtide.server import cel_types as types
from springtide.server.cel_types import Type
from springtide.server.cel_values import (
    LISTS,
    MAPS,
    CelError,
    Duration,
    Optional,
    Timestamp,
    UInt,
)

Run = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Overload:
    """One signature. `guards` are the Python classes its arguments may have; None takes anything."""

    id: str
    member: bool
    params: tuple[Type, ...]
    result: Type
    variables: tuple[Type, ...]
    guards: tuple[tuple[type, ...] | None, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A name with its overloads; the code is the same for all of them and looks at what it is given."""

    name: str
    run: Run
    overloads: tuple[Overload, ...]


CLASSES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "uint": (UInt,),
    "double": (float,),
    "string": (str,),
    "bytes": (bytes,),
    "timestamp": (Timestamp,),
    "duration": (Duration,),
    "list": LISTS,
    "map": MAPS,
    "optional_type": (Optional,),
    "type": (Type,),
}
"""The Python classes of CEL types; the Kubernetes library adds its own."""

_OBJECTS = {"kubernetes.Quantity", "kubernetes.URL", "kubernetes.NamedFormat", "kubernetes.Semver"}
_OPAQUES = {"net.IP", "net.CIDR"}
_SIGNATURE = re.compile(r"(?:(?P<target>[^\s(]+(?:\(.*?\))?)\.)?\((?P<args>.*)\) -> (?P<result>.+)")


def function(name: str, run: Run, **overloads: str) -> Function:
    """A function with overloads `id="signature"`."""
    return Function(name, run, tuple(_overload(key, text) for key, text in overloads.items()))


def each(name: str, run: Run, pattern: str, signature: str, kinds: Iterable[str]) -> Function:
    """A function with one overload for every type in `kinds`, written `T` in name and signature."""
    texts = {pattern.replace("T", kind): re.sub(r"\bT\b", kind, signature) for kind in kinds}
    return function(name, run, **texts)


def _overload(identity: str, text: str) -> Overload:
    found = _SIGNATURE.fullmatch(text)
    if found is None:
        raise ValueError(f"signature {text!r} of {identity}: must be `target.(args) -> result`")
    target, args = found["target"], [read_type(part) for part in _split(found["args"])]
    params = tuple([read_type(target), *args] if target else args)
    result = read_type(found["result"])
    variables = tuple(dict.fromkeys(one for param in (*params, result) for one in _variables(param)))
    guards = tuple(CLASSES.get(param.name or param.kind) for param in params)
    return Overload(identity, bool(target), params, result, variables, guards)


@cache
def read_type(text: str) -> Type:
    """A type as written: `map(string, list(A))`."""
    name, _, rest = text.strip().partition("(")
    inner = [read_type(part) for part in _split(rest[:-1])] if rest else []
    if name in ("list", "map", "type"):
        return Type(name, "", tuple(inner))
    if name == "optional_type" or name in _OPAQUES:
        return Type("opaque", name, tuple(inner))
    if name in _OBJECTS:
        return Type("object", name)
    return types.variable(name) if len(name) == 1 else Type(name)


def _split(text: str) -> Iterator[str]:
    depth, start = 0, 0
    for at, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and not depth:
            yield text[start:at].strip()
            start = at + 1
    if text[start:].strip():
        yield text[start:].strip()


def _variables(found: Type) -> Iterator[Type]:
    if found.kind == "var":
        yield found
    for param in found.params:
        yield from _variables(param)


@cache
def functions() -> Mapping[str, Function]:
    """Every function by name; functions that several libraries share are one, with all the overloads."""
    from springtide.server import cel_collections, cel_kubernetes, cel_operators, cel_strings

    merged: dict[str, Function] = {}
    for library in (cel_operators, cel_strings, cel_collections, cel_kubernetes):
        for one in library.FUNCTIONS:
            known = merged.get(one.name)
            if known is None:
                merged[one.name] = one
            else:
                run = known.run if known.run is one.run else _either(known, one)
                merged[one.name] = Function(one.name, run, (*known.overloads, *one.overloads))
    return merged


def _either(first: Function, second: Function) -> Run:
    """The code of two libraries behind one name: whichever has an overload for what it is given."""

    def run(*args: Any) -> Any:
        return (first if any(fits(one, args) for one in first.overloads) else second).run(*args)

    return run


def fits(overload: Overload, args: tuple[Any, ...]) -> bool:
    """Whether values have the classes that an overload takes."""
    return len(args) == len(overload.guards) and all(
        guard is None or type(value) in guard for value, guard in zip(args, overload.guards, strict=True)
    )


def no_overload(name: str) -> CelError:
    return CelError(f"no such overload: {name}")
