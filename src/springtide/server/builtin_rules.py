"""Strategies of PriorityClass, PodGroup, Workload and Lease. Listed in `admission.STRATEGIES`.

Rules and messages: Kubernetes' validation of each group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from springtide.server.context import Context
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, forbidden_field, unsupported
from springtide.server.strategy import Strategy

Json = dict[str, Any]

_HIGHEST_USER_PRIORITY = 1_000_000_000
_SYSTEM = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_PREEMPTION = ("PreemptLowerPriority", "Never")


class PriorityClassStrategy(Strategy):
    """scheduling.k8s.io/v1 PriorityClass."""

    def default(self, obj: Json) -> None:
        obj["preemptionPolicy"] = obj.get("preemptionPolicy") or "PreemptLowerPriority"

    def before_create(self, obj: Json, context: Context) -> None:
        obj.setdefault("value", 0)

    def before_update(self, new: Json, old: Json) -> None:
        new.setdefault("value", 0)

    def validate(self, obj: Json) -> Sequence[FieldError]:
        value, name = obj.get("value") or 0, obj["metadata"].get("name", "")
        errors = []
        if name.startswith("system-"):
            if _SYSTEM.get(name) != value or obj.get("globalDefault"):
                rule = "priority class names with 'system-' prefix are reserved for system use only"
                errors.append(forbidden_field("metadata.name", rule))
        elif value > _HIGHEST_USER_PRIORITY:
            rule = f"maximum allowed value of a user defined priority is {_HIGHEST_USER_PRIORITY}"
            errors.append(forbidden_field("value", rule))
        if obj["preemptionPolicy"] not in _PREEMPTION:
            errors.append(unsupported("preemptionPolicy", obj["preemptionPolicy"], _PREEMPTION))
        return errors

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        errors = []
        if (new.get("value") or 0) != (old.get("value") or 0):
            errors.append(forbidden_field("value", "may not be changed in an update."))
        if new["preemptionPolicy"] != old.get("preemptionPolicy", new["preemptionPolicy"]):
            errors.append(bad_value("preemptionPolicy", new["preemptionPolicy"], "field is immutable"))
        return errors


class PodGroupStrategy(Strategy):
    """scheduling.k8s.io/v1alpha2 PodGroup."""

    def validate(self, obj: Json) -> Sequence[FieldError]:
        return list(_policy_errors("spec", obj.get("spec") or {}))

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        return _fixed_spec(new, old)


class PodGroupWorkloadStrategy(Strategy):
    """scheduling.k8s.io/v1alpha2 Workload."""

    def validate(self, obj: Json) -> Sequence[FieldError]:
        templates = (obj.get("spec") or {}).get("podGroupTemplates") or []
        return [
            error
            for index, template in enumerate(templates)
            for error in _policy_errors(f"spec.podGroupTemplates[{index}]", template)
        ]

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        return _fixed_spec(new, old)


def _policy_errors(path: str, spec: Json) -> Iterator[FieldError]:
    policy = spec.get("schedulingPolicy") or {}
    said = sorted(name for name in ("basic", "gang") if policy.get(name) is not None)
    if len(said) != 1:
        rule = "exactly one of `basic`, `gang` must be set"
        yield bad_value(f"{path}.schedulingPolicy", ", ".join(said), rule)


def _fixed_spec(new: Json, old: Json) -> list[FieldError]:
    if (new.get("spec") or {}) == (old.get("spec") or {}):
        return []
    return [bad_value("spec", "", "field is immutable")]


class LeaseStrategy(Strategy):
    """coordination.k8s.io/v1 Lease."""

    def validate(self, obj: Json) -> Sequence[FieldError]:
        spec, errors = obj.get("spec") or {}, []
        seconds, changes = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        if seconds is not None and seconds <= 0:
            errors.append(bad_value("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
        if changes is not None and changes < 0:
            rule = "must be greater than or equal to 0"
            errors.append(bad_value("spec.leaseTransitions", changes, rule))
        if spec.get("preferredHolder") and not spec.get("strategy"):
            rule = "may only be specified if `strategy` is defined"
            errors.append(forbidden_field("spec.preferredHolder", rule))
        return errors
