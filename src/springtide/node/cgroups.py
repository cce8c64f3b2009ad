"""What both versions of cgroups have in common here: limits in the kernel's units, and reading their files.

Each container instance gets a group that limits it, tells who belongs to it and counts the kernel's
out-of-memory kills. `limits.py` finds the version that can be used on this machine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PERIOD_US = 100_000
LEAST_QUOTA_US = 1000


@dataclass(frozen=True)
class Limits:
    """Of one container; None is no limit."""

    memory_bytes: int | None = None
    cpu_milli: int | None = None
    cpu_request_milli: int | None = None

    @property
    def quota_us(self) -> int | None:
        """CPU time in each period of `PERIOD_US`."""
        return None if self.cpu_milli is None else max(LEAST_QUOTA_US, self.cpu_milli * PERIOD_US // 1000)

    @property
    def shares(self) -> int | None:
        """The CPU request in shares, 1024 a core, 2 at least."""
        return None if self.cpu_request_milli is None else max(2, self.cpu_request_milli * 1024 // 1000)


class Group(Protocol):
    """The cgroup of one container instance."""

    @property
    def procs(self) -> list[str]:
        """Files a process writes its id to in order to join."""
        ...

    def pids(self) -> set[int]:
        """Who is in it."""
        ...

    def cpu_seconds(self) -> float | None:
        """CPU time used in it since it was made; None where the kernel does not count it here."""
        ...

    def memory_bytes(self) -> int | None:
        """Its working set: memory used without page cache that nobody uses; None where it is not counted."""
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

    @property
    def folders(self) -> list[Path]:
        """The parents of all groups; they exist from the first group on."""
        ...

    def create(self, name: str, limits: Limits) -> Group:
        """Make the group of a container. Raises OSError where this is not permitted."""
        ...


def members(folders: Iterable[Path]) -> set[int]:
    """Processes in these groups and all below them."""
    found: set[int] = set()
    for folder in folders:
        for path in (folder / "cgroup.procs", *folder.rglob("*/cgroup.procs")):
            with contextlib.suppress(OSError):  # removed meanwhile
                found.update(int(pid) for pid in path.read_text().split())
    return found


def remove(folders: Iterable[Path]) -> None:
    """Remove groups and all below them, as far as no process is left in them."""
    for folder in folders:
        below = sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True)
        for path in (*below, folder):
            with contextlib.suppress(OSError):
                path.rmdir()


def counter(path: Path, name: str) -> int:
    """The value of `name` in a file of `name value` lines; 0 where there is none."""
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0


def number(path: Path) -> int | None:
    """The number in a file; None where there is none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def write(path: Path, value: int | str) -> None:
    """Set a control file."""
    path.write_text(str(value))
