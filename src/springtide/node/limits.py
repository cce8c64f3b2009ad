"""Which limits a container asks for, and the way to enforce them that this user has on this machine, if any.

Called by `capabilities.py` (detect) and `container.py`. Root may write cgroups; a user may where systemd
delegates them (version 2); elsewhere limits are not enforced, and the node says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from springtide.api.containers import Container
from springtide.api.quantity import milli, to_int
from springtide.node.cgroups import Cgroups, Limits, remove
from springtide.node.cgroups_v1 import CgroupsV1
from springtide.node.cgroups_v2 import CgroupsV2


def limits_of(container: Container) -> Limits:
    """The container's limits in the kernel's units."""
    limits, requests = container.resources.limits, container.resources.requests
    return Limits(
        memory_bytes=to_int(limits["memory"]) if "memory" in limits else None,
        cpu_milli=milli(limits["cpu"]) if "cpu" in limits else None,
        cpu_request_milli=milli(requests["cpu"]) if "cpu" in requests else None,
    )


def detect(name: str, proc: Path = Path("/proc/self")) -> Cgroups | None:
    """The way that works here, or None. `name` is this node's, for the parent of all its groups."""
    try:
        here = _Here.read(proc)
    except FileNotFoundError:
        return None
    return next((found for found in _candidates(here, name) if _works(found)), None)


@dataclass(frozen=True)
class _Here:
    """Where this process stands in the hierarchies, and where they are mounted."""

    paths: dict[str, str]
    """Path of this process by controller of version 1; key `` is its path in version 2."""
    mounts: list[tuple[str, Path, list[str]]]
    """Kind, folder and options of every mounted hierarchy."""

    @classmethod
    def read(cls, proc: Path) -> _Here:
        paths: dict[str, str] = {}
        for line in (proc / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            paths |= dict.fromkeys(controllers.split(","), path)
        rows = [line.split(" ") for line in (proc / "mounts").read_text().splitlines()]
        mounts = [(row[2], Path(row[1]), row[3].split(",")) for row in rows if row[2].startswith("cgroup")]
        return cls(paths, mounts)

    def own(self, mount: Path, controller: str) -> Path:
        """This process's group; the mount itself where a container hides the rest."""
        own = mount / self.paths.get(controller, "/").lstrip("/")
        return own if own.is_dir() else mount


def _candidates(here: _Here, name: str) -> Iterator[Cgroups]:
    v1: dict[str, Path] = {
        controller: here.own(folder, controller) / name
        for kind, folder, options in here.mounts
        for controller in ("memory", "cpu")
        if kind == "cgroup" and controller in options
    }
    if "memory" in v1:
        yield CgroupsV1(v1)
    for kind, root, _ in here.mounts:
        if kind == "cgroup2":
            own = here.own(root, "")
            yield from _candidates_v2([own.parent, root] if own != root else [root], name)


def _candidates_v2(parents: list[Path], name: str) -> Iterator[Cgroups]:
    for parent in parents:
        # moving a process also needs the group it leaves and ours to have a parent we may write
        if os.access(parent / "cgroup.procs", os.W_OK):
            found = CgroupsV2(parent / name)
            if found.enforces_memory:
                yield found


def _works(cgroups: Cgroups) -> bool:
    """Make a group and remove it again."""
    try:
        trial = cgroups.create("trial", Limits())
    except OSError:
        return False
    finally:
        remove(folder / "trial" for folder in cgroups.folders)
    return all(os.access(Path(file).parent.parent, os.W_OK) for file in trial.procs)
