"""Which processes belong to which pod, and how each does: read from /proc alone.

A process of a process node carries its pod's uid in its environment; one in a container of a kubelet's has
it in the name of its cgroup, whatever the runtime. Both are looked at once in a process's life; from then on
only the processes of watched pods cost anything. Called by `activity.py`; the files of single processes also
by other sources. The folder can be another one, for tests and for a host's /proc.
Source of the formats: proc(5), and the kernel's Documentation/filesystems/proc.rst.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from springtide.collecting.rounds import Process

POD_UID = b"SPRINGTIDE_POD_UID"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
YOUNG_ROUNDS = 2
"""A process is looked at again: what was forked a moment ago has not yet become what it is."""
FORGET_AFTER = 256
"""Rounds after which strangers are looked at anew: process ids are used again."""

_CGROUP_UID = re.compile(rb"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})")
"""`kubepods-burstable-pod0f3c…_….slice` with systemd, `/kubepods/burstable/pod0f3c-…` without."""


@dataclass(frozen=True)
class Used:
    """What a process has used since its start, and how it is."""

    process: Process
    cpu_ticks: int
    io_bytes: int


class ProcessTable:
    """The processes of watched pods, found again each round at the cost of those that are new."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._strangers: dict[int, int] = {}
        self._members: dict[int, str] = {}
        self._rounds = 0

    def read(self, uids: Iterable[str]) -> dict[str, list[Used]]:
        """Processes by the uid of their pod, for these pods."""
        wanted = set(uids)
        self._rounds += 1
        if not wanted:
            self._members.clear()
            self._strangers.clear()
            return {}
        if self._rounds % FORGET_AFTER == 0:
            self._strangers.clear()
        living = {int(name) for name in os.listdir(self._proc) if name.isdecimal()}  # noqa: PTH208 - twice as quick
        self._find(living)
        found: dict[str, list[Used]] = {uid: [] for uid in wanted}
        for pid, uid in list(self._members.items()):
            if uid not in wanted:
                continue
            used = self._used(pid)
            if used is None:
                del self._members[pid]
            else:
                found[uid].append(used)
        return found

    def _find(self, living: set[int]) -> None:
        for pid in self._members.keys() - living:
            del self._members[pid]
        for pid in self._strangers.keys() - living:
            del self._strangers[pid]
        for pid in living - self._members.keys():
            looked = self._strangers.get(pid, 0)
            if looked >= YOUNG_ROUNDS:
                continue
            uid = pod_of(self._proc / str(pid))
            if uid:
                self._members[pid] = uid
                self._strangers.pop(pid, None)
            else:
                self._strangers[pid] = looked + 1

    def _used(self, pid: int) -> Used | None:
        """None for a process that is gone or a zombie."""
        folder = f"{self._proc}/{pid}"
        try:
            with open(f"{folder}/stat", "rb") as file:  # noqa: PTH123 - pathlib costs more than the read
                stat = file.read()
        except OSError:
            return None
        front, _, rest = stat.rpartition(b")")
        fields = rest.split()
        state = fields[0].decode()
        if state in ("Z", "X"):
            return None
        command = front.partition(b"(")[2].decode("utf-8", "replace")
        process = Process(pid, int(fields[19]), int(fields[1]), command, state)
        return Used(process, int(fields[11]) + int(fields[12]), _io_bytes(folder))


def _io_bytes(folder: str) -> int:
    """Bytes read and written through files, pipes and sockets; 0 where that may not be read."""
    try:
        with open(f"{folder}/io", "rb") as file:  # noqa: PTH123
            lines = file.read().split(b"\n", 2)
        return int(lines[0].partition(b":")[2]) + int(lines[1].partition(b":")[2])
    except (OSError, ValueError, IndexError):
        return 0


def pod_of(folder: Path) -> str:
    """The uid of the pod a process belongs to; empty: none, or it may not be read."""
    with contextlib.suppress(OSError):
        found = _CGROUP_UID.search((folder / "cgroup").read_bytes())
        if found is not None:
            return found[1].decode().replace("_", "-")
    return environment(folder).get(POD_UID, b"").decode("utf-8", "replace")


def environment(folder: Path) -> Mapping[bytes, bytes]:
    """The environment a process was started with; empty where it may not be read."""
    try:
        entries = (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return dict(entry.partition(b"=")[::2] for entry in entries if b"=" in entry)


def network_bytes(folder: Path, own: str) -> int | None:
    """Bytes in and out of a process's network namespace but loopback; None where it shares the node's.

    `own` names the node's namespace. Sockets' traffic is not among a process's own counters.
    """
    try:
        if str((folder / "ns" / "net").readlink()) == own:
            return None
        lines = (folder / "net" / "dev").read_text().splitlines()[2:]
        counts = [line.partition(":")[::2] for line in lines]
        return sum(
            int(numbers.split()[0]) + int(numbers.split()[8])
            for name, numbers in counts
            if name.strip() != "lo"
        )
    except (OSError, ValueError, IndexError):
        return None


def own_network(proc: Path) -> str:
    """The name of the network namespace of this process."""
    try:
        return str((proc / "self" / "ns" / "net").readlink())
    except OSError:
        return ""
