"""What one class of pods sees of a placement, and what it is given: the words of `placement` and `choice`."""

from __future__ import annotations

from dataclasses import dataclass

from springtide.scheduling.arrays import Floats, Ints, Mask
from springtide.scheduling.classes import PodClass
from springtide.scheduling.devices import Taken
from springtide.scheduling.policies import Policy


@dataclass(frozen=True, eq=False)
class Share:
    """Pods of one pod set per node: rows of the snapshot, how many pods each gets, and their devices."""

    rows: Ints
    counts: Ints
    devices: tuple[Taken, ...] = ()
    """Of each pod, in the order of the rows; empty for pods that ask for none."""


@dataclass(eq=False)
class View:
    """What one class of pods sees: per node how many more fit, and the node's score where any does."""

    pod_class: PodClass
    columns: Ints
    amounts: Ints
    mask: Mask
    wanted: Floats
    cpu: int
    aversion: Floats
    """What the pods would rather avoid; outweighs the policy's score."""
    offered: bool
    """Whether every resource asked for exists on some node."""
    fits: Ints
    ranked: Floats
    """The policy's score; infinite where nothing fits."""
    device: Ints
    """The device a pod of the class is best given, where it asks for a part of one."""
    policy: Policy
    seen: int = 0
    """How much of the placement's log this view has taken in."""
