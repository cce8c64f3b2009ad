"""How much of a node's free devices typical pods could still use, and what a placement costs of it.

A node's devices are stranded when no pod that usually comes could run on them: too small a part is free, too
few are free together, or the CPUs beside them are gone. What would be stranded more by a placement is its
cost, and the cheapest node wins. The usual pods are those that the cluster sees (`Demand`); nothing else is
tuned. Called by `placement` for all nodes at once, then for those that changed.

Source: fragmentation gradient descent (Weng et al., USENIX ATC 2023), in closed form over two cumulative
tables; the worth of parts of a device is `prices`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from springtide.scheduling.arrays import Floats, Ints, Mask
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


@dataclass(frozen=True, eq=False)
class Seen:
    """The nodes that are looked at, one row a node."""

    cpu: Ints
    """Free CPU in thousandths."""
    model: Ints
    """Index of the model of the node's devices."""
    share: Ints
    """Free part of each device in hundredths; 0 where there is none. Nodes × devices."""


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
        self._rows = len(self._bins) + 1
        self._columns = devices_max + 1
        single = np.zeros((len(models), self._rows, WHOLE + 1))
        together = np.zeros((len(models), self._rows, self._columns))
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
        self._part_usable = (single * np.arange(WHOLE + 1)).reshape(-1)
        self._count_usable = (together * np.arange(self._columns) * WHOLE).reshape(-1)
        prices = weights.price * WHOLE * worth(_rounded(parts)) if weights.price else np.zeros(WHOLE + 1)
        self._kept = prices
        self._taken = prices + weights.opening * np.arange(WHOLE + 1) / WHOLE
        self._tidy_share = weights.tidiness / max(1, devices_max * WHOLE)
        self._tidy_cpu = weights.tidiness / max(1, cpu_max)

    def usable(self, seen: Seen) -> Floats:
        """How much of each node's free devices a typical pod could use, in hundredths of a device."""
        row = self._row(seen.model, seen.cpu)
        parts = self._part_usable.take((row * (WHOLE + 1))[:, None] + seen.share)
        whole = (seen.share == WHOLE).sum(axis=1)
        found: Floats = parts.sum(axis=1) + self._count_usable.take(row * self._columns + whole)
        return found

    def cost(self, seen: Seen, usable: Floats, cpu: int, asked: DeviceRequest | None) -> tuple[Floats, Ints]:
        """What one pod costs on each node, and on which device a part of one is best taken.

        `usable` is `usable(seen)`, kept by the caller; `cpu` what the pod takes. Nodes on which the pod does
        not fit have some cost too; the caller leaves them out. The device is the first wholly free one for
        pods that ask for whole ones, and -1 if they ask for none.
        """
        row = self._row(seen.model, np.maximum(seen.cpu - cpu, 0))
        at = (row * (WHOLE + 1))[:, None]
        parts = self._part_usable.take(at + seen.share)
        is_whole = seen.share == WHOLE
        whole = is_whole.sum(axis=1)
        count_at = row * self._columns
        free = seen.share.sum(axis=1)
        tidy = self._tidy_share * free + self._tidy_cpu * seen.cpu
        before = usable + tidy
        if asked is None or not asked.count:
            after = parts.sum(axis=1) + self._count_usable.take(count_at + whole)
            return before - after, np.full(len(free), -1, dtype=np.int64)
        if asked.whole:
            left = np.maximum(whole - asked.count, 0)
            each = self._part_usable.take(row * (WHOLE + 1) + WHOLE)
            after = parts.sum(axis=1) - asked.count * each + self._count_usable.take(count_at + left)
            return before - after - asked.count * WHOLE, is_whole.argmax(axis=1)
        size = self._sizes(asked)[seen.model][:, None]
        return self._shared(seen, size, parts, at, is_whole, whole, count_at, before)

    def _shared(
        self,
        seen: Seen,
        size: Ints,
        parts: Floats,
        at: Ints,
        is_whole: Mask,
        whole: Ints,
        count_at: Ints,
        before: Floats,
    ) -> tuple[Floats, Ints]:
        left = np.maximum(seen.share - size, 0)
        gained = self._part_usable.take(at + left) - parts
        fewer = self._count_usable.take((count_at + whole)[:, None] - is_whole)
        each = self._taken.take(seen.share) - self._kept.take(left) - gained - fewer
        each[seen.share < size] += _LAST_RESORT
        device = each.argmin(axis=1)
        best = each[np.arange(len(device)), device]
        return before - parts.sum(axis=1) - size[:, 0] + best, device

    def _sizes(self, asked: DeviceRequest) -> Ints:
        """Hundredths of a device of each model that a pod takes, by what it takes most of."""
        found = self._sizes_of.get(asked)
        if found is None:
            part = asked.part
            found = np.array([part.size(memory) for memory in self._memories], dtype=np.int64)
            self._sizes_of[asked] = found
        return found

    def _row(self, model: Ints, cpu: Ints) -> Ints:
        found: Ints = model * self._rows + self._bins.searchsorted(cpu, side="right")
        return found


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
