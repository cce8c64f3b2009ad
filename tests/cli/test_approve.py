"""`springtide approve`: which check is meant, and what is said where none is."""

from __future__ import annotations

import pytest

from springtide.api.kueue import AdmissionCheckState, Workload
from springtide.api.struct import replace
from springtide.cli.approve import _open_check
from springtide.cli.errors import CliError
from tests.builders import at, workload


def with_checks(**states: str) -> Workload:
    found = workload("w")
    said = [
        AdmissionCheckState(name=name, state=of, last_transition_time=at(0)) for name, of in states.items()
    ]
    return replace(found, status=replace(found.status, admission_checks=said))


@pytest.mark.parametrize(
    ("states", "wanted", "expected"),
    [
        ({"budget": "Pending"}, "", "budget"),
        ({"budget": "Pending", "other": "Ready"}, "", "budget"),
        ({"budget": "Pending", "other": "Pending"}, "other", "other"),
        ({"budget": "Rejected"}, "", "budget"),
    ],
)
def test_the_open_check_is_meant(states: dict[str, str], wanted: str, expected: str) -> None:
    assert _open_check(with_checks(**states), wanted).name == expected


@pytest.mark.parametrize(
    ("states", "wanted", "words"),
    [
        ({}, "", "waits for no admission check"),
        ({"budget": "Ready"}, "", "waits for no admission check"),
        ({"budget": "Pending", "other": "Pending"}, "", "waits for 2 admission checks"),
        ({"budget": "Pending"}, "mine", "has no admission check 'mine'"),
    ],
)
def test_what_cannot_be_approved_is_said(states: dict[str, str], wanted: str, words: str) -> None:
    with pytest.raises(CliError, match=words):
        _open_check(with_checks(**states), wanted)
