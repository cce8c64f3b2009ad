"""Which of those who may be made to go goes first: small functions with a registered name.

Whether somebody may be made to go at all is Kueue's rules (`victims`); a policy only prices what is lost with
each. The lowest priority goes first under every policy: one of a higher that went instead would at once make
that one go as well. Called by `victims` for the order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from springtide.scheduling.plugins import Registry

RESTART_SECONDS = 60.0
"""What a workload loses beyond the work it has not saved: ending, queueing, starting, loading."""


@dataclass(frozen=True, slots=True)
class Stake:
    """What is known of one who may be made to go."""

    ran_seconds: float
    """How long it has run."""
    lost_seconds: float
    """The last of that which no checkpoint holds; all of it where nothing was saved."""
    size: float
    """Devices it holds; see `victims.size_of`."""


@dataclass(frozen=True)
class VictimPolicy:
    """A way to choose victims."""

    name: str
    price: Callable[[Stake], float]
    """What is lost with each of its devices, in any unit; the cheapest goes first. A victim costs this times
    its size."""


_victims = Registry(VictimPolicy, "victim policy")
register_victims, find_victims, known_victims = _victims.register, _victims.find, _victims.known


def _lost_work(stake: Stake) -> float:
    """Device-seconds that have to be done again, and the restart."""
    return max(stake.lost_seconds, 0.0) + RESTART_SECONDS


def _ran(stake: Stake) -> float:
    return max(stake.ran_seconds, 0.0) + RESTART_SECONDS


def _alike(_: Stake) -> float:
    return 1.0


LEAST_LOST_WORK = register_victims(VictimPolicy("least-lost-work", _lost_work))
YOUNGEST = register_victims(VictimPolicy("youngest", _ran))
LOWEST_PRIORITY = register_victims(VictimPolicy("lowest-priority", _alike))
