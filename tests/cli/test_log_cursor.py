"""The log cursor: however the stream is cut and broken, each line is shown once and in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.cli.log_cursor import LogCursor

STAMP = "2026-01-01T00:00:0{}Z {}\n"


def stamped(seconds: list[int]) -> bytes:
    return "".join(STAMP.format(second, f"line {n}") for n, second in enumerate(sorted(seconds))).encode()


def test_timestamps_are_taken_off() -> None:
    assert LogCursor().feed(b"2026-01-01T00:00:00.5Z hello\n2026-01-01T00:00:00.51Z  two\n") == [
        "hello",
        " two",
    ]


def test_a_line_without_a_timestamp_is_shown_as_it_is() -> None:
    assert LogCursor().feed(b"unable to read\r\n") == ["unable to read"]


def test_lines_without_timestamps_are_not_repeated_either() -> None:
    cursor = LogCursor()
    assert cursor.feed(b"one\ntwo\n") == ["one", "two"]
    cursor.reopen()
    assert cursor.feed(b"one\ntwo\nthree\n") == ["three"]
    cursor.reopen()
    assert cursor.feed(b"one\n2026-01-01T00:00:00Z four\nfive\n") == ["four", "five"]
    cursor.reopen()
    assert cursor.feed(b"one\n2026-01-01T00:00:00Z four\nfive\nsix\n") == ["six"]


def test_an_empty_line_is_a_line() -> None:
    assert LogCursor().feed(b"2026-01-01T00:00:00Z \n2026-01-01T00:00:00Z\n") == ["", ""]


def test_a_last_line_without_newline_is_shown_at_the_end() -> None:
    cursor = LogCursor()
    assert cursor.feed(b"2026-01-01T00:00:00Z half") == []
    assert cursor.end() == ["half"]
    assert cursor.end() == []


@pytest.mark.parametrize(("first", "second"), [(".1Z", ".12Z"), ("Z", ".000000001Z"), (".9Z", ".91Z")])
def test_fractions_of_different_length_are_compared_as_times(first: str, second: str) -> None:
    whole = f"2026-01-01T00:00:00{first} a\n2026-01-01T00:00:00{second} b\n".encode()
    cursor = LogCursor()
    assert cursor.feed(whole) == ["a", "b"]
    cursor.reopen()
    assert cursor.feed(whole) == []


@given(
    seconds=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    breaks=st.lists(st.integers(0, 400), max_size=4),
    size=st.integers(1, 40),
)
def test_each_line_is_shown_once_whatever_breaks(seconds: list[int], breaks: list[int], size: int) -> None:
    whole = stamped(seconds)
    cursor, shown = LogCursor(), []
    for end in [*breaks, len(whole)]:
        cursor.reopen()
        part = whole[:end]
        for start in range(0, len(part), size):
            shown += cursor.feed(part[start : start + size])
    assert shown == [f"line {n}" for n in range(len(seconds))]
