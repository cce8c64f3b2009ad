"""Nobody grants more than they have: the check on every written role and binding.

A role may be written by whoever already holds its rules, or may `escalate` roles; a binding by whoever holds
the rules of its role, or may `bind` it. Messages are Kubernetes'.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from springtide.server.admit import CREATE, UPDATE, Change, Plugin, refused
from springtide.server.authorize import MASTERS
from springtide.server.context import Context
from springtide.server.rbac import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    GROUP,
    ROLE_BINDINGS,
    ROLES,
    missing_role,
)
from springtide.server.rbac_rules import Attributes, Rule, compile_rules, quoted, uncovered
from springtide.server.status import NotFound

Json = dict[str, Any]

_ALL = frozenset(("*",))
_EVERYTHING = (Rule(_ALL, _ALL, _ALL), Rule(_ALL, paths=_ALL))


class EscalationPlugin(Plugin):
    """Refuses roles and bindings that would give their writer, or anybody, more than the writer has."""

    operations = (CREATE, UPDATE)
    resources = frozenset((ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS))

    def validate(self, change: Change, context: Context) -> None:
        """Called directly before the store."""
        obj = change.obj
        if obj is None or MASTERS in change.user.groups or _only_lets_go(change):
            return
        if change.kind.resource in (ROLES, CLUSTER_ROLES):
            self._role(obj, change, context)
        else:
            self._binding(obj, change, context)

    def _role(self, obj: Json, change: Change, context: Context) -> None:
        wanted = Attributes("escalate", GROUP, change.kind.plural, "", change.namespace, change.name)
        if context.authorizer.check(change.user, wanted).allowed:
            return
        if obj.get("aggregationRule") is not None and _missing(_EVERYTHING, change, context):
            raise refused(change, "must have cluster-admin privileges to use the aggregationRule")
        _require_held(compile_rules(obj.get("rules")), change, context)

    def _binding(self, obj: Json, change: Change, context: Context) -> None:
        ref = obj["roleRef"]
        plural = "clusterroles" if ref["kind"] == "ClusterRole" else "roles"
        wanted = Attributes("bind", ref.get("apiGroup", ""), plural, "", change.namespace, ref["name"])
        if context.authorizer.check(change.user, wanted).allowed:
            return
        rules = context.authorizer.rbac.rules_of(ref["kind"], ref["name"], change.namespace)
        if rules is None:
            raise NotFound(
                missing_role(ref["kind"], ref["name"]),
                name=ref["name"],
                group=GROUP,
                kind=ref["kind"].lower(),
            )
        _require_held(rules, change, context)


def _only_lets_go(change: Change) -> bool:
    """Whether the write changes nothing but finalizers and owners, so that garbage can go."""
    if change.old is None or change.obj is None:
        return False
    return _substance(change.old) == _substance(change.obj)


def _substance(obj: Json) -> Json:
    ignored = ("finalizers", "ownerReferences", "managedFields", "resourceVersion", "generation")
    meta = {key: value for key, value in obj["metadata"].items() if key not in ignored}
    return {**obj, "metadata": meta}


def _require_held(rules: Sequence[Rule], change: Change, context: Context) -> None:
    missing = _missing(rules, change, context)
    if missing:
        listed = "\n".join(sorted(rule.describe() for rule in missing))
        user = change.user
        raise refused(
            change,
            f'user "{user.name}" (groups={quoted(user.groups)}) is attempting to grant RBAC permissions not '
            f"currently held:\n{listed}",
        )


def _missing(rules: Sequence[Rule], change: Change, context: Context) -> list[Rule]:
    grants = context.authorizer.rbac.grants(change.user, change.namespace)
    return uncovered([rule for grant in grants for rule in grant.rules or ()], rules)
