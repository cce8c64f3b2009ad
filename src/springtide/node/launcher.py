"""How a pod run starts and ends processes: the seam between `pod.py` and the machine.

`MachineLauncher` is the real one; tests put a scripted one in its place and drive whole pod lives in virtual
time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from springtide.node import cgroups, process, processes, session
from springtide.node.cgroups import Group
from springtide.node.lastword import LastWord
from springtide.node.process import Launch, Outcome, Running, Sink
from springtide.node.processes import NODE_ID, Mark
from springtide.node.session import Session
from springtide.runtime import logger

log = logger("node.launcher")


class Launcher(Protocol):
    """Starts and ends processes."""

    async def start(self, launch: Launch, out: Sink, err: Sink) -> Running:
        """Start a container's program. Raises StartError."""

    async def run(self, launch: Launch, timeout_seconds: float) -> Outcome:
        """Run a command to its end. Raises StartError."""

    async def open(self, launch: Launch) -> Session:
        """Run a command whose streams somebody holds. Raises StartError."""

    async def end(self, mark: Mark, group: Group | None, pid: int) -> None:
        """Kill what carries the mark, is in the group, or descends from the process; wait until gone."""

    def start_time(self, pid: int) -> float:
        """When the process started (see `processes.start_time`); 0 when it is gone already."""

    def close(self) -> None:
        """All pods were ended in order; nothing more will be started."""


class MachineLauncher:
    """Processes of this machine, watched over by the watchdog from the first container on."""

    def __init__(
        self, node_id: str, cgroup_folders: Sequence[Path] = (), last_word: LastWord | None = None
    ) -> None:
        """`cgroup_folders` are the parents of the containers' groups, removed when all is over.

        `last_word` is said if this process dies and nothing of it is left.
        """
        self._last_word = last_word
        self._mark = Mark({NODE_ID: node_id})
        self._cgroup_folders = cgroup_folders
        self._watchdog: process.Watchdog | None = None

    async def start(self, launch: Launch, out: Sink, err: Sink) -> Running:
        if self._watchdog is None:
            self._watchdog = process.Watchdog(
                self._mark.entries()[0].decode(), self._cgroup_folders, self._last_word
            )
        return await process.start(launch, out, err)

    async def run(self, launch: Launch, timeout_seconds: float) -> Outcome:
        return await process.run(launch, timeout_seconds)

    async def open(self, launch: Launch) -> Session:
        return await session.open_session(launch)

    async def end(self, mark: Mark, group: Group | None, pid: int) -> None:
        tree: set[int] = set()

        def belonging() -> set[int]:
            # the tree is asked for while its root still lives, and remembered
            tree.update(processes.descendants([pid]))
            return processes.marked(mark) | tree | (group.pids() if group is not None else set())

        left = await processes.end_all(belonging)
        if left:
            log.error("processes cannot be ended", pids=sorted(left))

    def start_time(self, pid: int) -> float:
        return processes.start_time(pid) or 0.0

    def close(self) -> None:
        if self._watchdog is not None:
            self._watchdog.dismiss()
            self._watchdog = None
        cgroups.remove(self._cgroup_folders)
