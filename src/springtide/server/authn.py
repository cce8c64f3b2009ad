"""Who is asking: a bearer token from the token table, or the subject of a client certificate.

Called by `asgi` for every request before it reaches `Server.handle`. There is no anonymous access but to
`documents.OPEN_PATHS`. In Kubernetes' way the certificate's CN is the user and its O entries are the groups.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from springtide.server.request import User
from springtide.server.status import Unauthorized

_AUTHENTICATED = "system:authenticated"


class Authenticator:
    """Knows users by token. Tokens are kept as digests, so that comparing tells nothing about them."""

    def __init__(self, tokens: Mapping[str, User]) -> None:
        self._users = {_digest(token): user for token, user in tokens.items()}

    def identify(self, authorization: str, peer_certificate: Mapping[str, Any] | None) -> User:
        """The user behind an `Authorization` header or a verified client certificate. Raises Unauthorized."""
        if peer_certificate:
            return _certificate_user(peer_certificate)
        scheme, _, token = authorization.partition(" ")
        if not authorization:
            raise Unauthorized(
                "Unauthorized: the request has no credentials; send a bearer token or a client certificate "
                "(the kubeconfig that springtide wrote has one)"
            )
        if scheme.lower() != "bearer":
            raise Unauthorized(
                f"Unauthorized: scheme {scheme!r} is not supported; send `Authorization: Bearer <token>`"
            )
        user = self._users.get(_digest(token.strip()))
        if user is None:
            raise Unauthorized("Unauthorized: the bearer token is not one of this server's")
        return user


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _certificate_user(certificate: Mapping[str, Any]) -> User:
    """From the form `ssl.SSLObject.getpeercert` gives: subject as tuples of (attribute, value) pairs."""
    attributes = [pair for part in certificate.get("subject", ()) for pair in part]
    name = next((value for attribute, value in attributes if attribute == "commonName"), "")
    groups = tuple(value for attribute, value in attributes if attribute == "organizationName")
    if not name:
        raise Unauthorized("Unauthorized: the client certificate has no common name, which would be the user")
    return User(name, (*groups, _AUTHENTICATED))
