"""What every node has of devices and who holds them: the books behind `Snapshot.devices`.

Owned by `ClusterState`, which counts a pod here from when it is bound, or its place reserved, until it ends.
A pod on a node that names its devices holds those that its annotations or its workload's admission name, in
the amounts they name; one that names none may hold any, so the last that nobody uses are kept from others.
All of it follows from the objects alone. A node whose register cannot be read offers no devices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from springtide.api.devicetopology import Layout
from springtide.api.gpus import GPU, SLICE_SHARE, WHOLE
from springtide.api.makerdevices import counted
from springtide.scheduling.arrays import Ints
from springtide.scheduling.devices import UNKNOWN, Device, Devices
from springtide.scheduling.facts import PodFacts, WorkloadFacts
from springtide.scheduling.holdings import Holding, reserved
from springtide.scheduling.links import of_bits


class Equipment(Protocol):
    """A node, as far as its devices go."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def devices(self) -> Sequence[Device]:
        """Its devices, if it names them."""

    @property
    def model(self) -> str:
        """Their model."""

    @property
    def gpus(self) -> int:
        """How many it has, if it does not name them."""

    @property
    def gpu_memory(self) -> int:
        """MiB of each of those; 0 where nobody said."""

    @property
    def layout(self) -> Layout | None:
        """How its devices are joined, if that is known."""

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds other than GPUs whose devices it names, or will."""


class Inventory:
    """Who holds which devices, node by node."""

    def __init__(self) -> None:
        self._held: dict[str, Counter[Holding]] = {}
        self._workloads: dict[str, WorkloadFacts] = {}
        self._created: dict[str, Counter[tuple[int, str, str, str]]] = {}
        self._changed: set[str] = set()
        self._equipment: list[tuple[object, ...]] = []
        self._rows: dict[str, int] = {}
        self._empty = devices_of((), np.zeros(0, dtype=np.int64))
        self._now = self._empty

    def count_pod(self, pod: PodFacts, sign: int) -> None:
        """A pod came (+1) or went (-1): its devices are its own, not its workload's reservation any more."""
        if pod.holds:
            self._take(pod.node, pod.holding, sign)
        if not pod.workload or pod.holding is None or pod.failed:
            return
        created = self._created.setdefault(pod.workload, Counter())
        attempt, pod_set, node = pod.cell
        cell = pod_set, node, pod.devices
        workload = self._workloads.get(pod.workload)
        reserves = workload is not None and workload.attempt == attempt
        before = self._missing(workload, cell) if workload is not None and reserves else 0
        created[(attempt, *cell)] += sign
        if workload is not None and reserves:
            self._reserve(workload, cell, self._missing(workload, cell) - before)
        if not +created:
            del self._created[pod.workload]

    def count_workload(self, workload: WorkloadFacts, sign: int) -> None:
        """A workload with an admission came (+1) or went (-1)."""
        if not workload.devices:
            return
        if sign > 0:
            self._workloads[workload.key] = workload
        else:
            del self._workloads[workload.key]
        for cell in workload.devices:
            self._reserve(workload, cell, sign * self._missing(workload, cell))

    def recount_workload(self, before: WorkloadFacts, after: WorkloadFacts) -> None:
        """A workload that asks for the same as before changed: only devices that differ are counted."""
        if not before.devices or not after.devices:
            self.count_workload(before, -1)
            self.count_workload(after, +1)
            return
        self._workloads[after.key] = after
        if before.devices == after.devices and before.attempt == after.attempt:
            return
        for cell in {**before.devices, **after.devices}:
            self._reserve(after, cell, self._missing(after, cell) - self._missing(before, cell))

    def _missing(self, workload: WorkloadFacts, cell: tuple[str, str, str]) -> int:
        created = self._created.get(workload.key)
        exist = created[(workload.attempt, *cell)] if created is not None else 0
        return max(0, workload.devices.get(cell, 0) - exist)

    def _reserve(self, workload: WorkloadFacts, cell: tuple[str, str, str], pods: int) -> None:
        if not pods:
            return
        pod_set, node, devices = cell
        asked = next((one.pod_class.devices for one in workload.pod_sets if one.name == pod_set), None)
        self._take(node, reserved(asked, devices), pods)

    def _take(self, node: str, holding: Holding | None, pods: int) -> None:
        """Count so many pods more that hold this on a node; negative gives back."""
        if holding is None or not pods:
            return
        held = self._held.setdefault(node, Counter())
        held[holding] += pods
        if not held[holding]:
            del held[holding]
        if not held:
            del self._held[node]
        self._changed.add(node)

    def devices(self, nodes: Sequence[Equipment]) -> tuple[Devices, Devices]:
        """What is free of these nodes' devices, and what they are with nothing on them. Not to be changed."""
        equipment: list[tuple[object, ...]] = [
            (one.name, one.devices, one.model, one.gpus, one.gpu_memory, one.layout, one.kinds)
            for one in nodes
        ]
        if equipment != self._equipment:
            self._equipment = equipment
            self._rows = {one.name: row for row, one in enumerate(nodes)}
            self._empty = devices_of(nodes, np.array([one.gpus for one in nodes], dtype=np.int64))
            self._now = self._empty.copy()
            self._settle(self._held)
        elif self._changed:
            self._now = self._now.copy()
            self._settle(self._changed)
        self._changed.clear()
        return self._now, self._empty

    def _settle(self, nodes: Iterable[str]) -> None:
        """Work out anew what is free on these nodes."""
        for node in nodes:
            row = self._rows.get(node)
            if row is not None:
                for mine, theirs in zip(_arrays(self._now), _arrays(self._empty), strict=True):
                    mine[row] = theirs[row]
                if self._empty.layouts:
                    self._now.nics[row] = self._empty.nics[row]
                self._take_all(row, self._held.get(node, Counter()))

    def _take_all(self, row: int, held: Counter[Holding]) -> None:
        devices = self._now
        index = {device.id: position for position, device in enumerate(devices.named[row])}
        nameless: Counter[str] = Counter()
        for holding, pods in held.items():
            if not index:
                nameless[GPU] += holding.count * pods
            elif holding.named:
                for one in holding.named:
                    at = index.get(one.id)
                    if at is not None:
                        device = devices.named[row][at]
                        share, memory = counted(device, one)
                        memory = memory if device.geometry is None else device.memory
                        amounts = share * pods, memory * pods, one.sharers * pods
                        devices.change(row, at, *amounts, -1)
                devices.move_nics(row, of_bits(~at for at in holding.indices if at < 0), -1)
                self._take_unnamed(row, holding, index, pods)
            elif holding.indices and holding.asked is not None:
                known = [at for at in holding.indices if at < len(index)]
                for _ in range(pods):
                    devices.move(row, known, holding.asked, -1)
            else:
                nameless[GPU] += holding.count * pods
                for kind in holding.asked.kinds if holding.asked is not None else ():
                    if kind.resource != GPU:
                        nameless[kind.resource] += kind.count * pods
        for resource, count in nameless.items():
            self._take_nameless(row, resource, count)

    def _take_unnamed(self, row: int, holding: Holding, index: Mapping[str, int], pods: int) -> None:
        """Of pods with several kinds of devices, take those of kinds that no annotation of theirs names."""
        devices = self._now.named[row]
        named = {devices[index[one.id]].kind for one in holding.named if one.id in index}
        kinds = holding.asked.kinds if holding.asked is not None and holding.asked.also else ()
        for kind in kinds:
            if kind.resource not in named:
                own = tuple(at for at in self._now.of_kind(row, holding.indices, kind) if at >= 0)
                for _ in range(pods):
                    self._now.move(row, own, kind, -1)

    def _take_nameless(self, row: int, resource: str, count: int) -> None:
        """Keep the last devices of a kind that nobody uses from others: some pods may hold them."""
        devices, named = self._now, self._now.named[row]
        free = np.flatnonzero(devices.share[row] == WHOLE)[::-1].tolist()
        free = [at for at in free if not named or (at < len(named) and named[at].kind == resource)]
        for at in free[:count]:
            total = int(devices.total[row, at]) if named else UNKNOWN
            devices.change(row, at, WHOLE if named else 0, 0 if total == UNKNOWN else total, 1, -1)


