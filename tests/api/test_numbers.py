"""Numbers that people write as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from springtide.api.numbers import whole_number


@given(some.integers(0, 2**63 - 1))
def test_what_is_written_is_read(number: int) -> None:
    assert whole_number(str(number)) == number
    assert whole_number(f"00{number}") == number


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", " 1", "\u0663", "x", str(2**63), "9" * 5000])
def test_anything_else_is_none(text: str) -> None:
    assert whole_number(text) is None


def test_zeros_in_front_count_for_nothing() -> None:
    assert whole_number("0" * 5000 + "7") == 7
