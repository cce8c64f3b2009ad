"""How often to save: the interval that loses the least time, from what saving costs and how often things
break.

Called by `checkpointer` after each save, so that it follows what is measured. Young, "A first order
approximation to the optimum checkpoint interval", CACM 17(9), 1974: sqrt(2 d M). Daly, "A higher order
estimate of the optimum checkpoint interval for restart dumps", FGCS 22(3), 2006, eq. 37, also holds where a
save is not short against the mean time between failures M; d is the time for which training waits.
"""

from __future__ import annotations

import math
import os

MTBF_VARIABLE = "SPRINGTIDE_MTBF_SECONDS"
"""Mean time between failures of the whole job, as the platform knows it from its nodes' history."""

PROCESS_MTBF_SECONDS = 54 * 86400 * 16384 / 419
"""Without that: what one GPU of Llama 3's training lasted (419 interruptions of 16,384 GPUs in 54 days), 5.8
years.
"""


def mtbf_seconds(world: int) -> float:
    """The job's mean time between failures: the platform's word, else by the number of processes."""
    try:
        told = float(os.environ.get(MTBF_VARIABLE, ""))
    except ValueError:
        told = 0.0
    return told if told > 0 and math.isfinite(told) else PROCESS_MTBF_SECONDS / max(world, 1)


def best_interval_seconds(cost_seconds: float, mtbf: float) -> float:
    """Seconds of work between two saves that cost so much each (Daly's eq. 37)."""
    if cost_seconds >= 2 * mtbf:
        return mtbf
    ratio = cost_seconds / (2 * mtbf)
    return math.sqrt(2 * cost_seconds * mtbf) * (1 + math.sqrt(ratio) / 3 + ratio / 9) - cost_seconds


def interval_steps(cost: float, durable: float, step: float, mtbf: float) -> int:
    """In steps, at least one.

    A save is never asked for while the one before is still on its way to storage.
    """
    seconds = max(best_interval_seconds(max(cost, 1e-6), mtbf), durable)
    return max(1, math.ceil(seconds / max(step, 1e-9)))


class Pace:
    """The usual duration of a step: a mean that forgets, and leaves out what a save took."""

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None
        self.seconds = 0.0

    def at(self, step: int, now: float) -> None:
        """A step is reached."""
        if self._last is not None and step > self._last[0]:
            each = (now - self._last[1]) / (step - self._last[0])
            self.seconds = each if self.seconds == 0.0 else 0.9 * self.seconds + 0.1 * each
        self._last = (step, now)

    def resumed(self, step: int, now: float) -> None:
        """Training goes on after a save: what it took is no step's."""
        self._last = (step, now)
