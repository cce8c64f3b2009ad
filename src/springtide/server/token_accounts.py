"""Tokens of service accounts: made on request, and good only while everything they name exists.

A token names a service account and, if bound, a Pod, Secret or Node, each with its uid; it is checked against
the store at every use, so deleting one of them ends the token at once. Used by `authn` for every request with
such a token, by `token_request` and by the token review. Claims and rules: Kubernetes' bound tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from springtide.runtime.clock import Clock
from springtide.server.request import User
from springtide.server.tokens import SigningKeys, TokenRejected
from springtide.store import Record, Store

Json = dict[str, Any]

ISSUER = "https://kubernetes.default.svc.cluster.local"
_PREFIX = "system:serviceaccount:"
_LEEWAY_SECONDS = 60
"""How long after the end of its grace a deleted object still carries its tokens."""
_BOUND_IN_NAMESPACE = {"pod": "pods", "secret": "secrets"}


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, and for whom the token is good."""

    user: User
    audiences: tuple[str, ...]


class AccountTokens:
    """Issues and checks the tokens of a store's service accounts."""

    def __init__(self, store: Store, clock: Clock, keys: SigningKeys) -> None:
        self._store, self._clock, self.keys = store, clock, keys

    def issue(
        self,
        account: Json,
        *,
        audiences: Sequence[str],
        seconds: int,
        token_id: str,
        bound: dict[str, Json] | None = None,
    ) -> tuple[str, datetime]:
        """A token of a service account, and when it ends. `bound` are objects by `pod`, `secret`, `node`."""
        meta, now = account["metadata"], self._clock.now()
        ends = now + timedelta(seconds=seconds)
        named = {kind: _reference(obj) for kind, obj in (bound or {}).items()}
        claims = {
            "aud": list(audiences),
            "exp": int(ends.timestamp()),
            "iat": int(now.timestamp()),
            "iss": ISSUER,
            "jti": token_id,
            "kubernetes.io": {
                "namespace": meta["namespace"],
                **named,
                "serviceaccount": _reference(account),
            },
            "nbf": int(now.timestamp()),
            "sub": user_name(meta["namespace"], meta["name"]),
        }
        return self.keys.sign(claims), ends

    def authenticate(self, token: str, audiences: Sequence[str] = (ISSUER,)) -> Identity:
        """Whose token it is. Raises TokenRejected."""
        claims = self.keys.verify(token)
        if claims.get("iss") != ISSUER:
            raise TokenRejected("the bearer token is of another issuer")
        meant_for = tuple(one for one in claims["aud"] if one in audiences)
        if not meant_for:
            raise TokenRejected(
                f"the bearer token is meant for {', '.join(claims['aud'])}, not for this server"
            )
        now = self._clock.now()
        if now.timestamp() >= claims["exp"]:
            raise TokenRejected("service account token has expired")
        if now.timestamp() + _LEEWAY_SECONDS < claims["nbf"]:
            raise TokenRejected("service account token is not valid yet")
        private: Json = claims["kubernetes.io"]
        namespace, account = private["namespace"], private["serviceaccount"]
        self._require("serviceaccounts", f"{namespace}/{account['name']}", account["uid"], now)
        for kind, resource in _BOUND_IN_NAMESPACE.items():
            if kind in private:
                self._require(resource, f"{namespace}/{private[kind]['name']}", private[kind]["uid"], now)
        if "node" in private and "pod" not in private:
            self._require("nodes", private["node"]["name"], private["node"]["uid"], now)
        return Identity(_user(private, claims.get("jti", "")), meant_for)

    def _require(self, resource: str, key: str, uid: str, now: datetime) -> None:
        """The object must be the one that was meant, and not long deleted."""
        record = self._store.get(resource, key)
        if record is None or f'"uid":"{uid}"'.encode() not in record.value:
            raise TokenRejected(f"service account token has been invalidated: {resource} {key!r} is gone")
        meta = _metadata(record)
        ends = meta.get("deletionTimestamp")
        if meta["uid"] != uid or (
            ends and datetime.fromisoformat(ends) + timedelta(seconds=_LEEWAY_SECONDS) < now
        ):
            raise TokenRejected(f"service account token has been invalidated: {resource} {key!r} is gone")


def user_name(namespace: str, name: str) -> str:
    return f"{_PREFIX}{namespace}:{name}"


def groups_of(namespace: str) -> tuple[str, ...]:
    """Groups of every service account of a namespace."""
    return "system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"


def split_user_name(name: str) -> tuple[str, str] | None:
    """Namespace and name of the service account that a user is, or None."""
    if not name.startswith(_PREFIX):
        return None
    namespace, _, account = name.removeprefix(_PREFIX).partition(":")
    return (namespace, account) if namespace and account and ":" not in account else None


def _user(private: Json, token_id: str) -> User:
    namespace, account = private["namespace"], private["serviceaccount"]
    extra: list[tuple[str, tuple[str, ...]]] = []
    if token_id:
        extra.append(("authentication.kubernetes.io/credential-id", (f"JTI={token_id}",)))
    for kind in ("node", "pod"):
        if kind in private:
            extra.append((f"authentication.kubernetes.io/{kind}-name", (private[kind]["name"],)))
            if private[kind].get("uid"):
                extra.append((f"authentication.kubernetes.io/{kind}-uid", (private[kind]["uid"],)))
    return User(
        user_name(namespace, account["name"]), groups_of(namespace), account["uid"], tuple(sorted(extra))
    )


def _reference(obj: Json) -> Json:
    meta = obj["metadata"]
    return {"name": meta["name"], "uid": meta["uid"]} if meta.get("uid") else {"name": meta["name"]}


class _Partial(msgspec.Struct, frozen=True):
    metadata: dict[str, Any]


_partial = msgspec.json.Decoder(_Partial)


def _metadata(record: Record) -> Json:
    return _partial.decode(record.value).metadata
