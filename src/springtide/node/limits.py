"""Memory and CPU limits through cgroups, version 1 or 2, where this user may write them.

Each container gets a cgroup below the platform's own (v1) or beside it (v2, whose inner groups hold no
processes). It also tells who belongs to a container, kills them all, and counts the kernel's out-of-memory
kills. Called by `capabilities.py` (detect) and `pod.py`. Source of files and units: kernel docs `cgroup-v1`,
`cgroup-v2`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PERIOD_US = 100_000


@dataclass(frozen=True)
class Limits:
    """Of one container; None is no limit."""

    memory_bytes: int | None = None
    cpu_milli: int | None = None
    cpu_request_milli: int | None = None


class Group(Protocol):
    """The cgroup of one container instance."""

    @property
    def procs(self) -> list[str]:
        """Files a process writes its id to in order to join."""
        ...

    def pids(self) -> set[int]:
        """Who is in it."""
        ...

    def oom_kills(self) -> int:
        """How many processes the kernel killed in it for lack of memory."""
        ...

    def remove(self) -> None:
        """Remove the cgroup; one that still holds a dying process is left for the next start."""
        ...


class Cgroups(Protocol):
    """A way to make cgroups on this machine."""

    enforces_cpu: bool

    def create(self, name: str, limits: Limits) -> Group: ...
    def clear(self) -> set[int]:
        """Remove what an earlier life left; returns processes still inside."""
        ...


def detect(name: str, proc: Path = Path("/proc/self")) -> Cgroups | None:
    """The way that works here, or None. `name` is this node's, for the parent of all its cgroups."""
    try:
        membership = _membership((proc / "cgroup").read_text())
        mounts = list(_mounts((proc / "mounts").read_text()))
    except FileNotFoundError:
        return None
    return _detect_v1(name, membership, mounts) or _detect_v2(name, membership, mounts)


