"""Every signature is tried on its own examples and on lines that only look alike."""

from __future__ import annotations

from collections import Counter

import pytest
import re2

from springtide.api.springtide import Action, Blame
from springtide.faults import FAMILIES, Example, Role, Secondary, Signature, catalog, match, signature_named
from springtide.faults.fault import Fault
from springtide.faults.matching import Match
from springtide.faults.verdicts import VERDICTS


def as_example(given: str | Example) -> Example:
    return given if isinstance(given, Example) else Example(line=given)


def judged(example: Example) -> Match | None:
    return match(example.line, example.context.splitlines())


EXAMPLES = [
    pytest.param(signature, as_example(one), id=f"{signature.name}-{number}")
    for signature in catalog()
    for number, one in enumerate(signature.examples)
]
COUNTERS = [
    pytest.param(signature, as_example(one), id=f"{signature.name}-{number}")
    for signature in catalog()
    for number, one in enumerate(signature.counter)
]


@pytest.mark.parametrize(("signature", "example"), EXAMPLES)
def test_an_example_is_recognised_with_its_verdict(signature: Signature, example: Example) -> None:
    found = judged(example)
    assert found is not None, example.line
    assert found.signature == (example.decided or signature.name)
    decided = signature_named(found.signature)
    assert decided is not None
    assert found.blame == (example.blame or decided.own_blame)
    assert found.action == (example.action or decided.own_action)
    assert found.secondary == (example.secondary or decided.secondary)
    if example.device:
        assert found.device == example.device
    if example.peer:
        assert found.peer == example.peer
    if example.rank is not None:
        assert found.rank == example.rank


@pytest.mark.parametrize(("signature", "example"), COUNTERS)
def test_a_line_that_looks_alike_is_not_taken_for_it(signature: Signature, example: Example) -> None:
    found = judged(example)
    assert found is None or signature.name not in (found.signature, found.wrapper)


def test_names_are_unique_and_every_fault_has_a_verdict() -> None:
    twice = [name for name, count in Counter(one.name for one in catalog()).items() if count > 1]
    assert twice == []
    assert set(VERDICTS) == set(Fault)
    assert set(FAMILIES) == {one.family for one in catalog()}


@pytest.mark.parametrize("signature", catalog(), ids=lambda one: one.name)
def test_a_signature_is_well_formed(signature: Signature) -> None:
    known = {"device", "peer", "rank", "inner"}
    for pattern in [
        signature.pattern,
        signature.unless,
        signature.context,
        *(one for change in signature.when for one in (change.line, change.context)),
    ]:
        assert set(re2.compile(pattern).groupindex) <= known
    assert signature.source.startswith("https://")
    assert signature.what.endswith(".")
    if signature.own_action is Action.CORDON_EVICT:
        assert signature.own_blame is not Blame.PROGRAM
        assert signature.secondary is not Secondary.YES
        assert signature.confidence >= 0.5
    if signature.role is Role.TEARDOWN:
        assert signature.secondary is Secondary.YES
