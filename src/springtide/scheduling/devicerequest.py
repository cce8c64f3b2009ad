"""What a pod asks of devices: part of its class. Made by `sharing`, answered by `devices`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from functools import cached_property

from springtide.api.gpus import GPU, WHOLE, Device, Part
from springtide.scheduling.links import HARD

BINPACK = "binpack"
SPREAD = "spread"

_KIND = "|"
"""Between a kind of other makers and a model."""


@dataclass(frozen=True)
class DeviceRequest:
    """What each of a pod's devices must be."""

    resource: str
    """Resource whose number the pod asks for, such as `nvidia.com/gpu`."""
    count: int
    """How many devices; all on one node."""
    share: int = WHOLE
    """Part of each, in hundredths of its power; 0 for what others leave."""
    memory: int = 0
    """MiB of each."""
    percent: int = 0
    """Hundredths of the memory of each, where MiB are not said."""
    models: frozenset[str] = frozenset()
    """Models that will do, in any case, `*` for anything; empty: any."""
    not_models: frozenset[str] = frozenset()
    """Models that will not."""
    ids: frozenset[str] = frozenset()
    """Devices that will do; empty: any."""
    not_ids: frozenset[str] = frozenset()
    """Devices that will not."""
    node_policy: str = ""
    """How the pod wants nodes chosen: `binpack`, `spread`, or as the scheduler does."""
    device_policy: str = ""
    """The same for devices of a node."""
    numa_policy: str = ""
    """Which NUMA nodes its devices may be on: one of `links.POLICIES`, or empty."""
    nics: tuple[tuple[str, int], ...] = ()
    """NICs to be given with the devices: resource and number."""
    cut: Part | None = None
    """What each instance must be, where GPUs cut by hardware are asked for: the devices are then slices."""
    mode: str = ""
    """How its parts are cut, where the maker has two ways: devices that are cut so; empty for any."""
    module: int = 1
    """So many devices, by their numbers, go together, all of them or none."""
    alike: bool = False
    """Whether a device's parts must be of one size."""
    also: tuple[DeviceRequest, ...] = ()
    """Devices of other kinds that each pod has besides."""

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, one.name) for one in fields(self)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def whole(self) -> bool:
        """Whether it asks for devices that nobody else uses."""
        return self.share == WHOLE

    @property
    def particular(self) -> bool:
        """Whether it minds which devices of a node are together, so that counting them does not do."""
        return self.numa_policy in HARD or self.cut is not None

    @property
    def part(self) -> Part:
        """What is asked of each device."""
        return Part(self.share, self.memory, self.percent)

    @cached_property
    def kinds(self) -> tuple[DeviceRequest, ...]:
        """What it asks for kind by kind, none of which has an `also`."""
        return (replace(self, also=()), *self.also) if self.also else (self,)

    @property
    def foreign(self) -> bool:
        """Whether it asks for devices of other makers, on nodes that may name them or only count them."""
        return self.resource != GPU or bool(self.also)

    def accepts(self, model: str) -> bool:
        """Whether a device of this model, as `model_of` says it, will do."""
        kind, _, name = model.rpartition(_KIND)
        return (kind or GPU) == self.resource and self._accepts(name)

    def _accepts(self, model: str) -> bool:
        return (not self.models or _matches(model, self.models)) and not _matches(model, self.not_models)

    def accepts_id(self, device: str) -> bool:
        """Whether this very device will do."""
        return (not self.ids or device in self.ids) and device not in self.not_ids


def model_of(device: Device) -> str:
    """The model of a device, with its kind where that is not a GPU."""
    return device.model if device.kind == GPU else f"{device.kind}{_KIND}{device.model}"


def _matches(model: str, patterns: frozenset[str]) -> bool:
    return model in patterns or any(fnmatchcase(model.upper(), one.upper()) for one in patterns)
