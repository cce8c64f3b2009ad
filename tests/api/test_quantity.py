"""Quantities against the API server's behaviour."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api import quantity

# value, exact, canonical spelling; from the tables of k8s.io/apimachinery/pkg/api/resource.
TABLE: list[tuple[quantity.Quantity, Fraction, str]] = [
    ("0", Fraction(0), "0"),
    ("0Gi", Fraction(0), "0"),
    ("1", Fraction(1), "1"),
    (2, Fraction(2), "2"),
    (0.5, Fraction(1, 2), "500m"),
    ("100m", Fraction(1, 10), "100m"),
    ("1500m", Fraction(3, 2), "1500m"),
    ("2000m", Fraction(2), "2"),
    ("1k", Fraction(1000), "1k"),
    ("1Ki", Fraction(1024), "1Ki"),
    ("1024Ki", Fraction(2**20), "1Mi"),
    ("1.5Gi", Fraction(3 * 2**29), "1536Mi"),
    ("12.5Mi", Fraction(25 * 2**19), "12800Ki"),
    ("1e3", Fraction(1000), "1e3"),
    ("1E3", Fraction(1000), "1e3"),
    ("1E", Fraction(10**18), "1E"),
    ("1Ei", Fraction(2**60), "1Ei"),
    ("100n", Fraction(1, 10**7), "100n"),
    ("5u", Fraction(5, 10**6), "5u"),
    ("-1500m", Fraction(-3, 2), "-1500m"),
    ("+1", Fraction(1), "1"),
    (".5", Fraction(1, 2), "500m"),
    ("1.", Fraction(1), "1"),
    ("1000000", Fraction(10**6), "1M"),
    ("0.1n", Fraction(1, 10**10), "1n"),
]


@pytest.mark.parametrize(("value", "exact", "canonical"), TABLE, ids=[str(row[0]) for row in TABLE])
def test_value_and_canonical_spelling(value: quantity.Quantity, exact: Fraction, canonical: str) -> None:
    assert quantity.parse(value) == exact
    assert quantity.canonical(value) == canonical


@pytest.mark.parametrize(
    "text", ["", "x", "1 Gi", "1gi", "1KB", "--1", "1e", "1.5.5", "१", "0x10", "1e999999999"]
)
def test_what_is_no_quantity_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        quantity.parse(text)
    assert not quantity.is_quantity(text)


def test_a_boolean_is_no_quantity() -> None:
    assert not quantity.is_quantity(True)


@pytest.mark.parametrize(
    ("value", "milli", "whole"),
    [("1", 1000, 1), ("100m", 100, 1), ("1u", 1, 1), ("1.0005", 1001, 2), ("2Ki", 2048000, 2048)],
)
def test_counting_rounds_up(value: str, milli: int, whole: int) -> None:
    assert quantity.milli(value) == milli
    assert quantity.to_int(value) == whole


@given(st.fractions(max_denominator=10**9).map(lambda f: Fraction(round(f * 10**9), 10**9)))
def test_decimal_text_keeps_the_value(value: Fraction) -> None:
    assert quantity.parse(quantity.format_decimal(value)) == value


@given(st.integers(-(2**70), 2**70))
def test_binary_text_keeps_the_value(value: int) -> None:
    assert quantity.parse(quantity.format_bytes(value)) == value


@given(st.integers(0, 10**15))
def test_milli_text_keeps_the_value(value: int) -> None:
    assert quantity.milli(quantity.format_milli(value)) == value
