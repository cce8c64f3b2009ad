"""Limits with cgroups of version 1: one hierarchy a controller, our groups below the platform's own.

Source of files and units: the kernel's documentation of `cgroup-v1` (memory, cpu).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from springtide.node.cgroups import PERIOD_US, Group, Limits, counter, members, number, remove, write


class CgroupsV1:
    """One parent folder per controller; `memory` is always among them."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = dict(folders)
        self.enforces_cpu = "cpu" in folders

    @property
    def folders(self) -> list[Path]:
        return list(self._folders.values())

    def create(self, name: str, limits: Limits) -> Group:
        folders = {controller: parent / name for controller, parent in self._folders.items()}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        memory, cpu = folders["memory"], folders.get("cpu")
        if limits.memory_bytes is not None:
            write(memory / "memory.limit_in_bytes", limits.memory_bytes)
            with contextlib.suppress(OSError):  # kernels without swap accounting have no such file
                write(memory / "memory.memsw.limit_in_bytes", limits.memory_bytes)
        if cpu is not None and limits.quota_us is not None:
            write(cpu / "cpu.cfs_period_us", PERIOD_US)
            write(cpu / "cpu.cfs_quota_us", limits.quota_us)
        if cpu is not None and limits.shares is not None:
            write(cpu / "cpu.shares", limits.shares)
        return GroupV1(list(folders.values()), memory)


class GroupV1:
    """The same name in every controller's hierarchy."""

    def __init__(self, folders: list[Path], memory: Path) -> None:
        self._folders = folders
        self._memory = memory

    @property
    def procs(self) -> list[str]:
        return [str(folder / "cgroup.procs") for folder in self._folders]

    def pids(self) -> set[int]:
        return members(self._folders)

    def cpu_seconds(self) -> float | None:
        return None  # the controller that counts it is a hierarchy we do not join

    def memory_bytes(self) -> int | None:
        used = number(self._memory / "memory.usage_in_bytes")
        if used is None:
            return None
        return max(0, used - counter(self._memory / "memory.stat", "total_inactive_file"))

    def oom_kills(self) -> int:
        return counter(self._memory / "memory.oom_control", "oom_kill")

    def remove(self) -> None:
        remove(self._folders)
