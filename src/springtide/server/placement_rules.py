"""Rules of where a pod may run: tolerations, affinity, spread. Called by `pod_rules`.

Rules and messages: Kubernetes' core validation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from springtide.api.names import label_fault, label_value_fault, qualified_fault
from springtide.server.schema_rules import FieldError
from springtide.server.selector_rules import label_selector_errors, node_selector_errors, node_term_errors
from springtide.server.status import bad_value, duplicate, required, unsupported

Json = dict[str, Any]

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
_INCLUSION = ("Honor", "Ignore")


def toleration_errors(tolerations: list[Json], field: str) -> Iterator[FieldError]:
    """Faults of tolerations."""
    for index, one in enumerate(tolerations):
        place = f"{field}[{index}]"
        key, operator = one.get("key") or "", one.get("operator") or ""
        value, effect = one.get("value") or "", one.get("effect") or ""
        if key and (fault := qualified_fault(key)):
            yield bad_value(f"{place}.key", key, fault)
        if not key and operator != "Exists":
            rule = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield bad_value(f"{place}.operator", operator, rule)
        if one.get("tolerationSeconds") is not None and effect != "NoExecute":
            rule = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            yield bad_value(f"{place}.effect", effect, rule)
        if operator in ("", "Equal"):
            if fault := label_value_fault(value):
                yield bad_value(f"{place}.operator", value, fault)
        elif operator != "Exists":
            yield unsupported(f"{place}.operator", operator, ("Equal", "Exists"))
        elif value:
            yield bad_value(f"{place}.operator", value, "value must be empty when `operator` is 'Exists'")
        if effect and effect not in EFFECTS:
            yield unsupported(f"{place}.effect", effect, EFFECTS)


def affinity_errors(affinity: Json, field: str) -> Iterator[FieldError]:
    """Faults of `spec.affinity`."""
    if (nodes := affinity.get("nodeAffinity")) is not None:
        if (needed := nodes.get(_REQUIRED)) is not None:
            yield from node_selector_errors(needed, f"{field}.nodeAffinity.{_REQUIRED}")
        for index, term in enumerate(nodes.get(_PREFERRED) or ()):
            place = f"{field}.nodeAffinity.{_PREFERRED}[{index}]"
            yield from _weight_errors(term, place)
            preference = term.get("preference") or {}
            yield from node_term_errors(preference, f"{place}.preference", check_values=False)
    for part in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(part) or {}
        for index, term in enumerate(pods.get(_REQUIRED) or ()):
            yield from _pod_term_errors(term, f"{field}.{part}.{_REQUIRED}[{index}]")
        for index, weighted in enumerate(pods.get(_PREFERRED) or ()):
            place = f"{field}.{part}.{_PREFERRED}[{index}]"
            yield from _weight_errors(weighted, place)
            yield from _pod_term_errors(weighted.get("podAffinityTerm") or {}, f"{place}.podAffinityTerm")


def spread_errors(constraints: list[Json], field: str) -> Iterator[FieldError]:
    """Faults of `spec.topologySpreadConstraints`."""
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(constraints):
        place = f"{field}[{index}]"
        key, action = one.get("topologyKey") or "", one.get("whenUnsatisfiable") or ""
        if (one.get("maxSkew") or 0) <= 0:
            yield bad_value(f"{place}.maxSkew", one.get("maxSkew"), "must be greater than zero")
        if not key:
            yield required(f"{place}.topologyKey", "can not be empty")
        elif fault := qualified_fault(key):
            yield bad_value(f"{place}.topologyKey", key, fault)
        if action not in _UNSATISFIABLE:
            yield unsupported(f"{place}.whenUnsatisfiable", action, _UNSATISFIABLE)
        if (key, action) in seen:
            yield duplicate(f"{place}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")
        seen.add((key, action))
        yield from _domains_errors(one, action, place)
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if one.get(name) is not None and one[name] not in _INCLUSION:
                yield unsupported(f"{place}.{name}", one[name], _INCLUSION)
        yield from label_selector_errors(one.get("labelSelector") or {}, f"{place}.labelSelector")


def _domains_errors(one: Json, action: str, field: str) -> Iterator[FieldError]:
    domains = one.get("minDomains")
    if domains is not None and domains <= 0:
        yield bad_value(f"{field}.minDomains", domains, "must be greater than zero")
    if domains is not None and action != "DoNotSchedule":
        rule = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        yield bad_value(f"{field}.minDomains", domains, rule)
    if one.get("matchLabelKeys") and one.get("labelSelector") is None:
        yield from _keys_without_selector(field)


def _keys_without_selector(field: str) -> Iterator[FieldError]:
    rule = "must not be specified when labelSelector is not set"
    yield FieldError("FieldValueForbidden", f"{field}.matchLabelKeys", f"Forbidden: {rule}")


def _weight_errors(term: Json, field: str) -> Iterator[FieldError]:
    weight = term.get("weight") or 0
    if not 1 <= weight <= 100:
        yield bad_value(f"{field}.weight", weight, "must be in the range 1-100")


def _pod_term_errors(term: Json, field: str) -> Iterator[FieldError]:
    for part in ("labelSelector", "namespaceSelector"):
        if (selector := term.get(part)) is not None:
            yield from label_selector_errors(selector, f"{field}.{part}")
    for name in term.get("namespaces") or ():
        if fault := label_fault(name):
            yield bad_value(f"{field}.namespace", name, fault)
    if term.get("matchLabelKeys") and term.get("labelSelector") is None:
        yield from _keys_without_selector(field)
    key = term.get("topologyKey") or ""
    if not key:
        yield required(f"{field}.topologyKey", "can not be empty")
    if fault := qualified_fault(key):
        yield bad_value(f"{field}.topologyKey", key, fault)
