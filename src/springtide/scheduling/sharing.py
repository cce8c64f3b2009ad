"""Who asks for parts of a GPU and which nodes can give them: HAMi's resources and annotations, read.

A container asks for `nvidia.com/gpu` devices and, of each, `nvidia.com/gpucores` hundredths of its power,
`nvidia.com/gpumem` MiB or `nvidia.com/gpumem-percentage` of its memory; without any of them the devices are
its own. Nodes tell of their devices in `hami.io/node-nvidia-register`. Called by `classes` and `nodes`.
Source: HAMi, docs of its device plugin and pkg/device/nvidia (names and defaults).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from springtide.scheduling.devices import WHOLE, Device, DeviceRequest

GPU = "nvidia.com/gpu"
CORES = "nvidia.com/gpucores"
MEMORY = "nvidia.com/gpumem"
MEMORY_PERCENT = "nvidia.com/gpumem-percentage"
PARTS = (CORES, MEMORY, MEMORY_PERCENT)
"""Resources that say which part of each device is asked for; nodes do not list them."""
REGISTER = "hami.io/node-nvidia-register"
MODEL_LABEL = "nvidia.com/gpu.product"
"""Label of GPU feature discovery, for nodes that do not register their devices."""
USE_MODELS = "nvidia.com/use-gputype"
NOT_MODELS = "nvidia.com/nouse-gputype"


def device_request(
    containers: Iterable[Mapping[str, int]], annotations: Mapping[str, str]
) -> DeviceRequest | None:
    """What a pod whose containers ask for these amounts wants of GPUs; None if nothing.

    Raises ValueError when a part is out of range, or containers of the pod ask for different parts.
    """
    found: set[tuple[int, int]] = set()
    count = 0
    for asked in containers:
        if not asked.get(GPU):
            continue
        count += asked[GPU]
        found.add(_part(asked))
    if not count:
        return None
    if len(found) > 1:
        raise ValueError(f"containers ask for different parts of {GPU}; give all of them the same {CORES}")
    share, memory = found.pop()
    return DeviceRequest(
        resource=GPU,
        count=count,
        share=share,
        memory=memory,
        models=_names(annotations, USE_MODELS),
        not_models=_names(annotations, NOT_MODELS),
    )


def registered(text: str) -> tuple[Device, ...]:
    """The devices in a node's register: `id,sharers,MiB,cores,model,numa,healthy:` for each.

    Raises ValueError naming the entry that cannot be read.
    """
    found = []
    for entry in filter(None, text.strip().split(":")):
        fields = entry.split(",")
        if len(fields) < 7 or not (fields[1].isdecimal() and fields[2].isdecimal()):
            raise ValueError(
                f"{REGISTER}: cannot read {entry!r}; expected id,sharers,MiB,cores,model,numa,healthy"
            )
        found.append(
            Device(fields[0], fields[4], int(fields[2]), int(fields[1]), fields[6].lower() == "true")
        )
    return tuple(found)


def _part(asked: Mapping[str, int]) -> tuple[int, int]:
    """Hundredths and MiB of each device."""
    for name in (CORES, MEMORY_PERCENT):
        if not 0 <= asked.get(name, 0) <= WHOLE:
            raise ValueError(f"{name}: {asked[name]} is not from 0 to {WHOLE}")
    share = max(asked.get(CORES, 0), asked.get(MEMORY_PERCENT, 0))
    memory = asked.get(MEMORY, 0)
    if not share and not memory:
        return WHOLE, 0
    return share, memory


def _names(annotations: Mapping[str, str], key: str) -> frozenset[str]:
    return frozenset(name.strip() for name in annotations.get(key, "").split(",") if name.strip())
