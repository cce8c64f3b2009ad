"""The nodes out of service, in one ConfigMap: read anew and written with its version before any cordon.

Caches may be old, answers may be lost, and two controllers may believe to lead: since every cordon first
takes a line here, and a line that would be one too many is never written, the cap holds all the same.
Called by `remediation_controller`.
"""

from __future__ import annotations

from typing import Any

from springtide.api.core import ConfigMap
from springtide.api.meta import ObjectMeta
from springtide.client import AlreadyExists, Client, Conflict, NotFound
from springtide.health.incidents import NAMESPACE
from springtide.health.remediation_breaker import is_full
from springtide.health.remediation_view import Claim

NAME = "springtide-cordons"


async def claim(client: Client, wanted: Claim) -> ConfigMap | None:
    """The ledger with the node in it; None where it is full or somebody else wrote at the same time."""
    try:
        known = await client.get(ConfigMap, NAME, NAMESPACE)
    except NotFound:
        try:
            known = await client.create(ConfigMap(metadata=ObjectMeta(name=NAME, namespace=NAMESPACE)))
        except AlreadyExists:
            return None
    if is_full(known.data, wanted.node, wanted.peers, wanted.cap):
        return None
    if known.data.get(wanted.node) == wanted.incident:
        return known
    return await _write(client, known, wanted.node, wanted.incident)


async def strike(client: Client, node: str) -> ConfigMap | None:
    """The ledger without the node."""
    try:
        known = await client.get(ConfigMap, NAME, NAMESPACE)
    except NotFound:
        return None
    return await _write(client, known, node, None) if node in known.data else known


async def _write(client: Client, known: ConfigMap, node: str, incident: str | None) -> ConfigMap | None:
    metadata = {"uid": known.metadata.uid, "resourceVersion": known.metadata.resource_version}
    body: dict[str, Any] = {"metadata": metadata, "data": {node: incident}}
    try:
        return await client.patch(ConfigMap, NAME, NAMESPACE, body)
    except (Conflict, NotFound):
        return None
