"""Devices that pods take one by one or in parts: what a pod asks of them, and what is free on every node.

A device (a GPU) is divided in hundredths of its computing power and in MiB of its memory, among as many pods
as may share it. `DeviceRequest` is part of a class of pods; `Devices` is part of a snapshot, made by
`inventory`, and `placement` takes from a copy of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from springtide.api.devicetopology import Layout
from springtide.api.gpus import GPU, Part, profile_of
from springtide.api.gpus import WHOLE as WHOLE
from springtide.api.gpus import Device as Device
from springtide.api.mig import Geometry, Profile
from springtide.scheduling.arrays import Ints, Mask
from springtide.scheduling.devicerequest import BINPACK as BINPACK
from springtide.scheduling.devicerequest import SPREAD as SPREAD
from springtide.scheduling.devicerequest import DeviceRequest as DeviceRequest
from springtide.scheduling.devicerequest import model_of
from springtide.scheduling.links import Chosen, choose, nearness, nics_beside, of_bits, room
from springtide.scheduling.slices import best, places

PLENTY = 1 << 40
"""How many pods fit where devices are not named, but counted with all other resources."""
UNKNOWN = 1 << 50
"""Memory of a device of which nobody said how much it has: more than anybody asks for."""

Taken = tuple[int, ...]
"""The devices of one pod, by their index on the node; NICs follow, number n as -1 - n."""
_UNASKED = np.zeros(0, dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class Devices:
    """The devices of all nodes of a snapshot, one row a node, one column a device of the largest node."""

    models: tuple[str, ...]
    """Names of the models; the index is what `model` holds."""
    memories: tuple[int, ...]
    """MiB that a device of each model has; 0 where nobody said."""
    model: Ints
    """Model of each node's devices."""
    named: tuple[tuple[Device, ...], ...]
    """The devices of each node, if it names them."""
    shared: Ints
    """1 for nodes that name their devices, 0 for those whose devices have one pod each, whatever it asks."""
    total: Ints
    """MiB of each device."""
    sharers: Ints
    """How many pods may have a part of each device; 0 where there is none, or it is not healthy."""
    power: Ints
    """Free hundredths of each device's power."""
    memory: Ints
    """Free MiB of each device; where nobody said how much there is, as much as one could ask for."""
    slots: Ints
    """How many more pods may have a part of each device."""
    share: Ints
    """What is left of each device in hundredths, by what is left least of; `WHOLE` if nobody uses it."""
    _able: dict[DeviceRequest, Mask | None] = field(default_factory=dict)
    _needs: dict[DeviceRequest, Ints] = field(default_factory=dict)
    layouts: tuple[Layout | None, ...] = ()
    """How the devices of each node are joined; empty where no node says it."""
    nics: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Free NICs of each node as bits; empty where `layouts` is."""
    slices: Mask | None = None
    """Which devices are slices of GPUs in mode `mig`; None for none."""
    even: bool = True
    """Whether on no node it makes a difference which devices are together."""
    kinds: Mapping[str, Mask] = field(default_factory=dict)
    """Of kinds other than GPUs: which rows name their devices, or will. Elsewhere these are only counted."""

    def fits(self, rows: slice | Ints, asked: DeviceRequest) -> Ints:
        """How many pods of this request the devices of each row hold."""
        if not asked.foreign:
            return self._fits_of_kind(rows, asked)
        found: Ints = np.minimum.reduce(
            [np.where(self.names(one)[rows], self._fits_of_kind(rows, one), PLENTY) for one in asked.kinds]
        )
        return found

    def names(self, asked: DeviceRequest) -> Mask:
        """Which rows name the devices of the first kind of this request, and are asked about them."""
        known = self.kinds.get(asked.resource)
        if known is not None:
            return known
        return np.full(len(self.model), asked.resource == GPU, dtype=np.bool_)

    def eligible(self, asked: DeviceRequest) -> Mask:
        """Which rows have devices of every kind that will do, whatever is free of them."""
        found = np.ones(len(self.model), dtype=np.bool_)
        for one in asked.kinds:
            able = self.able(one)
            if able is not None:
                found &= able.any(axis=1) | ~self.names(one)
        return found

    def _fits_of_kind(self, rows: slice | Ints, asked: DeviceRequest) -> Ints:
        if asked.module > 1:
            every = np.arange(len(self.model))[rows].tolist()
            return np.array([len(self._free(row, asked)) // asked.count for row in every], dtype=np.int64)
        if asked.particular:
            every = np.arange(len(self.model))[rows].tolist()
            return np.array([self._fits_together(row, asked) for row in every], dtype=np.int64)
        if asked.whole:
            able, free = self.able(asked), self.share[rows] == WHOLE
            found: Ints = (free if able is None else free & able[rows]).sum(axis=1) // asked.count
            return found
        each = self._pods(rows, asked)
        return each.sum(axis=1) if asked.count == 1 else _distinct(each, asked.count)

    def _pods(self, rows: slice | Ints, asked: DeviceRequest) -> Ints:
        """How many pods could have their part of each device."""
        able = self.able(asked)
        each = self.slots[rows]
        power = self.power[rows]
        each = np.minimum(each, power // asked.share) if asked.share else np.where(power > 0, each, 0)
        if asked.memory or asked.percent:
            needs = self.needs(asked)[rows]
            each = np.where(needs > 0, np.minimum(each, self.memory[rows] // np.maximum(needs, 1)), each)
        if asked.alike:
            each = np.where(self._alike(rows, asked), each, 0)
        found: Ints = np.maximum(each if able is None else np.where(able[rows], each, 0), 0)
        return found

    def _alike(self, rows: slice | Ints, asked: DeviceRequest) -> Mask:
        """Which devices nobody uses, or only in parts of this very size."""
        others, used = self.sharers[rows] - self.slots[rows], self.total[rows] - self.memory[rows]
        found: Mask = used == others * self.needs(asked)[rows]
        return found

    def able(self, asked: DeviceRequest) -> Mask | None:
        """Which devices the request accepts, whatever is free; None for all."""
        found = self._able.get(asked, _UNASKED)
        if found is _UNASKED:
            found = self._able[asked] = self._accepted(asked)
        return found

    def needs(self, asked: DeviceRequest) -> Ints:
        """MiB that the request takes of each device."""
        found = self._needs.get(asked)
        if found is None:
            total = np.where(self.total == UNKNOWN, 0, self.total)
            if asked.whole:
                found = total
            elif asked.memory:
                found = np.where(total > 0, asked.memory, 0)
            else:
                found = total * asked.percent // WHOLE
            self._needs[asked] = found
        return found

    def take(self, row: int, asked: DeviceRequest, first: int = -1) -> Taken:
        """Take one pod's devices: `first` if it is given, else those that are used most already.

        Of pods with parts of several devices the most fit where each takes those with most room, so they do.
        Raises ValueError when the row does not hold them.
        """
        if asked.foreign:
            return self._take_kinds(row, asked, first)
        return self._take_of_kind(row, asked, first)

    def _take_kinds(self, row: int, asked: DeviceRequest, first: int) -> Taken:
        """Take the devices of each kind that the row names; nothing if one of them is not to be had."""
        taken: list[tuple[DeviceRequest, Taken]] = []
        for one in asked.kinds:
            if not self.names(one)[row]:
                continue
            try:
                taken.append((one, self._take_of_kind(row, one, first)))
            except ValueError:
                for known, devices in taken:
                    self.move(row, devices, known, +1)
                raise
        every = [index for _, devices in taken for index in devices]
        return (*(one for one in every if one >= 0), *(one for one in every if one < 0))

    def _take_of_kind(self, row: int, asked: DeviceRequest, first: int) -> Taken:
        free = self._free(row, asked)
        if asked.cut is not None:
            return self._take_instances(row, asked, asked.cut)
        if len(free) < asked.count:
            raise ValueError(f"node {row} has {len(free)} of {asked.count} devices")
        if asked.module > 1:
            named = self.named[row]
            chosen = tuple(sorted(free, key=lambda index: named[index].number)[: asked.count])
            self.move(row, chosen, asked, -1)
            return chosen
        layout = self.layouts[row] if self.layouts else None
        if asked.particular or (layout is not None and not layout.even):
            return self._take_together(row, layout, asked, free)
        if asked.whole or len(free) == 1:
            chosen = tuple(free[: asked.count])
        elif asked.count > 1:
            pods = self._pods(slice(row, row + 1), asked)[0].tolist()
            chosen = tuple(sorted(free, key=lambda index: -pods[index])[: asked.count])
        elif first in free and not asked.device_policy:
            chosen = (first,)
        else:
            share = self.share[row].tolist()
            turn = -1 if asked.device_policy == SPREAD else 1
            chosen = (min(free, key=lambda index: turn * share[index]),)
        self.move(row, chosen, asked, -1)
        return chosen

    def take_part(self, row: int, index: int, share: int) -> bool:
        """Take a part of this very device for a pod that asks for nothing else; False if it is not there."""
        if index < 0 or self.slots.item(row, index) <= 0 or self.power.item(row, index) < max(share, 1):
            return False
        self.change(row, index, share * self.shared.item(row), 0, 1, -1)
        return True

    def strain(self, rows: Ints, asked: DeviceRequest) -> Ints:
        """How much farther apart the devices of one pod would be on each row than on that node when empty."""
        found = np.zeros(len(rows), dtype=np.int64)
        for at, row in enumerate(rows.tolist()):
            layout = self.layouts[row]
            if layout is not None and not layout.even:
                found[at] = nearness(layout, of_bits(self._free(row, asked)), asked.count)
        return found

    def _fits_together(self, row: int, asked: DeviceRequest) -> int:
        """How many pods fit that have a rule about NUMA nodes; none where nobody says which there are."""
        if asked.cut is not None:
            gpus = self._cut_gpus(row, asked, asked.cut)
            return sum(len(places(free, profile)) for _, free, _, profile in gpus) // asked.count
        layout = self.layouts[row] if self.layouts else None
        if layout is None:
            return 0
        free, nics = of_bits(self._free(row, asked)), int(self.nics[row])
        if asked.whole:
            return room(layout, free, nics, asked.count, asked.numa_policy, asked.nics)
        if choose(layout, free, nics, asked.count, asked.numa_policy, asked.nics) is None:
            return 0
        tried, pods = self.copy(), 0
        while tried._chosen(row, layout, asked, tried._free(row, asked)) is not None:
            tried._take_together(row, layout, asked, tried._free(row, asked))
            pods += 1
        return pods

    def _take_together(self, row: int, layout: Layout | None, asked: DeviceRequest, free: list[int]) -> Taken:
        """Take one pod's devices, and the NICs beside them. Raises ValueError when none will do."""
        found = self._chosen(row, layout, asked, free) if layout is not None else None
        if found is None:
            raise ValueError(f"node {row} has no {asked.count} devices that are together as asked")
        chosen = (*found[0], *(~nic for nic in found[1]))
        self.move(row, chosen, asked, -1)
        return chosen

    def _cut_gpus(
        self, row: int, asked: DeviceRequest, cut: Part
    ) -> list[tuple[int, int, Geometry, Profile]]:
        """GPUs of the row that have such instances: first device, free slices as bits, how they are cut."""
        named, free = self.named[row], set(self._free(row, asked))
        found = []
        for first, one in enumerate(named):
            profile = profile_of(cut, one) if one.geometry is not None and one.slice == 0 else None
            if one.geometry is not None and profile is not None:
                bits = sum(1 << at for at in range(one.geometry.slices) if first + at in free)
                found.append((first, bits, one.geometry, profile))
        return found

    def _take_instances(self, row: int, asked: DeviceRequest, cut: Part) -> Taken:
        """Take instances one after the other, each where it spoils least. Raises ValueError when they do
        not fit."""
        chosen: list[int] = []
        for _ in range(asked.count):
            able = [
                (*found, first, profile)
                for first, free, geometry, profile in self._cut_gpus(row, asked, cut)
                if (found := best(geometry, free, profile)) is not None
            ]
            if not able:
                self.move(row, chosen, asked, +1)
                raise ValueError(f"node {row} has no place for {asked.count} instances")
            _, start, first, profile = min(able, key=lambda one: (one[0], one[2]))
            slices = range(first + start, first + start + profile.size)
            self.move(row, slices, asked, -1)
            chosen += slices
        layout = self.layouts[row] if self.layouts else None
        nics = nics_beside(layout, chosen, int(self.nics[row]), asked.nics, hard=False) if layout else None
        self.move(row, tuple(~one for one in nics or ()), asked, -1)
        return (*chosen, *(~one for one in nics or ()))

    def _chosen(self, row: int, layout: Layout, asked: DeviceRequest, free: list[int]) -> Chosen | None:
        nics = int(self.nics[row])
        if asked.whole or asked.particular:
            return choose(layout, of_bits(free), nics, asked.count, asked.numa_policy, asked.nics)
        pods = self._pods(slice(row, row + 1), asked)[0].tolist()
        share = self.share[row].tolist()
        turn = -1 if asked.device_policy == SPREAD else 1
        rank = (lambda one: -pods[one]) if asked.count > 1 else (lambda one: turn * share[one])
        devices = tuple(sorted(free, key=rank)[: asked.count])
        return devices, nics_beside(layout, devices, nics, asked.nics, hard=False) or ()

    def move(self, row: int, devices: Sequence[int], asked: DeviceRequest, sign: int) -> None:
        """Give these devices of a pod back (+1), or take them (-1)."""
        if asked.also:
            for one in asked.kinds:
                self.move(row, self.of_kind(row, devices, one), one, sign)
            return
        shared = int(self.shared[row])
        needs = self.needs(asked) if asked.whole or asked.memory or asked.percent else None
        for index in devices:
            if index < 0:
                self.move_nics(row, 1 << ~index, sign)
                continue
            memory = int(needs[row, index]) * shared if needs is not None else 0
            self.change(row, index, asked.share * shared, memory, 1, sign)

    def of_kind(self, row: int, devices: Taken | Sequence[int], asked: DeviceRequest) -> Taken:
        """Which of a pod's devices are of this kind; NICs come with the GPUs, or whatever is first."""
        named = self.named[row]
        return tuple(
            index
            for index in devices
            if (index < 0 and bool(asked.nics))
            or (0 <= index < len(named) and named[index].kind == asked.resource)
        )

    def move_nics(self, row: int, nics: int, sign: int) -> None:
        """Give these NICs of a row back (+1), or take them (-1); those it has no more are nobody's."""
        layout = self.layouts[row] if self.layouts else None
        if layout is not None:
            nics &= layout.all_nics
            self.nics[row] = int(self.nics[row]) | nics if sign > 0 else int(self.nics[row]) & ~nics

    def change(self, row: int, index: int, share: int, memory: int, sharers: int, sign: int) -> None:
        """Give so much of one device back (+1), or take it (-1)."""
        power = self.power.item(row, index) + sign * share
        memory = self.memory.item(row, index) + sign * memory
        slots = self.slots.item(row, index) + sign * sharers
        most = self.sharers.item(row, index)
        self.power[row, index], self.memory[row, index], self.slots[row, index] = power, memory, slots
        if slots <= 0 or not most:
            left = 0
        else:
            left = min(power, memory * WHOLE // self.total.item(row, index))
            left = max(0, left if slots == most else min(left, WHOLE - 1))
        self.share[row, index] = left

    def used(self, row: int, asked: DeviceRequest) -> Taken:
        """Devices that a pod on the row may hold if nobody says which: the last that are not all free."""
        there = (self.sharers[row] > 0) & (self.share[row] < WHOLE)
        kind = self.kind(asked)
        used = np.flatnonzero(there if kind is None else there & kind[row])
        return tuple(int(index) for index in used[::-1][: asked.count])

    def kind(self, asked: DeviceRequest) -> Mask | None:
        """Which devices are of the kind; None for all."""
        return self.able(DeviceRequest(asked.resource, 1)) if self.kinds or asked.foreign else None

    def keep_to(self, most: Devices, rows: Ints) -> tuple[Ints, ...]:
        """Have no more free than `most` has, of these rows; returns what that leaves out, for `add`."""
        left = []
        for own, other in zip(self._amounts(), most._amounts(), strict=True):
            over = own - np.minimum(own, other)
            own -= over
            left.append(over)
        self._reckon(rows)
        over = self.nics & ~most.nics
        self.nics[:] &= most.nics
        return (*left, over)

    def add(self, amounts: tuple[Ints, ...], rows: Ints) -> None:
        """Have so much more free, all of it in these rows."""
        for own, more in zip(self._amounts(), amounts[:-1], strict=True):
            own += more
        self.nics[:] |= amounts[-1]
        self._reckon(rows)

    def _amounts(self) -> tuple[Ints, Ints, Ints]:
        return self.power, self.memory, self.slots

    def _reckon(self, rows: Ints) -> None:
        """What is left of each device of these rows."""
        power, slots, most = self.power[rows], self.slots[rows], self.sharers[rows]
        left = np.minimum(power, self.memory[rows] * WHOLE // np.maximum(self.total[rows], 1))
        left = np.where(slots == most, left, np.minimum(left, WHOLE - 1))
        self.share[rows] = np.where((slots > 0) & (most > 0), np.maximum(left, 0), 0)

    def give_back_all(
        self, rows: Ints, devices: Sequence[Taken], asked: DeviceRequest, sign: int = 1
    ) -> None:
        """Give back (or take, -1) the devices of many pods at once; `rows` has the row of each pod."""
        if asked.also:
            for one in asked.kinds:
                self.give_back_all(rows, self._all_of_kind(rows, devices, one), one, sign)
            return
        at, index = _spread_out(rows, devices)
        shared = sign * self.shared[at]
        np.add.at(self.power, (at, index), shared * asked.share)
        np.add.at(self.memory, (at, index), shared * self.needs(asked)[at, index])
        np.add.at(self.slots, (at, index), sign)
        self._reckon(np.unique(at))
        for row, taken in zip(rows.tolist(), devices, strict=True):
            if taken and taken[-1] < 0:
                self.move_nics(row, of_bits(~one for one in taken if one < 0), sign)

    def _all_of_kind(self, rows: Ints, devices: Sequence[Taken], asked: DeviceRequest) -> list[Taken]:
        return [self.of_kind(row, taken, asked) for row, taken in zip(rows.tolist(), devices, strict=True)]

    def take_back(self, rows: Ints, devices: Sequence[Taken], asked: DeviceRequest) -> bool:
        """Take the same devices again; False if others have some of them, which is then to be undone."""
        if asked.also:
            fine = True
            for one in asked.kinds:
                fine &= self.take_back(rows, self._all_of_kind(rows, devices, one), one)
            return fine
        at, index = _spread_out(rows, devices)
        had_power = self.power[at, index] > 0
        had_nics = self._has_nics(rows, devices)
        self.give_back_all(rows, devices, asked, -1)
        slots, most = self.slots[at, index], self.sharers[at, index]
        alone = (slots == most - 1) if asked.whole else (slots >= 0) & had_power
        enough = (self.power[at, index] >= 0) & (self.memory[at, index] >= 0)
        return had_nics and bool(((alone & enough) | (most == 0)).all())

    def _has_nics(self, rows: Ints, devices: Sequence[Taken]) -> bool:
        """Whether the NICs of these pods are free, and no two want the same."""
        wanted: dict[int, int] = {}
        for row, taken in zip(rows.tolist(), devices, strict=True):
            layout = self.layouts[row] if self.layouts else None
            if not taken or taken[-1] >= 0 or layout is None:
                continue
            own = of_bits(~one for one in taken if one < 0) & layout.all_nics
            if own & wanted.get(row, 0) or own & ~int(self.nics[row]):
                return False
            wanted[row] = wanted.get(row, 0) | own
        return True

    def give_back_used(self, rows: Ints, pods: Ints, asked: DeviceRequest) -> None:
        """Give back what so many pods on each of these rows may hold, if nobody says which devices."""
        if asked.also:
            for one in asked.kinds:
                self.give_back_used(rows, pods, one)
            return
        if not asked.whole:
            for row, count in zip(rows.tolist(), pods.tolist(), strict=True):
                for _ in range(count):
                    self.move(row, self.used(row, asked), asked, +1)
            return
        used = (self.sharers[rows] > 0) & (self.share[rows] < WHOLE)
        kind = self.kind(asked)
        used = used if kind is None else used & kind[rows]
        from_last = np.cumsum(used[:, ::-1], axis=1)[:, ::-1]
        given = used & (from_last <= (pods * asked.count)[:, None])
        shared = np.where(given, self.shared[rows][:, None], 0)
        self.power[rows] += shared * asked.share
        self.memory[rows] += shared * self.needs(asked)[rows]
        self.slots[rows] += given
        self._reckon(rows)

    def rows(self, rows: Ints) -> tuple[Ints, ...]:
        """What is free of the devices of these rows, for `set_rows`."""
        nics = (self.nics[rows],) if self.layouts else ()
        return (*(own[rows] for own in (*self._amounts(), self.share)), *nics)

    def set_rows(self, rows: Ints, before: tuple[Ints, ...]) -> None:
        """As it was."""
        nics = (self.nics,) if self.layouts else ()
        for own, known in zip((*self._amounts(), self.share, *nics), before, strict=True):
            own[rows] = known

    def copy(self) -> Devices:
        """The same, to take from."""
        return Devices(
            self.models,
            self.memories,
            self.model,
            self.named,
            self.shared,
            self.total,
            self.sharers,
            self.power.copy(),
            self.memory.copy(),
            self.slots.copy(),
            self.share.copy(),
            self._able,
            self._needs,
            self.layouts,
            self.nics.copy(),
            self.slices,
            self.even,
            self.kinds,
        )

    def _free(self, row: int, asked: DeviceRequest) -> list[int]:
        """Which devices of the row the request could have a part of now."""
        if asked.whole:
            free = [index for index, left in enumerate(self.share[row].tolist()) if left == WHOLE]
        else:
            slots, power, least = self.slots[row].tolist(), self.power[row].tolist(), max(asked.share, 1)
            free = [index for index, left in enumerate(power) if left >= least and slots[index] > 0]
            if asked.memory or asked.percent:
                memory, needs = self.memory[row].tolist(), self.needs(asked)[row].tolist()
                free = [index for index in free if memory[index] >= needs[index]]
            if asked.alike:
                alike = self._alike(slice(row, row + 1), asked)[0]
                free = [index for index in free if alike[index]]
        able = self.able(asked)
        free = free if able is None else [index for index in free if able[row, index]]
        if asked.module > 1:
            module = {index: self.named[row][index].number // asked.module for index in free}
            sizes = Counter(module.values())
            free = [index for index in free if sizes[module[index]] == asked.module]
        return free

    def _accepted(self, asked: DeviceRequest) -> Mask | None:
        picky = asked.models or asked.not_models or asked.ids or asked.not_ids
        kinds = bool(self.kinds) or asked.resource != GPU or bool(asked.mode)
        if not picky and not kinds and self.slices is None and asked.cut is None:
            return None
        by_model = np.array([asked.accepts(model) for model in self.models], dtype=np.bool_)
        found: Mask = np.repeat(by_model[self.model][:, None], self.share.shape[1], axis=1)
        for row, devices in enumerate(self.named):
            if asked.ids or asked.not_ids or asked.mode or len({model_of(one) for one in devices}) > 1:
                accepted = [
                    asked.accepts(model_of(one))
                    and asked.accepts_id(one.gpu)
                    and asked.mode in ("", one.mode)
                    for one in devices
                ]
                found[row, : len(devices)] = accepted
            if asked.ids and not devices:
                found[row] = False
        slices = self.slices if self.slices is not None else np.zeros_like(found)
        return found & (slices if asked.cut is not None else ~slices)


def _spread_out(rows: Ints, devices: Sequence[Taken]) -> tuple[Ints, Ints]:
    """Row and column of each device of each pod."""
    own = [[one for one in taken if one >= 0] for taken in devices]
    index = np.array([one for taken in own for one in taken], dtype=np.int64)
    return np.repeat(rows, [len(taken) for taken in own]), index


def _distinct(each: Ints, count: int) -> Ints:
    """How many groups of `count` different devices there are, where each device may be in so many groups."""
    low = np.zeros(len(each), dtype=np.int64)
    high = each.sum(axis=1) // count
    while (low < high).any():
        middle = (low + high + 1) // 2
        enough = np.minimum(each, middle[:, None]).sum(axis=1) >= middle * count
        low = np.where(enough, middle, low)
        high = np.where(enough, high, middle - 1)
    return low
