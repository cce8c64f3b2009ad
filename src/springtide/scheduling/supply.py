"""What is free on every node, laid out as classes of pods look at it: one column a node.

Beside the free amounts stand what follows from them and every class asks again: how many devices nobody uses,
the largest part that can be had of one, what the node is worth as it stands. They are brought up to date with
each change, and changes are numbered, so that a class later looks only at the nodes that changed since.
Owned by a `Placement`, which takes from it.
"""

from __future__ import annotations

import numpy as np

from springtide.api.gpus import GPU
from springtide.scheduling.arrays import Floats, Ints, Mask
from springtide.scheduling.classes import PodClass
from springtide.scheduling.devices import WHOLE, DeviceRequest
from springtide.scheduling.fragments import Fragments, Node, Seen
from springtide.scheduling.requests import CPU, MEMORY, PODS, STORAGE
from springtide.scheduling.snapshot import Snapshot

SCARCITY = 4.0
"""How much more a share of an extended resource (an accelerator) counts than one of CPU or memory: pods that
do not ask for it are kept off nodes that have it, and those that do fill up nodes already in use."""

_PART, _MODEL, _UNTOUCHED = -3, -2, -1
"""Rows beside the resources: the most power left of a device that takes another pod, the model of the
devices, how many of them nobody uses. The devices themselves follow."""
_NOTHING = int(np.iinfo(np.int64).min)
"""Less than is free anywhere, also of what was given twice."""


