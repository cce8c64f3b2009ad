"""The formats of strings that schemas of CRDs may name: `date-time`, `duration`, `uuid`, `cidr` …

Called by `schema_rules` (values), `customresources` (a warning for formats nobody knows) and CEL's
`format.…`. The list and what each takes: apiextensions `validation/formats.go` and kube-openapi `strfmt`.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date
from typing import Any

from springtide.api.names import label_fault, subdomain_fault

Fits = Callable[[str], bool]


def _parses(parse: Callable[[str], Any]) -> Fits:
    def fits(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return fits


def _like(pattern: str, flags: int = 0) -> Fits:
    compiled = re.compile(pattern, flags | re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


_TIME = re.compile(r"(\d{2}):(\d{2}):(\d{2})(.\d+)?(z|[+-]\d{2}:\d{2})", re.ASCII)
_GO_DURATION = _like(r"[+-]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)")
_WORDED = re.compile(r"(\d+)\s*([A-Za-zµ]+)")
_WORDS = ("nano", "micro", "milli", "sec", "min", "hour", "day", "week")
_UNITS = frozenset(["ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk"])


def _date(text: str) -> bool:
    return len(text) == 10 and _parses(date.fromisoformat)(text)


def _date_time(text: str) -> bool:
    day, letter, time = text.lower().partition("t")
    found = _TIME.fullmatch(time)
    if not letter or not _date(day) or found is None:
        return False
    return found[1] <= "23" and found[2] <= "59" and found[3] <= "59"


def _duration(text: str) -> bool:
    """Go's durations, and those with words: `3 days`."""
    if _GO_DURATION(text):
        return True
    units = [unit.lower() for _, unit in _WORDED.findall(text)]
    return any(unit in _UNITS or unit.startswith(_WORDS) for unit in units)


def _base64(text: str) -> bool:
    return _parses(lambda raw: base64.b64decode(raw, validate=True))(text)


def _hostname(text: str) -> bool:
    labels = text.split(".")
    letters = text.replace(".", "").replace("-", "")
    plain = all(letter.isalnum() or not letter.isascii() for letter in letters)
    if not text or len(text) > 255 or not plain:
        return False
    if any(not label or len(label) > 63 or label[0] == "-" or label[-1] == "-" for label in labels):
        return False
    return len(labels) == 1 or (len(labels[-1]) > 1 and labels[-1].isalpha())


def _email(text: str) -> bool:
    from email.utils import parseaddr  # seldom needed, and slow to import

    name, address = parseaddr(text)
    local, _, domain = address.rpartition("@")
    return bool(local and domain and " " not in address and (name or address == text.strip(" <>")))


def _isbn(length: int) -> Fits:
    def fits(text: str) -> bool:
        digits = re.sub(r"[\s-]", "", text)
        if not re.fullmatch(r"\d{9}[\dX]" if length == 10 else r"\d{13}", digits):
            return False
        if length == 10:
            values = [10 if digit == "X" else int(digit) for digit in digits]
            return sum(value * (at + 1) for at, value in enumerate(values)) % 11 == 0
        return sum(int(digit) * (1, 3)[at % 2] for at, digit in enumerate(digits)) % 10 == 0

    return fits


def _credit_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    doubled = [int(digit) * (1, 2)[at % 2] for at, digit in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 16 and sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def _uri(text: str) -> bool:
    if re.search(r"[\x00-\x20\x7f]|%(?![0-9A-Fa-f]{2})", text):
        return False
    return text.startswith("/") or re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:.", text) is not None


_isbn10, _isbn13 = _isbn(10), _isbn(13)
_HEX = "[0-9a-f]"

FORMATS: dict[str, Fits] = {
    "bsonobjectid": _like(f"{_HEX}{{24}}", re.IGNORECASE),
    "uri": _uri,
    "email": _email,
    "hostname": _hostname,
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": lambda text: "/" in text and _parses(lambda raw: ipaddress.ip_network(raw, strict=False))(text),
    "mac": _like(r"([0-9a-f]{2}[:-]){5}([0-9a-f]{2})|([0-9a-f]{4}\.){2}[0-9a-f]{4}", re.IGNORECASE),
    "uuid": _like(rf"{_HEX}{{8}}-?({_HEX}{{4}}-?){{3}}{_HEX}{{12}}", re.IGNORECASE),
    "uuid3": _like(rf"{_HEX}{{8}}-?{_HEX}{{4}}-?3{_HEX}{{3}}-?{_HEX}{{4}}-?{_HEX}{{12}}", re.IGNORECASE),
    "uuid4": _like(
        rf"{_HEX}{{8}}-?{_HEX}{{4}}-?4{_HEX}{{3}}-?[89ab]{_HEX}{{3}}-?{_HEX}{{12}}", re.IGNORECASE
    ),
    "uuid5": _like(
        rf"{_HEX}{{8}}-?{_HEX}{{4}}-?5{_HEX}{{3}}-?[89ab]{_HEX}{{3}}-?{_HEX}{{12}}", re.IGNORECASE
    ),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _credit_card,
    "ssn": _like(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _like(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _like(
        r"rgb\((\s*(0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])\s*,){2}\s*(0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])\s*\)"
    ),
    "byte": _base64,
    "password": lambda _: True,
    "date": _date,
    "duration": _duration,
    "date-time": _date_time,
    "k8s-short-name": lambda text: not label_fault(text),
    "k8s-long-name": lambda text: not subdomain_fault(text),
}

_BY_PLAIN_NAME = {name.replace("-", ""): fits for name, fits in FORMATS.items()}


def format_of(name: str) -> Fits | None:
    """The rule for a format of a string; dashes in its name do not matter. None: nobody knows it."""
    return _BY_PLAIN_NAME.get(name.replace("-", ""))


def is_known(name: str, kind: str) -> bool:
    """Whether a format means something for a schema type; others are kept but check nothing."""
    if kind in ("", "string"):
        return format_of(name) is not None
    return name in {"integer": ("int32", "int64"), "number": ("float", "double")}.get(kind, ())
