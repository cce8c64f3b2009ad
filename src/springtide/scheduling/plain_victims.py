"""Plain pods among those who may be made to go for a workload: beside its like in one search.

A plain pod has no queue and takes no quota. So no policy of a queue says whether it goes: only its priority
does, which has to be below that of every pod of the workload, as with kube-scheduler. What is lost with it is
priced by the victim policy from its start, for nobody knows what a plain pod has saved.
Called by `claims`. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from springtide.scheduling.budgets import Budget, strained
from springtide.scheduling.cohorts import Cell
from springtide.scheduling.facts import EPOCH, PodFacts, PodSetFacts
from springtide.scheduling.pod_preemption import Running, priority_of
from springtide.scheduling.releasing import Held, held_by_pods
from springtide.scheduling.victim_policies import Stake, VictimPolicy
from springtide.scheduling.victims import Tier, size_of_pod

_NO_QUOTA: dict[Cell, int] = {}


@dataclass(slots=True)
class PlainVictim:
    """A plain pod that may be made to go. Nobody changes one; see `victims.Candidate`."""

    pod: PodFacts
    held: tuple[Held, ...]
    seconds: float
    """How long it has run."""
    price: float
    """What is lost with each of its devices, by the victim policy."""
    size: float
    """Its devices."""
    breaks_budget: bool = False
    """Whether fewer pods of its application may be away than would be."""
    queue: str = ""
    pods: int = 1
    usage: dict[Cell, int] = field(default_factory=lambda: _NO_QUOTA)

    @property
    def key(self) -> str:
        """What it is called among victims: a workload may have a pod's name."""
        return f"pod {self.pod.key}"

    @property
    def rank(self) -> tuple[bool, int, bool]:
        """How much is to be said against its going, before all that it costs."""
        return self.breaks_budget, priority_of(self.pod), True

    @property
    def order(self) -> tuple[int, tuple[bool, int, bool], float, float]:
        """Sorts victims, as that of a workload does."""
        return Tier.OWN, self.rank, self.price, self.seconds


class PlainPods:
    """The plain pods of one cycle that run, the least important first. Looked through once, when asked."""

    def __init__(
        self, running: Running, budgets: Sequence[Budget], policy: VictimPolicy, now: datetime
    ) -> None:
        self._running = running
        self._budgets = budgets
        self._policy = policy
        self._now = now
        self._found: list[PlainVictim] | None = None
        self._least: int | None = None

    def any_below(self, priority: int) -> bool:
        """Whether there is one of lower priority: cheap, and mostly the end of it."""
        if not self._running:
            return False
        if self._least is None:
            self._least = min(priority_of(one) for pods in self._running.values() for one in pods.values())
        return self._least < priority

    def below(self, priority: int, gone: Collection[str]) -> list[PlainVictim]:
        """Those of lower priority, the first to go first. `gone` (keys of pods) go already."""
        return self._told(
            (one for one in self._all() if priority_of(one.pod) < priority and one.pod.key not in gone), gone
        )

    def _told(self, some: Iterable[PlainVictim], gone: Collection[str]) -> list[PlainVictim]:
        found = list(some)
        if not self._budgets:
            return found
        before = [one.pod.obj for one in self._all() if one.pod.key in gone] if gone else []
        breaks = strained((*before, *(one.pod.obj for one in found)), self._budgets)[len(before) :]
        told = (
            replace(one, breaks_budget=True) if no else one for one, no in zip(found, breaks, strict=True)
        )
        return sorted(told, key=_first_to_go)

    def _all(self) -> list[PlainVictim]:
        if self._found is None:
            pods = (one for there in self._running.values() for one in there.values() if one.pod_class)
            self._found = sorted(map(self._victim, pods), key=_first_to_go)
        return self._found

    def _victim(self, pod: PodFacts) -> PlainVictim:
        since = pod.obj.status.start_time or pod.obj.metadata.creation_timestamp or EPOCH
        ran = max(0.0, (self._now - since).total_seconds())
        size = size_of_pod(PodSetFacts("", 1, pod.pod_class)) if pod.pod_class is not None else 0.0
        return PlainVictim(
            pod=pod,
            held=tuple(held_by_pods((pod,))),
            seconds=ran,
            price=self._policy.price(Stake(ran, ran, size)),
            size=size,
        )


def _first_to_go(one: PlainVictim) -> tuple[object, ...]:
    return one.breaks_budget, priority_of(one.pod), one.price, one.seconds, one.pod.key
