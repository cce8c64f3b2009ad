"""What a log's tracebacks come to: type, message, the user's line and the rank."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.health.tracebacks import LogLine, find_raised, iterate_lines
from tests.builders import at
from tests.health import outputs
from tests.health.outputs import lines, raw, stamped, torchrun

CASES = [
    ("raised under torchrun", outputs.RAISED, "ValueError", "bad shape", "/code/train.py", 5, 1),
    (
        "chained: the last one counts",
        outputs.CHAINED,
        "RuntimeError",
        "cannot load config",
        "/code/load.py",
        5,
        None,
    ),
    (
        "syntax error, no header",
        outputs.SYNTAX,
        "SyntaxError",
        "'(' was never closed",
        "/code/train.py",
        1,
        None,
    ),
    (
        "raised in a library: the user's line",
        outputs.IN_LIBRARY,
        "RuntimeError",
        "mat1 and mat2 shapes cannot be multiplied (2x5 and 3x4)",
        "/code/train.py",
        3,
        None,
    ),
    ("exception group: its leaf", outputs.GROUP, "ValueError", "inner", "/code/train.py", 2, None),
]


@pytest.mark.parametrize(
    ("what", "text", "kind", "message", "file", "line", "rank"), CASES, ids=[case[0] for case in CASES]
)
def test_one_traceback(
    what: str, text: str, kind: str, message: str, file: str, line: int, rank: int | None
) -> None:
    found = find_raised(lines(text))[-1]
    assert (found.kind, found.message, found.rank) == (kind, message, rank), what
    assert found.frame is not None
    assert (found.frame.file, found.frame.line) == (file, line)


def test_ranks_interleaved_line_by_line_are_told_apart() -> None:
    found = {
        one.rank: (one.message, one.frame.line if one.frame else 0)
        for one in find_raised(lines(outputs.INTERLEAVED))
    }
    assert found == {2: ("'two'", 20), 3: ("'three'", 30)}


def test_a_collective_in_the_traceback_is_noticed() -> None:
    assert find_raised(lines(outputs.PEER_COMPLAINS))[0].in_collective
    assert not find_raised(lines(outputs.RAISED))[0].in_collective


def test_the_report_of_torchrun_follows_the_exception_it_is_about() -> None:
    found = find_raised(stamped(torchrun(outputs.RAISED, rank=1), 10))
    assert [one.kind for one in found] == ["ValueError", "ChildFailedError"]


def test_a_log_without_a_traceback_has_none() -> None:
    assert find_raised(lines("epoch 1/20: loss 0.3\nno data at /data")) == []


@given(st.lists(st.text(max_size=40), max_size=30))
def test_no_text_is_too_odd_to_read(texts: list[str]) -> None:
    for one in find_raised([LogLine(text) for text in texts]):
        assert one.kind


def test_timestamps_of_the_api_are_read_to_the_microsecond() -> None:
    chunks = [b"2026-01-01T00:00:01.123456789Z hel", b"lo\n2026-01-01T00:00:02Z \nbare line\n"]
    assert list(iterate_lines(chunks)) == [
        LogLine("hello", at(1.123456)),
        LogLine("", at(2)),
        LogLine("bare line"),
    ]


def test_what_is_written_with_timestamps_is_read_back() -> None:
    written = stamped(outputs.RAISED, 3)
    assert list(iterate_lines([raw(written)])) == written