def devices_of(nodes: Sequence[Equipment], whole: Ints) -> Devices:
    """The devices of these nodes with nothing on them; `whole` are those of nodes that name none.

    A device that is only counted is for one pod: nobody could say which part of it is whose.
    """
    names = tuple(sorted({"", *(node.model for node in nodes)}))
    number = {name: index for index, name in enumerate(names)}
    columns = max([int(whole.max(initial=0)), *(len(node.devices) for node in nodes)])
    there = np.arange(columns)[None, :] < whole[:, None]
    sharers = np.where(there, 1, 0)
    power = np.where(there, WHOLE, 0)
    sliced = np.zeros(power.shape, dtype=np.bool_)
    total = np.full(power.shape, UNKNOWN, dtype=np.int64)
    memories = dict.fromkeys(names, 0)
    for row, node in enumerate(nodes):
        most = max((device.memory for device in node.devices), default=node.gpu_memory)
        memories[node.model] = max(memories[node.model], most)
        if node.devices:
            own = slice(len(node.devices))
            sharers[row] = power[row] = 0
            sharers[row, own] = [device.sharers if device.healthy else 0 for device in node.devices]
            power[row, own] = [WHOLE if one.geometry is None else SLICE_SHARE for one in node.devices]
            sliced[row, own] = [one.geometry is not None for one in node.devices]
            total[row, own] = [device.memory or UNKNOWN for device in node.devices]
        elif node.gpu_memory:
            total[row] = node.gpu_memory
    layouts = tuple(node.layout for node in nodes) if any(node.layout for node in nodes) else ()
    return Devices(
        models=names,
        memories=tuple(memories.values()),
        model=np.array([number[node.model] for node in nodes], dtype=np.int64),
        named=tuple(tuple(node.devices) for node in nodes),
        shared=np.array([1 if node.devices else 0 for node in nodes], dtype=np.int64),
        total=total,
        sharers=sharers,
        power=power,
        memory=total.copy(),
        slots=sharers.copy(),
        share=np.where(sharers > 0, power, 0),
        slices=sliced if sliced.any() else None,
        layouts=layouts,
        even=all(one is None or one.even for one in layouts),
        nics=np.array([one.all_nics if one is not None else 0 for one in layouts], dtype=np.int64),
        kinds={
            kind: np.array([kind in node.kinds for node in nodes], dtype=np.bool_)
            for kind in sorted(frozenset().union(*(node.kinds for node in nodes)))
        },
    )


def _arrays(devices: Devices) -> tuple[Ints, Ints, Ints, Ints]:
    return devices.power, devices.memory, devices.slots, devices.share
