"""Users and roles in a few words, for the tests of who may do what."""

from __future__ import annotations

from typing import Any

from springtide.server import User
from tests.server.serving import Answer, Api

Json = dict[str, Any]

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ROLES = f"{RBAC}/namespaces/default/roles"
BINDINGS = f"{RBAC}/namespaces/default/rolebindings"
CLUSTER_ROLES = f"{RBAC}/clusterroles"
CLUSTER_BINDINGS = f"{RBAC}/clusterrolebindings"
_GROUP = "rbac.authorization.k8s.io"


def person(name: str, *groups: str) -> User:
    """Somebody who is authenticated."""
    return User(name, (*groups, "system:authenticated"))


def node(name: str) -> User:
    """A node as its certificate names it."""
    return person(f"system:node:{name}", "system:nodes")


def rule(verbs: str, resources: str, *, group: str = "", names: str = "") -> Json:
    """A rule; lists are written with spaces."""
    found: Json = {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}
    return {**found, "resourceNames": names.split()} if names else found


def role(name: str, *rules: Json, **more: Any) -> Json:
    return {"apiVersion": f"{_GROUP}/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules, **more}


def cluster_role(name: str, *rules: Json, labels: dict[str, str] | None = None, **more: Any) -> Json:
    metadata = {"name": name, "labels": labels or {}}
    return {"apiVersion": f"{_GROUP}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules, **more}


def binding(name: str, to: str, *subjects: User, kind: str = "Role", cluster: bool = False) -> Json:
    """Binds users to a role."""
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "ClusterRoleBinding" if cluster else "RoleBinding",
        "metadata": {"name": name},
        "subjects": [{"kind": "User", "name": one.name, "apiGroup": _GROUP} for one in subjects],
        "roleRef": {"kind": kind, "name": to, "apiGroup": _GROUP},
    }


async def allow(api: Api, user: User, *rules: Json) -> None:
    """Give a user these rules within `default`."""
    name = f"{user.name.replace(':', '-')}-may"
    await made(api, ROLES, role(name, *rules))
    await made(api, BINDINGS, binding(name, name, user))


async def allow_everywhere(api: Api, user: User, *rules: Json) -> None:
    """Give a user these rules in all namespaces and outside of them."""
    name = f"{user.name.replace(':', '-')}-may-everywhere"
    await made(api, CLUSTER_ROLES, cluster_role(name, *rules))
    await made(api, CLUSTER_BINDINGS, binding(name, name, user, kind="ClusterRole", cluster=True))


async def made(api: Api, path: str, obj: Json) -> Json:
    """Create as the administrator."""
    answer = await api.post(path, obj)
    assert answer.status == 201, answer.json
    return answer.json


def message(answer: Answer) -> str:
    """What a refusal says."""
    assert answer.json["kind"] == "Status", answer.json
    return str(answer.json["message"])
