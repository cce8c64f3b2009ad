"""Which of those who may be made to go goes first: small functions with a registered name.

Whether somebody may be made to go at all is Kueue's rules (`victims`); a policy only prices what is lost with
each. The lowest priority goes first under every policy: one of a higher that went instead would at once make
that one go as well. Called by `victims` for the order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from springtide.scheduling.plugins import load_plugin

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


_registered: dict[str, VictimPolicy] = {}


def register_victims(policy: VictimPolicy) -> VictimPolicy:
    """Make a policy known by its name. Raises ValueError when the name is taken."""
    if policy.name in _registered:
        raise ValueError(f"victim policy {policy.name!r} is registered already; choose another name")
    _registered[policy.name] = policy
    return policy


def find_victims(name: str) -> VictimPolicy:
    """A registered policy, or a site's own: `FILE.py:NAME` or `MODULE:NAME`.

    Raises ValueError when there is none.
    """
    if ":" in name:
        return load_plugin(name, VictimPolicy)
    try:
        return _registered[name]
    except KeyError:
        known = ", ".join(known_victims())
        raise ValueError(f"victim policy {name!r} is not registered; known: {known}") from None


def known_victims() -> list[str]:
    """The names of all policies."""
    return sorted(_registered)


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
