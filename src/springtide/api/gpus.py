"""GPUs that have names, and pods that share them: HAMi's resources and annotations, read and written.

A container asks for `nvidia.com/gpu` devices and, of each, `nvidia.com/gpucores` hundredths of its power,
`nvidia.com/gpumem` MiB or `nvidia.com/gpumem-percentage` of its memory; without any of them the devices are
its own. A node lists its GPUs in a register; a pod's annotations say which of them it holds, for the
scheduler that counts them and for HAMi's device plugin that hands them out. Called by `scheduling` and
`workloads`.
Source: HAMi, docs/develop/protocol.md and pkg/device (names, formats, defaults).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from springtide.api import labels
from springtide.api.containers import Container
from springtide.api.mig import Geometry, Profile, geometry_of
from springtide.api.nodes import Node
from springtide.api.pods import PodSpec
from springtide.api.quantity import to_int

GPU = "nvidia.com/gpu"
CORES = "nvidia.com/gpucores"
MEMORY = "nvidia.com/gpumem"
MEMORY_PERCENT = "nvidia.com/gpumem-percentage"
PARTS = (CORES, MEMORY, MEMORY_PERCENT)
"""Resources that say which part of each device is asked for; nodes do not list them."""
REGISTER = "hami.io/node-nvidia-register"
HANDSHAKE = "hami.io/node-handshake"
"""On every node of HAMi's, registered or not yet."""
TO_ALLOCATE = "hami.io/vgpu-devices-to-allocate"
"""What the device plugin has still to hand out; it strikes off what it has."""
ALLOCATED = "hami.io/vgpu-devices-allocated"
MIG_ALLOCATIONS = "hami.io/vgpu-mig-allocations"
"""Which instances of GPUs in mode `mig` a pod has, as JSON."""
_NODE = "hami.io/vgpu-node"
_TIME = "hami.io/vgpu-time"
_PHASE = "hami.io/bind-phase"
_BOUND_AT = "hami.io/bind-time"
NOTES = (
    labels.DEVICES,
    labels.NICS,
    TO_ALLOCATE,
    ALLOCATED,
    MIG_ALLOCATIONS,
    _NODE,
    _TIME,
    _PHASE,
    _BOUND_AT,
)
"""Annotations that `notes` writes: none of them is to be taken from a template."""
WHOLE = 100
"""A whole device, in the unit of shares: one hundredth."""
SLICE_SHARE = 1
"""Hundredths by which a slice is counted: it is given whole or not at all, and is no whole GPU."""
NO_DEVICES = "-"
"""The devices of a pod on a node that does not name any, where an assignment must say something."""
_VENDOR = "NVIDIA"
PARTITIONED = "mig"
"""Mode of devices that are cut by hardware: each of their memory slices is a device here."""
_SLICE = "#"
"""Between the id of a GPU and the number of its slice."""
_FIELDS = "id,sharers,MiB,cores,model,numa,healthy"


@dataclass(frozen=True)
class Device:
    """One GPU of a node that names them."""

    id: str
    model: str
    memory: int
    """MiB; 0 where nobody said."""
    sharers: int
    """How many pods may have a part of it."""
    healthy: bool = True
    """Whether anything of it may be given."""
    numa: int = -1
    """Its NUMA node; -1 where nobody said."""
    geometry: Geometry | None = None
    """How its GPU is cut, if this is a memory slice of one in mode `mig`."""
    slice: int = 0
    """Which slice."""
    kind: str = GPU
    """Resource by which pods ask for such."""
    cores: int = WHOLE
    """How many units of power it has, where annotations of pods count in them (see `makers`)."""
    number: int = 0
    """Its number among those of its kind, as their device plugin counts."""
    group: str = ""
    """Those of one kind and group are near to each other; empty where nobody knows."""
    mode: str = ""
    """How it is cut, where a maker has two ways (see `makerdevices`)."""

    @property
    def gpu(self) -> str:
        """The id of the GPU that it is, or is a slice of."""
        return self.id.partition(_SLICE)[0]


