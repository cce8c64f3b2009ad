"""CEL's functions on strings: search, slices, case, split and join, `format`, and regular expressions.

One of the libraries of `cel_functions`. Source: cel-go's strings extension, version 2, and Kubernetes'
regex library. Regular expressions are RE2's (linear time), as everywhere in Kubernetes.
"""

from __future__ import annotations

import math
import re
from typing import Any

from springtide.server import regex
from springtide.server.cel_functions import Function, function
from springtide.server.cel_operators import to_string
from springtide.server.cel_values import (
    LISTS,
    MAPS,
    CelError,
    Duration,
    ObjectView,
    Timestamp,
    UInt,
    get_key,
    type_name,
)

LONGEST = 10_000_000
"""Characters a function may make; what a request can hold is far less."""


def _bounded(length: int) -> None:
    if length > LONGEST:
        raise CelError(f"the text would have {length} characters; at most {LONGEST} are made")


def _in_range(at: int, text: str) -> None:
    if not 0 <= at <= len(text):
        raise CelError(f"index out of range: {at}")


def _char_at(text: str, at: int) -> str:
    _in_range(at, text)
    return text[at : at + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if not part:
        return start
    if start < 0:
        raise CelError(f"index out of range: {start}")
    return text.find(part, start)


def _last_index_of(text: str, part: str, start: int | None = None) -> int:
    if not part:
        return len(text) if start is None else start
    if start is None:
        return text.rfind(part)
    if start < 0:
        raise CelError(f"index out of range: {start}")
    return -1 if start >= len(text) else text.rfind(part, 0, start + len(part))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    times = text.count(old) if old else len(text) + 1
    _bounded(len(text) + (times if count < 0 else min(count, times)) * max(0, len(new) - len(old)))
    return text.replace(old, new, max(-1, count))


def _split(text: str, separator: str, count: int = -1) -> list[str]:
    if count == 0:
        return []
    if separator:
        return text.split(separator, count - 1 if count > 0 else -1)
    if count < 0 or count >= len(text):
        return list(text)
    return [*text[: count - 1], text[count - 1 :]]


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is not None and start > end:
        raise CelError(f"invalid substring range. start: {start}, end: {end}")
    _in_range(start, text)
    if end is not None:
        _in_range(end, text)
    return text[start:end]


def _join(items: Any, separator: str = "") -> str:
    parts = list(items)
    for part in parts:
        if not isinstance(part, str):
            raise CelError(f"join: invalid input: {part}")
    _bounded(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER = {small: capital for capital, small in _LOWER.items()}
_ESCAPED = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_ESCAPED |= {"\\": "\\\\", '"': '\\"'}


def quote(text: str) -> str:
    return '"' + "".join(_ESCAPED.get(letter, letter) for letter in text) + '"'


def _contains(text: str, part: str) -> bool:
    return part in text


# format


_CLAUSE = re.compile(r"%(?:(%)|(?:\.(\d+))?([sdfexXbo]))|%")


def _format(text: str, args: Any) -> str:
    """`"%s has %d".format([…])`: Go's verbs s d f e x X b o, with a precision for f and e."""
    values = list(args)
    used = 0

    def clause(found: re.Match[str]) -> str:
        nonlocal used
        if found[1]:
            return "%"
        if not found[3]:
            raise CelError(
                f'could not parse formatting clause: unrecognized formatting clause "{found.group()}"'
            )
        if used >= len(values):
            raise CelError(f"index {used} out of range")
        used += 1
        return _clause(found[3], values[used - 1], int(found[2] or 6))

    return _CLAUSE.sub(clause, text)


def _clause(verb: str, value: Any, digits: int) -> str:
    if verb == "s":
        return _shown(value)
    if verb == "d" and type(value) in (int, UInt):
        return str(int(value))
    if verb in "fe":
        number = float(value) if value in ("NaN", "Infinity", "-Infinity") else value
        if isinstance(number, float):
            if not math.isfinite(number):
                return {math.inf: "∞", -math.inf: "-∞"}.get(number, "NaN")
            return f"{number:.{min(digits, 100)}{verb}}"
    if verb in "xX" and isinstance(value, str | bytes):
        raw = (value.encode() if isinstance(value, str) else value).hex()
        return raw.upper() if verb == "X" else raw
    if verb in "xXbo" and type(value) in (int, UInt):
        return f"{int(value):{verb}}"
    if verb == "b" and isinstance(value, bool):
        return "1" if value else "0"
    raise CelError(f"error during formatting: %{verb} does not take a value of type {type_name(value)}")


def _shown(value: Any) -> str:
    """A value as `%s` writes it."""
    if value is None:
        return "null"
    if isinstance(value, LISTS):
        return "[" + ", ".join(map(_nested, value)) + "]"
    if isinstance(value, MAPS) and not isinstance(value, ObjectView):
        pairs = sorted((_nested(key), _nested(get_key(value, key))) for key in value)
        return "{" + ", ".join(f"{key}:{member}" for key, member in pairs) + "}"
    if isinstance(value, bool | int | float | str | bytes | Timestamp | Duration):
        return to_string(value)
    if type_name(value) == "Type":
        return str(value.name)
    raise CelError(f"error during formatting: string clause cannot be used on {type_name(value)}")


def _nested(value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, bytes):
        return "b" + quote(to_string(value))
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, Timestamp):
        return f'timestamp("{to_string(value)}")'
    if isinstance(value, Duration):
        return f'duration("{to_string(value)}")'
    return _shown(value)


# Regular expressions


def _compiled(pattern: str) -> regex.Pattern:
    try:
        return regex.compile(pattern)
    except regex.PatternError as error:
        raise CelError(f"Illegal regex: {error}") from None


def search_steps(text: str, pattern: str, *_: Any) -> int:
    """How much work it may be to search `text`."""
    return _compiled(pattern).steps(text)


def _matches(text: str, pattern: str) -> bool:
    try:
        return _compiled(pattern).found(text)
    except regex.TooCostlyError as error:
        raise CelError(str(error)) from None


def _find(text: str, pattern: str) -> str:
    return next(iter(_find_all(text, pattern, 1)), "")


def _find_all(text: str, pattern: str, count: int = -1) -> list[str]:
    try:
        return _compiled(pattern).all(text, count)
    except regex.TooCostlyError as error:
        raise CelError(str(error)) from None


FUNCTIONS: list[Function] = [
    function("contains", _contains, contains_string="string.(string) -> bool"),
    function("endsWith", str.endswith, ends_with_string="string.(string) -> bool"),
    function("startsWith", str.startswith, starts_with_string="string.(string) -> bool"),
    function(
        "matches", _matches, matches="(string, string) -> bool", matches_string="string.(string) -> bool"
    ),
    function("charAt", _char_at, string_char_at_int="string.(int) -> string"),
    function(
        "indexOf",
        _index_of,
        string_index_of_string="string.(string) -> int",
        string_index_of_string_int="string.(string, int) -> int",
    ),
    function(
        "lastIndexOf",
        _last_index_of,
        string_last_index_of_string="string.(string) -> int",
        string_last_index_of_string_int="string.(string, int) -> int",
    ),
    function("lowerAscii", lambda text: text.translate(_LOWER), string_lower_ascii="string.() -> string"),
    function("upperAscii", lambda text: text.translate(_UPPER), string_upper_ascii="string.() -> string"),
    function(
        "replace",
        _replace,
        string_replace_string_string="string.(string, string) -> string",
        string_replace_string_string_int="string.(string, string, int) -> string",
    ),
    function(
        "split",
        _split,
        string_split_string="string.(string) -> list(string)",
        string_split_string_int="string.(string, int) -> list(string)",
    ),
    function(
        "substring",
        _substring,
        string_substring_int="string.(int) -> string",
        string_substring_int_int="string.(int, int) -> string",
    ),
    function("trim", str.strip, string_trim="string.() -> string"),
    function("format", _format, string_format="string.(list(dyn)) -> string"),
    function("strings.quote", quote, strings_quote="(string) -> string"),
    function(
        "join",
        _join,
        list_join="list(string).() -> string",
        list_join_string="list(string).(string) -> string",
    ),
    function("find", _find, string_find_string="string.(string) -> string"),
    function(
        "findAll",
        _find_all,
        string_find_all_string="string.(string) -> list(string)",
        string_find_all_string_int="string.(string, int) -> list(string)",
    ),
]
