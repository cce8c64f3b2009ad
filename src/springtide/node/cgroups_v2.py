"""Limits with cgroups of version 2: one hierarchy, our groups beside the platform's own.

Beside and not below, because a group that holds processes cannot hand controllers to groups below it.
Source of files and units: the kernel's documentation of `cgroup-v2`; of weights: KEP-2254.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from springtide.node.cgroups import PERIOD_US, Group, Limits, counter, members, number, remove, write


class CgroupsV2:
    """One parent folder for the groups of all containers."""

    def __init__(self, folder: Path) -> None:
        """`folder` need not exist; the group above it must offer the memory controller."""
        offered = (folder.parent / "cgroup.subtree_control").read_text().split()
        self._controllers = [controller for controller in ("memory", "cpu") if controller in offered]
        self._folder = folder
        self.enforces_cpu = "cpu" in offered

    @property
    def folders(self) -> list[Path]:
        return [self._folder]

    @property
    def enforces_memory(self) -> bool:
        return "memory" in self._controllers

    def create(self, name: str, limits: Limits) -> Group:
        if not self._folder.exists():
            self._folder.mkdir()
            wanted = " ".join(f"+{controller}" for controller in self._controllers)
            write(self._folder / "cgroup.subtree_control", wanted)
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        if limits.memory_bytes is not None:
            write(folder / "memory.max", limits.memory_bytes)
            write(folder / "memory.oom.group", 1)
            with contextlib.suppress(OSError):  # kernels without swap have no such file
                write(folder / "memory.swap.max", 0)
        if self.enforces_cpu and limits.quota_us is not None:
            write(folder / "cpu.max", f"{limits.quota_us} {PERIOD_US}")
        if self.enforces_cpu and limits.shares is not None:
            write(folder / "cpu.weight", cpu_weight(limits.shares))
        return GroupV2(folder)


def cpu_weight(shares: int) -> int:
    """cpu.weight (1..10000) for cpu.shares (2..262144), as the kubelet converts them."""
    return 1 + (min(max(2, shares), 262_144) - 2) * 9999 // 262_142


class GroupV2:
    """One folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def procs(self) -> list[str]:
        return [str(self._folder / "cgroup.procs")]

    def pids(self) -> set[int]:
        return members([self._folder])

    def cpu_seconds(self) -> float | None:
        return counter(self._folder / "cpu.stat", "usage_usec") / 1e6

    def memory_bytes(self) -> int | None:
        used = number(self._folder / "memory.current")
        return None if used is None else max(0, used - counter(self._folder / "memory.stat", "inactive_file"))

    def oom_kills(self) -> int:
        return counter(self._folder / "memory.events", "oom_kill")

    def remove(self) -> None:
        remove([self._folder])
