"""RDMA ports: links that are down or flap, and counters of errors that rise.

Read from /sys/class/infiniband, for InfiniBand and RoCE alike; the telling counters of RoCE are among
`hw_counters`. No vendor's tool is started, since those themselves make the firmware complain. A port that was
never up is not cabled, and no fault. Called by `controller.py`.
Sources: the kernel's ABI sysfs-class-infiniband; thresholds of down and flapping ports as in gpud's
infiniband component (4 min; 3 times within 12 h, each of at least 25 s).
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from springtide.api.nodehealth import Observation
from springtide.collecting.counters import Counters, Standing
from springtide.collecting.rounds import Keep, Round, Scene, Unavailable

DOWN_SECONDS = 240.0
FLAP_DOWN_SECONDS = 25.0
FLAPS = 3
FLAP_WINDOW_SECONDS = 12 * 3600.0
LEAST = {
    "link_downed": 1,
    "link_error_recovery": 1,
    "local_link_integrity_errors": 1,
    "excessive_buffer_overrun_errors": 1,
    "port_rcv_errors": 10,
    "symbol_error": 100,
    "port_xmit_discards": 1000,
    "local_ack_timeout_err": 10,
    "packet_seq_err": 100,
    "out_of_sequence": 1000,
    "implied_nak_seq_err": 100,
    "rnr_nak_retry_err": 100,
    "out_of_buffer": 1000,
    "req_cqe_error": 10,
    "resp_cqe_error": 10,
    "req_remote_access_errors": 1,
    "req_remote_invalid_request": 1,
    "resp_local_length_error": 1,
    "roce_adp_retrans_to": 10,
    "roce_slow_restart": 10,
    "duplicate_request": 1000,
}
"""Counters that tell of errors, and the increase from which on each is told: congestion raises some of them
on any busy network."""


@dataclass
class _Port:
    """What was seen of a port."""

    was_active: bool = False
    down_since: float | None = None
    flaps: deque[float] = field(default_factory=deque)


class Rdma:
    """The source `rdma`."""

    name = "rdma"
    period_seconds = 15.0
    deadline_seconds = 60.0
    doing = ""

    def __init__(self, sys: Path, keep: Keep) -> None:
        self._folder = sys / "class" / "infiniband"
        self._keep = keep
        self._ports: dict[str, _Port] = {}
        self._counters = Counters()
        self._down = Standing()

    def look(self, scene: Scene) -> Round:
        ports = sorted(self._folder.glob("*/ports/*"))
        names = {f"{port.parent.parent.name}/{port.name}" for port in ports}
        if not ports and not self._ports:
            raise Unavailable(f"{self._folder} has no ports: this machine has no RDMA devices")
        seen: list[Observation] = []
        for port in ports:
            name = f"{port.parent.parent.name}/{port.name}"
            self.doing = f"reading {port}"
            lines = [*self._link(name, port, scene.monotonic), *self._rises(name, port, scene.monotonic)]
            seen += [self._observation(name, line, scene) for line in lines]
        for name in sorted(self._ports.keys() - names):
            device = name.partition("/")[0]
            lasted = self._down.lasts(f"gone {name}", True, scene.monotonic)
            if lasted is not None:
                seen.append(self._observation(name, f"RDMA port {name}: {device} device disappeared", scene))
        for name in names:
            self._down.lasts(f"gone {name}", False, scene.monotonic)
        return Round(seen=tuple(seen))

    def close(self) -> None:
        """Nothing is open."""

    def _link(self, name: str, folder: Path, monotonic: float) -> Iterator[str]:
        port = self._ports.setdefault(name, _Port())
        state, physical = _state(folder / "state"), _state(folder / "phys_state")
        active = state == "ACTIVE"
        if active:
            if port.down_since is not None and monotonic - port.down_since >= FLAP_DOWN_SECONDS:
                yield from self._flapped(name, port, monotonic)
            port.was_active, port.down_since = True, None
        elif port.was_active and port.down_since is None:
            port.down_since = monotonic
        lasted = self._down.lasts(f"down {name}", not active and port.was_active, monotonic, DOWN_SECONDS)
        if lasted is not None:
            yield (
                f"RDMA port {name}: link is down for {round(lasted)} s (state {state}, physical {physical})"
            )

    def _flapped(self, name: str, port: _Port, monotonic: float) -> Iterator[str]:
        port.flaps.append(monotonic)
        while port.flaps and monotonic - port.flaps[0] > FLAP_WINDOW_SECONDS:
            port.flaps.popleft()
        if len(port.flaps) >= FLAPS:
            hours = (monotonic - port.flaps[0]) / 3600
            yield f"RDMA port {name}: link flaps: down and up {len(port.flaps)} times in {hours:.1f} h"

    def _rises(self, name: str, folder: Path, monotonic: float) -> Iterator[str]:
        for kind in ("counters", "hw_counters"):
            for counter, least in LEAST.items():
                with contextlib.suppress(OSError, ValueError):
                    value = int((folder / kind / counter).read_text())
                    key = f"{name} {kind} {counter}"
                    line = self._counters.line(key, f"{kind}/{counter}", value, monotonic, least=least)
                    if line:
                        yield line

    def _observation(self, port: str, line: str, scene: Scene) -> Observation:
        return Observation(
            id="",
            source=f"rdma:{port}",
            line=line,
            signature=self._keep(line) or "",
            time=scene.now,
            device=port,
        )


def _state(path: Path) -> str:
    """`ACTIVE` of `4: ACTIVE`."""
    try:
        return path.read_text().partition(":")[2].strip()
    except OSError:
        return "unreadable"
