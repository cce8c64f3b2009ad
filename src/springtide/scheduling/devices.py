"""Devices that pods take one by one or in parts: what a pod asks of them, and what is free on every node.

A device (a GPU) is divided in hundredths of its computing power and in MiB of its memory. `DeviceRequest` is
part of a class of pods; `Devices` is part of a snapshot, and `placement` takes from a copy of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from springtide.scheduling.arrays import Ints

WHOLE = 100
"""A whole device, in the unit of shares: one hundredth."""

UNKNOWN = int(np.iinfo(np.int64).max // 2)
"""Memory of a device of which nobody said how much it has: more than anybody asks for."""

Taken = tuple[int, ...]
"""The devices of one pod, by their index on the node."""


@dataclass(frozen=True)
class Device:
    """One device of a node that names them."""

    id: str
    model: str
    memory: int
    """MiB."""
    sharers: int
    """How many pods may have a part of it."""
    healthy: bool = True


class Equipment(Protocol):
    """A node, as far as its devices go."""

    @property
    def devices(self) -> Sequence[Device]:
        """Its devices, if it names them."""

    @property
    def model(self) -> str:
        """Their model."""


@dataclass(frozen=True)
class DeviceRequest:
    """What each of a pod's devices must be."""

    resource: str
    """Resource whose number the pod asks for, such as `nvidia.com/gpu`."""
    count: int
    """How many devices; all on one node."""
    share: int = WHOLE
    """Part of each, in hundredths."""
    memory: int = 0
    """MiB of each; 0 for what comes with the share."""
    models: frozenset[str] = frozenset()
    """Models that will do; empty: any."""
    not_models: frozenset[str] = frozenset()
    """Models that will not."""

    @property
    def whole(self) -> bool:
        """Whether it asks for devices that nobody else uses."""
        return self.share == WHOLE

    def accepts(self, model: str) -> bool:
        """Whether a device of this model will do."""
        return (not self.models or model in self.models) and model not in self.not_models


@dataclass(frozen=True, eq=False)
class Devices:
    """The devices of all nodes of a snapshot, one row a node, one column a device of the largest node."""

    models: tuple[str, ...]
    """Names of the models; the index is what `model` holds."""
    model: Ints
    """Model of each node's devices."""
    share: Ints
    """Free part of each device in hundredths; 0 where there is none, or it is not healthy."""
    memory: Ints
    """Free MiB of each device; where nobody said how much there is, as much as one could ask for."""

    def fits(self, rows: slice | Ints, asked: DeviceRequest) -> Ints:
        """How many pods of this request the devices of each row hold."""
        share, memory = self.share[rows], self.memory[rows]
        if asked.whole:
            found: Ints = (share == WHOLE).sum(axis=1) // asked.count
        else:
            each = share // asked.share
            if asked.memory:
                each = np.minimum(each, memory // asked.memory)
            found = each.sum(axis=1) if asked.count == 1 else _distinct(each, asked.count)
        accepted = np.array([asked.accepts(model) for model in self.models], dtype=np.bool_)
        return np.where(accepted[self.model[rows]], found, 0)

    def take(self, row: int, asked: DeviceRequest, first: int = -1) -> Taken:
        """Take one pod's devices: `first` if it is given, else those that are used most already.

        Raises ValueError when the row does not hold them.
        """
        share, memory = self.share[row], self.memory[row]
        free = share >= asked.share if not asked.whole else share == WHOLE
        free &= memory >= asked.memory
        able = np.flatnonzero(free)
        if len(able) < asked.count:
            raise ValueError(f"node {row} has {len(able)} of {asked.count} devices")
        if first >= 0 and free[first] and asked.count == 1:
            chosen: tuple[int, ...] = (first,)
        else:
            order = able[np.argsort(share[able], kind="stable")]
            chosen = tuple(order[: asked.count].tolist())
        self.move(row, chosen, asked, -1)
        return chosen

    def move(self, row: int, devices: Sequence[int], asked: DeviceRequest, sign: int) -> None:
        """Give these devices of a pod back (+1), or take them (-1)."""
        index = list(devices)
        self.share[row, index] += sign * asked.share
        if asked.memory:
            self.memory[row, index] += sign * asked.memory

    def copy(self) -> Devices:
        """The same, to take from."""
        return Devices(self.models, self.model, self.share.copy(), self.memory.copy())


def devices_of(nodes: Sequence[Equipment], counted: Ints) -> Devices:
    """The devices of these nodes. Of nodes that do not name theirs, so many as `counted` are free.

    Of nodes that name them all healthy ones are free: what is taken of them is for the caller to `move`.
    """
    names = tuple(sorted({"", *(node.model for node in nodes)}))
    number = {name: index for index, name in enumerate(names)}
    columns = max([int(counted.max(initial=0)), *(len(node.devices) for node in nodes)])
    share = np.where(np.arange(columns)[None, :] < counted[:, None], WHOLE, 0)
    memory = np.full(share.shape, UNKNOWN)
    for row, node in enumerate(nodes):
        if node.devices:
            share[row], memory[row] = 0, 0
            own = slice(len(node.devices))
            share[row, own] = [WHOLE if device.healthy else 0 for device in node.devices]
            memory[row, own] = [device.memory for device in node.devices]
    model = np.array([number[node.model] for node in nodes], dtype=np.int64)
    return Devices(names, model, share, memory)


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
