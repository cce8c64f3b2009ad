"""Who is asking: the subject of a client certificate, a token of the token table, or a service account.

Called by `asgi` for every request before it reaches `Server.handle`, and by the token review. There is no
anonymous access but to `documents.OPEN_PATHS`. In Kubernetes' way the certificate's CN is the user and its O
entries are the groups. Headers that only a proxy in front would set (`X-Remote-User`) mean nothing here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from springtide.server.request import User
from springtide.server.status import Unauthorized
from springtide.server.token_accounts import ISSUER, AccountTokens, Identity
from springtide.server.tokens import TokenRejected

ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
_AUTHENTICATED = "system:authenticated"
_SUBPROTOCOL = "base64url.bearer.authorization.k8s.io."
"""How a browser, which cannot set headers of a WebSocket, sends its token."""


class Authenticator:
    """Knows users by token. Tokens are kept as digests, so that comparing tells nothing about them."""

    def __init__(self, tokens: Mapping[str, User], accounts: AccountTokens | None = None) -> None:
        self._users = {_digest(token): user for token, user in tokens.items()}
        self._accounts = accounts

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
        try:
            return self.identity(token.strip()).user
        except TokenRejected as error:
            raise Unauthorized(f"Unauthorized: {error}") from None

    def identity(self, token: str, audiences: Sequence[str] = (ISSUER,)) -> Identity:
        """Whose token it is, and for which of these audiences it is good. Raises TokenRejected."""
        user = self._users.get(_digest(token))
        if user is not None:
            if ISSUER not in audiences:
                raise TokenRejected("the bearer token is meant for this server alone")
            return Identity(user, (ISSUER,))
        if self._accounts is not None and token.count(".") == 2:
            return self._accounts.authenticate(token, audiences)
        raise TokenRejected("the bearer token is not one of this server's")


def subprotocol_token(subprotocols: Sequence[str]) -> str:
    """The token among the subprotocols of a WebSocket; empty if there is none."""
    for one in subprotocols:
        if one.startswith(_SUBPROTOCOL):
            text = one.removeprefix(_SUBPROTOCOL)
            try:
                return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            except (binascii.Error, ValueError):
                return ""
    return ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _certificate_user(certificate: Mapping[str, Any]) -> User:
    """From the form `ssl.SSLObject.getpeercert` gives: subject as tuples of (attribute, value) pairs."""
    attributes = [pair for part in certificate.get("subject", ()) for pair in part]
    name = next((value for attribute, value in attributes if attribute == "commonName"), "")
    groups = tuple(value for attribute, value in attributes if attribute == "organizationName")
    if not name:
        raise Unauthorized("Unauthorized: the client certificate has no common name, which would be the user")
    return User(name, (*groups, _AUTHENTICATED))