@dataclass(frozen=True)
class Part:
    """What is asked of each of a pod's devices."""

    share: int = WHOLE
    """Hundredths of its power; 0 for what the others leave."""
    memory: int = 0
    """MiB."""
    percent: int = 0
    """Hundredths of its memory, where MiB are not said."""

    @property
    def whole(self) -> bool:
        """Whether nobody else may use the device."""
        return self.share == WHOLE

    def needed(self, total: int) -> int:
        """MiB of a device that has so many; 0 of one of which nobody said how many it has."""
        if not total:
            return 0
        if self.whole:
            return total
        return self.memory or total * self.percent // WHOLE

    def size(self, total: int) -> int:
        """Hundredths that it takes of a device of so many MiB, by what it takes most of: 1 to `WHOLE`."""
        filled = self.memory * WHOLE // total if total else 0
        return max(1, min(WHOLE, max(self.share, self.percent, filled)))


@dataclass(frozen=True, order=True)
class Held:
    """What a pod holds of a device."""

    id: str
    memory: int
    """MiB."""
    share: int
    """Hundredths of its power."""
    sharers: int = 1
    """How many of those that may share it the pod counts for."""


class _Entry(msgspec.Struct):
    """A device in the register's newer spelling."""

    id: str
    count: int = 1
    devmem: int = 0
    type: str = ""
    health: bool = False
    mode: str = ""
    numa: int = 0


class _Span(msgspec.Struct):
    """Memory slices side by side."""

    start: int
    size: int


class _Instance(msgspec.Struct):
    """An instance in the annotation; what HAMi's device plugin adds when it has made it is left to it."""

    gpu: str = msgspec.field(name="gpuUUID")
    profile: str
    placement: _Span
    container: int = msgspec.field(name="containerIndex", default=0)
    device: int = msgspec.field(name="deviceIndex", default=0)


def registered(text: str) -> tuple[Device, ...]:
    """The devices in a node's register: `id,sharers,MiB,cores,model,numa,healthy:` for each, or JSON.

    Raises ValueError naming what cannot be read.
    """
    if text.lstrip().startswith("["):
        try:
            entries = msgspec.json.decode(text, type=list[_Entry])
        except msgspec.DecodeError as error:
            raise ValueError(f"{REGISTER}: {error}") from None
        listed = [
            (Device(one.id, one.type, one.devmem, one.count, one.health, one.numa), one.mode == PARTITIONED)
            for one in entries
        ]
    else:
        listed = [_device(entry) for entry in filter(None, text.strip().split(":"))]
    found = [one for device, cut in listed for one in (_slices(device) if cut else (device,))]
    for device in found:
        if device.memory < 0 or device.sharers < 0:
            raise ValueError(f"{REGISTER}: {device.id}: memory and sharers must be at least 0")
    if len({device.id for device in found}) < len(found):
        raise ValueError(f"{REGISTER}: an id is used twice; each device needs its own")
    return tuple(found)


def registered_by(node: Node) -> tuple[Device, ...]:
    """The devices a node registers; none if its register cannot be read."""
    try:
        return registered(node.metadata.annotations.get(REGISTER, ""))
    except ValueError:
        return ()


def asked_of(spec: PodSpec) -> tuple[int, Part] | None:
    """How many devices a pod asks for, and which part of each; None for none.

    Raises ValueError when a part is out of range, or its containers ask for different ones.
    """
    parts = {_part(asked) for asked in _asking(_all(spec))}
    if not parts:
        return None
    if len(parts) > 1:
        raise ValueError(f"containers ask for different parts of {GPU}; give all of them the same {CORES}")
    taken = taken_of(spec)
    return max(last for _, last in taken), parts.pop()


def held_by(spec: PodSpec, annotations: Mapping[str, str]) -> tuple[Held, ...]:
    """What a pod holds by its annotations; nothing if they are missing or cannot be read."""
    text = annotations.get(ALLOCATED) or annotations.get(TO_ALLOCATE) or ""
    found = {one.id: one for one in held_in(spec, text)}
    for one in _held_slices(annotations.get(MIG_ALLOCATIONS, "")):
        found[one.id] = one
    return tuple(sorted(found.values()))


