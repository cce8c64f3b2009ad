"""Rules of PodDisruptionBudget. Listed in `admission.STRATEGIES`. Messages: Kubernetes' policy validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from springtide.server.context import Context
from springtide.server.pod_template_rules import beyond_all_errors, count_or_percent_errors
from springtide.server.schema_rules import FieldError
from springtide.server.selector_rules import label_selector_errors
from springtide.server.status import bad_value, unsupported
from springtide.server.strategy import Strategy

Json = dict[str, Any]

_POLICIES = ("AlwaysAllow", "IfHealthyBudget")


class PodDisruptionBudgetStrategy(Strategy):
    """policy/v1 PodDisruptionBudget. Its status is that of the disruption controller and of evictions."""

    def before_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {
            "disruptionsAllowed": 0,
            "currentHealthy": 0,
            "desiredHealthy": 0,
            "expectedPods": 0,
        }

    def validate(self, obj: Json) -> Sequence[FieldError]:
        return list(_errors(obj.get("spec") or {}))


def _errors(spec: Json) -> Iterator[FieldError]:
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        rule = "minAvailable and maxUnavailable cannot be both set"
        yield bad_value("spec", spec, rule)
    for name, value in (("minAvailable", least), ("maxUnavailable", most)):
        if value is not None:
            yield from count_or_percent_errors(value, f"spec.{name}")
            yield from beyond_all_errors(value, f"spec.{name}")
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in _POLICIES:
        yield unsupported("spec.unhealthyPodEvictionPolicy", policy, _POLICIES)
    if (selector := spec.get("selector")) is not None:
        yield from label_selector_errors(selector, "spec.selector")
