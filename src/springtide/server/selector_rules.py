"""Rules of labels and of what chooses by them: label selectors, node selectors. Called by many strategies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from springtide.api.names import label_value_fault, qualified_fault, subdomain_fault
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, forbidden_field, required

Json = dict[str, Any]

_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_NO_OPERATOR = "not a valid selector operator"


def label_errors(labels: Json, field: str) -> Iterator[FieldError]:
    """Faults of keys and values of labels."""
    for key, value in labels.items():
        if fault := qualified_fault(key):
            yield bad_value(field, key, fault)
        if fault := label_value_fault(value):
            yield bad_value(field, value, fault)


def label_selector_errors(selector: Json, field: str) -> Iterator[FieldError]:
    """Faults of a label selector."""
    yield from label_errors(selector.get("matchLabels") or {}, f"{field}.matchLabels")
    for index, one in enumerate(selector.get("matchExpressions") or ()):
        place = f"{field}.matchExpressions[{index}]"
        operator, values = one.get("operator") or "", one.get("values") or []
        yield from _values_errors(operator, values, place)
        if operator not in _OPERATORS:
            yield bad_value(f"{place}.operator", operator, _NO_OPERATOR)
        yield from _key_errors(one, place)
        yield from _label_values_errors(values, place)


def node_selector_errors(selector: Json, field: str) -> Iterator[FieldError]:
    """Faults of a node selector: terms of expressions over labels and over the name."""
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        yield required(f"{field}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(terms):
        yield from node_term_errors(term, f"{field}.nodeSelectorTerms[{index}]")


def node_term_errors(term: Json, field: str, *, check_values: bool = True) -> Iterator[FieldError]:
    """Faults of one term; mere preferences may name values no label can have."""
    for index, one in enumerate(term.get("matchExpressions") or ()):
        place = f"{field}.matchExpressions[{index}]"
        operator, values = one.get("operator") or "", one.get("values") or []
        yield from _values_errors(operator, values, place)
        if operator in ("Gt", "Lt"):
            if len(values) != 1:
                rule = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                yield required(f"{place}.values", rule)
        elif operator not in _OPERATORS:
            yield bad_value(f"{place}.operator", operator, _NO_OPERATOR)
        yield from _key_errors(one, place)
        if check_values:
            yield from _label_values_errors(values, place)
    for index, one in enumerate(term.get("matchFields") or ()):
        yield from _match_field_errors(one, f"{field}.matchFields[{index}]")


def _match_field_errors(one: Json, field: str) -> Iterator[FieldError]:
    operator, values, key = one.get("operator") or "", one.get("values") or [], one.get("key") or ""
    if operator not in ("In", "NotIn"):
        yield bad_value(f"{field}.operator", operator, _NO_OPERATOR)
    elif len(values) != 1:
        rule = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield required(f"{field}.values", rule)
    if key != "metadata.name":
        yield bad_value(f"{field}.key", key, "not a valid field selector key")
        return
    for index, value in enumerate(values):
        if fault := subdomain_fault(value):
            yield bad_value(f"{field}.values[{index}]", value, fault)


def _values_errors(operator: str, values: list[str], field: str) -> Iterator[FieldError]:
    if operator in ("In", "NotIn") and not values:
        yield required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist") and values:
        rule = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        yield forbidden_field(f"{field}.values", rule)


def _key_errors(one: Json, field: str) -> Iterator[FieldError]:
    key = one.get("key") or ""
    if fault := qualified_fault(key):
        yield bad_value(f"{field}.key", key, fault)


def _label_values_errors(values: list[str], field: str) -> Iterator[FieldError]:
    for index, value in enumerate(values):
        if fault := label_value_fault(value):
            yield bad_value(f"{field}.values[{index}]", value, fault)
