"""Label and field selectors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springtide.api.meta import LabelSelector, LabelSelectorRequirement
from springtide.api.selectors import format_labels, from_label_selector, parse_fields, parse_labels

GPU_NODE = {"zone": "a", "gpu": "h100", "count": "8", "kueue.x-k8s.io/queue-name": "team-a"}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("zone=a", True),
        ("zone == a", True),
        ("zone=b", False),
        ("zone!=b", True),
        ("absent!=b", True),
        ("absent=", False),
        ("gpu in (a100, h100)", True),
        ("gpu notin (a100,h100)", False),
        ("absent notin (x)", True),
        ("gpu", True),
        ("!gpu", False),
        ("! absent", True),
        ("zone=a,gpu in (h100,b200),!cordoned", True),
        ("zone=a,gpu in (b200)", False),
        ("count>4", True),
        ("count < 8", False),
        ("zone>1", False),
        ("kueue.x-k8s.io/queue-name=team-a", True),
    ],
)
def test_label_selector(selector: str, matches: bool) -> None:
    assert parse_labels(selector).matches(GPU_NODE) is matches


@pytest.mark.parametrize("selector", ["a=b=c", "a in b", "=x", "a,,b", "a in (b", "a ~ b"])
def test_a_label_selector_that_does_not_parse_names_the_part(selector: str) -> None:
    with pytest.raises(ValueError, match="unable to parse requirement"):
        parse_labels(selector)


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("spec.nodeName=n1", True),
        ("spec.nodeName==n1,status.phase!=Failed", True),
        ("spec.nodeName!=n1", False),
        ("spec.nodeName=", False),
    ],
)
def test_field_selector(selector: str, matches: bool) -> None:
    fields = {"spec.nodeName": "n1", "status.phase": "Running"}
    assert parse_fields(selector).matches(fields.__getitem__) is matches


def test_a_field_selector_tells_the_value_it_fixes() -> None:
    selector = parse_fields("metadata.name=x,status.phase!=Failed")
    assert selector.required("metadata.name") == "x"
    assert selector.required("status.phase") is None


def test_a_field_selector_that_does_not_parse_names_the_part() -> None:
    with pytest.raises(ValueError, match=r"can't understand 'metadata\.name'"):
        parse_fields("metadata.name")


def test_typed_selector_needs_every_requirement() -> None:
    typed = LabelSelector(
        match_labels={"zone": "a"},
        match_expressions=[
            LabelSelectorRequirement(key="gpu", operator="In", values=["h100"]),
            LabelSelectorRequirement(key="cordoned", operator="DoesNotExist"),
        ],
    )
    selector = from_label_selector(typed)
    assert selector is not None
    assert selector.matches(GPU_NODE)
    assert not selector.matches({**GPU_NODE, "cordoned": ""})
    assert from_label_selector(None) is None


names = st.from_regex(r"[a-z]([a-z0-9.-]{0,8}[a-z0-9])?", fullmatch=True)


@given(st.dictionaries(names, names, max_size=5))
def test_the_selector_of_labels_matches_them(labels: dict[str, str]) -> None:
    assert parse_labels(format_labels(labels)).matches(labels)
