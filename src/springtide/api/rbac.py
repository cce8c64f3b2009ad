"""rbac.authorization.k8s.io/v1: roles say what may be done, bindings say by whom.

Evaluated by the embedded control plane (`server/rbac.py`); on a cluster the cluster's own server does it.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import field

from springtide.api.meta import LabelSelector, Object
from springtide.api.resources import Column, resource
from springtide.api.struct import Struct, always

DEFINITION_PREFIX = "io.k8s.api.rbac.v1"

GROUP = "rbac.authorization.k8s.io"

_CREATED_AT = Column("Created At", "date", ".metadata.creationTimestamp")
_ROLE = Column("Role", "string", ".roleRef.name")
_AGE = Column("Age", "date", ".metadata.creationTimestamp")


class PolicyRule(Struct):
    """What may be done with which resources or paths."""

    verbs: list[str] = always([])
    """Verbs such as `get`, `create` or `impersonate`; `*` is all of them."""
    api_groups: list[str] = []
    """Groups of the resources; the empty string is the core group, `*` is all."""
    resources: list[str] = []
    """Plurals, `plural/subresource`, `*/subresource` or `*`."""
    resource_names: list[str] = []
    """Names the rule is limited to; empty lets every name through."""
    non_resource_urls: list[str] = field(name="nonResourceURLs", default=[])
    """Paths outside resources such as `/metrics`; a final `*` matches any rest."""


class AggregationRule(Struct):
    """Collects the rules of other cluster roles."""

    cluster_role_selectors: list[LabelSelector] = []
    """Cluster roles that match any of these contribute their rules."""


class RoleRef(Struct):
    """The role that a binding grants."""

    atomic: ClassVar[bool] = True

    api_group: str = always("", required=False)
    """`rbac.authorization.k8s.io`."""
    kind: str
    """`ClusterRole` or, in a RoleBinding, `Role`."""
    name: str
    """Name of the role."""


class Subject(Struct):
    """A user, a group or a service account."""

    atomic: ClassVar[bool] = True

    kind: str
    """`User`, `Group` or `ServiceAccount`."""
    name: str
    """Name of the subject."""
    api_group: str = ""
    """Empty for service accounts, `rbac.authorization.k8s.io` for users and groups."""
    namespace: str = ""
    """Namespace of a service account."""


@resource(plural="roles", builtin=True, columns=(_CREATED_AT,))
class Role(Object):
    """What may be done within one namespace."""

    api_version: str = "rbac.authorization.k8s.io/v1"
    kind: str = "Role"
    rules: list[PolicyRule] = always([])
    """Everything the role allows."""


@resource(plural="clusterroles", namespaced=False, builtin=True, columns=(_CREATED_AT,))
class ClusterRole(Object):
    """What may be done in all namespaces, or, bound by a RoleBinding, in one."""

    api_version: str = "rbac.authorization.k8s.io/v1"
    kind: str = "ClusterRole"
    rules: list[PolicyRule] = always([])
    """Everything the role allows; collected from others where `aggregationRule` is set."""
    aggregation_rule: AggregationRule | None = None
    """From which roles the rules are collected."""


@resource(plural="rolebindings", builtin=True, columns=(_ROLE, _AGE))
class RoleBinding(Object):
    """Grants a role within its namespace."""

    api_version: str = "rbac.authorization.k8s.io/v1"
    kind: str = "RoleBinding"
    subjects: list[Subject] = []
    """Who is granted the role."""
    role_ref: RoleRef
    """The role; it never changes."""


@resource(plural="clusterrolebindings", namespaced=False, builtin=True, columns=(_ROLE, _AGE))
class ClusterRoleBinding(Object):
    """Grants a cluster role everywhere."""

    api_version: str = "rbac.authorization.k8s.io/v1"
    kind: str = "ClusterRoleBinding"
    subjects: list[Subject] = []
    """Who is granted the role."""
    role_ref: RoleRef
    """The role; it never changes."""