def held_in(spec: PodSpec, text: str) -> Iterable[Held]:
    """The devices in such an annotation, container by container; nothing if it cannot be read."""
    try:
        groups = [[_held(one) for one in group.split(":") if one] for group in text.split(";")]
    except ValueError:
        return ()
    if groups and not groups[-1]:
        groups.pop()
    first = len(spec.init_containers) if len(groups) > len(spec.containers) else 0
    early = [i < first and spec.init_containers[i].restart_policy != "Always" for i in range(len(groups))]
    found: dict[str, Held] = {}
    for group, before in sorted(zip(groups, early, strict=True), key=lambda pair: pair[1]):
        for one in group:
            found[one.id] = _joined(found.get(one.id), one, alone=before)
    return found.values()


def _held_slices(text: str) -> Iterable[Held]:
    """The slices of the instances a pod has. How many MiB each is, its GPU says."""
    if not text:
        return ()
    try:
        instances = msgspec.json.decode(text, type=list[_Instance])
    except msgspec.DecodeError:
        return ()
    return [
        Held(f"{one.gpu}{_SLICE}{number}", 0, SLICE_SHARE)
        for one in instances
        for number in range(one.placement.start, one.placement.start + one.placement.size)
    ]


def _instances(part: Part, devices: Sequence[Device]) -> list[tuple[Device, Profile]]:
    """The instances that these slices are, one after the other; its first slice stands for each."""
    found: list[tuple[Device, Profile]] = []
    position = 0
    while position < len(devices):
        first = devices[position]
        profile = profile_of(part, first)
        if profile is None:
            break
        found.append((first, profile))
        position += profile.size
    return found


def profile_of(part: Part, device: Device) -> Profile | None:
    """The instance for such a part, of the GPU this is a slice of; None if there is none."""
    geometry = device.geometry
    if geometry is None:
        return None
    percent = WHOLE if part.whole else part.percent
    return geometry.profile(part.memory, percent, part.share, device.memory * geometry.slices)


def notes(spec: PodSpec, node: str, devices: Sequence[Device], at: datetime) -> dict[str, str]:
    """The annotations of a pod that holds these GPUs of a node, in the order of its containers."""
    asked = asked_of(spec)
    if asked is None:
        return {}
    _, part = asked
    cut = _instances(part, devices) if devices and devices[0].geometry is not None else []
    entries = [
        f"{one.gpu},{_VENDOR},{one.memory * profile.size},{profile.compute * WHOLE // one.geometry.compute}:"
        for one, profile in cut
        if one.geometry is not None
    ] or [
        f"{one.id},{_VENDOR},{part.needed(one.memory)},{WHOLE if part.whole else part.share}:"
        for one in devices
    ]
    text = "".join("".join(entries[first:last]) + ";" for first, last in taken_of(spec))
    return {
        TO_ALLOCATE: text,
        ALLOCATED: text,
        **({MIG_ALLOCATIONS: _spelled_instances(spec, cut)} if cut else {}),
        **handed_over(node, at),
    }


def handed_over(node: str, at: datetime) -> dict[str, str]:
    """What every pod of HAMi's says whose devices are to be handed out on a node."""
    moment = str(int(at.timestamp()))
    return {_NODE: node, _TIME: moment, _PHASE: "allocating", _BOUND_AT: moment}


def _spelled_instances(spec: PodSpec, cut: Sequence[tuple[Device, Profile]]) -> str:
    made = [
        _Instance(one.gpu, profile.name, _Span(one.slice, profile.size), container, number - first)
        for container, (first, last) in enumerate(taken_of(spec))
        for number, (one, profile) in enumerate(cut)
        if first <= number < last
    ]
    return msgspec.json.encode(made).decode()


