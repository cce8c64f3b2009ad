"""How much of a node's free devices typical pods could still use, and what a placement costs of it.

A node's devices are stranded when no pod that usually comes could run on them: too small a part is free, too
few are free together, or the CPUs beside them are gone. What would be stranded more by a placement is its
cost, and the cheapest node wins. The usual pods are those that the cluster sees (`Demand`); nothing else is
tuned. Called by `placement` for all nodes at once, then for those that changed.

Source: fragmentation gradient descent (Weng et al., USENIX ATC 2023), in closed form over two cumulative
tables; the worth of parts of a device is `prices`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np

from springtide.scheduling.arrays import Floats, Ints
from springtide.scheduling.devices import WHOLE, DeviceRequest
from springtide.scheduling.prices import worth

_BINS_MAX = 96
_LAST_RESORT = 5000.0
"""What it costs to take a part larger than what is left of a device by what is left least of."""


@dataclass(frozen=True)
class Weights:
    """What counts besides devices stranded; amounts are hundredths of a device."""

    price: float = 10.0
    """How much a part's loss of worth counts against devices stranded."""
    opening: float = 2.0
    """What taking a part of an untouched device costs more than of a used one."""
    tidiness: float = 5.0
    """What an empty node costs more than a full one where all else is equal."""


STANDARD = Weights()
PLAIN = Weights(price=0.0, opening=0.0, tidiness=0.0)
"""Devices stranded alone, as published."""


@dataclass(frozen=True)
class Demand:
    """One sort of pod, and how often it comes."""

    cpu: int
    """Thousandths of a CPU."""
    devices: DeviceRequest | None
    often: float


class Seen(NamedTuple):
    """The nodes that are looked at, one column a node: what costs depend on is read along the nodes."""

    cpu: Ints
    """Free CPU in thousandths."""
    model: Ints
    """Index of the model of the node's devices."""
    by_device: Ints
    """Free part of each device in hundredths; 0 where there is none. Devices × nodes."""
    whole: Ints
    """How many devices nobody uses."""

    @property
    def share(self) -> Ints:
        """Free part of each device in hundredths. Nodes × devices."""
        return self.by_device.T

    @staticmethod
    def of(cpu: Ints, model: Ints, share: Ints) -> Seen:
        """Nodes with these free parts of devices, one row a node."""
        by_device = np.ascontiguousarray(share.T)
        return Seen(cpu, model, by_device, (by_device == WHOLE).sum(axis=0))


class Node(NamedTuple):
    """One node, in the same words."""

    cpu: int
    model: int
    share: list[int]
    whole: int


class _Parts(NamedTuple):
    """What one pod that asks for a part of a device costs, as tables like those of `Fragments`."""

    sizes: Ints
    """Hundredths that it takes of a device of each model."""
    first_size: float
    """The same of the first model."""
    used: Floats
    """By what is free of a device that others use; the node keeps all its untouched devices."""
    untouched: Floats
    """Of a device that nobody uses, by how many such the node has, of which it loses one."""


