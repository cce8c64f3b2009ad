"""Who need not be asked again in a pass: others who ask for the same in the same queue found no room.

Within a pass over the queue free capacity and quota only shrink, unless somebody is made to go. So those who
are like one who was refused, and stand behind it, are refused for the same reason. They wake up with the next
pass. Called by the cycle for each who waits.
"""

from __future__ import annotations

from springtide.scheduling.facts import PodSetFacts, WorkloadFacts
from springtide.scheduling.status import Verdict

Why = Verdict | tuple[PodSetFacts, ...]
"""Why one waits: a sentence, or the pod sets for which there is no room."""


class Parking:
    """Refusals of one pass."""

    def __init__(self) -> None:
        self._parked: dict[tuple[str, int, int], tuple[WorkloadFacts, Why]] = {}
        self._made_room = 0

    def clear(self) -> None:
        """A new pass begins."""
        self._parked.clear()

    def why(self, facts: WorkloadFacts, queue: str, made_room: int) -> Why | None:
        """Why it is refused like one before it; None if it has to be asked for.

        `made_room`: how many have been made to go so far; whenever there are more, all wake up.
        """
        if made_room != self._made_room:
            self._parked.clear()
            self._made_room = made_room
        if not self._parked:
            return None
        found = self._parked.get((queue, id(facts.pod_sets), facts.order[0]))
        if found is None or facts.order[1] < found[0].order[1] or not is_plain(facts):
            return None
        return found[1]

    def park(self, facts: WorkloadFacts, queue: str, why: Why) -> None:
        """It was refused, and so will be those who are like it and came later."""
        if is_plain(facts):
            self._parked.setdefault((queue, id(facts.pod_sets), facts.order[0]), (facts, why))


def is_plain(facts: WorkloadFacts) -> bool:
    """Whether nothing but its queue, pod sets, priority and age decides about it."""
    return not (facts.claims or facts.moved or facts.is_elastic or facts.obj.spec.preemption_gates)
