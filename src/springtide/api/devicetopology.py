"""Where the devices of a node sit: NUMA node, PCIe switch and NVLink group of each GPU, and its NICs.

Read from what the node says: HAMi's register (NUMA nodes), HAMi's scores of pairs of GPUs, and an annotation
of ours for all the rest, which also names the GPUs of nodes without a register:

    springtide.dev/device-topology: |
      {"devices": [{"id": "GPU-1", "numa": 0, "switch": "a", "nvlink": "0"}, …],
       "nics": [{"name": "mlx5_0", "resource": "rdma/hca", "numa": 0, "switch": "a"}, …]}

Called by `scheduling`, which chooses devices by it, and `workloads`, which tells pods what they got.
Source of the scores: HAMi, pkg/device (DevicePairScores).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from springtide.api.gpus import REGISTER, Device, registered
from springtide.api.labels import DEVICE_TOPOLOGY
from springtide.api.makerdevices import Found, found_on
from springtide.api.nodes import Node

SCORES = "hami.io/node-nvidia-score"
SAME_NVLINK, SAME_SWITCH, SAME_NUMA, APART = 3, 2, 1, 0
"""How near two devices are, where no scores say it."""
UNKNOWN_NUMA = -1
NICS_MAX = 62
"""So many NICs of a node can be told apart: they are the bits of a whole number."""


@dataclass(frozen=True)
class Nic:
    """A NIC of a node that pods are given by name."""

    name: str
    resource: str
    """Resource by which pods ask for it, such as `rdma/hca`."""
    numa: int = UNKNOWN_NUMA
    switch: str = ""


@dataclass(frozen=True, eq=False)
class Layout:
    """How the devices of a node are joined. Nodes that are alike share one, so it is told by identity."""

    numa: tuple[int, ...]
    """NUMA node of each device."""
    switch: tuple[str, ...]
    """PCIe switch of each device; empty where nobody said."""
    links: tuple[tuple[int, ...], ...]
    """How near each two devices are; the more the nearer."""
    nics: tuple[Nic, ...] = ()
    even: bool = True
    """Whether it makes no difference which devices are together, but for rules about NUMA nodes."""

    @property
    def all_nics(self) -> int:
        """Every NIC, as bits."""
        return (1 << len(self.nics)) - 1


@dataclass(frozen=True)
class Equipment:
    """The devices of a node."""

    devices: tuple[Device, ...] = ()
    layout: Layout | None = None
    """How they are joined; None where that makes no difference or nobody said."""
    registered: bool = False
    """Whether HAMi's device plugin hands them out."""
    trouble: str = ""
    """Why something of this cannot be read, or empty."""
    kinds: frozenset[str] = frozenset()
    """Resources of other makers whose devices it names, or will."""


class _Spot(msgspec.Struct):
    id: str
    numa: int = UNKNOWN_NUMA
    switch: str = ""
    nvlink: str = ""
    model: str = ""
    memory: int = 0
    healthy: bool = True


class _Nic(msgspec.Struct):
    name: str
    resource: str
    numa: int = UNKNOWN_NUMA
    switch: str = ""
    healthy: bool = True


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    devices: list[_Spot] = []
    nics: list[_Nic] = []


class _Scores(msgspec.Struct):
    uuid: str = ""
    score: dict[str, int] = {}


def equipment_of(node: Node) -> Equipment:
    """The devices a node names. What cannot be read is left out, and said in `trouble`."""
    notes, others = node.metadata.annotations, found_on(node)
    return _equipment(notes.get(REGISTER), notes.get(DEVICE_TOPOLOGY, ""), notes.get(SCORES, ""), others)


@lru_cache(maxsize=16384)
def _equipment(register: str | None, topology: str, scores: str, others: Found) -> Equipment:
    """What these annotations say: read again only when one of them changes, not with each heartbeat."""
    try:
        devices = registered(register or "")
    except ValueError as error:
        return Equipment(others.devices, trouble=str(error), kinds=others.kinds)
    known = register is not None
    try:
        said = _said(topology)
        if not known:
            own = {one.id for one in others.devices}
            spots = [one for one in said.devices if one.id not in own]
            devices = tuple(Device(one.id, one.model, one.memory, 1, one.healthy) for one in spots)
        all_ = (*devices, *others.devices)
        layout = _layout_of(all_, said, _scores(scores))
        return Equipment(all_, layout, known, others.trouble, others.kinds)
    except ValueError as error:
        return Equipment((*devices, *others.devices), None, known, str(error), others.kinds)


