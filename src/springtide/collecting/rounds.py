"""What every source of evidence gives and is given: one `look` a round, at a `Scene`, returning a `Round`.

A source reads the machine and may block; it runs in a thread of its own (`worker.py`) and touches nothing
of the others. What sources must know of each other (which processes a pod has, since when it is quiet) comes
with the scene. `controller.py` keeps them going and writes what they saw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from springtide.api.nodehealth import Observation

Keep = Callable[[str], str | None]
"""The name of the signature a line is worth keeping for, or None: `faults.worth_keeping`."""


class Unavailable(Exception):
    """This machine has no such source, or does not let it be read. The text says why, and what helps."""


@dataclass(frozen=True)
class Ended:
    """A container instance that ended, as the pod's status tells."""

    container: str
    restarts: int
    exit_code: int
    signal: int
    reason: str
    message: str
    time: datetime | None


@dataclass(frozen=True)
class WatchedPod:
    """A pod of this node with a gang or a GPU."""

    namespace: str
    name: str
    uid: str
    finished: bool = False
    ended: tuple[Ended, ...] = ()
    progress: str = ""
    """The newest progress report, as its annotation has it."""
    sample: str = ""
    """Value of the annotation that asks for samples of its stacks."""
    gpus: bool = False
    """Whether it asks for GPUs or parts of some."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Process:
    """A process of a watched pod; `start` tells apart those that had the same id."""

    pid: int
    start: int
    parent: int = 0
    command: str = ""
    state: str = ""


@dataclass(frozen=True)
class Scene:
    """What a source may know when it looks."""

    now: datetime
    monotonic: float
    """Seconds that never go back; the kernel's own count of them."""
    pods: tuple[WatchedPod, ...] = ()
    processes: Mapping[str, tuple[Process, ...]] = field(default_factory=dict)
    """Of each pod, by its uid; as the source `activity` last saw them."""
    quiet: Mapping[str, datetime] = field(default_factory=dict)
    """Pods that are quiet or stopped, by uid, and since when."""

    def pod(self, uid: str) -> WatchedPod | None:
        """The watched pod with this uid."""
        return next((pod for pod in self.pods if pod.uid == uid), None)


@dataclass(frozen=True)
class Round:
    """What a source saw."""

    seen: tuple[Observation, ...] = ()
    """`collector` is filled in by the controller, `pod` from `pod_uid`."""
    activity: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Fields of `PodActivity` it knows, by the pod's uid. Moments only move forward."""
    message: str = ""
    """What must be said though it works, such as a part that was skipped."""
    processes: Mapping[str, tuple[Process, ...]] | None = None
    """All processes of all watched pods, from the source that finds them."""


class Source(Protocol):
    """One kind of evidence."""

    name: str
    """As in `Collector.name`."""
    period_seconds: float
    """From the end of one look to the next."""
    deadline_seconds: float
    """A look that takes longer is stuck: the source is Silent."""
    doing: str
    """What it does at this moment, for the case that it gets stuck at it; may be empty."""

    def look(self, scene: Scene) -> Round:
        """One round. Raises Unavailable; OSError where the machine fails."""
        ...

    def close(self) -> None:
        """Give back what is open."""
        ...
