"""What containers and the machine have used: CPU time since their start, and memory now.

Read when somebody asks (`kubectl top`, through `kubelet.py`) and never otherwise. A container's cgroup knows
best; without one its processes are added up, which are found by the mark in their environment. Rates are for
the reader to compute from two readings, as metrics-server does with a kubelet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from springtide.node.processes import CONTAINER, POD_UID


@dataclass(frozen=True)
class Used:
    """CPU time in seconds since the start; memory in bytes that could not be taken back at once."""

    cpu_seconds: float
    memory_bytes: int
    cpu_cores: float | None = None
    """The present rate, where it is known without a second reading."""


def machine() -> Used:
    """Of the whole machine since it was started."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    memory = psutil.virtual_memory()
    guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # counted in user time too
    return Used(sum(times) - idle - guest, memory.total - memory.available)


def by_container() -> Mapping[tuple[str, str], set[int]]:
    """Process ids by pod uid and container, in one look at all processes."""
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for pid in psutil.pids():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:  # gone, another user's, or not Linux
            continue
        if POD_UID.encode() in environment:
            variables = dict(entry.partition(b"=")[::2] for entry in environment.split(b"\0"))
            uid, name = variables.get(POD_UID.encode(), b""), variables.get(CONTAINER.encode(), b"")
            found[uid.decode(), name.decode()].add(pid)
    return found


def of_processes(pids: Iterable[int]) -> Used:
    """Of these processes and the children they have outlived."""
    cpu, memory = 0.0, 0
    for pid in pids:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                memory += process.memory_info().rss
        except psutil.Error:
            continue
        cpu += times.user + times.system
        cpu += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return Used(cpu, memory)
