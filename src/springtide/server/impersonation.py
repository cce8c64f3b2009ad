"""Acting as somebody else: the `Impersonate-*` headers of a request.

Each part that is claimed (user or service account, groups, uid, extra) must be allowed by the verb
`impersonate`; then the request goes on as that user. Called by `Server` before authorization. Rules and
messages: Kubernetes' user impersonation.
"""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from springtide.server.authn import ANONYMOUS
from springtide.server.authorize import Authorizer
from springtide.server.rbac_rules import Attributes
from springtide.server.request import Request, User
from springtide.server.status import BadRequest
from springtide.server.token_accounts import groups_of, split_user_name

PREFIX = "impersonate-"
_EXTRA = "impersonate-extra-"
_EXTRA_GROUP = "authentication.k8s.io"
_AUTHENTICATED, _UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"


def impersonated(request: Request, authorizer: Authorizer) -> Request:
    """The same request by the user it claims to be. Raises Forbidden, or BadRequest if it names none."""
    names = [value for header, value in request.impersonate if header == "impersonate-user" and value]
    groups = [value for header, value in request.impersonate if header == "impersonate-group"]
    uids = [value for header, value in request.impersonate if header == "impersonate-uid" and value]
    extra = [
        (unquote(header.removeprefix(_EXTRA)), value)
        for header, value in request.impersonate
        if header.startswith(_EXTRA)
    ]
    if not names:
        if groups or uids or extra:
            raise BadRequest(f"requested {_claims(groups, uids, extra)} without impersonating a user name")
        return request
    account = split_user_name(names[0])
    if account is not None:
        wanted = Attributes("impersonate", "", "serviceaccounts", "", account[0], account[1])
    else:
        wanted = Attributes("impersonate", "", "users", name=names[0])
    authorizer.require(request.user, wanted)
    for group in groups:
        authorizer.require(request.user, Attributes("impersonate", "", "groups", name=group))
    for key, value in extra:
        authorizer.require(
            request.user, Attributes("impersonate", _EXTRA_GROUP, "userextras", key, name=value)
        )
    for uid in uids[:1]:
        authorizer.require(request.user, Attributes("impersonate", _EXTRA_GROUP, "uids", name=uid))
    own = list(groups_of(account[0])) if account is not None and not groups else groups
    user = User(names[0], _completed(names[0], own), uids[0] if uids else "", _gathered(extra))
    return msgspec.structs.replace(request, user=user, impersonate=())


def _claims(groups: list[str], uids: list[str], extra: list[tuple[str, str]]) -> str:
    named = (("groups", groups), ("uid", uids), ("extra", extra))
    return " and ".join(name for name, found in named if found)


def _completed(name: str, groups: list[str]) -> tuple[str, ...]:
    """Everybody is authenticated or not, unless the claim says which."""
    if name == ANONYMOUS.name:
        return tuple(groups) if _UNAUTHENTICATED in groups else (*groups, _UNAUTHENTICATED)
    if _AUTHENTICATED in groups or _UNAUTHENTICATED in groups:
        return tuple(groups)
    return (*groups, _AUTHENTICATED)


def _gathered(extra: list[tuple[str, str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found: dict[str, list[str]] = {}
    for key, value in extra:
        found.setdefault(key, []).append(value)
    return tuple((key, tuple(values)) for key, values in sorted(found.items()))