def _membership(text: str) -> dict[str, str]:
    """Path by controller of v1; key '' is the v2 path."""
    paths = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _mounts(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """(kind, folder, options) of cgroup file systems."""
    for line in text.splitlines():
        fields = line.split(" ")
        if fields[2] in ("cgroup", "cgroup2"):
            yield fields[2], fields[1], fields[3].split(",")


def _write(path: Path, value: str) -> None:
    path.write_text(value)


def _remove_tree(folder: Path) -> None:
    for path in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            path.rmdir()
    with contextlib.suppress(OSError):
        folder.rmdir()


def _pids(folders: list[Path]) -> set[int]:
    found: set[int] = set()
    for folder in folders:
        for path in [folder / "cgroup.procs", *folder.rglob("*/cgroup.procs")]:
            with contextlib.suppress(OSError):
                found.update(int(pid) for pid in path.read_text().split())
    return found


def _counter(path: Path, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0


# -- version 1 --------------------------------------------------------------------------------------


def _detect_v1(
    name: str, membership: dict[str, str], mounts: list[tuple[str, str, list[str]]]
) -> Cgroups | None:
    folders: dict[str, Path] = {}
    for kind, folder, options in mounts:
        for controller in ("memory", "cpu"):
            if kind == "cgroup" and controller in options:
                own = Path(folder + membership.get(controller, "/"))
                folders[controller] = (own if own.is_dir() else Path(folder)) / name
    try:
        for folder_ in folders.values():
            folder_.mkdir(exist_ok=True)
    except OSError:
        return None
    if "memory" not in folders or not os.access(folders["memory"] / "cgroup.procs", os.W_OK):
        return None
    return CgroupsV1(folders)


class CgroupsV1:
    """One folder per controller."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders
        self.enforces_cpu = "cpu" in folders

    def create(self, name: str, limits: Limits) -> Group:
        folders = {controller: parent / name for controller, parent in self._folders.items()}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        memory = folders["memory"]
        if limits.memory_bytes is not None:
            _write(memory / "memory.limit_in_bytes", str(limits.memory_bytes))
            with contextlib.suppress(OSError):  # kernels without swap accounting have no such file
                _write(memory / "memory.memsw.limit_in_bytes", str(limits.memory_bytes))
        cpu = folders.get("cpu")
        if cpu is not None:
            if limits.cpu_milli is not None:
                _write(cpu / "cpu.cfs_period_us", str(PERIOD_US))
                _write(cpu / "cpu.cfs_quota_us", str(max(1000, limits.cpu_milli * PERIOD_US // 1000)))
            if limits.cpu_request_milli is not None:
                _write(cpu / "cpu.shares", str(max(2, limits.cpu_request_milli * 1024 // 1000)))
        return GroupV1(list(folders.values()), memory)

    def clear(self) -> set[int]:
        left = _pids(list(self._folders.values()))
        for folder in self._folders.values():
            for child in [path for path in folder.iterdir() if path.is_dir()]:
                _remove_tree(child)
        return left


class GroupV1:
    """The same name in every controller's folder."""

    def __init__(self, folders: list[Path], memory: Path) -> None:
        self._folders = folders
        self._memory = memory

    @property
    def procs(self) -> list[str]:
        return [str(folder / "cgroup.procs") for folder in self._folders]

    def pids(self) -> set[int]:
        return _pids(self._folders)

    def oom_kills(self) -> int:
        return _counter(self._memory / "memory.oom_control", "oom_kill")

    def remove(self) -> None:
        for folder in self._folders:
            _remove_tree(folder)


# -- version 2 --------------------------------------------------------------------------------------


def _detect_v2(
    name: str, membership: dict[str, str], mounts: list[tuple[str, str, list[str]]]
) -> Cgroups | None:
    root = next((Path(folder) for kind, folder, _ in mounts if kind == "cgroup2"), None)
    if root is None:
        return None
    own = root / membership.get("", "/").lstrip("/")
    for parent in (own.parent if own != root else root, root):
        found = _try_v2(parent, name)
        if found is not None:
            return found
    return None


def _try_v2(parent: Path, name: str) -> Cgroups | None:
    """A folder below `parent` with memory (and cpu) control for its children, if we may make one."""
    folder = parent / name
    try:
        offered = (parent / "cgroup.subtree_control").read_text().split()
        if "memory" not in offered:
            return None
        folder.mkdir(exist_ok=True)
        wanted = [controller for controller in ("memory", "cpu") if controller in offered]
        _write(folder / "cgroup.subtree_control", " ".join(f"+{controller}" for controller in wanted))
    except OSError:
        with contextlib.suppress(OSError):
            folder.rmdir()
        return None
    if not os.access(parent / "cgroup.procs", os.W_OK):  # moving a process needs the common parent
        with contextlib.suppress(OSError):
            folder.rmdir()
        return None
    return CgroupsV2(folder, "cpu" in wanted)


class CgroupsV2:
    """One folder for all controllers."""

    def __init__(self, folder: Path, enforces_cpu: bool) -> None:
        self._folder = folder
        self.enforces_cpu = enforces_cpu

    def create(self, name: str, limits: Limits) -> Group:
        # containers are direct children, since inner groups need their controllers enabled one by one
        folder = self._folder / name.replace("/", "_")
        folder.mkdir(exist_ok=True)
        if limits.memory_bytes is not None:
            _write(folder / "memory.max", str(limits.memory_bytes))
            _write(folder / "memory.oom.group", "1")
            with contextlib.suppress(OSError):  # kernels without swap have no such file
                _write(folder / "memory.swap.max", "0")
        if self.enforces_cpu and limits.cpu_milli is not None:
            _write(folder / "cpu.max", f"{max(1000, limits.cpu_milli * PERIOD_US // 1000)} {PERIOD_US}")
        if self.enforces_cpu and limits.cpu_request_milli is not None:
            _write(folder / "cpu.weight", str(cpu_weight(limits.cpu_request_milli)))
        return GroupV2(folder)

    def clear(self) -> set[int]:
        left = _pids([self._folder])
        for child in [path for path in self._folder.iterdir() if path.is_dir()]:
            _remove_tree(child)
        return left


def cpu_weight(milli: int) -> int:
    """cpu.weight (1..10000) of a request, as the kubelet converts shares (2..262144)."""
    shares = min(max(2, milli * 1024 // 1000), 262_144)
    return 1 + (shares - 2) * 9999 // 262_142


class GroupV2:
    """One folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def procs(self) -> list[str]:
        return [str(self._folder / "cgroup.procs")]

    def pids(self) -> set[int]:
        return _pids([self._folder])

    def oom_kills(self) -> int:
        return _counter(self._folder / "memory.events", "oom_kill")

    def remove(self) -> None:
        _remove_tree(self._folder)
