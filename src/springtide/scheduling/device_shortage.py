"""Why devices are what a pod waits for, in words. Called by `shortage`.

Shares are told in hundredths of a device's power and memory, as pods ask for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from springtide.api.devicetopology import UNKNOWN_NUMA
from springtide.api.gpus import Part
from springtide.scheduling.arrays import Ints, Mask
from springtide.scheduling.devices import UNKNOWN, WHOLE, DeviceRequest, Devices
from springtide.scheduling.nodes import NodeFacts
from springtide.scheduling.sharing import MODE

_NAMED_MAX = 4
"""So many models or ids are listed."""


def part_words(asked: DeviceRequest) -> str:
    """The part of each device, in brackets: ` (40% of its power, 16000 MiB)`; nothing for whole ones."""
    if asked.cut is not None:
        asked = replace(asked, share=asked.cut.share, memory=asked.cut.memory, percent=asked.cut.percent)
    if asked.whole:
        return ""
    said = [f"{asked.share}% of its power"] * bool(asked.share)
    said += [f"{asked.memory} MiB"] * bool(asked.memory)
    said += [f"{asked.percent}% of its memory"] * bool(asked.percent and not asked.memory)
    return f" ({', '.join(said)})"


def never(empty: Devices, rows: Ints, asked: DeviceRequest, nodes: Sequence[NodeFacts]) -> str:
    """Why devices would not do even if nobody used them; nothing if they would. `rows`: eligible nodes."""
    if empty.fits(rows, asked).any():
        return ""
    if asked.also:
        each = [never(empty, rows, one, nodes) for one in asked.kinds]
        kinds = " and ".join(f"{one.count} of {one.resource}" for one in asked.kinds)
        return next(filter(None, each), f"asks for {kinds}, which no node it may run on has together")
    there = _there(empty, rows, asked)
    if not there.any():
        trouble = next((nodes[row] for row in rows.tolist() if nodes[row].trouble), None)
        because = f"; of node {trouble.name} the {trouble.trouble}" if trouble is not None else ""
        return f"no node it may run on has a healthy device for {asked.resource}{because}"
    if asked.cut is not None:
        return _uncut(empty, rows, asked, asked.cut)
    able = empty.able(asked)
    if able is not None and not (able[rows] & there).any():
        return _unwanted(empty, rows, asked)
    fine = there if able is None else there & able[rows]
    total = np.where(fine & (empty.total[rows] != UNKNOWN), empty.total[rows], 0)
    largest = int(total.max())
    if asked.memory > largest > 0:
        return f"asks {asked.memory} MiB of each {asked.resource}, the largest has {largest} MiB"
    if asked.particular:
        return _apart(empty, rows, asked)
    most = int(fine.sum(axis=1).max())
    return f"asks {asked.count} of {asked.resource} on one node, the most that will do on one is {most}"


def bottleneck(devices: Devices, rows: Ints, asked: DeviceRequest, nodes: Sequence[NodeFacts]) -> str:
    """What is left of the devices of these nodes, where the pod would find most."""
    if asked.also:
        short = [one for one in asked.kinds if not devices.fits(rows, one).any()]
        return bottleneck(devices, rows, short[0] if short else asked.kinds[0], nodes)
    there = _there(devices, rows, asked)
    able = devices.able(asked)
    fine = there if able is None else there & able[rows]
    left = np.where(fine, devices.share[rows], -1)
    if asked.whole and not asked.particular:
        free = (left == WHOLE).sum(axis=1)
        row = int(free.argmax())
        has = f"{nodes[rows[row]].name}, has {int(free[row])} of {int(fine[row].sum())}"
        return f"the node with most {asked.resource} free of anybody, {has}"
    if asked.cut is not None:
        free = (left > 0).sum(axis=1)
        row = int(free.argmax())
        slices = f"{int(free[row])} of {int(fine[row].sum())} memory slices free"
        return f"{nodes[rows[row]].name} has {slices}, but not side by side where such an instance may begin"
    if asked.particular:
        free = (left > 0).sum(axis=1)
        row = int(free.argmax())
        name = nodes[rows[row]].name
        return f"{name} has {int(free[row])} devices free, but not {asked.count} as {asked.numa_policy} asks"
    at, column = divmod(int(left.argmax()), left.shape[1])
    if not devices.named[rows[at]]:
        has = f"{int((left[at] > 0).sum())} of {int(fine[at].sum())}"
        return f"the node with most left, {nodes[rows[at]].name}, gives only whole devices and has {has}"
    return f"the device with most left, {_device(devices, int(rows[at]), column, nodes)}"


def _there(devices: Devices, rows: Ints, asked: DeviceRequest) -> Mask:
    """Which devices of these nodes are of the kind, in working order."""
    kind = devices.kind(asked)
    healthy: Mask = devices.sharers[rows] > 0
    return healthy if kind is None else healthy & kind[rows]


def _uncut(empty: Devices, rows: Ints, asked: DeviceRequest, cut: Part) -> str:
    """Why instances can never be had."""
    cuts = [(one, one.geometry) for row in rows.tolist() for one in empty.named[row] if one.geometry]
    if not cuts:
        return f"asks for instances of {asked.resource} ({MODE}: mig), no node it may run on is cut so"
    largest = max(one.memory * geometry.slices for one, geometry in cuts)
    wanted = f"{cut.memory} MiB" if cut.memory else f"{cut.percent or cut.share}% of a device"
    return f"asks for {asked.count} instances with {wanted} on one node; its largest device has {largest} MiB"


def _apart(empty: Devices, rows: Ints, asked: DeviceRequest) -> str:
    """Why a rule about NUMA nodes can never be kept."""
    known = []
    for row in rows.tolist() if empty.layouts else ():
        layout = empty.layouts[row]
        numa = layout.numa if layout is not None else ()
        whole = [at for at, one in zip(numa, empty.named[row], strict=False) if one.geometry is None]
        if whole and UNKNOWN_NUMA not in whole:
            known.append(whole)
    if not known:
        return f"asks for {asked.numa_policy}, and no node it may run on says on which NUMA node each GPU is"
    most = max(max(map(numa.count, numa)) for numa in known)
    nics = " and ".join(f"{number} of {name}" for name, number in asked.nics)
    beside = f" with {nics} beside them" if nics else ""
    asks = f"asks {asked.count} of {asked.resource}{beside} under {asked.numa_policy}"
    return f"{asks}; the most devices of one NUMA node are {most}"


def _device(devices: Devices, row: int, column: int, nodes: Sequence[NodeFacts]) -> str:
    power, memory = max(0, int(devices.power[row, column])), max(0, int(devices.memory[row, column]))
    total, slots = int(devices.total[row, column]), max(0, int(devices.slots[row, column]))
    has = f"{power}% of its power"
    if total != UNKNOWN:
        has += f", {memory} of {total} MiB"
    has += f" and room for {slots} of {int(devices.sharers[row, column])} sharers"
    return f"{column} of node {nodes[row].name}, has {has}"


def _unwanted(empty: Devices, rows: Ints, asked: DeviceRequest) -> str:
    """Which models or devices are asked for, and which there are."""
    if asked.ids or asked.not_ids:
        wanted = _some(asked.ids) or f"none of {_some(asked.not_ids)}"
        return f"asks for the very devices {wanted}, which no node it may run on has in working order"
    models = {empty.models[number] for number in empty.model[rows].tolist()} - {""}
    wanted = _some(name.strip("*") for name in asked.models)
    unwanted = _some(name.strip("*") for name in asked.not_models)
    asks = " and ".join([f"for {wanted}"] * bool(wanted) + [f"not for {unwanted}"] * bool(unwanted))
    return f"asks {asks}, the devices there are {_some(models) or 'of no known model'}"


def _some(names: Iterable[str]) -> str:
    found = sorted(names)
    more = f" and {len(found) - _NAMED_MAX} more" if len(found) > _NAMED_MAX else ""
    return ", ".join(found[:_NAMED_MAX]) + more
