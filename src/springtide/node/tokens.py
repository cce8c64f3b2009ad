"""Tokens of service accounts for the pods of this node: asked for once, renewed long before they end.

A pod's `projected` volumes say which tokens it wants; each is bound to the pod, so that it dies with it.
`references.py` asks here whenever volumes are made or refreshed. Renewal as a kubelet does it: at four fifths
of a token's life, or after a day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from springtide.api.authentication import TokenRequest
from springtide.api.core import Pod
from springtide.api.struct import decode
from springtide.api.volumes import ServiceAccountTokenProjection
from springtide.client import ApiError, Client
from springtide.runtime import Clock

TokenKey = tuple[str, int]
"""What tells a pod's tokens apart: the audience ("" for the API server) and the wanted life in seconds."""

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where every client within a cluster looks for its token."""
_DEFAULT_SECONDS = 3600
_RENEW_AFTER = 0.8
_LONGEST_KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class _Kept:
    token: str
    renew_at: datetime


class PodTokens:
    """The tokens of all pods here."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._kept: dict[str, dict[TokenKey, _Kept]] = {}

    async def of(self, pod: Pod) -> tuple[Mapping[TokenKey, str], str]:
        """The tokens a pod wants, and why one of them cannot be had (empty: all are there)."""
        kept = self._kept.setdefault(pod.metadata.uid, {})
        fault = ""
        for key in {token_key(wanted) for wanted in token_projections(pod)}:
            if key in kept and self._clock.now() < kept[key].renew_at:
                continue
            try:
                kept[key] = await self._request(pod, key)
            except ApiError as error:
                fault = error.message
        return {key: one.token for key, one in kept.items()}, fault

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._kept.pop(uid, None)

    async def _request(self, pod: Pod, key: TokenKey) -> _Kept:
        audience, seconds = key
        meta, account = pod.metadata, pod.spec.service_account_name or "default"
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta.name, "uid": meta.uid}
        spec = {
            "audiences": [audience] if audience else [],
            "expirationSeconds": seconds,
            "boundObjectRef": bound,
        }
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = f"/api/v1/namespaces/{meta.namespace}/serviceaccounts/{account}/token"
        answer = await self._client.request("POST", path, body=msgspec.json.encode(body))
        status = decode(TokenRequest, answer.body).status
        life = timedelta(seconds=seconds * _RENEW_AFTER)
        return _Kept(status.token, self._clock.now() + min(life, _LONGEST_KEPT))


def token_projections(pod: Pod) -> Iterator[ServiceAccountTokenProjection]:
    """The tokens that a pod's volumes show."""
    for volume in pod.spec.volumes:
        for part in volume.projected.sources if volume.projected is not None else ():
            if part.service_account_token is not None:
                yield part.service_account_token


def token_key(wanted: ServiceAccountTokenProjection) -> TokenKey:
    """Which token a projection shows."""
    return wanted.audience, wanted.expiration_seconds or _DEFAULT_SECONDS
