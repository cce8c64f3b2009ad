"""Label and field selectors: parsed once, matched often.

Called by the server (lists and watches), informers and controllers. The grammar is Kubernetes':
`a=b,c!=d,e in (f,g),h,!i` for labels, `metadata.name=x,status.phase!=Running` for fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from springtide.api.meta import LabelSelector

_KEY = r"[A-Za-z0-9](?:[A-Za-z0-9_./-]*[A-Za-z0-9])?"
_SET = re.compile(rf"(?P<key>{_KEY})\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUALITY = re.compile(rf"(?P<key>{_KEY})\s*(?P<op>==|=|!=)\s*(?P<value>[A-Za-z0-9_.-]*)")
_ORDER = re.compile(rf"(?P<key>{_KEY})\s*(?P<op>[<>])\s*(?P<value>-?\d+)")
_EXISTS = re.compile(rf"(?P<not>!?)\s*(?P<key>{_KEY})")


@dataclass(frozen=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: str
    """in, notin, exists, !exists, gt or lt."""
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        if self.operator == "in":
            return value in self.values if value is not None else False
        if self.operator == "notin":
            return value is None or value not in self.values
        if self.operator == "exists":
            return value is not None
        if self.operator == "!exists":
            return value is None
        return self._in_order(value)

    def _in_order(self, value: str | None) -> bool:
        if value is None or not re.fullmatch(r"-?\d+", value, re.ASCII):
            return False
        bound = int(next(iter(self.values)))
        return int(value) > bound if self.operator == "gt" else int(value) < bound


@dataclass(frozen=True)
class Labels:
    """A parsed label selector; without requirements it matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)


@dataclass(frozen=True)
class Fields:
    """A parsed field selector: (path, wanted value, whether it must be equal)."""

    terms: tuple[tuple[str, str, bool], ...] = ()

    def matches(self, value_of: Callable[[str], str]) -> bool:
        """Whether the object whose field at a path `value_of` tells matches."""
        return all((value_of(path) == wanted) == equal for path, wanted, equal in self.terms)

    def required(self, path: str) -> str | None:
        """The value this field must have, if the selector fixes it."""
        return next((wanted for term, wanted, equal in self.terms if term == path and equal), None)


def parse_labels(text: str) -> Labels:
    """Parse `a=b,c in (d,e),!f`. Raises ValueError naming the part that does not parse."""
    return Labels(tuple(_requirement(part) for part in _split(text)))


def parse_fields(text: str) -> Fields:
    """Parse `metadata.name=x,spec.nodeName!=y`. Raises ValueError naming the part that does not parse."""
    return Fields(tuple(_term(part) for part in _split_escaped(text) if part.strip()))


def from_label_selector(selector: LabelSelector | None) -> Labels | None:
    """The typed selector of an object's spec; None (matches nothing) for an absent one."""
    if selector is None:
        return None
    exact = [Requirement(key, "in", frozenset((value,))) for key, value in selector.match_labels.items()]
    further = [
        Requirement(item.key, _TYPED_OPERATORS[item.operator], frozenset(item.values))
        for item in selector.match_expressions
    ]
    return Labels((*exact, *further))


def format_labels(labels: Mapping[str, str]) -> str:
    """The selector that matches exactly these labels, keys in order."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


_TYPED_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!exists"}


def _split(text: str) -> list[str]:
    """Split at commas outside parentheses; an empty selector has no parts."""
    if not text.strip():
        return []
    parts, start, inside = [], 0, False
    for match in re.finditer("[(),]", text):
        if match[0] == "," and not inside:
            parts.append(text[start : match.start()].strip())
            start = match.end()
        elif match[0] != ",":
            inside = match[0] == "("
    return [*parts, text[start:].strip()]


def _requirement(part: str) -> Requirement:
    if match := _SET.fullmatch(part):
        values = frozenset(value.strip() for value in match["values"].split(","))
        return Requirement(match["key"], match["op"], values)
    if match := _EQUALITY.fullmatch(part):
        operator = "notin" if match["op"] == "!=" else "in"
        return Requirement(match["key"], operator, frozenset((match["value"],)))
    if match := _ORDER.fullmatch(part):
        return Requirement(match["key"], "gt" if match["op"] == ">" else "lt", frozenset((match["value"],)))
    if match := _EXISTS.fullmatch(part):
        return Requirement(match["key"], "!exists" if match["not"] else "exists")
    raise ValueError(
        f"unable to parse requirement {part!r}: "
        "write key=value, key!=value, key in (a,b), key notin (a,b), key or !key"
    )


def _split_escaped(text: str) -> list[str]:
    return re.split(r"(?<!\\),", text)


def _term(part: str) -> tuple[str, str, bool]:
    match = re.fullmatch(r"\s*([^=!\s]+)\s*(==|=|!=)(.*)", part)
    if match is None:
        raise ValueError(
            f"invalid selector: {part!r}; can't understand {part!r}: write path=value or path!=value"
        )
    return match[1], re.sub(r"\\([\\,=])", r"\1", match[3]), match[2] != "!="
