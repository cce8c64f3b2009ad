"""Who has to go or move, for whom, and the commands and sentences that say so. Made by `claims`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from springtide.api.commands import Command
from springtide.api.kueue import WorkloadReason
from springtide.scheduling import status
from springtide.scheduling.defragmentation import Rearrangement
from springtide.scheduling.elastic import SURPLUS, at_its_smallest
from springtide.scheduling.facts import PodFacts, WorkloadFacts
from springtide.scheduling.leaving import Leaver
from springtide.scheduling.victims import Candidate

_NAMED_MAX = 5
_WHY = {
    WorkloadReason.IN_CLUSTER_QUEUE: "it goes first in the same ClusterQueue",
    WorkloadReason.IN_COHORT_RECLAMATION: "its ClusterQueue takes back quota that was lent in the cohort",
    WorkloadReason.IN_COHORT_FAIR_SHARING: "its ClusterQueue has less than its fair share of the cohort",
    WorkloadReason.IN_COHORT_RECLAIM_WHILE_BORROWING: "it goes first among those who borrow in the cohort",
    WorkloadReason.HIGHER_PRIORITY_POD: "its priority is above that of all pods of this workload",
}
Preemptor = WorkloadFacts | PodFacts


@dataclass(frozen=True)
class Preempted:
    """A workload that has to go, and for whom."""

    victim: Candidate
    preemptor: Preemptor

    def commands(self, now: datetime) -> tuple[Command, ...]:
        """What ends it."""
        message = (
            f"Preempted to make room for {who(self.preemptor)}: {_WHY[self.victim.reason]}"
            f"{'; this breaks a PodDisruptionBudget' if self.victim.breaks_budget else ''}"
        )
        facts = self.victim.facts
        if facts.key.endswith(SURPLUS):
            return status.resize(facts, at_its_smallest(facts), -self.victim.pods, now)
        return status.preempt(facts, self.victim.reason, message, now)


@dataclass(frozen=True)
class Moved:
    """A workload that has to go elsewhere, and why."""

    victim: Candidate
    why: Rearrangement

    def commands(self, now: datetime) -> tuple[Command, ...]:
        """What ends its attempt here."""
        message = f"Moved to make room for {who(self.why.wish.facts)}: {self.why.words}"
        return status.move(self.victim.facts, message, now)


def who(one: Preemptor) -> str:
    """Somebody for whom others go, in words."""
    kind = "pod " if isinstance(one, PodFacts) else ""
    return f"{kind}{one.key} (UID: {one.obj.metadata.uid}, priority {-one.order[0]})"


def named(victims: Iterable[Leaver]) -> str:
    """Who goes, in words, with the verb that follows."""
    found = list(victims)
    keys = dict.fromkeys(one.key.removesuffix(SURPLUS) for one in found)
    names = ", ".join(list(keys)[:_NAMED_MAX])
    more = f" and {len(found) - _NAMED_MAX} more" if len(found) > _NAMED_MAX else ""
    return f"{names}{more} ha{'s' if len(found) == 1 else 've'}"
