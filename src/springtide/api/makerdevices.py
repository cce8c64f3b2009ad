"""Devices of other makers than NVIDIA: which a node has, what a pod asks of them, what a pod holds.

All by the rows of `makers`. Called by `devicetopology` for nodes, by `scheduling` for pods.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from springtide.api.gpus import WHOLE, Device, Held, Part, held_in, taken_of
from springtide.api.makers import (
    ALL_RESOURCES,
    ENTRIES,
    FIELDS,
    HANDSHAKES,
    LISTED,
    LISTINGS,
    MAKERS,
    METAX,
    OF_RESOURCE,
    REGISTERS,
    Maker,
    Template,
)
from springtide.api.nodes import Node
from springtide.api.pods import PodSpec
from springtide.api.quantity import Quantity, to_int

HARD, SOFT = "hard", "soft"
"""How a device of a maker with templates is cut: by hardware into templates, or by software anyhow."""
_MIB = 1 << 20
_UNKNOWN_NUMA = -1


@dataclass(frozen=True)
class Found:
    """What a node says of devices of other makers."""

    devices: tuple[Device, ...] = ()
    kinds: frozenset[str] = frozenset()
    """Resources of which it names the devices, or will: what it counts of them is not devices."""
    trouble: str = ""
    """Why a list of them cannot be read, or empty."""


@dataclass(frozen=True)
class Wish:
    """What a pod asks of one maker's devices."""

    maker: Maker
    count: int
    part: Part
    mode: str = ""
    """`HARD` or `SOFT` for parts of makers that have both; else empty."""


class _Entry(msgspec.Struct):
    id: str
    index: int = 0
    count: int = 0
    devmem: int = 0
    devcore: int = 0
    type: str = ""
    numa: int = _UNKNOWN_NUMA
    health: bool = False
    custominfo: dict[str, Any] | None = None


class _Metax(msgspec.Struct, rename="camel"):
    uuid: str
    model: str = ""
    total_dev_count: int = 0
    total_compute: int = WHOLE
    vram: int = msgspec.field(name="totalVRam", default=0)
    numa: int = _UNKNOWN_NUMA
    healthy: bool = False
    qos_policy: str = ""
    link_zone: int = 0


_NOTHING = Found()


def found_on(node: Node) -> Found:
    """The devices of other makers that a node names; what cannot be read is left out, and said."""
    notes = node.metadata.annotations
    capacity = node.status.capacity
    listed = [key for key in LISTINGS.keys() & capacity.keys() if to_int(capacity[key]) > 0]
    if not listed and REGISTERS.keys().isdisjoint(notes) and HANDSHAKES.keys().isdisjoint(notes):
        return _NOTHING
    devices: list[Device] = []
    kinds: set[str] = {HANDSHAKES[key].resource for key in HANDSHAKES.keys() & notes.keys()}
    trouble = ""
    for maker in MAKERS:
        if maker.form == LISTED and maker.register in listed:
            full = capacity[maker.register]
            memory = capacity.get(maker.memory, 0) if maker.memory else 0
            own: tuple[Device, ...] = _counted(maker.resource, node.metadata.name, str(full), str(memory))
        elif maker.form != LISTED and maker.register in notes:
            soft = bool(maker.soft_mode[2]) and notes.get(maker.soft_mode[2], "").strip() == "true"
            try:
                own = _registered(maker.resource, notes[maker.register], soft)
            except ValueError as error:
                own, trouble = (), trouble or str(error)
        else:
            continue
        kinds.add(maker.resource)
        devices += own
    ids = [one.id for one in devices]
    if len(set(ids)) < len(ids):
        twice = next(one for one in ids if ids.count(one) > 1)
        return Found((), frozenset(kinds), f"device id {twice!r} is used twice; each device needs its own")
    return Found(tuple(devices), frozenset(kinds), trouble)


