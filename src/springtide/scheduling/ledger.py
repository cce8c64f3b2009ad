"""Capacity and allocation of nodes as growing arrays: the books behind every snapshot.

Owned by `ClusterState`. A row is a node, a column a resource; both are added when first heard of. What is
allocated on a node is kept even while the node itself is unknown (its pods may be seen before it, and
outlive it), so nothing depends on the order in which changes arrive.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from springtide.scheduling.arrays import Ints
from springtide.scheduling.classes import PodClass
from springtide.scheduling.requests import Amounts

_CLASSES_KEPT_MAX = 4096
"""Classes whose columns are kept ready; beyond that they are worked out anew."""


class Ledger:
    """Nodes × resources: what is offered and what is taken."""

    def __init__(self) -> None:
        self._row_of: dict[str, int] = {}
        self._free_rows: list[int] = []
        self._column_of: dict[str, int] = {}
        self._capacity = np.zeros((16, 8), dtype=np.int64)
        self._allocated = np.zeros((16, 8), dtype=np.int64)
        self._columns: dict[PodClass, tuple[Ints, Ints]] = {}

    def offer(self, node: str, allocatable: Amounts) -> None:
        """Set what a node offers; nothing once it is gone."""
        columns = [self._column(name) for name in allocatable]
        row = self._row(node)
        self._capacity[row] = 0
        self._capacity[row, columns] = list(allocatable.values())
        self._drop_if_unused(node)

    def take(self, node: str, pod_class: PodClass, pods: int) -> None:
        """Add what so many pods of a class take of a node; negative gives back."""
        if not pods:
            return
        known = self._columns.get(pod_class)
        if known is None:
            if len(self._columns) >= _CLASSES_KEPT_MAX:
                self._columns.clear()
            columns = np.array([self._column(name) for name, _ in pod_class.requests], dtype=np.int64)
            known = columns, np.array([amount for _, amount in pod_class.requests], dtype=np.int64)
            self._columns[pod_class] = known
        columns, amounts = known
        self._allocated[self._row(node), columns] += amounts * pods
        if pods < 0:
            self._drop_if_unused(node)

    def arrays(self, nodes: Sequence[str]) -> tuple[tuple[str, ...], Ints, Ints]:
        """Resource names, capacity and allocation of these nodes, without resources none of them has."""
        rows = [self._row(node) for node in nodes]
        names = sorted(self._column_of)
        cells = np.ix_(rows, [self._column_of[name] for name in names])
        capacity, allocated = self._capacity[cells], self._allocated[cells]
        used = (capacity != 0).any(axis=0) | (allocated != 0).any(axis=0)
        capacity, allocated = capacity[:, used], allocated[:, used]
        capacity.flags.writeable = allocated.flags.writeable = False
        return tuple(name for name, kept in zip(names, used, strict=True) if kept), capacity, allocated

    def _row(self, node: str) -> int:
        row = self._row_of.get(node)
        if row is None:
            if not self._free_rows:
                taken = len(self._row_of)
                if taken == len(self._capacity):
                    self._capacity = _grown(self._capacity, axis=0)
                    self._allocated = _grown(self._allocated, axis=0)
                self._free_rows.append(taken)
            row = self._row_of[node] = self._free_rows.pop()
        return row

    def _column(self, resource: str) -> int:
        column = self._column_of.setdefault(resource, len(self._column_of))
        if column == self._capacity.shape[1]:
            self._capacity = _grown(self._capacity, axis=1)
            self._allocated = _grown(self._allocated, axis=1)
        return column

    def _drop_if_unused(self, node: str) -> None:
        row = self._row_of[node]
        if not self._capacity[row].any() and not self._allocated[row].any():
            del self._row_of[node]
            self._free_rows.append(row)


def _grown(array: Ints, axis: int) -> Ints:
    return np.concatenate((array, np.zeros_like(array)), axis=axis)
