"""Cluster roles that collect the rules of others (`aggregationRule`): their `rules` follow their labels.

The embedded server evaluates the collection itself; this controller writes it down, so that everybody who
reads such a role sees what it allows. A controller whose keys are cluster roles.
"""

from __future__ import annotations

from collections.abc import Iterable

from springtide.api.commands import Apply
from springtide.api.rbac import ClusterRole, PolicyRule
from springtide.api.selectors import from_label_selector
from springtide.api.struct import encode
from springtide.runtime import Informer, Runtime

ROOM = "builtin"


class AggregatedRoles:
    """Reconciles one cluster role at a time."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.roles: Informer[ClusterRole] = runtime.informer(ClusterRole)

    async def reconcile(self, name: str) -> float | None:
        """Bring the rules of a collecting role up to date."""
        role = self.roles.cache.get(name)
        if role is None or role.aggregation_rule is None or role.metadata.deletion_timestamp is not None:
            return None
        rules = collected(role, self.roles.cache.list())
        if rules != role.rules:
            fields = {"rules": [encode(rule) for rule in rules]}
            await self._runtime.apply(ROOM, [Apply(ClusterRole, "", name, fields, uid=role.metadata.uid)])
        return None

    def concerned(self, _changed: ClusterRole) -> list[str]:
        """Any role may be one that others collect."""
        return [role.metadata.name for role in self.roles.cache.list() if role.aggregation_rule is not None]


def collected(role: ClusterRole, others: Iterable[ClusterRole]) -> list[PolicyRule]:
    """The rules of all roles that a role selects, in the order of their names, each once."""
    if role.aggregation_rule is None:
        return role.rules
    selectors = [from_label_selector(one) for one in role.aggregation_rule.cluster_role_selectors]
    rules: list[PolicyRule] = []
    for other in sorted(others, key=lambda one: one.metadata.name):
        if other.metadata.name == role.metadata.name:
            continue
        if any(one is not None and one.matches(other.metadata.labels) for one in selectors):
            rules += [rule for rule in other.rules if rule not in rules]
    return rules


def register_roles(runtime: Runtime) -> None:
    """Add the controller to a runtime."""
    aggregated = AggregatedRoles(runtime)
    runtime.controller("builtin.roles", aggregated.reconcile, [(aggregated.roles, aggregated.concerned)])
