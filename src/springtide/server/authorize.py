"""May this user do this? Asked once for every request, before the server looks for anything.

`attributes_of` says what a request wants; `Authorizer.check` asks, in this order: is it an administrator
(`system:masters`), is it a node that keeps to its own, is there a role. Nobody says no: what nobody allows is
refused, in Kubernetes' words. Called by `Server` and by the access reviews.
"""

from __future__ import annotations

from springtide.api.selectors import parse_fields
from springtide.server.authorize_node import NodeAuthorizer
from springtide.server.rbac import Rbac, Verdict
from springtide.server.rbac_rules import Attributes
from springtide.server.request import Request, User
from springtide.server.routes import Route
from springtide.server.status import Forbidden
from springtide.store import Store

MASTERS = "system:masters"
_ALLOWED = Verdict(True)
_VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_ON_MANY = ("list", "watch", "deletecollection")
_OPENED = frozenset(("exec", "attach", "portforward"))
"""Subresources of pods that a GET opens, but that change the pod all the same."""
_NOT_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Authorizer:
    """Decides from what the store holds now."""

    def __init__(self, store: Store) -> None:
        self.rbac = Rbac(store)
        self._nodes = NodeAuthorizer(store)

    def check(self, user: User, wanted: Attributes) -> Verdict:
        """Whether somebody lets the request through; `reason` may say why or why not."""
        if MASTERS in user.groups:
            return _ALLOWED
        node = self._nodes.check(user, wanted)
        if node.allowed:
            return node
        role = self.rbac.check(user, wanted)
        if role.allowed or not node.reason:
            return role
        return node if not role.reason else Verdict(False, f"{node.reason}, {role.reason}")

    def require(self, user: User, wanted: Attributes) -> None:
        """Raise Forbidden unless it is allowed."""
        verdict = self.check(user, wanted)
        if not verdict.allowed:
            raise forbidden(user, wanted, verdict.reason)

    def require_request(self, request: Request, route: Route | None) -> None:
        """Raise Forbidden unless the request may be answered."""
        if MASTERS in request.user.groups:
            return
        wanted = attributes_of(request, route)
        self.require(request.user, wanted)
        if request.websocket and wanted.resource == "pods" and wanted.subresource in _OPENED:
            self.require(request.user, _opening(wanted))


def attributes_of(request: Request, route: Route | None) -> Attributes:
    """What a request wants, as Kubernetes' request info says it."""
    verb = _VERBS.get(request.method, request.method.lower())
    if route is None:
        return Attributes(request.method.lower(), path=request.path)
    name, selector = route.name, ""
    if not name and verb in ("get", "delete"):
        verb = "deletecollection" if verb == "delete" else "list"
    if verb == "list" and request.flag("watch") and not route.subresource:
        verb = "watch"
    if verb in _ON_MANY:
        selector = request.query.get("fieldSelector", "")
        name = name or _name_in(selector)
    namespace = route.namespace
    if route.plural == "namespaces" and not route.group:
        namespace = route.name
    return Attributes(
        verb, route.group, route.plural, route.subresource, namespace, name, "", route.version, selector
    )


def forbidden(user: User, wanted: Attributes, reason: str = "") -> Forbidden:
    """403 in Kubernetes' words."""
    text = _sentence(user, wanted).translate(_NOT_HTML) + (f": {reason}" if reason else "")
    if not wanted.resource:
        return Forbidden(f"forbidden: {text}")
    qualified = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    head = f'{qualified} "{wanted.name}"' if wanted.name else qualified
    return Forbidden(
        f"{head} is forbidden: {text}", name=wanted.name, group=wanted.group, kind=wanted.resource
    )


def _sentence(user: User, wanted: Attributes) -> str:
    if not wanted.resource:
        return f'User "{user.name}" cannot {wanted.verb} path "{wanted.path}"'
    where = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    return (
        f'User "{user.name}" cannot {wanted.verb} resource "{wanted.whole_resource}" '
        f'in API group "{wanted.group}" {where}'
    )


def _name_in(selector: str) -> str:
    """The one name that a field selector leaves."""
    if "metadata.name" not in selector:
        return ""
    try:
        return parse_fields(selector).required("metadata.name") or ""
    except ValueError:
        return ""


def _opening(wanted: Attributes) -> Attributes:
    return Attributes(
        "create", wanted.group, wanted.resource, wanted.subresource, wanted.namespace, wanted.name
    )
