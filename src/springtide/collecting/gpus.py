"""What a GPU reports of itself, whoever asked it: readings, and the driver that gives them.

`nvml.py` is the real driver; tests have a scripted one. Judged by `nvidia.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class GpuReading:
    """One GPU now. What it does not tell is left out."""

    uuid: str
    bus: str = ""
    """PCI address, `0000:a1:00.0`."""
    counters: Mapping[str, int] = field(default_factory=dict)
    """By the names that DCGM gives them, such as `DCGM_FI_DEV_ECC_DBE_VOL_TOTAL`."""
    flags: Mapping[str, bool] = field(default_factory=dict)
    """`DCGM_FI_DEV_ROW_REMAP_PENDING`, `DCGM_FI_DEV_ROW_REMAP_FAILURE` …"""
    slowdowns: tuple[str, ...] = ()
    """Reasons of reduced clocks that are no choice of anybody: `hw_thermal_slowdown` …"""
    recovery: int = 0
    """The driver's own recovery action; 0: none."""
    links_down: tuple[int, ...] = ()
    """NVLinks that are not active."""
    percent: int | None = None
    """Time with work, of the last moments."""
    celsius: int | None = None
    watts: float | None = None
    pids: tuple[int, ...] = ()
    """Processes that use it."""
    memory: Mapping[int, int] = field(default_factory=dict)
    """Bytes of its memory by process, of those that the driver tells."""
    busy: Mapping[int, float] = field(default_factory=dict)
    """Hundredths of the last moments in which it worked for each process; empty where nobody tells."""
    memory_mib: int | None = None
    """MiB of its memory that are in use."""
    tells_processes: bool = True
    """Whether no process means that none uses it."""
    owners: tuple[str, ...] = ()
    """Pods that have it, `namespace/name`, where whoever was asked knows them."""
    lost: str = ""
    """Why it cannot be asked any more."""


@dataclass(frozen=True)
class Xid:
    """An event the driver told."""

    uuid: str
    bus: str
    number: int


class GpuDriver(Protocol):
    """A way to ask GPUs. All calls may block."""

    def open(self) -> None:
        """Begin. Raises Unavailable."""
        ...

    def read(self) -> Sequence[GpuReading]:
        """Every GPU there was at the beginning. Raises Unavailable once the driver is gone."""
        ...

    def events(self) -> Sequence[Xid]:
        """Events since the last call."""
        ...

    def close(self) -> None:
        """End."""
        ...
