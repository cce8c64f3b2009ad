"""The types of CEL expressions: how they are written, when one fits where another is wanted.

Used by `cel_check` (inference), `cel_functions` (signatures) and `cel_schema` (types of fields). The rules
of assignability and unification are those of the CEL language's type checker (cel-spec, "Type checking").
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Type:
    """A type: its kind, its name (of an object or opaque type, or a variable) and its parameters."""

    kind: str
    name: str = ""
    params: tuple[Type, ...] = ()

    def __str__(self) -> str:
        if not self.params:
            return self.name or self.kind
        return f"{self.name or self.kind}({', '.join(map(str, self.params))})"


BOOL, INT, UINT, DOUBLE = Type("bool"), Type("int"), Type("uint"), Type("double")
STRING, BYTES = Type("string"), Type("bytes")
TIMESTAMP, DURATION = Type("timestamp"), Type("duration")
NULL, DYN, ERROR = Type("null"), Type("dyn"), Type("error", "!error!")

_NULLABLE = frozenset({"opaque", "object", "timestamp", "duration", "null"})
_WILD = frozenset({"dyn", "error"})


def list_of(item: Type) -> Type:
    return Type("list", "", (item,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", "", (key, value))


def type_of(inner: Type) -> Type:
    return Type("type", "", (inner,))


def optional_of(inner: Type) -> Type:
    return Type("opaque", "optional_type", (inner,))


def opaque(name: str) -> Type:
    return Type("opaque", name)


def variable(name: str) -> Type:
    return Type("var", name)


def unwrap_optional(found: Type) -> tuple[Type, bool]:
    """What an optional holds, and whether it was one."""
    if found.name == "optional_type":
        return found.params[0], True
    return found, False


class Bindings:
    """What the type variables of one expression stand for so far."""

    def __init__(self) -> None:
        self._bound: dict[Type, Type] = {}
        self._fresh = 0

    def fresh(self) -> Type:
        self._fresh += 1
        return variable(f"_var{self._fresh - 1}")

    def assignable(self, found: Type, wanted: Type) -> bool:
        """Whether `found` fits where `wanted` is asked for; learns what variables stand for if it does."""
        return self.all_assignable((found,), (wanted,))

    def all_assignable(self, found: tuple[Type, ...], wanted: tuple[Type, ...]) -> bool:
        before = dict(self._bound)
        if self._fit_all(found, wanted):
            return True
        self._bound = before
        return False

    def resolve(self, found: Type, *, free_is_dyn: bool = False) -> Type:
        """The type with its variables replaced by what they stand for."""
        bound = self._bound.get(found)
        if bound is not None:
            return self.resolve(bound, free_is_dyn=free_is_dyn)
        if found.kind == "var":
            return DYN if free_is_dyn else found
        if found.params:
            params = tuple(self.resolve(param, free_is_dyn=free_is_dyn) for param in found.params)
            return Type(found.kind, found.name, params)
        return found

    def _fit_all(self, found: tuple[Type, ...], wanted: tuple[Type, ...]) -> bool:
        return len(found) == len(wanted) and all(map(self._fits, found, wanted))

    def _fits(self, found: Type, wanted: Type) -> bool:
        if wanted.kind == "var":
            fits, known = self._binds(found, wanted)
            if fits or known:
                return fits
        if found.kind == "var":
            return self._binds(wanted, found)[0]
        if found.kind in _WILD or wanted.kind in _WILD:
            return True
        if found.kind == "null":
            return wanted.kind in _NULLABLE
        if wanted.kind == "null":
            return found.kind in _NULLABLE
        if found.kind != wanted.kind:
            return False
        if found.kind == "type":
            return True
        return found.name == wanted.name and self._fit_all(found.params, wanted.params)

    def _binds(self, found: Type, name: Type) -> tuple[bool, bool]:
        """Whether the variable `name` may stand for `found`, and whether it stood for something before."""
        if found == name:
            return True, True
        bound = self._bound.get(name)
        if bound is None:
            if not self._occurs(name, found):
                self._bound[name] = found
                return True, False
            return False, False
        if found == bound:
            return True, True
        if self._fits(found, bound):
            general = most_general(found, bound)
            if not self._occurs(name, general):
                self._bound[name] = general
            return True, True
        return False, True

    def _occurs(self, name: Type, within: Type) -> bool:
        if name == within:
            return True
        if within.kind == "var":
            bound = self._bound.get(within)
            return bound is not None and self._occurs(name, bound)
        return any(self._occurs(name, param) for param in within.params)


def most_general(one: Type, other: Type) -> Type:
    """The less specific of two types that fit each other."""
    return one if _less_specific(one, other) else other


def _less_specific(one: Type, other: Type) -> bool:
    if one.kind in ("dyn", "var"):
        return True
    if other.kind in ("dyn", "var") or one.kind != other.kind:
        return False
    if one.kind == "type":
        return True
    if one.name != other.name or len(one.params) != len(other.params):
        return False
    return all(map(_less_specific, one.params, other.params))
