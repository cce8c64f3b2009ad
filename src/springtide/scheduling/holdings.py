"""What one pod holds of its node's devices, read from its annotations or its workload's admission.

Part of the facts of pods and workloads; counted by `inventory`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from springtide.api import labels
from springtide.api.gpus import Held, held_by, indices_in
from springtide.api.pods import PodSpec
from springtide.scheduling.devices import DeviceRequest, Taken


@dataclass(frozen=True)
class Holding:
    """What a pod holds of its node's devices."""

    count: int
    """How many devices."""
    named: tuple[Held, ...] = ()
    """Which and how much of each, where its annotations say it."""
    indices: Taken = ()
    """Which, by their index on the node, where its admission says it."""
    asked: DeviceRequest | None = None
    """How much of each of the `indices`."""


def reserved(asked: DeviceRequest | None, devices: str) -> Holding | None:
    """What a pod will hold that is admitted with these devices, as the admission spells them."""
    return Holding(asked.count, indices=indices_in(devices), asked=asked) if asked is not None else None


def holding_of(
    spec: PodSpec, annotations: Mapping[str, str], asked: DeviceRequest | None, count: int
) -> Holding | None:
    """What a pod that asks for `count` devices holds on its node."""
    if not count:
        return None
    return Holding(
        count,
        held_by(spec, annotations),
        indices_in(annotations.get(labels.DEVICES, "")) if asked is not None else (),
        asked,
    )
