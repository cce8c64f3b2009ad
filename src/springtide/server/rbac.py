"""RBAC: who is bound to which rules, kept ready for the next question.

`Rbac` reads roles and bindings from the store and keeps them compiled, by subject. A change is noticed by the
revision of the four collections, so that a check after a write always sees it; only what changed is parsed
again. Answers are remembered until then. Asked by `authorize`, `rbac_escalation` and the reviews.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from springtide.api.meta import LabelSelector
from springtide.api.selectors import Labels, from_label_selector
from springtide.api.struct import decode
from springtide.server.rbac_rules import Attributes, Rule, compile_rules
from springtide.server.request import User
from springtide.server.selector_rules import label_selector_errors
from springtide.store import Record, Store

Json = dict[str, Any]
T = TypeVar("T")

GROUP = "rbac.authorization.k8s.io"
ROLES, CLUSTER_ROLES = f"{GROUP}/roles", f"{GROUP}/clusterroles"
ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS = f"{GROUP}/rolebindings", f"{GROUP}/clusterrolebindings"
_REMEMBERED = 8192
_SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class _Role:
    rules: tuple[Rule, ...]
    labels: dict[str, str]
    selectors: tuple[Labels, ...] | None
    """Of an aggregated role: which others give it its rules."""


@dataclass(frozen=True, slots=True)
class _Binding:
    namespace: str
    name: str
    role_kind: str
    role_name: str
    subjects: tuple[tuple[str, str], ...]
    """What each subject is matched by (`User` or `Group`, and the name), and how it is described."""
    described: tuple[str, ...]

    @property
    def text(self) -> str:
        kind, name = (
            ("RoleBinding", f"{self.name}/{self.namespace}")
            if self.namespace
            else (
                "ClusterRoleBinding",
                self.name,
            )
        )
        return f'{kind} "{name}" of {self.role_kind} "{self.role_name}"'


@dataclass(frozen=True, slots=True)
class Grant:
    """A binding that applies to somebody, and the rules it gives (None: its role does not exist)."""

    source: str
    rules: tuple[Rule, ...] | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether RBAC allows a request, and why."""

    allowed: bool
    reason: str = ""


class _Parsed(Generic[T]):
    """A collection of the store, each record parsed once a revision."""

    def __init__(self, store: Store, resource: str, parse: Callable[[Json], T]) -> None:
        self._store, self._resource, self._parse = store, resource, parse
        self._revision = -1
        self._records: dict[str, Record] = {}
        self.items: dict[str, T] = {}

    def refresh(self) -> bool:
        """Take in what changed; says whether anything did."""
        revision = self._store.revision_of(self._resource)
        if revision == self._revision:
            return False
        current = {record.key: record for record in self._store.page(self._resource).records}
        for key in self._records.keys() - current.keys():
            self.items.pop(key, None)
        for key, record in current.items():
            if self._records.get(key) is not record:
                self.items.pop(key, None)
                self.items[key] = self._parse(msgspec.json.decode(record.value))
        self._records, self._revision = current, revision
        return True


