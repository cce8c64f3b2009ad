"""authentication.k8s.io/v1: who somebody is. Requests that are answered at once and never stored."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from springtide.api.listtypes import Required
from springtide.api.meta import Object
from springtide.api.resources import resource
from springtide.api.struct import Struct, always

DEFINITION_PREFIX = "io.k8s.api.authentication.v1"

GROUP = "authentication.k8s.io"


class UserInfo(Struct):
    """Somebody, as authentication established it."""

    username: str = ""
    """Name, unique among all users."""
    uid: str = ""
    """Identifier that a later user of the same name does not have."""
    groups: list[str] = []
    """Groups the user is in."""
    extra: dict[str, list[str]] = {}
    """What else the authenticator knows, such as the pod a token belongs to."""


class BoundObjectReference(Struct):
    """The object whose end is the token's end."""

    api_version: str = ""
    """Version of the object; v1."""
    kind: str = ""
    """`Pod`, `Secret` or `Node`."""
    name: str = ""
    """Name of the object."""
    uid: str = ""
    """Its identifier; checked when given."""


class TokenRequestSpec(Struct):
    """The token that is asked for."""

    audiences: list[str] = always([])
    """Who the token is meant for; the API server when empty."""
    expiration_seconds: int | None = None
    """How long it should be good: at least 600; one hour by default."""
    bound_object_ref: BoundObjectReference | None = None
    """An object the token must not outlive."""


class TokenRequestStatus(Struct):
    """The token."""

    token: str = always("")
    """The signed token."""
    expiration_timestamp: datetime | None = None
    """When it stops being good."""


class TokenRequest(Object):
    """Asks for a token of a service account; posted to its `token` subresource."""

    api_version: str = "authentication.k8s.io/v1"
    kind: str = "TokenRequest"
    spec: TokenRequestSpec = TokenRequestSpec()
    """What is asked for."""
    status: TokenRequestStatus = TokenRequestStatus()
    """What was given."""


class TokenReviewSpec(Struct):
    """The token in question."""

    token: Annotated[str, Required()] = ""
    """The bearer token."""
    audiences: list[str] = []
    """Audiences that would accept it; the API server when empty."""


class TokenReviewStatus(Struct):
    """What the token says."""

    authenticated: bool = False
    """Whether it belongs to a known user."""
    user: UserInfo = UserInfo()
    """That user."""
    audiences: list[str] = []
    """Those of the asked audiences the token is meant for."""
    error: str = ""
    """Why it could not be checked."""


@resource(plural="tokenreviews", namespaced=False, builtin=True)
class TokenReview(Object):
    """Asks whose token this is."""

    api_version: str = "authentication.k8s.io/v1"
    kind: str = "TokenReview"
    spec: Annotated[TokenReviewSpec, Required()] = TokenReviewSpec()
    """The question."""
    status: TokenReviewStatus = TokenReviewStatus()
    """The answer."""


class SelfSubjectReviewStatus(Struct):
    """Who asked."""

    user_info: UserInfo = UserInfo()
    """The user of the request."""


@resource(plural="selfsubjectreviews", namespaced=False, builtin=True)
class SelfSubjectReview(Object):
    """Asks who one is oneself (`kubectl auth whoami`)."""

    api_version: str = "authentication.k8s.io/v1"
    kind: str = "SelfSubjectReview"
    status: SelfSubjectReviewStatus = SelfSubjectReviewStatus()
    """The answer."""
