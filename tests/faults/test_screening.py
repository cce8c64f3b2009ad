"""The question about whole blocks: never no where a line of the block is worth keeping."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from springtide.faults import catalog, worth_keeping
from springtide.faults.screening import may_hold

EXAMPLES = [
    one if isinstance(one, str) else one.line for signature in catalog() for one in signature.examples
]
ORDINARY = "step 100 loss 2.3456 lr 1e-4 tokens/s 12345 grad_norm 0.987"


def test_every_example_worth_keeping_is_found_in_a_block_of_ordinary_lines() -> None:
    missed = [
        line
        for line in EXAMPLES
        if worth_keeping(line) is not None
        and not may_hold(f"{ORDINARY}\n2026-01-01T00:00:00Z stderr F {line}\n{ORDINARY}\n".encode())
    ]
    assert missed == []


def test_ordinary_lines_are_passed_over_as_a_block() -> None:
    assert not may_hold(f"{ORDINARY}\n".encode() * 1000)


@given(st.lists(st.sampled_from([*EXAMPLES, ORDINARY]), max_size=12))
def test_a_block_says_yes_whenever_one_of_its_lines_would(lines: list[str]) -> None:
    block = "".join(f"{line}\n" for line in lines).encode()
    assert may_hold(block) or not any(worth_keeping(line) for line in lines)


def test_where_a_pattern_asks_for_the_beginning_of_a_line_a_block_is_searched_anywhere() -> None:
    anchored = [one for one in catalog() if "^" in one.pattern]
    examples = [
        example if isinstance(example, str) else example.line for one in anchored for example in one.examples
    ]
    assert anchored
    for line in examples:
        if worth_keeping(line) is not None:
            assert may_hold(f"{ORDINARY}\nstamp stdout F {line}\n".encode()), line