class Fragments:
    """The cost of placements, for one demand."""

    def __init__(
        self,
        demands: Iterable[Demand],
        models: Sequence[str],
        devices_max: int,
        cpu_max: int,
        weights: Weights = STANDARD,
        memories: Sequence[int] = (),
    ) -> None:
        """`models` by their indices; the largest node has `devices_max` devices and `cpu_max` of CPU.

        `memories`: MiB of a device of each model, 0 where nobody said; empty if nobody said of any.
        """
        self._memories = memories or [0] * len(models)
        self._sizes_of: dict[DeviceRequest, Ints] = {}
        asking = [(demand, demand.devices) for demand in demands if demand.often > 0]
        total = sum(demand.often for demand, _ in asking) or 1.0
        self._bins = _bins([demand.cpu for demand, devices in asking if devices is not None])
        self._bins_list: list[int] = self._bins.tolist()
        self._rows = len(self._bins) + 1
        self._width = max(WHOLE, devices_max) + 1
        self._one_model = len(models) <= 1
        shape = (len(models), self._rows, self._width)
        single, together = np.zeros(shape), np.zeros(shape)
        parts: dict[int, float] = {}
        for demand, devices in asking:
            if devices is None or devices.count > devices_max:
                continue
            often = demand.often / total
            first = min(int(np.searchsorted(self._bins, demand.cpu)) + 1, self._rows - 1)
            able = [i for i, model in enumerate(models) if devices.accepts(model)]
            if devices.count == 1:
                sizes = self._sizes(devices)[able]
                single[able, first, sizes] += often
                for size, number in Counter(sizes.tolist()).items():
                    if size < WHOLE:
                        parts[size] = parts.get(size, 0.0) + often * (number / len(able))
            else:
                together[able, first, devices.count] += often
        single, together = single.cumsum(axis=1).cumsum(axis=2), together.cumsum(axis=1).cumsum(axis=2)
        self._part_usable = (single * np.arange(self._width)).reshape(-1)
        self._count_usable = (together * np.arange(self._width) * WHOLE).reshape(-1)
        prices = weights.price * WHOLE * worth(_rounded(parts)) if weights.price else np.zeros(WHOLE + 1)
        self._kept = prices
        self._taken = prices + weights.opening * np.arange(WHOLE + 1) / WHOLE
        self._tidy_share = weights.tidiness / max(1, devices_max * WHOLE)
        self._tidy_cpu = weights.tidiness / max(1, cpu_max)
        self._parts_of: dict[DeviceRequest, _Parts] = {}
        self._pages: dict[int, list[float]] = {}

    def usable(self, seen: Seen) -> Floats:
        """How much of each node's free devices a typical pod could use, in hundredths of a device."""
        page = self._page(seen.model, seen.cpu)
        parts = _total(self._part_usable.take(page + seen.by_device))
        found: Floats = parts + self._count_usable.take(page + seen.whole)
        return found

    def standing(self, seen: Seen) -> Floats:
        """What each node is worth as it is: what `cost` counts from."""
        tidy = self._tidy_share * seen.by_device.sum(axis=0) + self._tidy_cpu * seen.cpu
        found: Floats = self.usable(seen) + tidy
        return found

    def standing_of(self, cpu: int, model: int, share: Sequence[int], whole: int) -> float:
        """The same of one node, of which `whole` devices are wholly free: for the one that just changed."""
        page = self._page_of(cpu, model)
        worth_of = self._pages.get(page)
        if worth_of is None:
            worth_of = self._pages[page] = self._part_usable[page : page + self._width].tolist()
        if len(share) == 8:
            a, b, c, d, e, f, g, h = share
            left, right = (worth_of[a] + worth_of[b]), (worth_of[e] + worth_of[f])
            usable = (left + (worth_of[c] + worth_of[d])) + (right + (worth_of[g] + worth_of[h]))
        else:
            usable = reduce(add, (worth_of[left] for left in share), 0.0)
        usable += self._count_usable.item(page + whole)
        return usable + (self._tidy_share * sum(share) + self._tidy_cpu * cpu)

    def cost(self, seen: Seen, standing: Floats, cpu: int, asked: DeviceRequest | None) -> Floats:
        """What one pod costs on each node, on all of which it fits.

        `standing` is `standing(seen)`, kept by the caller; `cpu` what the pod takes.
        """
        page = self._page(seen.model, seen.cpu - cpu)
        at = page + seen.by_device
        parts = _total(self._part_usable.take(at))
        whole_at = page + seen.whole
        if asked is None or not asked.count:
            bare: Floats = standing - (parts + self._count_usable.take(whole_at))
            return bare
        if asked.whole:
            each = self._part_usable.take(page + WHOLE)
            after = parts - asked.count * each + self._count_usable.take(whole_at - asked.count)
            found: Floats = standing - after - asked.count * WHOLE
            return found
        part = self._parts(asked)
        opened = part.untouched.take(whole_at)
        used = np.minimum.reduce(part.used.take(at), axis=0)
        best = np.minimum(used - self._count_usable.take(whole_at), opened)
        size = part.first_size if self._one_model else part.sizes.take(seen.model)
        shared: Floats = standing - parts - size + best
        return shared

    def device_of(self, node: Node, cpu: int, asked: DeviceRequest) -> int:
        """On which device of a node a part of one is best taken by a pod that takes so much CPU."""
        page = self._page_of(node.cpu - cpu, node.model)
        part = self._parts(asked)
        opened, fewer = part.untouched.item(page + node.whole), self._count_usable.item(page + node.whole)
        used = part.used.item
        costs = {
            share: opened if share == WHOLE else used(page + share) - fewer
            for share in dict.fromkeys(node.share)
        }
        return node.share.index(min(costs, key=costs.__getitem__))

    def _parts(self, asked: DeviceRequest) -> _Parts:
        """What taking such a part costs, table by table; worked out once for each sort of part."""
        found = self._parts_of.get(asked)
        if found is not None:
            return found
        sizes = self._sizes(asked)
        shape = (len(sizes), self._rows, self._width)
        share = np.minimum(np.arange(self._width), WHOLE)[None, :]
        left = np.maximum(share - sizes[:, None], 0)
        parts = self._part_usable.reshape(shape)
        gained = np.take_along_axis(parts, left[:, None, :], axis=2) - parts[:, :, share[0]]
        used = (self._taken.take(share) - self._kept.take(left))[:, None, :] - gained
        used += np.where(share < sizes[:, None], _LAST_RESORT, 0.0)[:, None, :]
        fewer = np.full(shape, -np.inf)
        fewer[:, :, 1:] = self._count_usable.reshape(shape)[:, :, :-1]
        untouched = used[:, :, WHOLE, None] - fewer
        used[:, :, WHOLE:] = np.inf
        found = self._parts_of[asked] = _Parts(
            sizes, float(sizes[0]), used.reshape(-1), untouched.reshape(-1)
        )
        return found

    def _sizes(self, asked: DeviceRequest) -> Ints:
        """Hundredths of a device of each model that a pod takes, by what it takes most of."""
        found = self._sizes_of.get(asked)
        if found is None:
            part = asked.part
            found = np.array([part.size(memory) for memory in self._memories], dtype=np.int64)
            self._sizes_of[asked] = found
        return found

    def _page_of(self, cpu: int, model: int) -> int:
        """The same of one node."""
        return (bisect_right(self._bins_list, cpu) + model * self._rows) * self._width

    def _page(self, model: Ints, cpu: Ints) -> Ints:
        """Where in the tables nodes of this model with so much free CPU begin."""
        page: Ints = self._bins.searchsorted(cpu, side="right") * self._width
        return page if self._one_model else page + model * (self._rows * self._width)


def _total(parts: Floats) -> Floats:
    """The sum over a node's devices, of eight in the order in which numpy adds a row of them."""
    if len(parts) != 8:
        found: Floats = parts.sum(axis=0)
        return found
    pairs = parts[0::2] + parts[1::2]
    fours = pairs[0::2] + pairs[1::2]
    total: Floats = fours[0] + fours[1]
    return total


def _bins(cpus: Sequence[int]) -> Ints:
    """Amounts of CPU that are told apart: all that are asked for, or as many as the tables bear."""
    found = np.unique(np.array([0, *cpus], dtype=np.int64))
    if len(found) > _BINS_MAX:
        found = found[np.linspace(0, len(found) - 1, _BINS_MAX).round().astype(np.int64)]
    return found


def _rounded(parts: Mapping[int, float]) -> tuple[tuple[int, int], ...]:
    """Shares and how often they are asked for, in hundredths of all: what hardly differs is the same."""
    total = sum(parts.values())
    return tuple((size, max(1, round(WHOLE * often / total))) for size, often in sorted(parts.items()))
