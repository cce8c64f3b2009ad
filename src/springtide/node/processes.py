"""Which processes belong to a pod, and ending all of them for certain.

A program may start children in sessions of their own (torchrun does), so killing a process group is not
enough. Membership is read from the kernel: the container's cgroup where there is one, the process tree, and
the environment variable every process of a pod inherits. Called by `pod.py`, `records.py` and the watchdog.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

POD_UID = "SPRINGTIDE_POD_UID"
CONTAINER = "SPRINGTIDE_CONTAINER"
NODE_ID = "SPRINGTIDE_NODE_ID"


@dataclass(frozen=True)
class Mark:
    """The environment variables, with values, by which processes are recognised."""

    variables: Mapping[str, str]

    def entries(self) -> list[bytes]:
        return [f"{name}={value}".encode() for name, value in self.variables.items()]


def start_time(pid: int) -> float | None:
    """When the process started, in the kernel's own counting; None when there is no such process.

    Together with the process id this names a process for ever: an id that was used again has another start.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return _start_time_portable(pid)
    except ProcessLookupError:
        return None
    return float(stat.rsplit(b")", 1)[1].split()[19])


def _start_time_portable(pid: int) -> float | None:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def marked(mark: Mark) -> set[int]:
    """Process ids whose environment carries the mark."""
    wanted = mark.entries()
    found = set()
    for pid in psutil.pids():
        environment = _environment(pid)
        if all(entry in environment for entry in wanted):
            found.add(pid)
    found.discard(os.getpid())
    return found


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except FileNotFoundError:
        return _environment_portable(pid)
    except OSError:  # gone, a kernel thread, or another user's
        return []


def _environment_portable(pid: int) -> list[bytes]:
    if os.path.isdir("/proc/self"):  # noqa: PTH112 - Linux: the process is simply gone
        return []
    try:
        return [f"{name}={value}".encode() for name, value in psutil.Process(pid).environ().items()]
    except (psutil.Error, OSError):
        return []


def descendants(pids: Iterable[int]) -> set[int]:
    """All children, children's children and so on."""
    found: set[int] = set()
    for pid in pids:
        try:
            found.update(child.pid for child in psutil.Process(pid).children(recursive=True))
        except psutil.Error:
            continue
    return found


def kill(pids: Iterable[int]) -> None:
    """SIGKILL each; those that are gone are fine."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def wake(pids: Iterable[int]) -> None:
    """SIGCONT those that are stopped: they take no signal but SIGKILL, and who waits for them waits on."""
    for pid in pids:
        if _state(pid) != "T":
            continue
        try:
            os.kill(pid, signal.SIGCONT)
        except (ProcessLookupError, PermissionError):
            continue


def alive(pids: Iterable[int]) -> set[int]:
    """Those that still run; zombies have ended."""
    return {pid for pid in pids if _state(pid) not in ("", "Z", "X")}


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()[0].decode()
    except (FileNotFoundError, ProcessLookupError):
        pass
    try:
        return "Z" if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE else "R"
    except psutil.Error:
        return ""


async def end_all(find: Callable[[], set[int]], *, rounds: int = 50, pause_seconds: float = 0.02) -> set[int]:
    """Kill what `find` returns, again until nothing is left: a process may fork while it is being killed.

    Returns what survived all rounds (processes the kernel cannot end now, stuck in a device).
    """
    left: set[int] = set()
    for _ in range(rounds):
        left = alive(find())
        if not left:
            return left
        kill(left)
        await asyncio.sleep(pause_seconds)
    return left
