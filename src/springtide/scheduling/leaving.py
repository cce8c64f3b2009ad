"""What a search for room asks of one who may be made to go, be it a workload or a plain pod.

`preemption`, `openings` and `defragmentation` look at nothing else of `victims.Candidate` and
`plain_victims.PlainVictim`, so that both stand in one order and one bargain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from springtide.scheduling.releasing import Held


class Leaver(Protocol):
    """One who may be made to go."""

    @property
    def key(self) -> str:
        """What it is called among those who may go."""

    @property
    def queue(self) -> str:
        """The ClusterQueue it is charged to; empty for plain pods."""

    @property
    def usage(self) -> Mapping[tuple[str, str], int]:
        """What it is charged."""

    @property
    def held(self) -> tuple[Held, ...]:
        """What becomes free."""

    @property
    def pods(self) -> int:
        """How many pods it has."""

    @property
    def price(self) -> float:
        """What is lost with each of its devices."""

    @property
    def size(self) -> float:
        """Its devices."""

    @property
    def breaks_budget(self) -> bool:
        """Whether a PodDisruptionBudget says no."""

    @property
    def rank(self) -> tuple[bool, int, bool]:
        """How much is to be said against its going, before all that it costs."""

    @property
    def order(self) -> tuple[int, tuple[bool, int, bool], float, float]:
        """Sorts those who may go: the first to go first."""
