"""Strategies of the small core kinds: Secret, ConfigMap, Node, Lease, PriorityClass.

Pods, Namespaces, Events and CRDs have files of their own. Rules are those of the Kubernetes API reference.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from springtide.server.context import Context
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, forbidden_field
from springtide.server.strategy import Strategy

Json = dict[str, Any]

_ONE_MIB = 1024 * 1024
_HIGHEST_USER_PRIORITY = 1_000_000_000


class SecretStrategy(Strategy):
    """v1 Secret: `stringData` is folded into `data`; an immutable one stays as it is."""

    selectable_fields = {"type": "type"}

    def default(self, obj: Json) -> None:
        obj.setdefault("type", "Opaque")
        text = obj.pop("stringData", None)
        if text:
            encoded = {key: base64.b64encode(value.encode()).decode() for key, value in text.items()}
            obj["data"] = {**(obj.get("data") or {}), **encoded}

    def validate(self, obj: Json) -> Sequence[FieldError]:
        errors: list[FieldError] = []
        size = 0
        for key, value in (obj.get("data") or {}).items():
            try:
                size += len(base64.b64decode(value, validate=True))
            except (binascii.Error, ValueError):
                errors.append(
                    bad_value(f"data[{key}]", "…", "must be base64; put plain text into stringData")
                )
        if size > _ONE_MIB:
            errors.append(
                FieldError("FieldValueTooLong", "data", f"Too long: may not be more than {_ONE_MIB} bytes")
            )
        return errors

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        errors = _immutable_errors(new, old, ("data",))
        if new.get("type") != old.get("type"):
            errors.append(bad_value("type", new.get("type"), "field is immutable"))
        return errors


class ConfigMapStrategy(Strategy):
    """v1 ConfigMap."""

    def validate(self, obj: Json) -> Sequence[FieldError]:
        size = sum(len(value) for part in ("data", "binaryData") for value in (obj.get(part) or {}).values())
        if size > _ONE_MIB:
            return [FieldError("FieldValueTooLong", "", f"Too long: may not be more than {_ONE_MIB} bytes")]
        both = (obj.get("data") or {}).keys() & (obj.get("binaryData") or {}).keys()
        return [
            bad_value(f"data[{key}]", key, "duplicate of key present in binaryData") for key in sorted(both)
        ]

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        return _immutable_errors(new, old, ("data", "binaryData"))


class NodeStrategy(Strategy):
    """v1 Node."""

    selectable_fields = {"spec.unschedulable": "spec.unschedulable"}

    def before_create(self, obj: Json, context: Context) -> None:
        obj.setdefault("spec", {})


class PriorityClassStrategy(Strategy):
    """scheduling.k8s.io/v1 PriorityClass."""

    def default(self, obj: Json) -> None:
        obj.setdefault("preemptionPolicy", "PreemptLowerPriority")

    def validate(self, obj: Json) -> Sequence[FieldError]:
        value, name = obj.get("value", 0), obj["metadata"].get("name", "")
        if value > _HIGHEST_USER_PRIORITY and not name.startswith("system-"):
            rule = f"maximum allowed value of a user defined priority is {_HIGHEST_USER_PRIORITY}"
            return [forbidden_field("value", rule)]
        return ()

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        if new.get("value") != old.get("value"):
            return [forbidden_field("value", "may not be changed in an update")]
        return ()


class LeaseStrategy(Strategy):
    """coordination.k8s.io/v1 Lease."""

    def validate(self, obj: Json) -> Sequence[FieldError]:
        seconds = (obj.get("spec") or {}).get("leaseDurationSeconds")
        if seconds is not None and seconds <= 0:
            return [bad_value("spec.leaseDurationSeconds", seconds, "must be greater than 0")]
        return ()


def _immutable_errors(new: Json, old: Json, parts: tuple[str, ...]) -> list[FieldError]:
    if not old.get("immutable"):
        return []
    return [
        forbidden_field(part, "field is immutable when `immutable` is set")
        for part in (*parts, "immutable")
        if new.get(part) != old.get(part)
    ]
