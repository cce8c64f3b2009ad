"""Kubernetes quantities: `500m`, `2Gi`, `1e3`, exactly.

Called by the scheduler, the node and validation. Values are `Fraction`s so that sums never drift; the
wire form is a string (a plain number is accepted too, as the API server does). Source of the grammar
and of the canonical form: `k8s.io/apimachinery/pkg/api/resource`.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

Quantity = str | int | float
"""A quantity as it stands in JSON."""

_GRAMMAR = re.compile(
    r"(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+))(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?", re.ASCII
)
_BINARY: dict[str, int] = {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", start=1)}
_DECIMAL = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
}
_NANO = Fraction(1, 10**9)
_LARGEST_EXPONENT = 40
"""Keeps `1e999999999` from taking the machine's memory."""


def parse(value: Quantity) -> Fraction:
    """The exact value. Raises ValueError naming the text when it is no quantity."""
    return _parse(value if isinstance(value, str) else repr(value))


def milli(value: Quantity) -> int:
    """Thousandths, rounded up: the unit CPU is counted in."""
    return _ceil(parse(value) * 1000)


def to_int(value: Quantity) -> int:
    """Whole units, rounded up: bytes, devices, pods."""
    return _ceil(parse(value))


def canonical(value: Quantity) -> str:
    """The one spelling the API server stores: largest suffix without a fraction, same kind of suffix."""
    exact = parse(value)
    text = value if isinstance(value, str) else ""
    if text.endswith("i"):
        return format_bytes(_ceil(exact)) if exact.denominator == 1 else format_decimal(exact)
    if "e" in text or ("E" in text and not text.endswith("E")):
        return _format_exponent(exact)
    return format_decimal(exact)


def format_decimal(value: Fraction | int) -> str:
    """Decimal SI: `1500m`, `2`, `3k`; finer than 10⁻⁹ is rounded up (away from zero)."""
    exact = Fraction(value)
    if exact == 0:
        return "0"
    scaled = exact / _NANO
    if scaled.denominator != 1:
        exact = (_ceil(scaled) if scaled > 0 else -_ceil(-scaled)) * _NANO
    for suffix, unit in sorted(_DECIMAL.items(), key=lambda item: -item[1]):
        count = exact / unit
        if count.denominator == 1:
            return f"{count.numerator}{suffix}"
    raise AssertionError("every multiple of a nano has a suffix")


def format_bytes(value: int) -> str:
    """Binary SI: `2Gi`, `1536Mi`, `1000`."""
    if value == 0:
        return "0"
    for suffix, unit in reversed(_BINARY.items()):
        if value % unit == 0:
            return f"{value // unit}{suffix}"
    return str(value)


def format_milli(value: int) -> str:
    """A count of thousandths as a quantity: `format_milli(1500)` is `1500m`, `format_milli(2000)` is `2`."""
    return format_decimal(Fraction(value, 1000))


def is_quantity(value: object) -> bool:
    """Whether this JSON value is a quantity."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    try:
        parse(value)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def _parse(text: str) -> Fraction:
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a quantity: write a number and maybe a suffix, such as 500m, 2, 1.5Gi or 1e3"
        )
    suffix = match["suffix"] or ""
    number = Fraction(match["number"].removesuffix("."))
    if suffix in _BINARY:
        return number * _BINARY[suffix]
    if suffix in _DECIMAL:
        return number * _DECIMAL[suffix]
    power = int(suffix[1:])
    if abs(power) > _LARGEST_EXPONENT:
        raise ValueError(f"{text!r} is not a quantity: the exponent must be within ±{_LARGEST_EXPONENT}")
    scale: Fraction = Fraction(10) ** power
    return number * scale


def _format_exponent(exact: Fraction) -> str:
    plain = format_decimal(exact)
    for suffix, exponent in (
        ("n", -9),
        ("u", -6),
        ("m", -3),
        ("k", 3),
        ("M", 6),
        ("G", 9),
        ("T", 12),
        ("P", 15),
        ("E", 18),
    ):
        if plain.endswith(suffix):
            return f"{plain[: -len(suffix)]}e{exponent}"
    return plain


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)
