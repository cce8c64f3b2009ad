"""How kubectl prints what stands behind Services: EndpointSlices and Endpoints. Part of `table_kinds`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from springtide.server.table_time import created

Json = dict[str, Any]

_NONE = "<none>"
_UNSET = "<unset>"
_SHOWN = 3
"""Addresses shown; the rest is counted, as kubectl does."""


def endpoint_slice(piece: Json, now: datetime) -> list[Any]:
    """Address type, ports, addresses, age."""
    ports = [str(port.get("port", "*")) for port in piece.get("ports") or ()]
    addresses = [one for endpoint in piece.get("endpoints") or () for one in endpoint.get("addresses") or ()]
    return [
        piece.get("addressType", ""),
        _short(ports, _UNSET),
        _short(addresses, _UNSET),
        created(piece, now),
    ]


def endpoints(obj: Json, now: datetime) -> list[Any]:
    """Ready addresses with their ports, age."""
    pairs = [
        f"{address.get('ip', '')}:{port['port']}"
        for subset in obj.get("subsets") or ()
        for port in subset.get("ports") or ()
        for address in subset.get("addresses") or ()
    ]
    return [_short(pairs, _NONE), created(obj, now)]


def _short(parts: list[str], nothing: str) -> str:
    if not parts:
        return nothing
    more = f" + {len(parts) - _SHOWN} more..." if len(parts) > _SHOWN else ""
    return ",".join(parts[:_SHOWN]) + more
