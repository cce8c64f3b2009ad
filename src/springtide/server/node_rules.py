"""Rules of Node: taints, amounts, and what never changes once known. Listed in `admission.STRATEGIES`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from springtide.api.names import label_value_fault, qualified_fault
from springtide.server.context import Context
from springtide.server.placement_rules import EFFECTS
from springtide.server.resource_rules import amount_errors, canonical_amounts
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, duplicate, forbidden_field, required, unsupported
from springtide.server.strategy import Strategy

Json = dict[str, Any]


class NodeStrategy(Strategy):
    """v1 Node. Messages: Kubernetes' core validation, which places taints under metadata."""

    selectable_fields = {"spec.unschedulable": "spec.unschedulable"}

    def default(self, obj: Json) -> None:
        status = obj.get("status")
        if isinstance(status, dict):
            canonical_amounts(status, "capacity", "allocatable")
            if status.get("allocatable") is None and status.get("capacity"):
                status["allocatable"] = dict(status["capacity"])

    def before_create(self, obj: Json, context: Context) -> None:
        obj.setdefault("spec", {})

    def validate(self, obj: Json) -> Sequence[FieldError]:
        status = obj.get("status") or {}
        errors = list(_taint_errors((obj.get("spec") or {}).get("taints") or [], "metadata.taints"))
        for part in ("capacity", "allocatable"):
            for name, amount in (status.get(part) or {}).items():
                errors += amount_errors(name, amount, f"status.{part}.{name}")
        seen: list[Json] = []
        for index, address in enumerate(status.get("addresses") or ()):
            if address in seen:
                errors.append(duplicate(f"status.addresses[{index}]", address))
            seen.append(address)
        return errors

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        before, after = old.get("spec") or {}, new.get("spec") or {}
        fixed = {"podCIDRs": "podCIDR", "providerID": "providerID"}
        return [
            forbidden_field(f"spec.{name}", f'node updates may not change {what} except from "" to valid')
            for name, what in fixed.items()
            if before.get(name) and before[name] != after.get(name)
        ]


def _taint_errors(taints: list[Json], field: str) -> Iterator[FieldError]:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        place, key = f"{field}[{index}]", taint.get("key") or ""
        value, effect = taint.get("value") or "", taint.get("effect") or ""
        if fault := qualified_fault(key):
            yield bad_value(f"{place}.key", key, fault)
        if fault := label_value_fault(value):
            yield bad_value(f"{place}.value", value, fault)
        if not effect:
            yield required(f"{place}.effect")
        elif effect not in EFFECTS:
            yield unsupported(f"{place}.effect", effect, EFFECTS)
        if (key, effect) in seen:
            yield duplicate(place, taint)
        seen.add((key, effect))
