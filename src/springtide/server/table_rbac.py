"""Columns of roles and bindings, as `kubectl get` shows them. Called by `table_kinds`.

Source of the columns: kube-apiserver's printers.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from springtide.api.resources import Column
from springtide.server.table_time import created

Json = dict[str, Any]

ROLE_COLUMNS = (Column("Created At", "date", "", "When the role was created"),)
BINDING_COLUMNS = (
    Column("Role", "string", "", "The role it grants"),
    Column("Age", "string", "", "Time since the object was created"),
    Column("Users", "string", "", "Users it grants the role to", 1),
    Column("Groups", "string", "", "Groups it grants the role to", 1),
    Column("ServiceAccounts", "string", "", "Service accounts it grants the role to", 1),
)


def role(obj: Json, now: datetime) -> list[Any]:
    """Cells of a Role or ClusterRole."""
    return [obj["metadata"].get("creationTimestamp", "<unknown>")]


def binding(obj: Json, now: datetime) -> list[Any]:
    """Cells of a RoleBinding or ClusterRoleBinding."""
    found: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        name = subject.get("name", "")
        shown = f"{subject.get('namespace', '')}/{name}" if subject["kind"] == "ServiceAccount" else name
        found.setdefault(subject["kind"], []).append(shown)
    ref = obj.get("roleRef") or {}
    granted = f"{ref.get('kind', '')}/{ref.get('name', '')}"
    listed = (", ".join(found[kind]) for kind in ("User", "Group", "ServiceAccount"))
    return [granted, created(obj, now), *listed]
