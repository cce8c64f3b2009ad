"""Disks and file systems: remounted read-only, full or without inodes, requests that never complete.

Errors of devices themselves are told by the kernel's log. Asking a dead network mount for its free space
hangs: then this source is Silent and says which mount it asked. Called by `controller.py`.
Sources: proc(5) for mounts, the kernel's Documentation/admin-guide/iostats.rst for diskstats.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from springtide.api.nodehealth import Observation
from springtide.collecting.counters import Standing
from springtide.collecting.rounds import Keep, Round, Scene, Unavailable

FREE_SHARE = 0.01
FREE_BYTES = 256 * 1024 * 1024
"""A file system with less than both of these free is nearly full."""
STALL_SECONDS = 30.0
"""Requests wait for so long, and none completes: the disk, or what is behind it, has stopped."""
MOUNTS_MAX = 200
_PSEUDO = frozenset((
    "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs",
    "efivarfs", "fuse.lxcfs", "fusectl", "hugetlbfs", "iso9660", "mqueue", "nsfs", "overlay", "proc",
    "pstore", "ramfs", "rpc_pipefs", "securityfs", "selinuxfs", "squashfs", "sysfs", "tracefs",
))  # fmt: skip
_NO_DISKS = ("loop", "ram", "zram", "sr", "fd")


@dataclass(frozen=True)
class Mount:
    """One file system, where it is mounted first."""

    device: str
    path: str
    kind: str
    read_only: bool

    @property
    def key(self) -> str:
        return f"{self.device} {self.path}"


class Disk:
    """The source `disk`."""

    name = "disk"
    period_seconds = 10.0
    deadline_seconds = 20.0

    def __init__(self, proc: Path, sys: Path, root: Path, keep: Keep) -> None:
        self._proc = proc
        self._sys = sys
        self._root = root
        self._keep = keep
        self.doing = ""
        self._writable: set[str] = set()
        self._standing = Standing()
        self._completed: dict[str, int] = {}

    def look(self, scene: Scene) -> Round:
        self.doing = "reading the mounts"
        mounts = self._mounts()
        self._writable &= {mount.key for mount in mounts}
        seen: list[Observation] = []
        for mount in mounts:
            lines = (*self._turned(mount, scene.monotonic), *self._room(mount, scene.monotonic))
            seen += [self._observation(mount.device, line, scene) for line in lines]
        self.doing = "reading the disks' counts"
        seen += [self._observation(disk, line, scene) for disk, line in self._stalls(scene.monotonic)]
        return Round(seen=tuple(seen))

    def close(self) -> None:
        """Nothing is open."""

    def _mounts(self) -> list[Mount]:
        """Of the host, where its first process may be looked at."""
        for place in (self._proc / "1" / "mounts", self._proc / "self" / "mounts"):
            try:
                return list(parse_mounts(place.read_text()))[:MOUNTS_MAX]
            except OSError:
                continue
        raise Unavailable(f"{self._proc} does not tell about mounts")

    def _turned(self, mount: Mount, monotonic: float) -> Iterator[str]:
        """A file system that could be written and now cannot: the kernel's answer to errors."""
        key = mount.key
        if not mount.read_only:
            self._writable.add(key)
        turned = mount.read_only and key in self._writable
        if self._standing.lasts(f"ro {key}", turned, monotonic) is not None:
            yield f"Remounting filesystem read-only: {mount.path} ({mount.kind} on {mount.device})"

    def _room(self, mount: Mount, monotonic: float) -> Iterator[str]:
        if mount.read_only:
            return
        self.doing = f"asking how full {mount.path} ({mount.kind} on {mount.device}) is"
        try:
            found = os.statvfs(self._root / mount.path.lstrip("/"))
        except OSError as error:
            lasted = self._standing.lasts(f"error {mount.path}", True, monotonic)
            if lasted is not None and error.errno in (5, 107, 116):  # I/O error, not connected, stale handle
                yield f"{mount.path} ({mount.kind} on {mount.device}): {error.strerror}"
            return
        self._standing.lasts(f"error {mount.path}", False, monotonic)
        free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
        full = bool(size) and free < min(FREE_BYTES, FREE_SHARE * size)
        if self._standing.lasts(f"full {mount.path}", full, monotonic) is not None:
            what = "No space left on device" if free == 0 else "nearly full"
            yield f"{mount.path} ({mount.device}): {what}: {free >> 20} of {size >> 20} MiB are free"
        spent = found.f_files > 1000 and found.f_favail < found.f_files * FREE_SHARE / 10
        if self._standing.lasts(f"inodes {mount.path}", spent, monotonic) is not None:
            what = "No space left on device" if found.f_favail == 0 else "nearly full"
            left = f"{found.f_favail} of {found.f_files} inodes are free"
            yield f"{mount.path} ({mount.device}): {what}: {left}"

    def _stalls(self, monotonic: float) -> Iterator[tuple[str, str]]:
        try:
            lines = (self._proc / "diskstats").read_text().splitlines()
        except OSError:
            return
        for line in lines:
            fields = line.split()
            if len(fields) < 14 or fields[2].startswith(_NO_DISKS):
                continue
            name, completed, waiting = fields[2], int(fields[3]) + int(fields[7]), int(fields[11])
            if not (self._sys / "block" / name).exists():
                continue  # a partition: its disk counts the same
            stuck = waiting > 0 and self._completed.get(name) == completed
            self._completed[name] = completed
            lasted = self._standing.lasts(f"stall {name}", stuck, monotonic, STALL_SECONDS)
            if lasted is not None:
                yield name, f"disk {name}: {waiting} requests wait, none completed for {round(lasted)} s"

    def _observation(self, device: str, line: str, scene: Scene) -> Observation:
        return Observation(
            id="",
            source=f"disk:{device}",
            line=line,
            signature=self._keep(line) or "",
            time=scene.now,
            device=device,
        )


def parse_mounts(text: str) -> Iterator[Mount]:
    """File systems that hold data, each device once."""
    known = set()
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 4 or fields[2] in _PSEUDO or fields[0] in known:
            continue
        if fields[2] == "tmpfs" and not fields[1].startswith("/dev/shm"):
            continue
        if fields[2] != "tmpfs":
            known.add(fields[0])
        path = fields[1].replace("\\040", " ").replace("\\011", "\t")
        yield Mount(fields[0], path, fields[2], "ro" in fields[3].split(","))