class Rbac:
    """The roles and bindings of a store."""

    def __init__(self, store: Store) -> None:
        self._roles = _Parsed(store, ROLES, _parse_role)
        self._cluster_roles = _Parsed(store, CLUSTER_ROLES, _parse_role)
        self._bindings = _Parsed(store, ROLE_BINDINGS, _parse_binding)
        self._cluster_bindings = _Parsed(store, CLUSTER_ROLE_BINDINGS, _parse_binding)
        self._by_subject: dict[tuple[str, str], list[_Binding]] = {}
        self._aggregated: dict[str, tuple[Rule, ...]] = {}
        self._answers: dict[tuple[str, tuple[str, ...], Attributes], Verdict] = {}

    def check(self, user: User, wanted: Attributes) -> Verdict:
        """Whether any rule lets the request through."""
        self._refresh()
        key = (user.name, user.groups, wanted)
        known = self._answers.get(key)
        if known is None:
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            known = self._answers[key] = self._decide(user, wanted)
        return known

    def grants(self, user: User, namespace: str) -> Iterator[Grant]:
        """Everything that applies to somebody in a namespace (empty: outside of namespaces)."""
        self._refresh()
        for subject in (("User", user.name), *(("Group", group) for group in user.groups)):
            for binding in self._by_subject.get(subject, ()):
                if binding.namespace in ("", namespace):
                    rules = self.rules_of(binding.role_kind, binding.role_name, binding.namespace)
                    described = binding.described[binding.subjects.index(subject)]
                    yield Grant(
                        f"{binding.text} to {described}",
                        rules,
                        "" if rules is not None else missing_role(binding.role_kind, binding.role_name),
                    )

    def rules_of(self, kind: str, name: str, namespace: str) -> tuple[Rule, ...] | None:
        """The rules of a role, or None if it does not exist."""
        self._refresh()
        if kind == "Role":
            role = self._roles.items.get(f"{namespace}/{name}")
            return role.rules if role is not None else None
        found = self._cluster_roles.items.get(name)
        if found is None:
            return None
        return found.rules if found.selectors is None else self._collected(name, found.selectors, ())

    def _decide(self, user: User, wanted: Attributes) -> Verdict:
        errors: list[str] = []
        for grant in self.grants(user, wanted.namespace):
            if grant.rules is None:
                errors.append(grant.error)
            elif any(rule.allows(wanted) for rule in grant.rules):
                return Verdict(True, f"RBAC: allowed by {grant.source}")
        return Verdict(False, f"RBAC: {_joined(errors)}" if errors else "")

    def _refresh(self) -> None:
        roles = self._roles.refresh() | self._cluster_roles.refresh()
        bindings = self._bindings.refresh() | self._cluster_bindings.refresh()
        if bindings:
            self._by_subject.clear()
            for parsed in (self._cluster_bindings, self._bindings):
                for binding in parsed.items.values():
                    for subject in dict.fromkeys(binding.subjects):
                        self._by_subject.setdefault(subject, []).append(binding)
        if roles or bindings:
            self._aggregated.clear()
            self._answers.clear()

    def _collected(self, name: str, selectors: Sequence[Labels], above: tuple[str, ...]) -> tuple[Rule, ...]:
        """The rules of the roles that an aggregated role selects, aggregated ones among them too."""
        known = self._aggregated.get(name)
        if known is not None:
            return known
        rules: dict[Rule, None] = {}
        for other, role in self._cluster_roles.items.items():
            if other == name or other in above:
                continue
            if any(selector.matches(role.labels) for selector in selectors):
                inner = (
                    role.rules
                    if role.selectors is None
                    else self._collected(other, role.selectors, (*above, name))
                )
                rules.update(dict.fromkeys(inner))
        found = tuple(rules)
        if not above:
            self._aggregated[name] = found
        return found


def missing_role(kind: str, name: str) -> str:
    return f'{kind.lower()}.{GROUP} "{name}" not found'


def subject_key(kind: str, name: str, namespace: str) -> tuple[str, str]:
    """What a subject is matched by."""
    if kind == "ServiceAccount":
        return "User", f"{_SERVICE_ACCOUNT}{namespace}:{name}"
    return kind, name


def _joined(errors: list[str]) -> str:
    distinct = list(dict.fromkeys(errors))
    return distinct[0] if len(distinct) == 1 else "[" + ", ".join(distinct) + "]"


def _parse_role(obj: Json) -> _Role:
    aggregation = obj.get("aggregationRule")
    labels = obj["metadata"].get("labels") or {}
    if aggregation is None:
        return _Role(compile_rules(obj.get("rules")), labels, None)
    listed = (
        from_label_selector(decode(LabelSelector, one))
        for one in aggregation.get("clusterRoleSelectors") or ()
        if not any(label_selector_errors(one, ""))  # as an older version may have stored: it selects nothing
    )
    return _Role((), labels, tuple(one for one in listed if one is not None))


def _parse_binding(obj: Json) -> _Binding:
    namespace, ref = obj["metadata"].get("namespace", ""), obj["roleRef"]
    subjects, described = [], []
    for one in obj.get("subjects") or ():
        own = one.get("namespace") or namespace
        subjects.append(subject_key(one["kind"], one["name"], own))
        shown = f"{one['name']}/{own}" if one["kind"] == "ServiceAccount" else one["name"]
        described.append(f'{one["kind"]} "{shown}"')
    return _Binding(
        namespace, obj["metadata"]["name"], ref["kind"], ref["name"], tuple(subjects), tuple(described)
    )