def spelled(indices: Iterable[int]) -> str:
    """A pod's devices by their index on the node, as assignments and pods say it: `0.3`.

    NICs follow after `_`; here and in `indices_in` NIC number n is the index -1 - n.
    """
    known = list(indices)
    devices = ".".join(str(one) for one in known if one >= 0) or NO_DEVICES
    nics = ".".join(str(~one) for one in known if one < 0)
    return f"{devices}_{nics}" if nics else devices


def indices_in(text: str) -> tuple[int, ...]:
    """What `spelled` wrote; nothing if it cannot be read."""
    parts, _, last = text.partition("_")
    devices, nics = parts.split("."), last.split(".") if last else []
    if not all(part.isdecimal() for part in (*devices, *nics)):
        return ()
    return (*map(int, devices), *(~int(number) for number in nics))


def _slices(device: Device) -> tuple[Device, ...]:
    """The memory slices of a GPU in mode `mig`; of a model that is not known, the GPU, which is not given."""
    geometry = geometry_of(device.model, device.memory)
    if geometry is None:
        return (replace(device, healthy=False),)
    memory = device.memory // geometry.slices
    return tuple(
        replace(
            device, id=f"{device.id}{_SLICE}{one}", memory=memory, sharers=1, geometry=geometry, slice=one
        )
        for one in range(geometry.slices)
    )


def _device(entry: str) -> tuple[Device, bool]:
    """A device, and whether it is in mode `mig`."""
    fields = entry.split(",")
    if len(fields) < 7 or not (fields[1].isdecimal() and fields[2].isdecimal()):
        raise ValueError(f"{REGISTER}: cannot read {entry!r}; expected {_FIELDS}")
    usable = fields[6].lower() == "true"
    numa = int(fields[5]) if fields[5].isdecimal() else -1
    found = Device(fields[0], fields[4], int(fields[2]), int(fields[1]), usable, numa)
    return found, PARTITIONED in fields[7:]


def _held(entry: str) -> Held:
    fields = entry.split(",")
    if len(fields) < 4 or not (fields[0] and fields[2].isdecimal() and fields[3].isdecimal()):
        raise ValueError(f"cannot read {entry!r}")
    return Held(fields[0], int(fields[2]), int(fields[3]))


def _joined(known: Held | None, new: Held, *, alone: bool) -> Held:
    """What a pod holds of a device with one more container; `alone`: one that ends before the others."""
    if known is None:
        return new
    join = max if alone else sum
    return Held(
        known.id,
        join((known.memory, new.memory)),
        join((known.share, new.share)),
        join((known.sharers, new.sharers)),
    )


def _all(spec: PodSpec) -> Iterable[Container]:
    return (*spec.init_containers, *spec.containers)


def _asking(containers: Iterable[Container]) -> Iterable[Mapping[str, int]]:
    for container in containers:
        listed = {**container.resources.limits, **container.resources.requests}
        asked = {name: to_int(listed[name]) for name in (GPU, *PARTS) if name in listed}
        if asked.get(GPU):
            yield asked


def taken_of(spec: PodSpec, resource: str = GPU) -> list[tuple[int, int]]:
    """Per container, which of the pod's devices are its own: from the first to before the last.

    Init containers that end use those that the others will have; sidecars keep theirs.
    """
    found: list[tuple[int, int]] = []
    kept = 0
    for position, container in enumerate(_all(spec)):
        limits, requests = container.resources.limits, container.resources.requests
        count = to_int(requests.get(resource, limits.get(resource, 0)))
        found.append((kept, kept + count))
        if position >= len(spec.init_containers) or container.restart_policy == "Always":
            kept += count
    return found


def _part(asked: Mapping[str, int]) -> Part:
    for name in (CORES, MEMORY_PERCENT):
        if not 0 <= asked.get(name, 0) <= WHOLE:
            raise ValueError(f"{name}: {asked[name]} is not from 0 to {WHOLE}")
    share, memory, percent = (asked.get(name, 0) for name in PARTS)
    if WHOLE in (share, percent) or not (share or memory or percent):
        return Part()
    if memory:
        return Part(share, memory)
    return Part(share, percent=percent or share)
