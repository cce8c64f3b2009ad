"""How the processes of each pod live, seen from outside: processor, input and output, who is stopped.

The first source of all: it finds the processes that the others look at. It needs nothing of the program, and
nothing but /proc of the machine. What it says moves only when something happens, so that a program that hangs
shows by moments that stay. Called by `controller.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from springtide.collecting.proc import (
    TICKS_PER_SECOND,
    ProcessTable,
    Used,
    network_bytes,
    own_network,
)
from springtide.collecting.rounds import Process, Round, Scene, Unavailable, WatchedPod

PERIOD_SECONDS = 2.0
BUSY_MILLIS = 50
"""So much of a core and a pod is busy; interpreters that wait use a tenth of it for their housekeeping."""
IO_BYTES_PER_SECOND = 4096
"""So much read or written and a pod moves data; heartbeats of rendezvous stores are less."""
SLEEP_SECONDS = 10.0
"""A process in uninterruptible sleep for so long is stuck."""


@dataclass
class _Known:
    """What was last seen of a pod's processes."""

    at: float
    ticks: dict[tuple[int, int], int] = field(default_factory=dict)
    io: dict[tuple[int, int], int] = field(default_factory=dict)
    network: int = 0
    asleep_since: dict[tuple[int, int], float] = field(default_factory=dict)


class Activity:
    """The source `activity`."""

    name = "activity"
    period_seconds = PERIOD_SECONDS
    deadline_seconds = 20.0
    doing = ""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._table = ProcessTable(proc)
        self._known: dict[str, _Known] = {}
        self._own_network = own_network(proc)

    def look(self, scene: Scene) -> Round:
        if not (self._proc / "self" / "stat").exists():
            raise Unavailable(f"{self._proc} does not tell about processes: only Linux has what is read here")
        running = [pod for pod in scene.pods if not pod.finished]
        table = self._table.read(pod.uid for pod in running)
        for uid in self._known.keys() - table.keys():
            del self._known[uid]
        activity = {pod.uid: self._of_pod(pod, table.get(pod.uid, []), scene) for pod in running}
        processes = {uid: tuple(one.process for one in found) for uid, found in table.items()}
        return Round(activity=activity, processes=processes)

    def close(self) -> None:
        """Nothing is open."""

    def _of_pod(self, pod: WatchedPod, found: Sequence[Used], scene: Scene) -> dict[str, Any]:
        known = self._known.get(pod.uid)
        network = self._network(found)
        now = _measure(known, found, network, scene.monotonic)
        self._known[pod.uid] = now
        fields: dict[str, Any] = {"stopped": _is_stopped(found, now, scene.monotonic)}
        if known is None or scene.monotonic <= known.at:
            return fields | {"cpu_millis": 0}
        seconds = scene.monotonic - known.at
        ticks = _gained(known.ticks, now.ticks)
        millis = round(1000 * ticks / TICKS_PER_SECOND / seconds)
        moved = _gained(known.io, now.io) + max(0, now.network - known.network)
        fields["cpu_millis"] = millis
        if millis >= BUSY_MILLIS:
            fields["busy_time"] = scene.now
        if moved >= IO_BYTES_PER_SECOND * seconds:
            fields["io_time"] = scene.now
        return fields

    def _network(self, found: Sequence[Used]) -> int:
        """Of the pod's own network, if it has one: every process of it shows the same."""
        for one in found[:1]:
            return network_bytes(self._proc / str(one.process.pid), self._own_network) or 0
        return 0


def _measure(known: _Known | None, found: Sequence[Used], network: int, monotonic: float) -> _Known:
    before = known.asleep_since if known is not None else {}
    return _Known(
        at=monotonic,
        ticks={_key(one.process): one.cpu_ticks for one in found},
        io={_key(one.process): one.io_bytes for one in found},
        network=network,
        asleep_since={
            _key(one.process): before.get(_key(one.process), monotonic)
            for one in found
            if one.process.state == "D"
        },
    )


def _gained(before: dict[tuple[int, int], int], now: dict[tuple[int, int], int]) -> int:
    """What processes used since; one that is new used all it has within the window."""
    return sum(max(0, value - before.get(key, 0)) for key, value in now.items())


def _is_stopped(found: Sequence[Used], known: _Known, monotonic: float) -> bool:
    return any(one.process.state in ("T", "t") for one in found) or any(
        monotonic - since >= SLEEP_SECONDS for since in known.asleep_since.values()
    )


def _key(process: Process) -> tuple[int, int]:
    return process.pid, process.start
