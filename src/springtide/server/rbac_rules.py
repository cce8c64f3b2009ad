"""The rules of roles, compiled: what a rule allows, and whether rules cover others.

Pure. `rbac` evaluates requests with `Rule`; `rbac_escalation` asks `uncovered` before a role or binding is
written. Semantics: Kubernetes' rbac/v1 evaluation and its rule comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

ALL = "*"


class Attributes(NamedTuple):
    """What a request wants to do: with objects, or, if `resource` is empty, with a path."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    version: str = ""
    field_selector: str = ""

    @property
    def whole_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a role."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()

    def allows(self, wanted: Attributes) -> bool:
        """Whether the rule lets a request through."""
        if wanted.verb not in self.verbs and ALL not in self.verbs:
            return False
        if not wanted.resource:
            return any(path_covers(own, wanted.path) for own in self.paths)
        return (
            (wanted.group in self.groups or ALL in self.groups)
            and resource_in(wanted.whole_resource, self.resources)
            and (not self.names or wanted.name in self.names)
        )

    def covers(self, one: Rule) -> bool:
        """Whether everything that `one`, a rule of single members, allows is allowed here too."""
        return (
            (ALL in self.verbs or one.verbs <= self.verbs)
            and (ALL in self.groups or one.groups <= self.groups)
            and all(resource_in(resource, self.resources) for resource in one.resources)
            and all(any(path_covers(own, path) for own in self.paths) for path in one.paths)
            and (not self.names or (bool(one.names) and one.names <= self.names))
        )

    def split(self) -> Iterator[Rule]:
        """The same as rules of one verb, one resource, one name each."""
        for verb in sorted(self.verbs):
            for group in sorted(self.groups):
                for resource in sorted(self.resources):
                    for names in [frozenset((name,)) for name in sorted(self.names)] or [frozenset()]:
                        yield Rule(frozenset((verb,)), frozenset((group,)), frozenset((resource,)), names)
            for path in sorted(self.paths):
                yield Rule(frozenset((verb,)), paths=frozenset((path,)))

    def describe(self) -> str:
        """As Kubernetes prints rules in its refusals."""
        parts = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.paths),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        return "{" + ", ".join(f"{name}:{quoted(sorted(part))}" for name, part in parts if part) + "}"


def compile_rules(raw: Iterable[Mapping[str, Any]] | None) -> tuple[Rule, ...]:
    """Rules as they stand in a role."""
    return tuple(
        Rule(
            frozenset(one.get("verbs") or ()),
            frozenset(one.get("apiGroups") or ()),
            frozenset(one.get("resources") or ()),
            frozenset(one.get("resourceNames") or ()),
            frozenset(one.get("nonResourceURLs") or ()),
        )
        for one in raw or ()
    )


def uncovered(owned: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """What of the wanted rules the owned ones do not allow; verbs of one object together."""
    missing: dict[tuple[frozenset[str], ...], set[str]] = {}
    for rule in wanted:
        for one in rule.split():
            if not any(own.covers(one) for own in owned):
                missing.setdefault((one.groups, one.resources, one.names, one.paths), set()).update(one.verbs)
    return [Rule(frozenset(verbs), *parts) for parts, verbs in missing.items()]


def resource_in(whole: str, resources: frozenset[str]) -> bool:
    """Whether `plural` or `plural/subresource` is among a rule's resources."""
    if whole in resources or ALL in resources:
        return True
    _, slash, subresource = whole.partition("/")
    return bool(slash) and f"*/{subresource}" in resources


def path_covers(own: str, path: str) -> bool:
    """Whether a rule's path lets another one through; a final star stands for any rest."""
    return own == path or (own.endswith(ALL) and path.startswith(own.rstrip(ALL)))


def quoted(values: Iterable[str]) -> str:
    """A list of strings as Go prints it with %q."""
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
