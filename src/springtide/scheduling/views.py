"""What one class of pods sees of a placement, and what it is given: the words of `placement` and `choice`."""

from __future__ import annotations

from dataclasses import dataclass

from springtide.scheduling.arrays import Floats, Ints, Mask
from springtide.scheduling.classes import PodClass
from springtide.scheduling.devices import DeviceRequest, Taken
from springtide.scheduling.policies import Pick, Policy


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
    asked: DeviceRequest | None
    """What it asks of devices: one object for all classes that ask for the same."""
    columns: Ints
    amounts: Ints
    takes: Ints
    """What one pod takes of every resource."""
    cpu: int
    """What one pod asks for, in thousandths of a CPU."""
    least: Ints
    """What must be free for one pod: see `Supply.least`."""
    wanted: Floats
    mask: Mask
    candidates: Mask | None
    """The nodes that may hold such a pod if they have enough free; None for all."""
    exact: bool
    """Whether every candidate with `least` free holds one."""
    aversion: Floats | None
    """What the pods would rather avoid; outweighs the policy's score. None for nothing."""
    offered: bool
    """Whether every resource asked for exists on some node."""
    ranked: Floats
    """The policy's score; infinite where nothing fits."""
    fits: Ints
    """How many fit; only what `Placement.view` gives has it."""
    policy: Policy
    pick: Pick | None = None
    """Which device of a node such a pod takes a part of; None if nobody minds."""
    plain: bool = False
    """Whether such a pod asks for a part of one device and for nothing else of it."""
    seen: int = 0
    """How many of the supply's changes `ranked` has taken in."""
    counted: int = -1
    """The same of `fits`; -1 before the first time."""
