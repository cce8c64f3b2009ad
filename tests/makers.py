"""Nodes with devices of other makers, as their device plugins describe them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from springtide.api.core import Node
from springtide.api.makers import ENTRIES, LISTED, METAX, Maker
from tests.builders import node

MEMORY = 32768
"""MiB of a device of makers that do not say how much theirs have."""


def memory_of(maker: Maker) -> int:
    return maker.capacity or MEMORY


def cores_of(maker: Maker) -> int:
    """Units of power of each device."""
    return 304 if maker.units_of_device else 20 if maker.templates and not maker.says_cores else 100


def maker_node(
    maker: Maker, name: str = "node-1", devices: int = 2, *, sharers: int = 8, unhealthy: Sequence[int] = ()
) -> Node:
    """A node with such devices."""
    memory, cores = memory_of(maker), cores_of(maker)
    offered = {maker.resource: devices * sharers}
    if maker.form == LISTED:
        offered = {
            maker.resource: devices * (sharers if maker.memory else 1),
            maker.register: devices * maker.full,
        }
        if maker.memory:
            offered[maker.memory] = devices * memory // maker.unit
        return node(name, cpu=64, more=offered)
    ids = [f"{name}-{maker.word}-{number}" for number in range(devices)]
    if maker.form == ENTRIES:
        text = json.dumps(
            [
                {
                    "id": id_,
                    "index": number,
                    "count": sharers,
                    "devmem": memory,
                    "devcore": cores,
                    "type": maker.word,
                    "health": number not in unhealthy,
                }
                for number, id_ in enumerate(ids)
            ]
        )
    elif maker.form == METAX:
        text = json.dumps(
            [
                {
                    "uuid": id_,
                    "totalDevCount": sharers,
                    "totalCompute": cores,
                    "totalVRam": memory,
                    "healthy": number not in unhealthy,
                }
                for number, id_ in enumerate(ids)
            ]
        )
    else:
        text = "".join(
            f"{id_},{sharers},{memory},{cores},{maker.word},0,{str(number not in unhealthy).lower()}:"
            for number, id_ in enumerate(ids)
        )
    return node(name, cpu=64, more=offered, annotated={maker.register: text})


def wishes(maker: Maker) -> list[dict[str, int]]:
    """Requests that such a device bears: whole ones, and all sorts of parts."""
    found = [{maker.resource: maker.module}, {maker.resource: 2 * maker.module}]
    if not maker.memory or maker.module > 1:
        return found
    one = {maker.resource: 1}
    if maker.templates:
        return [
            *found,
            *({**one, maker.memory: template.memory // maker.unit} for template in maker.templates),
        ]
    units = memory_of(maker) // maker.unit
    return [
        *found,
        *({**one, maker.memory: units // 4, maker.cores: share} for share in (10, 30, 50)),
        {**one, maker.memory: units // 3, maker.cores: 33},
        {**one, maker.cores: 60},
    ]