def nic_names(node: Node, numbers: Sequence[int]) -> list[str]:
    """The names of a node's NICs by their numbers; of a node that has them no more, none."""
    layout = equipment_of(node).layout
    nics = layout.nics if layout is not None else ()
    return [nics[number].name for number in numbers] if all(one < len(nics) for one in numbers) else []


def _said(text: str) -> _Said:
    if not text:
        return _Said()
    try:
        said = msgspec.json.decode(text, type=_Said)
    except msgspec.DecodeError as error:
        raise ValueError(f"{DEVICE_TOPOLOGY}: {error}") from None
    for what, names in (("id", [one.id for one in said.devices]), ("name", [one.name for one in said.nics])):
        twice = next((name for name in names if not name or names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{DEVICE_TOPOLOGY}: {what} {twice!r}: each needs one of its own")
    if len(said.nics) > NICS_MAX:
        raise ValueError(f"{DEVICE_TOPOLOGY}: nics: {len(said.nics)} are listed, at most {NICS_MAX} can be")
    for numa in (*(one.numa for one in said.devices), *(one.numa for one in said.nics)):
        if numa < UNKNOWN_NUMA:
            raise ValueError(f"{DEVICE_TOPOLOGY}: numa {numa} is no NUMA node; count from 0 or leave it out")
    return said


def _scores(text: str) -> dict[tuple[str, str], int]:
    """Scores of pairs of devices, by their ids."""
    if not text:
        return {}
    try:
        found = msgspec.json.decode(text, type=list[_Scores])
    except msgspec.DecodeError as error:
        raise ValueError(f"{SCORES}: {error}") from None
    return {(one.uuid, other): score for one in found for other, score in one.score.items()}


def _layout_of(
    devices: Sequence[Device], said: _Said, scores: Mapping[tuple[str, str], int]
) -> Layout | None:
    spots = {one.id: one for one in said.devices}
    unknown = next((id_ for id_ in spots if all(id_ != one.id for one in devices)), None)
    if unknown is not None:
        raise ValueError(f"{DEVICE_TOPOLOGY}: device {unknown!r} is not in {REGISTER}; list those that are")
    found = [spots.get(one.id, _Spot(one.id, nvlink=_group(one))) for one in devices]
    numa = tuple(
        spot.numa if spot.numa != UNKNOWN_NUMA else one.numa for spot, one in zip(found, devices, strict=True)
    )
    ids = [one.id for one in devices]
    links = tuple(
        tuple(
            0 if i == j else scores.get((ids[i], ids[j]), 0) if scores else _near(found, numa, i, j)
            for j in range(len(ids))
        )
        for i in range(len(ids))
    )
    nics = tuple(Nic(one.name, one.resource, one.numa, one.switch) for one in said.nics if one.healthy)
    if all(one == UNKNOWN_NUMA for one in numa) and not any(map(any, links)) and not nics:
        return None
    return _shared(numa, tuple(spot.switch for spot in found), links, nics)


def _group(device: Device) -> str:
    """What its maker says of those that are near to it; a word of the kind's own."""
    return f"{device.kind}/{device.group}" if device.group else ""


def _near(spots: Sequence[_Spot], numa: Sequence[int], i: int, j: int) -> int:
    if spots[i].nvlink and spots[i].nvlink == spots[j].nvlink:
        return SAME_NVLINK
    if spots[i].switch and spots[i].switch == spots[j].switch:
        return SAME_SWITCH
    return SAME_NUMA if numa[i] == numa[j] != UNKNOWN_NUMA else APART


@lru_cache(maxsize=1024)
def _shared(
    numa: tuple[int, ...], switch: tuple[str, ...], links: tuple[tuple[int, ...], ...], nics: tuple[Nic, ...]
) -> Layout:
    """One layout for all nodes that are alike."""
    pairs = {links[i][j] for i in range(len(links)) for j in range(len(links)) if i != j}
    return Layout(numa, switch, links, nics, even=len(pairs) <= 1 and not nics)
