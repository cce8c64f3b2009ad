"""What a pod's annotations say of the devices it holds: for HAMi's device plugins, of whatever maker.

Written with the binding of a plain pod (`scheduling`) and when a Workload's pod is made (`workloads`); read
back by `gpus.held_by` and `makerdevices.held_of_makers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from springtide.api.gpus import GPU, WHOLE, Device, handed_over, taken_of
from springtide.api.gpus import NOTES as GPU_NOTES
from springtide.api.gpus import notes as notes_of_gpus
from springtide.api.makerdevices import SOFT, Wish, wishes_of
from springtide.api.makers import (
    INDICES,
    NANOSECONDS,
    NODE,
    PARTS,
    PROFILE,
    RUNTIME,
    SECONDS,
    UNASSIGNED,
)
from springtide.api.makers import NOTES as MAKER_NOTES
from springtide.api.pods import PodSpec

NOTES = (*GPU_NOTES, *MAKER_NOTES)
"""Annotations that are written here: none of them is to be taken from a template."""


class _Runtime(msgspec.Struct, omit_defaults=True):
    """What Ascend's device plugin reads."""

    uuid: str = msgspec.field(name="UUID", default="")
    temp: str = ""
    memory: int = 0
    core: int = 0


class _MetaxPart(msgspec.Struct, omit_defaults=True, rename="camel"):
    """What MetaX' reads."""

    uuid: str = ""
    compute: int = 0
    v_ram: int = 0


def notes(
    spec: PodSpec, annotations: Mapping[str, str], node: str, devices: Sequence[Device], at: datetime
) -> dict[str, str]:
    """The annotations of a pod that holds these devices of a node: kind by kind, in the order of its
    containers. Of a kind whose devices the node does not name, nothing can be said."""
    own = [one for one in devices if one.kind == GPU]
    found = notes_of_gpus(spec, node, own, at) if own else {}
    for wish in wishes_of(spec, annotations) if len(own) < len(devices) else ():
        mine = [one for one in devices if one.kind == wish.maker.resource]
        if mine:
            found |= _of_maker(spec, wish, node, mine, at)
    return found


def _of_maker(
    spec: PodSpec, wish: Wish, node: str, devices: Sequence[Device], at: datetime
) -> dict[str, str]:
    maker = wish.maker
    taken = taken_of(spec, maker.resource)
    amounts = [_amounts(wish, one) for one in devices]
    word = [one.model if maker.units_of_device else maker.word for one in devices]
    entries = [
        f"{one.id},{name},{memory},{cores}:"
        for one, name, (memory, cores) in zip(devices, word, amounts, strict=True)
    ]
    text = "".join("".join(entries[first:last]) + ";" for first, last in taken)
    found = {maker.allocated: text, **({maker.to_allocate: text} if maker.to_allocate else {})}
    nanoseconds = int(at.timestamp()) * 1_000_000_000
    first_memory, first_cores = amounts[0]
    values: dict[str, Callable[[], str]] = {
        INDICES: lambda: ",".join(str(one.number) for one in devices),
        RUNTIME: lambda: _runtime(wish, devices, amounts),
        PROFILE: lambda: f"{devices[0].number}_{first_cores}_{first_memory // maker.unit}",
        PARTS: lambda: _parts(taken, devices, amounts),
        SECONDS: lambda: str(int(at.timestamp())),
        NANOSECONDS: lambda: str(nanoseconds),
        NODE: lambda: node,
        UNASSIGNED: lambda: "false",
    }
    return found | {key: values[what]() for key, what in maker.notes} | handed_over(node, at)


def _amounts(wish: Wish, device: Device) -> tuple[int, int]:
    """MiB and cores of a device, in the units of its maker's annotations."""
    maker, part = wish.maker, wish.part
    full = device.cores if maker.units_of_device else maker.full if maker.memory else WHOLE
    if part.whole:
        return device.memory, full if maker.says_cores else 0
    share = 0 if maker.templates and not maker.says_cores and wish.mode != SOFT else part.share
    return part.needed(device.memory), max(1, share * full // WHOLE) if share else 0


def _runtime(wish: Wish, devices: Sequence[Device], amounts: Sequence[tuple[int, int]]) -> str:
    templates = wish.maker.templates if wish.mode != SOFT else ()
    named = {one.memory: one.name for one in templates} if not wish.part.whole else {}
    said = [
        _Runtime(one.id, named.get(memory, ""), memory, cores)
        for one, (memory, cores) in zip(devices, amounts, strict=True)
    ]
    return msgspec.json.encode(said).decode()


def _parts(
    taken: Sequence[tuple[int, int]], devices: Sequence[Device], amounts: Sequence[tuple[int, int]]
) -> str:
    each = [_MetaxPart(one.id, cores, memory) for one, (memory, cores) in zip(devices, amounts, strict=True)]
    return msgspec.json.encode([each[first:last] for first, last in taken]).decode()
