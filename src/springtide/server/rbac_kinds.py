"""Strategies of roles and bindings: defaults and rules of Kubernetes' rbac/v1.

What may be granted by whom is `admit_rbac`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from springtide.server.metadata_rules import name_faults
from springtide.server.rbac import GROUP
from springtide.server.schema_rules import FieldError
from springtide.server.selector_rules import label_selector_errors
from springtide.server.status import bad_value, required, unsupported
from springtide.server.strategy import Strategy

Json = dict[str, Any]


class RoleStrategy(Strategy):
    """rbac.authorization.k8s.io/v1 Role."""

    name_form = "path"
    namespaced = True

    def default(self, obj: Json) -> None:
        if obj.get("rules") is None:
            obj["rules"] = []

    def validate(self, obj: Json) -> Sequence[FieldError]:
        errors = [
            error
            for index, rule in enumerate(obj["rules"])
            for error in _rule_errors(rule, f"rules[{index}]", namespaced=self.namespaced)
        ]
        aggregation = obj.get("aggregationRule")
        if aggregation is not None and not aggregation.get("clusterRoleSelectors"):
            errors.append(
                required(
                    "aggregationRule.clusterRoleSelectors",
                    "at least one clusterRoleSelector required if aggregationRule is non-nil",
                )
            )
        for index, one in enumerate((aggregation or {}).get("clusterRoleSelectors") or ()):
            errors += label_selector_errors(one, f"aggregationRule.clusterRoleSelectors[{index}]")
        return errors


class ClusterRoleStrategy(RoleStrategy):
    """rbac.authorization.k8s.io/v1 ClusterRole."""

    namespaced = False


class RoleBindingStrategy(Strategy):
    """rbac.authorization.k8s.io/v1 RoleBinding."""

    name_form = "path"
    role_kinds: tuple[str, ...] = ("ClusterRole", "Role")
    namespaced = True

    def default(self, obj: Json) -> None:
        ref = obj.get("roleRef")
        if isinstance(ref, dict) and not ref.get("apiGroup"):
            obj["roleRef"] = {**ref, "apiGroup": GROUP}
        for subject in obj.get("subjects") or ():
            if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
                subject["apiGroup"] = GROUP

    def validate(self, obj: Json) -> Sequence[FieldError]:
        ref = obj.get("roleRef") or {}
        errors: list[FieldError] = []
        if ref.get("apiGroup") != GROUP:
            errors.append(unsupported("roleRef.apiGroup", ref.get("apiGroup", ""), (GROUP,)))
        if ref.get("kind") not in self.role_kinds:
            errors.append(unsupported("roleRef.kind", ref.get("kind", ""), self.role_kinds))
        if not ref.get("name"):
            errors.append(required("roleRef.name"))
        else:
            errors += [
                bad_value("roleRef.name", ref["name"], fault) for fault in name_faults(ref["name"], "path")
            ]
        for index, subject in enumerate(obj.get("subjects") or ()):
            errors += _subject_errors(subject, f"subjects[{index}]", namespaced=self.namespaced)
        return errors

    def validate_update(self, new: Json, old: Json) -> Sequence[FieldError]:
        if new.get("roleRef") != old.get("roleRef"):
            return [bad_value("roleRef", new.get("roleRef"), "cannot change roleRef")]
        return ()


class ClusterRoleBindingStrategy(RoleBindingStrategy):
    """rbac.authorization.k8s.io/v1 ClusterRoleBinding."""

    role_kinds = ("ClusterRole",)
    namespaced = False


def _rule_errors(rule: Json, field: str, *, namespaced: bool) -> Iterator[FieldError]:
    if not rule.get("verbs"):
        yield required(f"{field}.verbs", "verbs must contain at least one value")
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            rule_text = "namespaced rules cannot apply to non-resource URLs"
            yield bad_value(f"{field}.nonResourceURLs", urls, rule_text)
        if any(rule.get(part) for part in ("apiGroups", "resources", "resourceNames")):
            rule_text = "rules cannot apply to both regular resources and non-resource URLs"
            yield bad_value(f"{field}.nonResourceURLs", urls, rule_text)
        return
    if not rule.get("apiGroups"):
        yield required(f"{field}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield required(f"{field}.resources", "resource rules must supply at least one resource")


def _subject_errors(subject: Json, field: str, *, namespaced: bool) -> Iterator[FieldError]:
    kind, name, group = subject.get("kind", ""), subject.get("name", ""), subject.get("apiGroup", "")
    if not name:
        yield required(f"{field}.name")
    if kind == "ServiceAccount":
        for fault in name_faults(name, "subdomain") if name else ():
            yield bad_value(f"{field}.name", name, fault)
        if group:
            yield unsupported(f"{field}.apiGroup", group, ("",))
        if not namespaced and not subject.get("namespace"):
            yield required(f"{field}.namespace")
    elif kind in ("User", "Group"):
        if group != GROUP:
            yield unsupported(f"{field}.apiGroup", group, (GROUP,))
    else:
        yield unsupported(f"{field}.kind", kind, ("Group", "ServiceAccount", "User"))