@lru_cache(maxsize=16384)
def _counted(resource: str, node: str, full: str, memory: str) -> tuple[Device, ...]:
    """The devices that a node's capacity counts; HAMi names them by their numbers."""
    maker = OF_RESOURCE[resource]
    units = to_int(full)
    number = -(-units // maker.full)
    each = to_int(memory) * maker.unit * maker.full // units if units and maker.memory else maker.capacity
    sharers = WHOLE if maker.memory else 1
    return tuple(
        Device(
            maker.id.format(node=node, number=one),
            maker.word,
            each,
            sharers,
            kind=resource,
            cores=maker.full,
            number=one,
            group=str(one // maker.near) if maker.near else "",
        )
        for one in range(number)
    )


@lru_cache(maxsize=16384)
def _registered(resource: str, text: str, soft: bool) -> tuple[Device, ...]:
    """The devices in a register. Raises ValueError naming what cannot be read."""
    maker = OF_RESOURCE[resource]
    read = {FIELDS: _fields, ENTRIES: _entries, METAX: _metax}[maker.form]
    found = tuple(read(maker, text, SOFT if soft else HARD))
    for one in found:
        if one.memory < 0 or one.sharers < 0:
            raise ValueError(f"{maker.register}: {one.id}: memory and count must be at least 0")
    return found


def _fields(maker: Maker, text: str, mode: str) -> Iterable[Device]:
    for number, entry in enumerate(filter(None, text.strip().split(":"))):
        fields = entry.split(",")
        if len(fields) not in (7, 9) or not all(one.isdecimal() for one in fields[1:4]):
            raise ValueError(
                f"{maker.register}: cannot read {entry!r}; expected id,sharers,MiB,cores,model,numa,healthy"
            )
        index = int(fields[7]) if len(fields) == 9 and fields[7].isdecimal() else number
        numa = int(fields[5]) if fields[5].isdecimal() else _UNKNOWN_NUMA
        healthy = fields[6].strip().lower() in ("true", "t", "1")
        entry_of = _Entry(fields[0], index, int(fields[1]), int(fields[2]), int(fields[3]), fields[4])
        yield _device(maker, entry_of, mode, numa=numa, healthy=healthy)


def _entries(maker: Maker, text: str, mode: str) -> Iterable[Device]:
    for one in _decoded(maker, text, list[_Entry]):
        yield _device(maker, one, mode, numa=one.numa, healthy=one.health)


def _metax(maker: Maker, text: str, mode: str) -> Iterable[Device]:
    for number, one in enumerate(_decoded(maker, text, list[_Metax])):
        switches = dict(maker.only).get("metax-tech.com/sgpu-qos-policy", "")
        shares = one.qos_policy in ("", switches)
        sharers = one.total_dev_count if shares else min(1, one.total_dev_count)
        yield Device(
            one.uuid,
            one.model or maker.word,
            one.vram,
            sharers,
            one.healthy,
            one.numa,
            kind=maker.resource,
            cores=one.total_compute,
            number=number,
            group=str(one.link_zone) if one.link_zone else "",
            mode=mode if maker.soft_mode[2] else "",
        )


def _decoded(maker: Maker, text: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(f"{maker.register}: {error}") from None


def _device(maker: Maker, one: _Entry, mode: str, *, numa: int, healthy: bool) -> Device:
    group = str((one.custominfo or {}).get(maker.group, "")) if maker.group else ""
    return Device(
        one.id,
        one.type or maker.word,
        one.devmem,
        one.count,
        healthy,
        numa,
        kind=maker.resource,
        cores=one.devcore or maker.full,
        number=one.index,
        group=group or (str(one.index // maker.near) if maker.near else ""),
        mode=mode if maker.soft_mode[2] else "",
    )


def wishes_of(spec: PodSpec, annotations: Mapping[str, str]) -> tuple[Wish, ...]:
    """What a pod asks of other makers' devices, in the order of the table.

    Raises ValueError for what a maker's devices cannot be: it names field, value, rule and what to do.
    """
    containers = (*spec.init_containers, *spec.containers)
    listed = [{**one.resources.limits, **one.resources.requests} for one in containers]
    if all(ALL_RESOURCES.isdisjoint(one) for one in listed):
        return ()
    found = []
    for maker in MAKERS:
        asking = [one for one in listed if maker.resource in one and to_int(one[maker.resource]) > 0]
        if not asking:
            continue
        parts = {_part(maker, one, annotations) for one in asking}
        if len(parts) > 1:
            parted = maker.memory or maker.resource
            raise ValueError(
                f"{parted}: containers ask for different parts of {maker.resource}; ask for the same in each"
            )
        part, mode = parts.pop()
        _refuse(maker, annotations)
        taken = taken_of(spec, maker.resource)
        found.append(Wish(maker, max(last for _, last in taken), part, mode))
    return tuple(found)


def _refuse(maker: Maker, annotations: Mapping[str, str]) -> None:
    for key, allowed in maker.only:
        said = annotations.get(key, "")
        if said and said != allowed:
            fix = f"set it to {allowed!r} or leave it out" if allowed else "leave it out"
            raise ValueError(f"annotation {key}: {said!r} is not scheduled here; {fix}")


def _part(maker: Maker, asked: Mapping[str, Quantity], annotations: Mapping[str, str]) -> tuple[Part, str]:
    """Which part of each device a container asks for, and how it is to be cut."""
    count = to_int(asked[maker.resource])
    if count % maker.module:
        raise ValueError(
            f"{maker.resource}: {count} is no multiple of {maker.module}: they sit {maker.module} on a module"
            f" and are given together; ask for {count + maker.module - count % maker.module}"
        )
    memory = _mebibytes(maker, asked.get(maker.memory, 0)) if maker.memory else 0
    cores = to_int(asked.get(maker.cores, 0)) if maker.cores else 0
    key, value, _ = maker.soft_mode
    soft = bool(key) and annotations.get(key, "").strip() == value
    if maker.in_all and count > 1:
        memory, cores = -(-memory // count), -(-cores // count)
    if count > 1 and maker.alone and not soft:
        if cores > maker.full and cores % maker.full == 0:
            cores = maker.full  # HAMi's webhook writes the cores of all of them
        if memory and maker.capacity and _template(maker, memory) is not None:
            raise _parts_of_several(maker, maker.memory, memory, count)
        if 0 < cores < maker.full:
            raise _parts_of_several(maker, maker.cores, cores, count)
        return Part(), ""
    if not 0 <= cores <= maker.full:
        raise ValueError(
            f"{maker.cores}: {cores} is not from 0 to {maker.full}; ask for no more than a device"
        )
    if maker.templates and not soft:
        return _templated(maker, memory, cores)
    share = -(-cores * WHOLE // maker.full)
    if share >= WHOLE or (not share and (maker.full_unless_said or not memory)):
        return Part(), ""
    return Part(share, memory, 0 if memory else WHOLE), SOFT if soft else ""


def _templated(maker: Maker, memory: int, cores: int) -> tuple[Part, str]:
    if cores and maker.soft_mode[0]:
        key, value, _ = maker.soft_mode
        raise ValueError(
            f"{maker.cores}: {cores} cannot be had with templates, whose cores are fixed; leave it out or set"
            f" annotation {key}: {value}"
        )
    mode = HARD if maker.soft_mode[0] else ""
    share = -(-cores * WHOLE // maker.full)
    if not memory:
        return Part(), ""
    if memory > maker.capacity:
        raise ValueError(
            f"{maker.memory}: {memory} MiB is more than the {maker.capacity} MiB of a device; ask for one of"
            f" {_sizes(maker)}, or leave it out for a whole one"
        )
    template = _template(maker, memory)
    if template is None or template.memory >= maker.capacity or share >= WHOLE:
        return Part(), ""
    if maker.exact and template.memory != memory:
        raise ValueError(
            f"{maker.memory}: {memory // maker.unit} is no part of a device; ask for one of {_sizes(maker)}"
        )
    return Part(template.share or share, template.memory), mode


def _template(maker: Maker, memory: int) -> Template | None:
    """The smallest that has so much memory; None for a whole device."""
    return next((one for one in maker.templates if memory <= one.memory < maker.capacity), None)


def _parts_of_several(maker: Maker, field: str, value: int, count: int) -> ValueError:
    return ValueError(
        f"{field}: {value} with {maker.resource}: {count}; parts are of one device:"
        " ask for one device, or leave it out"
    )


def _sizes(maker: Maker) -> str:
    """The parts there are, in the unit that pods ask in."""
    return ", ".join(str(one.memory // maker.unit) for one in maker.templates)


def _mebibytes(maker: Maker, value: Quantity) -> int:
    amount = to_int(value)
    if amount < 0:
        raise ValueError(f"{maker.memory}: {value} is less than 0; ask for MiB, or leave it out")
    if maker.suffixed and str(value)[-1:].isalpha():
        return amount // _MIB
    return amount * maker.unit


def held_of_makers(spec: PodSpec, annotations: Mapping[str, str]) -> tuple[Held, ...]:
    """What a pod holds of other makers' devices by its annotations; in their makers' own units."""
    found: dict[str, Held] = {}
    for maker in MAKERS:
        text = annotations.get(maker.allocated) or annotations.get(maker.to_allocate) or ""
        for one in held_in(spec, text) if text else ():
            found[one.id] = one
    return tuple(sorted(found.values()))


def counted(device: Device, held: Held) -> tuple[int, int]:
    """What somebody holds of a device: hundredths of its power, and MiB."""
    maker = OF_RESOURCE.get(device.kind)
    if maker is None:
        return held.share, held.memory
    share = held.share
    full = device.cores if maker.units_of_device else maker.full
    if full != WHOLE and maker.memory:
        share = -(-share * WHOLE // max(1, full))
    template = next((one for one in maker.templates if one.memory == held.memory and one.share), None)
    if not share and template is not None and device.mode != SOFT:
        share = template.share
    if not maker.memory or (not share and held.memory >= device.memory > 0):
        return WHOLE, device.memory
    return min(share, WHOLE), held.memory
