"""Rules of ResourceQuota and LimitRange: which resources they may name, bounds that contradict each other.

Listed in `admission.STRATEGIES`. Rules and messages: Kubernetes' core validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from springtide.api.names import qualified_fault
from springtide.api.quantity import parse
from springtide.server.context import Context
from springtide.server.resource_rules import (
    amount_errors,
    canonical_amounts,
    container_resource_fault,
    is_huge_page,
    may_overcommit,
    resource_fault,
)
from springtide.server.schema_rules import FieldError
from springtide.server.status import bad_value, duplicate, forbidden_field, required
from springtide.server.strategy import Strategy

Json = dict[str, Any]

_SCOPES = frozenset(
    {
        "Terminating",
        "NotTerminating",
        "BestEffort",
        "NotBestEffort",
        "PriorityClass",
        "CrossNamespacePodAffinity",
        "VolumeAttributesClass",
    }
)
_COUNTED = frozenset({"pods", "cpu", "memory", "ephemeral-storage"})
_COMPUTE = _COUNTED | {
    f"{part}.{name}" for part in ("requests", "limits") for name in ("cpu", "memory", "ephemeral-storage")
}
_STANDARD = _COMPUTE | {
    "requests.storage",
    "services",
    "services.nodeports",
    "services.loadbalancers",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
}
_CLASHES = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_ALWAYS_EXISTS = _SCOPES - {"PriorityClass", "VolumeAttributesClass"}
_EXISTS_RULE = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
    "ResourceQuotaScopeCrossNamespacePodAffinity"
)
_LIMIT_TYPES = ("Pod", "Container", "PersistentVolumeClaim")
_ITEM_PARTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


class ResourceQuotaStrategy(Strategy):
    """v1 ResourceQuota. Its status is kept by admission (`quota_ledger`)."""

    def default(self, obj: Json) -> None:
        canonical_amounts(obj.setdefault("spec", {}), "hard")

    def before_create(self, obj: Json, context: Context) -> None:
        obj["status"] = {}

    def validate(self, obj: Json) -> Sequence[FieldError]:
        return list(_quota_errors(obj["spec"]))

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        before, after = old.get("spec") or {}, new.get("spec") or {}
        if sorted(before.get("scopes") or ()) != sorted(after.get("scopes") or ()):
            return [bad_value("spec.scopes", after.get("scopes"), "field is immutable")]
        if before.get("scopeSelector") != after.get("scopeSelector"):
            return [bad_value("spec.scopeSelector", after.get("scopeSelector"), "field is immutable")]
        return ()


class LimitRangeStrategy(Strategy):
    """v1 LimitRange."""

    def default(self, obj: Json) -> None:
        for item in (obj.get("spec") or {}).get("limits") or ():
            canonical_amounts(item, *_ITEM_PARTS)
            if item.get("type") == "Container":
                _default_item(item)

    def validate(self, obj: Json) -> Sequence[FieldError]:
        errors: list[FieldError] = []
        seen: set[str] = set()
        for index, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
            field, kind = f"spec.limits[{index}]", item.get("type") or ""
            if kind not in _LIMIT_TYPES and (fault := _type_fault(kind)):
                errors.append(bad_value(f"{field}.type", kind, fault))
            if kind in seen:
                errors.append(duplicate(f"{field}.type", kind))
            seen.add(kind)
            errors += _item_errors(item, kind, field)
        return errors


def _default_item(item: Json) -> None:
    """What is not stated follows from what is: limits from the most, requests from limits and the least."""
    limits = {**(item.get("max") or {}), **(item.get("default") or {})}
    requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
    if limits:
        item["default"] = limits
    if requests:
        item["defaultRequest"] = requests


def _quota_errors(spec: Json) -> Iterator[FieldError]:
    for name, amount in (spec.get("hard") or {}).items():
        field = f"spec.hard[{name}]"
        if fault := _quota_resource_fault(name):
            yield bad_value(field, name, fault)
        yield from amount_errors(name, amount, field)
        if (
            name in ("pods", *(_STANDARD - _COMPUTE - {"requests.storage"}))
            and parse(amount).denominator != 1
        ):
            yield bad_value(field, str(amount), "must be an integer")
    scopes = spec.get("scopes") or []
    for scope in scopes:
        if scope not in _SCOPES:
            yield bad_value("spec.scopes", scopes, "unsupported scope")
        for name in sorted(spec.get("hard") or {}):
            if name in _STANDARD and not _scope_fits(scope, name):
                yield bad_value("spec.scopes", scopes, "unsupported scope applied to resource")
    if any(set(pair) <= set(scopes) for pair in _CLASHES):
        yield bad_value("spec.scopes", scopes, "conflicting scopes")
    if (selector := spec.get("scopeSelector")) is not None:
        yield from _selector_errors(selector, spec)


def _quota_resource_fault(name: str) -> str:
    if fault := resource_fault(name) if "/" in name or "." not in name else qualified_fault(name):
        return fault
    if "/" in name or name in _STANDARD or is_huge_page(name) or name.startswith(("requests.hugepages-",)):
        return ""
    return "must be a standard resource for quota"


def _scope_fits(scope: str, name: str) -> bool:
    if scope == "BestEffort":
        return name == "pods"
    if scope == "VolumeAttributesClass":
        return name in ("persistentvolumeclaims", "requests.storage")
    return name in _COMPUTE


def _selector_errors(selector: Json, spec: Json) -> Iterator[FieldError]:
    field = "spec.scopeSelector.matchExpressions"
    names: set[str] = set()
    for one in selector.get("matchExpressions") or ():
        scope, operator, values = (
            one.get("scopeName") or "",
            one.get("operator") or "",
            one.get("values") or [],
        )
        names.add(scope)
        if scope not in _SCOPES:
            yield bad_value(f"{field}.scopeName", scope, "unsupported scope")
        for name in sorted(spec.get("hard") or {}):
            if name in _STANDARD and not _scope_fits(scope, name):
                yield bad_value(field, selector, "unsupported scope applied to resource")
        if scope in _ALWAYS_EXISTS and operator != "Exists":
            yield bad_value(f"{field}.operator", operator, _EXISTS_RULE)
        if operator in ("In", "NotIn"):
            if not values:
                rule = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                yield required(f"{field}.values", rule)
        elif operator not in ("Exists", "DoesNotExist"):
            yield bad_value(f"{field}.operator", operator, "not a valid selector operator")
        elif values:
            rule = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            yield bad_value(f"{field}.values", values, rule)
    if any(set(pair) <= names for pair in _CLASHES):
        yield bad_value("spec.scopes", sorted(names), "conflicting scopes")


def _type_fault(kind: str) -> str:
    if fault := qualified_fault(kind):
        return fault
    return "" if "/" in kind else "must be a standard limit type or fully qualified"


def _item_errors(item: Json, kind: str, field: str) -> Iterator[FieldError]:
    fault_of = container_resource_fault if kind in ("Pod", "Container") else resource_fault
    for part in _ITEM_PARTS:
        if kind == "Pod" and part.startswith("default"):
            if item.get(part):
                yield forbidden_field(f"{field}.{part}", "may not be specified when `type` is 'Pod'")
            continue
        for name in item.get(part) or ():
            if fault := fault_of(name):
                yield bad_value(f"{field}.{part}[{name}]", name, fault)
    bounded = any("storage" in (item.get(part) or ()) for part in ("min", "max"))
    if kind == "PersistentVolumeClaim" and not bounded:
        rule = "either minimum or maximum storage value is required, but neither was provided"
        yield required(f"{field}.limits", rule)
    names = sorted({name for part in _ITEM_PARTS for name in item.get(part) or ()})
    for name in names:
        yield from _order_errors(item, kind, name, field)


def _order_errors(item: Json, kind: str, name: str, field: str) -> Iterator[FieldError]:
    """min ≤ default request ≤ default ≤ max, as far as they are stated."""
    parts = [part for part in _ITEM_PARTS if kind != "Pod" or not part.startswith("default")]
    stated = {part: item[part][name] for part in parts if name in (item.get(part) or {})}
    pairs = (
        ("min", "max", "min", "min value {0} is greater than max value {1}"),
        (
            "min",
            "defaultRequest",
            "defaultRequest",
            "min value {0} is greater than default request value {1}",
        ),
        (
            "defaultRequest",
            "max",
            "defaultRequest",
            "default request value {0} is greater than max value {1}",
        ),
        (
            "defaultRequest",
            "default",
            "defaultRequest",
            "default request value {0} is greater than default limit value {1}",
        ),
        ("min", "default", "default", "min value {0} is greater than default value {1}"),
        ("default", "max", "default", "default value {0} is greater than max value {1}"),
    )
    for low, high, at, rule in pairs:
        if low in stated and high in stated and parse(stated[low]) > parse(stated[high]):
            yield bad_value(f"{field}.{at}[{name}]", stated[at], rule.format(stated[low], stated[high]))
    ratio = stated.get("maxLimitRequestRatio")
    if ratio is not None and parse(ratio) < 1:
        yield bad_value(f"{field}.maxLimitRequestRatio[{name}]", ratio, f"ratio {ratio} is less than 1")
    if ratio is not None and stated.keys() >= {"min", "max"} and parse(stated["min"]) > 0:
        most = parse(stated["max"]) / parse(stated["min"])
        if parse(ratio) > most:
            rule = f"ratio {ratio} is greater than max/min = {float(most):f}"
            yield bad_value(f"{field}.maxLimitRequestRatio[{name}]", ratio, rule)
    both = stated.keys() >= {"default", "defaultRequest"}
    if both and not may_overcommit(name) and parse(stated["default"]) != parse(stated["defaultRequest"]):
        limit, request = stated["default"], stated["defaultRequest"]
        rule = f"default value {limit} must equal to defaultRequest value {request} in {name}"
        yield bad_value(f"{field}.defaultRequest[{name}]", request, rule)
