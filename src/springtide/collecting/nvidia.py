"""NVIDIA GPUs: Xid events, memory errors, lost GPUs and links, slowed clocks, and whose work they do.

Lines have the names of DCGM's fields, whichever way they were read, so that one signature knows both. The
driver's own recovery action is told as such: it decides before anything else. Called by `controller.py`.
Sources: NVML API reference (recovery actions, clock event reasons), NVIDIA's Xid catalog.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from springtide.api.nodehealth import Observation
from springtide.collecting.counters import Counters, Standing
from springtide.collecting.gpu_use import GpuUse
from springtide.collecting.gpus import GpuDriver, GpuReading
from springtide.collecting.rounds import Keep, Round, Scene, Unavailable

RECOVERY_ACTIONS = {
    1: "GPU reset",
    2: "node reboot",
    3: "drain peer-to-peer traffic",
    4: "drain and reset",
    5: "recover the IMEX domain",
    6: "bus reset",
    7: "system reboot",
}
"""NVML_GPU_RECOVERY_ACTION_*."""
SLOW_SECONDS = 30.0
"""Slowed clocks are told when they last so long."""
BUSY_PERCENT = 5
LEAST = {
    "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": 100,
    "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": 10,
    "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL": 100,
    "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL": 100,
    "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL": 10,
}
"""Increases from which on a counter is told, where one alone means little."""


class Nvidia:
    """The source `nvidia`."""

    name = "nvidia"
    period_seconds = 5.0
    deadline_seconds = 20.0

    def __init__(self, driver: GpuDriver, keep: Keep) -> None:
        self._driver = driver
        self._keep = keep
        self._open = False
        self.doing = ""
        self._counters = Counters()
        self._standing = Standing()
        self._gpu_use = GpuUse()
        self._links: dict[str, set[int]] = {}
        """NVLinks that were down when a GPU was first seen: those have no partner."""
        self._lost: dict[str, set[int]] = {}
        """NVLinks that were lost at the last look."""

    def look(self, scene: Scene) -> Round:
        if not self._open:
            self.doing = "opening the driver"
            self._driver.open()
            self._open = True
        try:
            self.doing = "waiting for events of the driver"
            events = self._driver.events()
            self.doing = "reading the GPUs"
            readings = self._driver.read()
        except Unavailable:
            self._open = False
            self._driver.close()
            raise
        seen = [
            self._observation(
                f"XidCriticalError: Xid={one.number} on GPU {one.bus}", one.uuid, one.bus, scene
            )
            for one in events
        ]
        for gpu in readings:
            lines = [*self._states(gpu, scene.monotonic), *self._rises(gpu, scene.monotonic)]
            seen += [self._observation(line, gpu.uuid, gpu.bus, scene) for line in lines]
        activity = _use(readings, scene)
        for uid, fields in self._gpu_use.fields(readings, scene).items():
            activity[uid] = {**activity.get(uid, {}), **fields}
        return Round(seen=tuple(seen), activity=activity)

    def close(self) -> None:
        if self._open:
            self._driver.close()
            self._open = False

    def _rises(self, gpu: GpuReading, monotonic: float) -> Iterator[str]:
        for name, value in sorted(gpu.counters.items()):
            least = LEAST.get(name, 1)
            line = self._counters.line(f"{gpu.uuid} {name}", name, value, monotonic, least=least)
            if line:
                yield line

    def _states(self, gpu: GpuReading, monotonic: float) -> Iterator[str]:
        def lasts(what: str, holds: bool, after_seconds: float = 0.0) -> bool:
            key = f"{gpu.uuid} {what}"
            return self._standing.lasts(key, holds, monotonic, after_seconds) is not None

        if lasts("lost", bool(gpu.lost)):
            yield f"GPU is lost: {gpu.bus}: {gpu.lost}"
        if gpu.lost:
            return
        for name, holds in sorted(gpu.flags.items()):
            if lasts(name, holds):
                yield f"{name} 1"
        for number in sorted({*RECOVERY_ACTIONS, gpu.recovery} - {0}):
            if lasts(f"recovery {number}", number == gpu.recovery):
                action = RECOVERY_ACTIONS.get(number, f"action {number}")
                yield f"GPU recovery required: the driver asks for: {action}"
        for reason in (
            "hw_slowdown",
            "hw_thermal_slowdown",
            "hw_power_brake_slowdown",
            "sw_thermal_slowdown",
        ):
            if lasts(reason, reason in gpu.slowdowns, SLOW_SECONDS):
                heat = f" at {gpu.celsius} C" if gpu.celsius is not None else ""
                yield f"clocks_event_reasons.{reason} active for {SLOW_SECONDS:g} s{heat}"
        lost = self._links_lost(gpu)
        for link in sorted(self._lost.get(gpu.uuid, set()) | lost):
            if lasts(f"link {link}", link in lost):
                yield f"NVLink {link}: link is down"
        self._lost[gpu.uuid] = lost

    def _links_lost(self, gpu: GpuReading) -> set[int]:
        """Links that were up since the first look and are down now."""
        unused = self._links.setdefault(gpu.uuid, set(gpu.links_down))
        unused.intersection_update(gpu.links_down)
        return set(gpu.links_down) - unused

    def _observation(self, line: str, uuid: str, bus: str, scene: Scene) -> Observation:
        return Observation(
            id="",
            source=f"nvml:{uuid}",
            line=line,
            signature=self._keep(line) or "",
            time=scene.now,
            device=bus or uuid,
        )


def _use(readings: Sequence[GpuReading], scene: Scene) -> dict[str, dict[str, Any]]:
    """How busy the GPUs of each pod are. A kernel that hangs counts as work: being busy proves nothing."""
    pods = {one.pid: uid for uid, processes in scene.processes.items() for one in processes}
    shares: dict[str, list[int]] = {}
    for gpu in readings:
        for uid in {pods[pid] for pid in gpu.pids if pid in pods}:
            if gpu.percent is not None:
                shares.setdefault(uid, []).append(gpu.percent)
    found: dict[str, dict[str, Any]] = {}
    for uid, percents in shares.items():
        found[uid] = {"gpu_percent": round(sum(percents) / len(percents))}
        if max(percents) >= BUSY_PERCENT:
            found[uid]["busy_time"] = scene.now
    return found
