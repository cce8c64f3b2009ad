"""Sources that say what a test wants, and a machine's files that a test writes."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from springtide.api.nodehealth import Observation
from springtide.collecting.rounds import Process, Round, Scene, WatchedPod
from springtide.runtime.clock import EPOCH

UID = "0f3c9a52-0000-4000-8000-000000000001"
POD = WatchedPod("default", "job-0", UID)


def scene(
    at: float = 1000.0,
    pods: Sequence[WatchedPod] = (POD,),
    processes: Mapping[str, tuple[Process, ...]] | None = None,
    quiet: Sequence[str] = (),
) -> Scene:
    """A look so many seconds after the machine's start."""
    now = EPOCH + timedelta(seconds=at)
    return Scene(now, at, tuple(pods), processes or {}, dict.fromkeys(quiet, now))


class Scripted:
    """A source whose rounds are given; the last goes on for ever."""

    name = "scripted"
    period_seconds = 1.0
    deadline_seconds = 5.0
    doing = ""

    def __init__(self, *rounds: Round | Exception, name: str = "scripted") -> None:
        self.name = name
        self._rounds = list(rounds) or [Round()]
        self.looks: list[Scene] = []

    def look(self, scene: Scene) -> Round:
        self.looks.append(scene)
        found = self._rounds.pop(0) if len(self._rounds) > 1 else self._rounds[0]
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        """Nothing is open."""


class Stuck(Scripted):
    """A source whose looks do not return before the test lets them."""

    deadline_seconds = 0.1
    period_seconds = 0.05

    def __init__(self, name: str = "stuck") -> None:
        super().__init__(name=name)
        self.free = threading.Event()

    def look(self, scene: Scene) -> Round:
        self.free.wait(20)
        return super().look(scene)


def observation(line: str, **fields: Any) -> Observation:
    return Observation(id="", line=line, **fields)


def keep(line: str) -> str | None:
    """A filter as `faults.worth_keeping` is, for tests that do not want the real one."""
    return "test.boom" if "BOOM" in line else None


class Proc:
    """A folder as /proc is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        own = folder / "self"
        own.mkdir(parents=True)
        (own / "stat").write_text("")
        (folder / "sys" / "kernel" / "random").mkdir(parents=True)
        (folder / "sys" / "kernel" / "random" / "boot_id").write_text("boot-1\n")

    def process(
        self, pid: int, *, ticks: int = 0, io: int = 0, state: str = "S", uid: str = UID, cgroup: str = "/"
    ) -> Path:
        """Write, or change, a process."""
        folder = self.folder / str(pid)
        folder.mkdir(exist_ok=True)
        rest = f"{state} 1 {pid} {pid} 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {pid * 10} 0 0"
        (folder / "stat").write_text(f"{pid} (python (x)) {rest}\n")
        (folder / "io").write_text(f"rchar: {io}\nwchar: 0\nsyscr: 1\n")
        (folder / "cgroup").write_text(f"0::{cgroup}\n")
        (folder / "environ").write_bytes(
            f"PATH=/bin\0SPRINGTIDE_POD_UID={uid}\0".encode() if uid else b"A=b\0"
        )
        return folder
