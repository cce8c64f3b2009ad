"""What is wrong with which field, in the words of Kubernetes' field errors.

`reason` and `message` are those of a `metav1.StatusCause`, so a server can pass them on as they are;
`str(error)` is one line for people: `spec.trainer.numNodes: Invalid value: 0: must be at least 1`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldError:
    """One broken rule."""

    reason: str
    """`FieldValueInvalid`, `FieldValueRequired` …"""
    field: str
    """Path of the field in JSON: `spec.containers[0].name`."""
    message: str
    """The value and the rule."""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def invalid(field: str, value: object, rule: str) -> FieldError:
    """The value breaks `rule`, which says what must be."""
    return FieldError("FieldValueInvalid", field, f"Invalid value: {_show(value)}: {rule}")


def required(field: str, rule: str = "") -> FieldError:
    """The value is missing."""
    return FieldError("FieldValueRequired", field, f"Required value: {rule}" if rule else "Required value")


def unsupported(field: str, value: object, supported: Iterable[str]) -> FieldError:
    """The value is none of those there are."""
    choices = ", ".join(_show(choice) for choice in supported)
    return FieldError(
        "FieldValueNotSupported", field, f"Unsupported value: {_show(value)}: supported values: {choices}"
    )


def duplicate(field: str, value: object) -> FieldError:
    """The value stands somewhere else already, where it must be unique."""
    return FieldError("FieldValueDuplicate", field, f"Duplicate value: {_show(value)}")


def not_found(field: str, value: object) -> FieldError:
    """The value names something that is not there."""
    return FieldError("FieldValueNotFound", field, f"Not found: {_show(value)}")


def forbidden(field: str, rule: str) -> FieldError:
    """The field may not be set, or not be changed, in this situation."""
    return FieldError("FieldValueForbidden", field, f"Forbidden: {rule}")


def _show(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