class Supply:
    """Free amounts of all nodes, and what follows from them."""

    def __init__(self, snapshot: Snapshot, fragments: Fragments) -> None:
        self.columns = {name: column for column, name in enumerate(snapshot.resources)}
        self.devices = snapshot.devices.copy()
        self.weights = _weights(snapshot)
        self._fragments = fragments
        self._cpu = self.columns.get(CPU)
        nodes, resources = snapshot.capacity.shape
        self.has_devices = bool(self.devices.share.shape[1])
        """Whether any node has devices."""
        table = np.zeros((resources + 3 + self.devices.share.shape[1], nodes), dtype=np.int64)
        table[:resources] = (snapshot.capacity - snapshot.allocated).T
        table[resources + 3 + _MODEL] = self.devices.model
        self._lay_out(table, resources)
        self._standing: Floats = np.zeros(nodes)
        self._log: Ints = np.empty(256, dtype=np.int64)
        self._numbers = np.arange(len(self._log))
        self._last: Ints = np.full(nodes, -1)
        self.changes = 0
        """How many there have been."""
        self._derive(np.arange(nodes))

    def __len__(self) -> int:
        return len(self._standing)

    @property
    def free(self) -> Ints:
        """What is free, resources × nodes. Not to be changed without `touch`."""
        return self._free

    def _lay_out(self, table: Ints, resources: int) -> None:
        """Name the parts of the table: what is compared with `least`, and what is read to work out costs."""
        self._table = table
        self._free = table[:resources]
        self._amounts = table[: resources + 3]
        self._costing = table[resources + 3 + _MODEL :]
        self._by_device = table[resources + 3 :]

    def twin(self) -> Supply:
        """The same amounts, of which something else may become."""
        other = object.__new__(Supply)
        other.__dict__.update(self.__dict__)
        other.devices = self.devices.copy()
        other._lay_out(self._table.copy(), len(self._free))
        other._standing, other._log, other._last = self._standing.copy(), self._log.copy(), self._last.copy()
        return other

    # -- looking -----------------------------------------------------------------------------------

    def least(self, pod_class: PodClass) -> Ints:
        """What a node must have free at least, so that one such pod fits: a column to compare with."""
        found = np.empty((len(self._amounts), 1), dtype=np.int64)
        found.fill(_NOTHING)
        for name, amount in pod_class.requests:
            if amount > 0 and name in self.columns:
                found[self.columns[name]] = amount
        asked = pod_class.devices
        if asked is not None and asked.resource != GPU:
            return found
        if asked is not None and asked.whole:
            found[_UNTOUCHED] = asked.count
        elif asked is not None:
            found[_PART] = max(asked.share, 1)
        return found

    def candidates(self, asked: DeviceRequest | None, mask: Mask) -> tuple[Mask | None, bool]:
        """Of these nodes those whose devices will do (None: all); whether `least` says all of the rest."""
        exact = asked is None or asked.whole or (asked.count == 1 and not asked.memory and not asked.percent)
        exact = exact and not (asked is not None and asked.particular)
        if asked is not None and asked.foreign:
            mask = mask & self.devices.eligible(asked)
            return None if mask.all() else mask, False
        able = self.devices.able(asked) if asked is not None else None
        if able is not None:
            some = able.any(axis=1)
            mask = mask & some
            exact = exact and bool((able.all(axis=1) == some).all())
        return None if mask.all() else mask, exact

    def holding(self, least: Ints, rows: Ints | None) -> Mask:
        """Which of these nodes (None: of all) have so much free."""
        amounts = self._amounts if rows is None else self._amounts.take(rows, axis=1)
        found: Mask = np.logical_and.reduce(amounts >= least, axis=0)
        return found

    def changed(self, since: int) -> Ints | None:
        """The nodes that changed since so many changes; None for all."""
        rows = self._log[since : self.changes]
        rows = rows[self._last.take(rows) == self._numbers[since : self.changes]]
        return rows if len(rows) * 2 < len(self) else None

    def touched(self, since: int) -> Ints:
        """The nodes that changed since so many changes, each once."""
        return np.unique(self._log[since : self.changes])

    def seen(self, rows: Ints) -> Seen:
        """These nodes as costs are worked out from them."""
        cpu = self._free[self._cpu].take(rows) if self._cpu is not None else np.zeros_like(rows)
        found = self._costing.take(rows, axis=1)
        return Seen(cpu, found[0], found[2:], found[1])

    def node(self, row: int) -> Node:
        """One node, in the same words."""
        cpu = self._free.item(self._cpu, row) if self._cpu is not None else 0
        share: list[int] = self.devices.share[row].tolist()
        return Node(cpu, self.devices.model.item(row), share, share.count(WHOLE))

    def standing(self, rows: Ints) -> Floats:
        """What these nodes are worth to those who usually come, as they stand."""
        return self._standing.take(rows)

    def weighted(self, rows: Ints) -> Floats:
        """What is free of these nodes, nodes × resources, in weighted shares."""
        found: Floats = (self.free.take(rows, axis=1) * self.weights[:, None]).T
        return found

    # -- changing ----------------------------------------------------------------------------------

    def use(self, row: int, amounts: Ints) -> None:
        """Take so much of a node, whose devices may have changed, too."""
        free = self._free[:, row]
        free -= amounts
        self._derive_one(row)
        if self.changes == len(self._log):
            self._lengthen(1)
        self._log[self.changes] = row
        self._last[row] = self.changes
        self.changes += 1

    def use_many(self, rows: Ints, counts: Ints, amounts: Ints) -> None:
        """Take so many times so much of each of these different nodes."""
        self._free[:, rows] -= amounts[:, None] * counts
        self.touch(rows)

    def touch(self, rows: Ints) -> None:
        """Note that these different nodes have changed."""
        self._derive(rows)
        end = self.changes + len(rows)
        if end > len(self._log):
            self._lengthen(len(rows))
        self._log[self.changes : end] = rows
        self._last[rows] = self._numbers[self.changes : end]
        self.changes = end

    def _lengthen(self, least: int) -> None:
        """Make room for that many more changes."""
        more = np.empty(max(len(self._log), least), dtype=np.int64)
        self._log = np.concatenate([self._log, more])
        self._numbers = np.arange(len(self._log))

    def _derive(self, rows: Ints) -> None:
        devices = self.devices
        by_device = devices.share[rows].T
        self._by_device[:, rows] = by_device
        self._amounts[_UNTOUCHED, rows] = (by_device == WHOLE).sum(axis=0)
        open_ = np.where(devices.slots[rows] > 0, devices.power[rows], 0)
        self._amounts[_PART, rows] = open_.max(axis=1, initial=0)
        self._standing[rows] = self._fragments.standing(self.seen(rows))

    def _derive_one(self, row: int) -> None:
        devices = self.devices
        free = devices.share[row]
        self._by_device[:, row] = free
        share: list[int] = free.tolist()
        whole = share.count(WHOLE)
        power: list[int] = devices.power[row].tolist()
        slots: list[int] = devices.slots[row].tolist()
        if min(slots, default=0) <= 0:
            power = [left for left, more in zip(power, slots, strict=True) if more > 0]
        self._amounts[_PART, row] = max(power, default=0)
        self._amounts[_UNTOUCHED, row] = whole
        cpu = self._free.item(self._cpu, row) if self._cpu is not None else 0
        self._standing[row] = self._fragments.standing_of(cpu, devices.model.item(row), share, whole)


def _weights(snapshot: Snapshot) -> Floats:
    largest = snapshot.capacity.max(axis=0, initial=1)
    scarce = [name not in (CPU, MEMORY, STORAGE, PODS) for name in snapshot.resources]
    counted = [name not in (STORAGE, PODS) for name in snapshot.resources]
    weights = np.where(scarce, SCARCITY, 1.0) * np.array(counted, dtype=np.float64)
    found: Floats = weights / np.maximum(largest, 1)
    return found
