"""What one pod holds of its node's devices, read from its annotations or its workload's admission.

Part of the facts of pods and workloads; counted by `inventory`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from springtide.api import labels
from springtide.api.gpus import GPU, Held, held_by, indices_in
from springtide.api.makerdevices import held_of_makers
from springtide.api.pods import PodSpec
from springtide.scheduling.devices import DeviceRequest, Taken


@dataclass(frozen=True)
class Holding:
    """What a pod holds of its node's devices."""

    count: int
    """How many GPUs."""
    named: tuple[Held, ...] = ()
    """Which and how much of each, where its annotations say it."""
    indices: Taken = ()
    """Which, by their index on the node, where its admission says it."""
    asked: DeviceRequest | None = None
    """How much of each of the `indices`."""


def reserved(asked: DeviceRequest | None, devices: str) -> Holding | None:
    """What a pod will hold that is admitted with these devices, as the admission spells them."""
    if asked is None:
        return None
    return Holding(asked.count if asked.resource == GPU else 0, indices=indices_in(devices), asked=asked)


def holding_of(
    spec: PodSpec, annotations: Mapping[str, str], asked: DeviceRequest | None, count: int
) -> Holding | None:
    """What a pod that asks for `count` GPUs, and perhaps for other devices, holds on its node."""
    if not count and asked is None:
        return None
    others = held_of_makers(spec, annotations) if asked is not None and asked.foreign else ()
    return Holding(
        count,
        (*held_by(spec, annotations), *others),
        indices_in(annotations.get(labels.DEVICES, "")) if asked is not None else (),
        asked,
    )
