"""Which block of addresses a data folder's Services are in, and how they move to another one.

The Services themselves say it: the API server's own has the first address of the block. So the block lasts
as long as they do, through restarts, backups and moves to another machine, and there is no second record to
disagree with them. Called by `up.control_plane` before the server starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any

import msgspec

from springtide.store import Record, Store

Json = dict[str, Any]

DEFAULT_BLOCK = IPv4Network("127.10.0.0/16")
"""Where nobody says otherwise."""
API_SERVER = "default/kubernetes"
"""Key of the API server's own Service."""
_RESOURCE = "services"
_PREFIX_BITS = 16
_LOOPBACK = IPv4Network("127.0.0.0/8")


def first_address(block: IPv4Network) -> IPv4Address:
    """The address of the API server's own Service."""
    return block.network_address + 1


def stored_block(store: Store) -> IPv4Network | None:
    """The block of the Services that are stored; None if none of them has an address on loopback."""
    known = store.get(_RESOURCE, API_SERVER)
    records = [known] if known is not None else []
    for record in (*records, *store.page(_RESOURCE).records):
        address = _address(msgspec.json.decode(record.value)["spec"])
        if address is not None and address in _LOOPBACK:
            return IPv4Network((int(address), _PREFIX_BITS), strict=False)
    return None


async def move(store: Store, old: IPv4Network, new: IPv4Network) -> int:
    """Give every Service the same place in another block; returns how many there were. Raises StoreError."""
    moved = list(_moved(store, old, new))
    writes = [store.write(_RESOURCE, one.key, value, expected=one.revision) for one, value in moved]
    await asyncio.gather(*writes)
    return len(moved)


def _moved(store: Store, old: IPv4Network, new: IPv4Network) -> Iterator[tuple[Record, bytes]]:
    revision = store.next_revision
    for record in store.page(_RESOURCE).records:
        service: Json = msgspec.json.decode(record.value)
        address = _address(service["spec"])
        if address is None or address not in old:
            continue
        there = str(new.network_address + (int(address) - int(old.network_address)))
        service["spec"] |= {"clusterIP": there, "clusterIPs": [there]}
        service["metadata"]["resourceVersion"] = str(revision)
        revision += 1
        yield record, msgspec.json.encode(service)


def _address(spec: Json) -> IPv4Address | None:
    try:
        return IPv4Address(spec.get("clusterIP") or "")
    except AddressValueError:  # headless, external, or of the other family
        return None
